"""`recovery`: from the SIGKILL of a worker to the next train step, against the start of the group."""

from __future__ import annotations

import os
import signal
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cluster.folder import Folder
from cluster.resources import Resources
from cluster.session import connected
from cluster.work import run_remote
from tests.benchmarks.harness import Benchmark
from tests.benchmarks.made import digits

MODEL = {"backbone": {"kind": "resnet", "depth": 8, "width": 8}}
EPOCHS = 3


@dataclass(frozen=True)
class Killed:
    """Does `work`; worker 1 kills itself once after the first epoch. Notes when; picklable."""

    work: Any
    diary: Path

    def note(self, what: str) -> None:
        with self.diary.open("a") as file:
            file.write(f"{what} {time.time()}\n")

    def __call__(self, engine: Any, keeper: Any) -> None:
        wanted, epoch_done, noted = keeper.wanted, keeper.epoch_done, list[str]()

        def after_steps() -> bool:
            if keeper.rank == 0 and not noted:
                noted.append("trains")
                self.note("trains")
            return bool(wanted())

        def after_epoch(phase: int, history: Any, arrays: Any) -> None:
            epoch_done(phase, history, arrays)
            if keeper.rank == 1 and len(history) == 1 and "killed" not in self.diary.read_text():
                self.note("killed")
                os.kill(os.getpid(), signal.SIGKILL)

        keeper.wanted, keeper.epoch_done = after_steps, after_epoch
        self.work(engine, keeper)


class Recovery(Benchmark):
    """Seconds until the first train step has been taken: again after a worker's death, and at first."""

    id = "recovery"
    name = "from the SIGKILL of one of two workers to the next train step, against the group's start"
    unit = "s"
    better = "lower"
    target = 1.5

    def prepare(self, work: Path) -> None:
        """Make the data, and start a cluster that lasts until the figures are there."""
        self.root = Path(tempfile.mkdtemp(dir=work))
        self.data = digits(self.root / "data")
        self.found: list[str] = []
        self._recoveries: list[float] = []
        self._starts: list[float] = []
        self._cluster = ExitStack()
        self._cluster.enter_context(connected("local", cpus=3))
        self._run()  # the first start on a cluster takes longer
        self._recoveries, self._starts = [], []

    def ours(self) -> float:
        """Return the seconds from a death to the next train step."""
        if not self._recoveries:
            self._run()
        return self._recoveries.pop(0)

    def reference(self) -> float:
        """Return the seconds from the start of the same group to its first train step."""
        if not self._starts:
            self._run()
        return self._starts.pop(0)

    def _run(self) -> None:
        from jobs.models.model import ModelSpec
        from jobs.recipe import TrainRecipe
        from jobs.strategies import Strategy
        from jobs.strategies.ray_train import Group, run_group
        from jobs.training import TrainWork

        root = Path(tempfile.mkdtemp(dir=self.root))
        strategy = Strategy.choose({"kind": "data_parallel", "workers": 2})
        spec, recipe = ModelSpec.model_validate(MODEL), TrainRecipe(epochs=EPOCHS, batch_size=128)
        work = Killed(TrainWork(spec, recipe, strategy, self.data, Folder.parse(str(root / "out"))), root / "diary")
        group = Group(work, strategy, root.name, Folder.parse(str(root / "checkpoints")), 1, 2)
        told: list[dict[str, Any]] = []
        began = time.time()
        run_remote(run_group, group, resources=Resources(), tell=told.append)
        first, killed, again = (float(line.split()[1]) for line in (root / "diary").read_text().splitlines())
        self._starts.append(first - began)
        self._recoveries.append(again - killed)
        epochs = [event["epoch"]["epoch"] for event in told if "epoch" in event]
        if epochs != list(range(1, EPOCHS + 1)):
            self.found.append(f"the epochs told of are {epochs}")

    def faults(self) -> Iterator[str]:
        """Yield trainings in which an epoch was repeated or is missing; end the cluster."""
        self._cluster.close()
        yield from self.found
