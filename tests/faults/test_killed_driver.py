from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from cluster.folder import Folder
from pipelines.store import Place, Store
from tests.faults.dying import POINTS
from tests.pipelines.toy_jobs import executions, write

STEPS = ("first", "middle", "last")
FINISHED = ("record", "cleared", "done")  # the points at which the step's record is there


class Victim:
    """A run of three steps in a process of its own, one after the other, and what it leaves."""

    def __init__(self, root: Path) -> None:
        self.root = root / "runs"
        self.diary = root / "diary"
        steps: dict[str, dict[str, object]] = {"first": {}, "middle": {"of": ["first"]}, "last": {"of": ["middle"]}}
        self.definition = write(root / "toys.yaml", self.diary, **steps)

    def run(self, point: str = "none", step: str = "none") -> int:
        command = [sys.executable, "-m", "tests.faults.dying", point, step, str(self.root), str(self.definition)]
        return subprocess.run(command, check=False).returncode

    def places(self) -> dict[str, Place]:
        return {place.step: place for place in Store(Folder.parse(str(self.root))).places("toys")}

    def finished(self) -> list[str]:
        return [name for name, place in self.places().items() if place.record() is not None]

    def executions(self) -> dict[str, int]:
        return {step: executions(self.diary, step) for step in STEPS}


@pytest.fixture
def victim(tmp_path: Path) -> Victim:
    return Victim(tmp_path)


def check_whole(place: Place) -> None:
    """Hold that a place has one whole artifact, its log and its record, and nothing a dead run left."""
    record = place.record()
    assert record is not None
    assert place.verify(record) == []
    assert sorted(path.name for path in place.folder.path.iterdir()) == [record.attempt, "log.txt", "record.json"]
    assert (place.artifact(record).path / "out.txt").read_text().endswith(place.step)


@pytest.mark.parametrize("point", POINTS)
@pytest.mark.parametrize("step", STEPS)
def test_a_run_that_was_killed_is_finished_by_the_next(victim: Victim, step: str, point: str) -> None:
    at = STEPS.index(step)
    assert victim.run(point, step) == -signal.SIGKILL
    finished = victim.finished()
    assert sorted(finished) == sorted(STEPS[: at + (point in FINISHED)])
    before = victim.executions()

    assert victim.run() == 0

    assert {name: victim.executions()[name] for name in finished} == dict.fromkeys(finished, 1)
    assert {name: n - before[name] for name, n in victim.executions().items() if name not in finished} == dict.fromkeys(
        [name for name in STEPS if name not in finished], 1
    )
    for place in victim.places().values():
        check_whole(place)
    assert not [path for path in victim.root.rglob("*") if path.name.startswith((".tmp-", "lease", "checkpoints"))]


def test_runs_that_are_killed_again_and_again_come_to_the_end(victim: Victim) -> None:
    for point, step in [("middle", "first"), ("half a record", "first"), ("record", "middle"), ("running", "last")]:
        assert victim.run(point, step) == -signal.SIGKILL
    assert victim.run() == 0
    assert victim.executions() == {"first": 3, "middle": 1, "last": 1}
    for place in victim.places().values():
        check_whole(place)
