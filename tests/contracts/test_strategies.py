"""Every strategy trains the same small model on the cluster: what any of them must keep. A new one needs an example."""

from __future__ import annotations

import json
import os
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cluster.folder import Folder
from cluster.resources import Resources
from cluster.work import run_remote
from jobs.artifacts import Dataset, Epoch, Model
from jobs.models.model import ModelSpec, read_weights
from jobs.recipe import TrainRecipe
from jobs.runtime.classifier import Classifier, golden_rows
from jobs.strategies import Strategy
from jobs.training import TrainWork
from tests.contracts.left_behind import at_work, open_ports, ports, training_processes
from tests.rig import DoAfterEpoch, DoAfterSteps, KillOnce, KillWithin

pytestmark = pytest.mark.cluster

EXAMPLES: dict[str, dict[str, Any]] = {  # each holds three CPUs at most
    "data_parallel": {"workers": 2},
    "federated": {"workers": 2, "local_epochs": 2},  # of half the rows each: as many train steps as the others take
    "parameter_server": {
        "workers": 2,
        "servers": 1,
        "cpus_per_worker": 0.7,
        "cpus_per_server": 0.7,
        "cpus_of_coordinator": 0.7,
        "steps_per_closure": 2,
    },
    "model_parallel": {"batch": 1, "model": 2},
    "single": {},
}
RACING = {"parameter_server"}  # workers of these update in an order of their own: no two trainings end alike
EPOCHS = 3
LONGEST = 15.0  # seconds a process may take to end
BERT = {"kind": "bert", "layers": 1, "width": 16, "heads": 2, "feed_forward": 32, "vocabulary": 300, "length": 16}
MODEL = ModelSpec.model_validate({"backbone": BERT, "dropout": 0.1})


def test_every_strategy_is_under_contract() -> None:
    assert {tag for tag, cls in Strategy.members().items() if cls.__module__.startswith("jobs.")} == set(EXAMPLES)


class Aside:
    """A keeper that keeps no checkpoint: for a second training in the same workers."""

    keeps = False

    def __init__(self, keeper: Any) -> None:
        self.keeper, self.rank, self.tell = keeper, keeper.rank, keeper.tell

    def resume(self, phase: int) -> None:
        return None

    def ahead(self, left: int) -> int:
        return left

    def wanted(self) -> bool:
        return False

    def epoch_done(self, phase: int, history: list[Epoch], arrays: Any) -> None:
        return None

    def product(self, name: str) -> Any:
        return self.keeper.product(f"aside-{name}")

    def keep(self, name: str, fill: Any) -> Any:
        return self.keeper.keep(f"aside-{name}", fill)


@dataclass(frozen=True)
class Both:
    """Does one training, then another aside; picklable."""

    first: Any
    second: Any

    def __call__(self, engine: Any, keeper: Any) -> None:
        self.first(engine, keeper)
        self.second(engine, Aside(keeper))


@dataclass(frozen=True)
class Look:
    """Notes in `file` which processes train, and where they listen, after the first epoch; picklable."""

    file: Path

    def __call__(self, epoch: int) -> None:
        if epoch == 1:
            pids = set(at_work(training_processes(os.getppid())))
            self.file.write_text(json.dumps({"pids": sorted(pids), "ports": sorted(ports(pids))}))


@dataclass(frozen=True)
class LookAndKill:
    """Looks before it kills; picklable."""

    look: Look
    kill: KillOnce

    def __call__(self, epoch: int) -> None:
        if not self.kill.marker.exists():
            self.look(epoch)
        self.kill(epoch)


@dataclass(frozen=True)
class KillWithinRound:
    """Does `work`, and kills its coordinator in a round, counted from zero, once a first update is there."""

    work: Any
    number: int
    marker: Path

    def __call__(self, engine: Any, keeper: Any) -> None:
        if keeper.rank == 0 and not self.marker.exists():
            clients = engine._clients
            held = clients.round

            def cut(begun: Any) -> Any:
                return held(begun) if begun.number < self.number else self._cut_short(clients, begun)

            clients.round = cut
        self.work(engine, keeper)

    def _cut_short(self, clients: Any, begun: Any) -> None:
        import ray

        clients.write("round", begun)
        while not ray.get(clients._hub.updates.remote(begun.number, 1.0)):
            clients.alive()  # raises when no update can come any more
        self.marker.touch()
        os.kill(os.getpid(), signal.SIGKILL)


@dataclass
class Trainings:
    """Trainings of one strategy below `root`."""

    kind: str
    strategy: Strategy
    root: Path
    data: Folder

    def work(self, out: str, seed: int = 0, epochs: int = EPOCHS, every: int | None = None) -> TrainWork:
        recipe = TrainRecipe(epochs=epochs, batch_size=40, learning_rate=0.01, seed=seed, checkpoint_every=every)
        return TrainWork(MODEL, recipe, self.strategy, self.data, Folder.parse(str(self.root / out)))

    def run(self, work: Any, name: str, retries: int = 0) -> list[dict[str, Any]]:
        from jobs.strategies.ray_train import Group, run_group

        events: list[dict[str, Any]] = []
        checkpoints = Folder.parse(str(self.root / f"{name}-checkpoints"))
        group = Group(work, self.strategy, name, checkpoints, retries, 2)
        run_remote(run_group, group, resources=Resources(), tell=events.append, ends=True, warm=True)
        return events

    def model(self, out: str) -> Model:
        return Model.load(Folder.parse(str(self.root / out)))

    def weights(self, out: str) -> dict[str, Any]:
        return read_weights((self.root / out / "weights.npz").read_bytes(), out)


