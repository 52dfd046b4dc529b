"""What tests of federated training share: one whose coordinator is this process, and work that is watched or dies."""

from __future__ import annotations

import json
import os
import pickle
import signal
import threading
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from cluster.folder import Folder
from jobs.artifacts import Epoch, Model
from jobs.models.model import ModelSpec, read_weights
from jobs.recipe import TrainRecipe
from jobs.strategies import Strategy
from jobs.strategies.federated.hub import Hub
from jobs.strategies.federated.messages import Update
from jobs.training import TrainWork
from tests.rig import MemoryKeeper

BAG = {"kind": "embedding_bag", "vocabulary": 300, "length": 16, "width": 8}
SGD = {"optimizer": "sgd", "learning_rate": 0.1, "schedule": "constant", "batch_size": 32}
SMALL = {"kind": "federated", "workers": 2, "cpus_per_worker": 0.5}


@dataclass
class Trained:
    """A training by this process and its clients; `strategy`, `recipe` and `model` as definitions say them."""

    root: Path
    data: Folder
    strategy: dict[str, Any]
    recipe: dict[str, Any]
    model: dict[str, Any] = field(default_factory=lambda: {"backbone": BAG})
    hub: type[Hub] = Hub
    name: str = field(default_factory=lambda: f"federated-{uuid.uuid4().hex}")

    def work(self) -> TrainWork:
        spec, recipe = ModelSpec.model_validate(self.model), TrainRecipe.model_validate(self.recipe)
        return TrainWork(spec, recipe, Strategy.choose(self.strategy), self.data, self.out)

    def run(self, work: Any = None, keeper: MemoryKeeper | None = None) -> MemoryKeeper:
        keeper = MemoryKeeper(self.root / "kept") if keeper is None else keeper
        run(Strategy.choose(self.strategy), work or self.work(), keeper, self.name, self.hub)
        return keeper

    @property
    def out(self) -> Folder:
        return Folder.parse(str(self.root / "out"))

    def weights(self) -> dict[str, Any]:
        return read_weights(self.out.read_bytes("weights.npz"), "weights")

    def history(self) -> list[Epoch]:
        return Model.load(self.out).history


def run(strategy: Any, work: Any, keeper: Any, name: str, hub: type[Hub] = Hub) -> None:
    """Do `work` in this process; where the strategy has clients, they are processes of the cluster."""
    if not strategy.has_coordinator:
        work(strategy.engine(), keeper)
        return
    from jobs.strategies.federated.rounds import federate  # imports TensorFlow

    federate(strategy, work, keeper, name, hub)


def ended(pid: int) -> bool:
    """Say whether a process is gone, or goes within ten seconds."""
    end = time.monotonic() + 10
    while Path(f"/proc/{pid}").exists() and time.monotonic() < end:
        time.sleep(0.1)
    return not Path(f"/proc/{pid}").exists()


def distance(found: dict[str, Any], wanted: dict[str, Any]) -> float:
    """Return ‖a−b‖/‖b‖ over all weights."""
    assert found.keys() == wanted.keys()
    a, b = (np.concatenate([side[name].ravel() for name in sorted(wanted)]) for side in (found, wanted))
    return float(np.linalg.norm(a - b) / np.linalg.norm(b))


def recording(folder: Path) -> type[Hub]:
    """Return a hub that writes every message a client sends it into `folder`."""
    folder.mkdir()

    def keep(*message: Any) -> None:
        (folder / uuid.uuid4().hex).write_bytes(pickle.dumps(message))

    class Recording(Hub):
        async def entry(self, number: int) -> tuple[str, Any]:
            keep("entry", number)
            return await super().entry(number)

        async def deliver(self, number: int, update: Update) -> None:
            keep("deliver", number, update)
            await super().deliver(number, update)

    return Recording


def recorded(folder: Path) -> list[tuple[bytes, Any]]:
    """Return every message, as it was written and as it was."""
    raw = [file.read_bytes() for file in folder.iterdir()]
    return [(data, pickle.loads(data)) for data in raw]  # noqa: S301  written above


def open_files() -> set[str]:
    """Return the files this process has open or mapped."""
    found = {line.split(maxsplit=5)[5] for line in Path("/proc/self/maps").read_text().splitlines() if "/" in line}
    for link in Path("/proc/self/fd").iterdir():
        try:
            found.add(os.readlink(link))  # noqa: PTH115  some lead to no file
        except OSError:
            continue
    return found


@dataclass(frozen=True)
class Watched:
    """Does `work`, and leaves in `folder` which files each process had open while it did, by the keeper's rank."""

    work: Any
    folder: Path

    def __call__(self, engine: Any, keeper: Any) -> None:
        with self._watching(keeper.rank):
            self.work(engine, keeper)

    @contextmanager
    def _watching(self, rank: int) -> Iterator[None]:
        over, seen = threading.Event(), set[str]()

        def watch() -> None:
            while not over.wait(0.01):
                seen.update(open_files())

        thread = threading.Thread(target=watch)
        thread.start()
        try:
            yield
        finally:
            over.set()
            thread.join()
            (self.folder / f"{rank}.json").write_text(json.dumps({"pid": os.getpid(), "files": sorted(seen)}))


@dataclass(frozen=True)
class DieInRound:
    """Does `work`; each client named dies by SIGKILL in its round, when it has trained and not yet answered."""

    work: Any
    deaths: dict[int, int]

    def __call__(self, engine: Any, keeper: Any) -> None:
        if (at := self.deaths.get(keeper.rank - 1)) is not None:
            line, deliver = engine._line, engine._line.deliver

            def dying(number: int, update: Update) -> None:
                if number == at:
                    os.kill(os.getpid(), signal.SIGKILL)
                deliver(number, update)

            line.deliver = dying
        self.work(engine, keeper)
