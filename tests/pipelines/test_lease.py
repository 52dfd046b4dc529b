from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from cluster.folder import Folder
from cluster.process import Process
from cluster.work import Stopped
from pipelines.lease import Lease

LONG_AGO = 1_700_000_000

HOLD = """
import sys
from cluster.folder import Folder
from pipelines.lease import Lease
lease = Lease(Folder.parse(sys.argv[1]), beat=float(sys.argv[2]))
lease.acquire()
print("held", flush=True)
input()
print(lease.held, flush=True)
lease.release()
"""

# Each round holds the lease and creates a file exclusively: two at once would collide.
WORK = """
import os, sys
from cluster.folder import Folder
from pipelines.lease import Lease
folder = Folder.parse(sys.argv[1])
for _ in range(int(sys.argv[2])):
    lease = Lease(folder)
    lease.acquire(on_wait=lambda text: None, poll=0.001)
    os.close(os.open(folder.path / "working", os.O_CREAT | os.O_EXCL))
    with (folder.path / "done").open("a") as file:
        file.write("x")
    (folder.path / "working").unlink()
    if sys.argv[3] == "die":
        os.kill(os.getpid(), 9)
    lease.release()
"""

Start = Callable[..., subprocess.Popen[str]]


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    return Folder.parse(str(tmp_path / "place"))


@pytest.fixture
def start(folder: Folder) -> Start:
    def run(code: str, *arguments: object) -> subprocess.Popen[str]:
        command = [sys.executable, "-c", code, str(folder), *map(str, arguments)]
        return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    return run