@pytest.fixture(scope="module", params=sorted(EXAMPLES))
def trained(
    request: pytest.FixtureRequest, ray_cluster: None, texts: Folder, tmp_path_factory: pytest.TempPathFactory
) -> Trainings:
    """Return the trainings of a strategy: `unbroken`, looked at while it runs, and one with `another` seed."""
    kind = str(request.param)
    strategy = Strategy.choose({"kind": kind, **EXAMPLES[kind]})
    assert strategy.resources().fits(Resources(3))
    trainings = Trainings(kind, strategy, tmp_path_factory.mktemp(kind), texts)
    looked = DoAfterEpoch(trainings.work("unbroken"), 0, Look(trainings.root / "seen.json"))
    trainings.run(Both(looked, trainings.work("another", seed=1, epochs=1)), "unbroken")
    return trainings


def shape(value: Any) -> Any:
    """Return what an artifact's facts are made of: names and types, numbers alike, the lengths of lists left out."""
    if isinstance(value, dict):
        return {name: shape(found) for name, found in value.items()}
    if isinstance(value, list):
        return [shape(value[0])] if value else []
    return "number" if isinstance(value, int | float) else type(value).__name__


FIRST: dict[str, Any] = {}  # what the first strategy left, which the others are held to


def test_loss_falls_and_no_epoch_is_there_twice(trained: Trainings) -> None:
    history = trained.model("unbroken").history
    assert [epoch.epoch for epoch in history] == [1, 2, 3]
    assert history[2].loss < history[1].loss < history[0].loss


def test_the_artifact_is_made_of_the_same_files_weights_and_facts(trained: Trainings) -> None:
    model = trained.model("unbroken")
    facts = model.model_dump(exclude={"strategy": True, "history": {"__all__": {"timing", "facts"}}})
    left = {
        "files": sorted(file.name for file in (trained.root / "unbroken").iterdir()),
        "weights": {name: value.shape for name, value in trained.weights("unbroken").items()},
        "facts": shape(facts),
    }
    assert FIRST.setdefault("left", left) == left
    assert model.strategy == trained.strategy.model_dump(mode="json")
    answers = Classifier(model, model.folder.path).classify(golden_rows(model.folder.path))
    assert {answer["label"] for answer in answers} <= {"ships", "trees"}


def test_every_epoch_says_where_its_time_went(trained: Trainings) -> None:
    for epoch in trained.model("unbroken").history:
        timing = epoch.timing
        assert timing is not None
        assert timing.train_steps == 4
        example = EXAMPLES[trained.kind]  # a round's epochs, and workers of one row of a mesh, see the same rows
        rows = Dataset.load(trained.data).rows["train"] * example.get("local_epochs", 1) * example.get("model", 1)
        assert sum(timing.rows_per_second) * timing.seconds == pytest.approx(rows)
        assert trained.kind in RACING or min(timing.rows_per_second) > 0
        assert timing.p50_ms > 0
        # One call makes several steps: they have times of their own, but for a round's, which are its clients'.
        assert (timing.p50_ms < timing.p99_ms) != trained.strategy.whole_epochs
        assert (timing.bytes_sent > 0) == (trained.strategy.resources().cpus > 1)


def test_the_seed_is_honoured(trained: Trainings) -> None:
    assert trained.model("unbroken").history[0].loss != trained.model("another").history[0].loss


def test_nothing_is_left_behind(trained: Trainings) -> None:
    seen = json.loads((trained.root / "seen.json").read_text())
    assert len(seen["pids"]) >= trained.strategy.workers
    nothing_is_left(seen)


def nothing_is_left(seen: dict[str, list[int]]) -> None:
    """Assert that what `Look` saw has ended, with its ports, and that no placement group is there."""
    import ray

    wait_until(lambda: not at_work(seen["pids"]), lambda: f"still there: {at_work(seen['pids'])}")
    assert not open_ports() & set(seen["ports"])
    states = {group["state"] for group in ray.util.placement_group_table().values()}
    assert states <= {"REMOVED"}


def wait_until(true: Callable[[], bool], otherwise: Callable[[], str]) -> None:
    """Return once `true()` is; fail with `otherwise()` when it is not for too long."""
    end = time.monotonic() + LONGEST
    while not true():
        assert time.monotonic() < end, otherwise()
        time.sleep(0.1)


def test_a_training_killed_at_a_checkpoint_goes_on_and_ends_as_if_it_had_not_been(trained: Trainings) -> None:
    whole = trained.strategy.whole_epochs
    look = Look(trained.root / "seen before the kill.json")
    after = KillOnce(rank=0, epoch=1, marker=trained.root / "killed")
    marker = trained.root / "killed within an epoch"
    acting = DoAfterEpoch(trained.work("resumed", every=None if whole else 1), after.rank, LookAndKill(look, after))
    within: Any = KillWithinRound(acting, 2, marker)
    if not whole:
        last = trained.strategy.train_workers() - 1
        within = DoAfterSteps(acting, last, KillWithin(rank=last, epoch=3, train_step=3, marker=marker))
    events = trained.run(within, "resumed", retries=2)
    assert marker.exists()
    first, *others = [(event["after_epoch"], event["train_step"]) for event in events if "resume" in event]
    assert first == (1, 0)
    assert others in ([[(2, 0)]] if whole else [[(2, 2)], [(2, 3)]])  # the last checkpoint was being written
    assert [epoch.epoch for epoch in trained.model("resumed").history] == [1, 2, 3]
    nothing_is_left(json.loads(look.file.read_text()))
    if trained.kind in RACING:
        return
    wanted = trained.weights("unbroken")
    for name, found in trained.weights("resumed").items():
        np.testing.assert_allclose(found, wanted[name], atol=1e-5, rtol=0, err_msg=name)
