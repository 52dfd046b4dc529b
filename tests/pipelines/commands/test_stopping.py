from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.pipelines.commands.conftest import Define, Espalier
from tests.pipelines.toy_jobs import executions

ENVIRONMENT = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[3])}
BOTH = pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])


class Running:
    """A run in a process of its own, which waits in its second step."""

    def __init__(self, path: Path, *options: str, until: str = "slow   rows") -> None:
        command = [sys.executable, "-m", "tests.pipelines.offline", *options, "run", str(path)]
        pipe = subprocess.PIPE
        self.process = subprocess.Popen(command, env=ENVIRONMENT, stdout=pipe, stderr=pipe, text=True)
        assert self.process.stdout is not None
        self.last = ""
        while not self.last.startswith(until):
            self.last = self.process.stdout.readline()
            assert self.last, "it ended before it came so far"

    def signal(self, number: int) -> None:
        """Send a signal, and wait until it was heard."""
        self.process.send_signal(number)
        assert self.process.stderr is not None
        while (line := self.process.stderr.readline()) != "stopping; once more to force\n":
            assert line

    def end(self) -> list[str]:
        """Wait for the end; return the last lines that were printed."""
        out, _ = self.process.communicate()
        return out.splitlines()


@pytest.fixture
def waiting(espalier: Espalier, define: Define) -> Iterator[tuple[Running, Path]]:
    """Yield a run whose second step waits for the file `gate`, and its definition."""
    path = define(first={}, slow={"of": ["first"], "gate": "gate"}, last={"of": ["slow"]})
    running = Running(path)
    yield running, path
    running.process.kill()
    running.process.wait()


@pytest.mark.cluster
@pytest.mark.parametrize("number", [signal.SIGTERM])  # the one that Ray takes for itself
def test_a_worker_of_the_cluster_ends_with_the_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("toys.yaml").write_text(f"name: toys\nsteps:\n  slow: {{job: toy_remote, gate: {tmp_path}/gate}}\n")
    running = Running(Path("toys.yaml"), "--cluster", until="slow  worker ")
    worker = int(running.last.split()[-1])
    running.signal(number)
    *_, count, kept = running.end()
    assert running.process.returncode == 130
    assert count.startswith("1 stopped in ")
    assert kept == "kept: nothing; run again to go on from there"
    assert left_over() == []
    assert not Path(f"/proc/{worker}").exists()


def left_over() -> list[str]:
    """Return leases, temporary files and attempts that no record names."""
    names = [str(path) for path in Path("runs").rglob("*") if path.name.startswith(("lease", ".tmp-"))]
    return names + [str(path) for path in Path("runs/toys").glob("*/20*") if not (path.parent / "record.json").exists()]


@BOTH
def test_the_first_signal_stops_cleanly_and_a_run_goes_on_from_there(
    waiting: tuple[Running, Path], espalier: Espalier, diary: Path, number: int
) -> None:
    running, path = waiting
    running.signal(number)
    *_, stopped, skipped, count, kept = running.end()
    assert running.process.returncode == 130
    assert stopped == "slow   stopped"
    assert skipped == "last   skipped because the run was stopped"
    assert count.startswith("1 run, 1 stopped, 1 skipped in ")
    assert kept == "kept: first; run again to go on from there"
    assert left_over() == []
    Path("gate").touch()
    assert espalier("run", path).lines[-1].startswith("2 run, 1 reused in ")
    assert [executions(diary, step) for step in ("first", "slow", "last")] == [1, 2, 1]


@BOTH
def test_the_second_signal_ends_at_once_and_a_run_clears_what_is_left(
    espalier: Espalier, define: Define, diary: Path, number: int
) -> None:
    path = define(first={}, slow={"of": ["first"], "gate": "gate", "deaf": True})
    running = Running(path)
    running.signal(number)
    running.process.send_signal(number)
    running.end()
    assert running.process.returncode == 130
    Path("gate").touch()
    said = espalier("run", path)
    assert said.lines[-1].startswith("1 run, 1 reused in ")
    assert left_over() == []
    assert [executions(diary, step) for step in ("first", "slow")] == [1, 2]


def test_a_step_that_ends_although_it_was_asked_to_stop_counts(espalier: Espalier, define: Define, diary: Path) -> None:
    path = define(first={}, slow={"of": ["first"], "gate": "gate", "deaf": True}, last={"of": ["slow"]})
    running = Running(path)
    running.signal(signal.SIGINT)
    Path("gate").touch()
    *_, kept = running.end()
    assert running.process.returncode == 130
    assert kept == "kept: first, slow; run again to go on from there"
    assert espalier("run", path).lines[-1].startswith("1 run, 2 reused in ")
    assert [executions(diary, step) for step in ("first", "slow", "last")] == [1, 1, 1]