def line(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    return process.stdout.readline().strip()


def acquire(folder: Folder, beat: float = 5.0) -> tuple[Lease, list[str]]:
    told: list[str] = []
    lease = Lease(folder, beat)
    lease.acquire(told.append, poll=0.01)
    return lease, told


def test_many_processes_work_one_at_a_time(folder: Folder, start: Start) -> None:
    processes = [start(WORK, 50, "live") for _ in range(4)]
    assert [process.wait() for process in processes] == [0, 0, 0, 0]
    assert len((folder.path / "done").read_text()) == 200
    assert sorted(folder.names()) == ["done"]


def test_processes_that_die_holding_it_are_taken_over_one_at_a_time(folder: Folder, start: Start) -> None:
    processes = [start(WORK, 1, "die") for _ in range(8)]
    assert [process.wait() for process in processes] == [-signal.SIGKILL] * 8
    assert len((folder.path / "done").read_text()) == 8
    lease, _ = acquire(folder)
    lease.release()
    assert folder.names() == ["done"]


def test_who_waits_is_told_once_for_whom_and_goes_on_when_it_is_released(folder: Folder, start: Start) -> None:
    with start(HOLD, 5) as process:
        assert line(process) == "held"
        told: list[str] = []

        def on_wait(text: str) -> None:
            told.append(text)
            assert process.stdin is not None
            print(file=process.stdin, flush=True)  # lets the holder go on to its release

        lease = Lease(folder)
        lease.acquire(on_wait, poll=0.01)
        host = Process.this().host
        assert told == [f"{folder}: process {process.pid} on {host} works here; waiting until it is done"]
        assert lease.held
        lease.release()
    assert folder.names() == []


def test_a_killed_holder_is_taken_over_at_once(folder: Folder, start: Start) -> None:
    with start(HOLD, 3600) as process:
        assert line(process) == "held"
        process.kill()
        os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
        lease, told = acquire(folder)
        assert lease.held
        assert told == []
        lease.release()


def test_a_holder_whose_process_id_was_reused_is_taken_over_at_once(folder: Folder) -> None:
    me = Process.this().document()
    document = {"token": "0", "beat": 3600, **me, "started": me["started"] - 1}
    folder.write_bytes("lease", json.dumps(document).encode())
    lease, told = acquire(folder)
    assert told == []
    lease.release()


def test_a_holder_whose_heartbeats_stopped_is_taken_over_and_knows_it(folder: Folder, start: Start) -> None:
    with start(HOLD, 0.02) as process:
        assert line(process) == "held"
        process.send_signal(signal.SIGSTOP)
        lease, _ = acquire(folder, 0.02)
        assert lease.held
        process.send_signal(signal.SIGCONT)
        out, _ = process.communicate("\n")
        assert out == "False\n"
        assert lease.held, "what the first holder releases is no longer its own"
        lease.release()
    assert folder.names() == []


def test_a_holder_of_another_machine_is_judged_by_its_heartbeat(folder: Folder) -> None:
    elsewhere = {"token": "0", "beat": 5.0, **Process.this().document(), "host": "far", "pid": 2**22 + 1}
    folder.write_bytes("lease", json.dumps(elsewhere).encode())
    stop = threading.Event()
    with pytest.raises(Stopped, match="stopped while waiting for process 4194305 on far"):
        Lease(folder).acquire(lambda text: stop.set(), stop)
    assert Lease(folder).holder() == "process 4194305 on far"
    os.utime(folder.path / "lease", (LONG_AGO, LONG_AGO))
    assert Lease(folder).holder() is None
    lease, told = acquire(folder)
    assert told == []
    lease.release()


@pytest.mark.parametrize("content", [b"", b'{"token": "../../x"', b'{"token": "../x", "beat": 5}', b"[]"])
def test_a_damaged_lease_is_taken_over_once_it_is_old(folder: Folder, content: bytes) -> None:
    folder.write_bytes("lease", content)
    assert Lease(folder).holder() == "an unknown process"
    os.utime(folder.path / "lease", (LONG_AGO, LONG_AGO))
    lease, _ = acquire(folder)
    assert lease.held
    lease.release()
    assert folder.names() == []


def test_a_takeover_whose_process_died_midway_is_finished_by_the_next(folder: Folder) -> None:
    dead = {"beat": 3600, **Process.this().document(), "pid": 2**22 + 1}
    folder.write_bytes("lease", json.dumps({"token": "a", **dead}).encode())
    folder.write_bytes("lease.stale-a", json.dumps({"token": "b", **dead}).encode())
    folder.write_bytes("lease.stale-b", json.dumps({"token": "c", **dead}).encode())
    lease, told = acquire(folder)
    assert told == []
    assert folder.names() == ["lease"]
    lease.release()


def test_a_takeover_that_came_too_late_leaves_the_new_holder_alone(folder: Folder) -> None:
    judged = Lease(folder)
    judged.acquire()
    holding = judged._mark.holder()
    assert holding is not None
    judged.release()
    lease, _ = acquire(folder)
    assert not Lease(folder)._mark.clear(holding)
    assert lease.held
    lease.release()


def test_it_beats(folder: Folder) -> None:
    with Lease(folder, beat=0.01):
        path = folder.path / "lease"
        os.utime(path, (LONG_AGO, LONG_AGO))
        while path.stat().st_mtime == LONG_AGO:
            pass


def test_waiting_stops_when_asked(folder: Folder) -> None:
    stop = threading.Event()
    with Lease(folder) as held, pytest.raises(Stopped) as error:
        Lease(folder).acquire(lambda text: stop.set(), stop)
    assert str(error.value) == f"{folder}: stopped while waiting for {Process.this()}"
    assert not held.held


def test_a_lost_lease_stays_lost(folder: Folder) -> None:
    first, _ = acquire(folder)
    folder.remove("lease")
    assert first.lost
    second, _ = acquire(folder)
    assert not first.held
    first.release()
    assert second.held
    second.release()


def test_threads_of_one_process_exclude_each_other(folder: Folder) -> None:
    order: list[str] = []

    def work(name: str) -> None:
        lease = Lease(folder)
        lease.acquire(lambda text: None, poll=0.001)
        order.extend([name, name])
        lease.release()

    threads = [threading.Thread(target=work, args=(name,)) for name in "abcd"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [order[i] == order[i + 1] for i in range(0, 8, 2)] == [True] * 4


class TestAdvisory:
    """On an object store."""

    def test_a_live_holder_is_waited_for(self, s3_root: Folder) -> None:
        stop = threading.Event()
        with Lease(s3_root) as held:
            assert held.held
            with pytest.raises(Stopped):
                Lease(s3_root).acquire(lambda text: stop.set(), stop)
            assert held.held
        assert s3_root.names() == []

    def test_a_dead_holder_is_taken_over_at_once(self, s3_root: Folder) -> None:
        gone = {"token": "0", "beat": 3600, "time": 1e12, **Process.this().document(), "pid": 2**22 + 1}
        s3_root.write_bytes("lease.json", json.dumps(gone).encode())
        lease, told = acquire(s3_root)
        assert told == []
        lease.release()

    def test_a_silent_holder_of_another_machine_is_taken_over(self, s3_root: Folder) -> None:
        silent = {"token": "0", "beat": 5, "time": LONG_AGO, **Process.this().document(), "host": "far"}
        s3_root.write_bytes("lease.json", json.dumps(silent).encode())
        lease, _ = acquire(s3_root)
        assert lease.held
        lease.release()

    def test_it_beats_and_is_held_at_every_look(self, s3_root: Folder) -> None:
        with Lease(s3_root, beat=0.001) as lease:
            times: set[float] = set()
            while len(times) < 20:
                times.add(json.loads(s3_root.read_bytes("lease.json"))["time"])
                assert lease.held

    def test_a_damaged_lease_is_judged_by_its_objects_time(self, s3_root: Folder) -> None:
        s3_root.write_bytes("lease.json", b"{")
        assert Lease(s3_root).holder() == "an unknown process"
        assert Lease(s3_root, beat=-100).holder() is None

    def test_a_taken_over_lease_is_known_to_be_lost(self, s3_root: Folder) -> None:
        first, _ = acquire(s3_root, 3600)
        s3_root.remove("lease.json")
        second, _ = acquire(s3_root)
        assert first.lost
        first.release()
        assert second.held
        second.release()
