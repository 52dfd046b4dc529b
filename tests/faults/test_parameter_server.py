"""What happens to a training with parameter servers when a worker or a server is killed."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from cluster.errors import StepError
from cluster.folder import Folder
from cluster.gang import remove_leftover
from cluster.resources import Resources
from cluster.work import run_remote
from jobs.artifacts import Dataset, Model
from jobs.models.model import ModelSpec
from jobs.recipe import TrainRecipe
from jobs.strategies.parameter_server.parameter_server import ParameterServer
from jobs.training import TrainWork
from tests.rig import TINY, DoAfterEpoch, epochs_of

pytestmark = pytest.mark.cluster

STRATEGY = ParameterServer(
    workers=2, servers=2, cpus_per_worker=0.5, cpus_per_server=0.5, cpus_of_coordinator=0.5, steps_per_closure=2
)
PROCESS = re.compile(r"(\w+ \d): pid (\d+) on [0-9.]+ at ([0-9.]+):(\d+)")


@dataclass(frozen=True)
class Kill:
    """Kills who is named after an epoch, once. The processes of the first attempt are in a file below `root`."""

    after: dict[int, str]
    root: Path

    def __call__(self, epoch: int) -> None:
        marker = self.root / f"killed-{epoch}"
        if epoch in self.after and not marker.exists():
            marker.touch()
            os.kill(self._pid(self.after[epoch]), signal.SIGKILL)

    def _pid(self, who: str) -> int:
        end = time.monotonic() + 30
        while not (file := self.root / "processes.json").exists() and time.monotonic() < end:
            time.sleep(0.05)
        return int(json.loads(file.read_text())[who])


@dataclass(frozen=True)
class KillInFlight:
    """Does `work`, and kills who is named while closures are in flight, once each; picklable.

    `during` says in which epoch, and before which train step another closure is handed out.
    """

    work: Any
    kill: Kill
    during: dict[int, int]

    def __call__(self, engine: Any, keeper: Any) -> None:
        flight, train = engine._flight, engine.train
        launch = flight.launch

        def training(one: Any, feed: Any, first: int, last: int) -> Any:
            def launching(run: Any, given: Any, done: Any) -> None:
                epoch, train_step = divmod(int(given[1]), feed.steps)
                if train_step >= self.during.get(epoch + 1, feed.steps) and flight.highest:  # some have set out
                    self.kill(epoch + 1)
                launch(run, given, done)

            flight.launch = launching
            try:
                return train(one, feed, first, last)
            finally:
                flight.launch = launch

        engine.train = training
        self.work(engine, keeper)


@dataclass
class Training:
    """A small training below `root`; it remembers what was told, and every process and address there was."""

    root: Path
    data: Folder
    events: list[dict[str, Any]] = field(default_factory=list)
    pids: list[int] = field(default_factory=list)
    addresses: list[tuple[str, int]] = field(default_factory=list)

    def run(self, after: dict[int, str], retries: int = 0) -> None:
        self.do(DoAfterEpoch(self.work(), 0, Kill(after, self.root)), retries)

    def work(self, every: int | None = None) -> TrainWork:
        model = ModelSpec.model_validate({"backbone": TINY})
        recipe = TrainRecipe(epochs=3, batch_size=100, learning_rate=0.01, checkpoint_every=every)
        return TrainWork(model, recipe, STRATEGY, self.data, Folder.parse(str(self.root / "out")))

    def do(self, killing: Any, retries: int) -> None:
        from jobs.strategies.ray_train import Group, run_group

        checkpoints = Folder.parse(str(self.root / "checkpoints"))
        group = Group(killing, STRATEGY, "run", checkpoints, retries, 2)
        run_remote(run_group, group, resources=Resources(), tell=self.tell, warm=True)

    def tell(self, event: dict[str, Any]) -> None:
        self.events.append(event)
        if "processes" in event:
            found = [match for line in event["processes"] if (match := PROCESS.fullmatch(line))]
            assert [match[1] for match in found] == ["server 0", "server 1", "worker 0", "worker 1"]
            self.pids += [int(match[2]) for match in found]
            self.addresses += [(match[3], int(match[4])) for match in found]
            if not (file := self.root / "processes.json").exists():
                (self.root / "written").write_text(json.dumps({match[1]: int(match[2]) for match in found}))
                (self.root / "written").rename(file)

    def told(self, name: str) -> list[Any]:
        return [event[name] for event in self.events if name in event]

    def assert_nothing_is_left(self) -> None:
        end = time.monotonic() + 30
        while (left := [pid for pid in self.pids if Path(f"/proc/{pid}").exists()]) and time.monotonic() < end:
            time.sleep(0.1)
        assert not left
        for address in self.addresses:
            with socket.socket() as probe:
                assert probe.connect_ex(address) != 0, f"{address} is still listened to"
        assert not remove_leftover("run")


@pytest.mark.timeout(400)  # nine processes load TensorFlow
def test_a_lost_worker_is_done_without_and_a_lost_server_is_one_restart_from_the_checkpoint(
    ray_cluster: None, digits: Folder, tmp_path: Path
) -> None:
    training = Training(tmp_path, digits)
    training.run({1: "worker 1", 2: "server 0"}, retries=1)
    died = r"\(pid \d+ on [0-9.]+\) was killed by signal 9 \(SIGKILL\)"
    (warning,) = training.told("warning")
    assert re.fullmatch(rf"worker 1: {died}; the 1 left do its train steps, its log: .*\.err", warning), warning
    (retry,) = training.told("retry")
    assert re.fullmatch(rf"server 0: {died}; its log: .*\.err", retry), retry
    assert training.told("restart") == ["1 of 1"]
    assert training.told("after_epoch") == [2]
    assert epochs_of(training.events) == [1, 2, 3]
    history = Model.load(Folder.parse(str(tmp_path / "out"))).history
    assert [epoch.epoch for epoch in history] == [1, 2, 3]
    alone = history[1].timing  # worker 1 was killed before the second epoch
    assert alone is not None
    assert [speed > 0 for speed in alone.rows_per_second] == [True, False]
    training.assert_nothing_is_left()


@pytest.mark.timeout(400)
def test_a_worker_and_a_server_killed_while_closures_fly_cost_no_row_and_no_more_than_one_restart(
    ray_cluster: None, digits: Folder, tmp_path: Path
) -> None:
    training = Training(tmp_path, digits)
    kill = Kill({1: "worker 1", 2: "server 0"}, tmp_path)
    training.do(KillInFlight(training.work(every=6), kill, {1: 4, 2: 8}), retries=1)
    (warning,) = training.told("warning")
    assert warning.startswith("worker 1: (pid ")
    (retry,) = training.told("retry")
    assert retry.startswith("server 0: (pid ")
    assert [(event["after_epoch"], event["train_step"]) for event in training.events if "resume" in event] == [(1, 6)]
    history = Model.load(Folder.parse(str(tmp_path / "out"))).history
    assert [epoch.epoch for epoch in history] == epochs_of(training.events) == [1, 2, 3]
    rows = Dataset.load(digits).rows["train"]
    assert [round(epoch.rows_per_second * epoch.seconds) for epoch in history] == [rows] * 3
    training.assert_nothing_is_left()


def test_without_retries_the_error_names_the_server_and_the_signal(
    ray_cluster: None, digits: Folder, tmp_path: Path
) -> None:
    training = Training(tmp_path, digits)
    with pytest.raises(StepError) as caught:
        training.run({1: "server 1"})
    said = r"server 1: \(pid \d+ on [0-9.]+\) was killed by signal 9 \(SIGKILL\); its log: .*\.err"
    assert re.fullmatch(said, str(caught.value)), str(caught.value)
    assert epochs_of(training.events) == [1]
    training.assert_nothing_is_left()
