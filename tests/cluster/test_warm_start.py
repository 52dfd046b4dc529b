"""Processes that start as copies of one that has imported, and what is left of it."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from cluster.environment import ALLOCATION
from cluster.errors import StepError
from cluster.resources import Resources
from cluster.starting import warm_start
from cluster.starting.warm_start import Imports, begin, end
from cluster.work import run_remote

LONGEST = 30.0
WORKER = """\
import json, os, sys
facts = {"pid": os.getpid(), "parent": os.getppid(), "group": os.getpgid(0), "here": os.getcwd()}
facts |= {"arguments": sys.argv[1:], "libraries": ["wave"] if "wave" in sys.modules else []}
print(json.dumps(facts | {"own": os.environ.get("OWN"), "stems": os.environ.get("STEMS")}))
sys.exit(7)
"""


@pytest.fixture
def stem(monkeypatch: pytest.MonkeyPatch) -> Iterator[subprocess.Popen[bytes]]:
    """Run a stem that has imported `wave`; yield its process."""
    monkeypatch.setattr(warm_start, "_here", [])
    monkeypatch.setenv("STEMS", "set")
    begin(Imports(modules=("wave", "no_such_module"), of_ray=()))
    yield warm_start._here[-1][1]
    end()


def started(folder: Path, name: str, worker: str = WORKER, **environment: str) -> dict[str, Any]:
    """Start a worker as Ray does, and return what it says of itself."""
    (folder / "worker.py").write_text(worker)
    given = {"PATH": os.environ["PATH"], "PYTHONPATH": os.environ["PYTHONPATH"], **environment}
    command = [sys.executable, "-I", "-S", warm_start.__file__, name, str(folder / "worker.py"), "--a", "b c"]
    told, tell = os.pipe()  # who launches may have ended before the worker says anything
    with subprocess.Popen(command, cwd=folder, env=given, stdout=tell) as launcher:
        os.close(tell)
        with os.fdopen(told) as file:
            facts = json.loads(file.read())
    return dict(facts) | {"launcher": launcher.pid}


def wait_until_gone(pid: int) -> None:
    """Return once the process has ended; fail when it does not."""
    end = time.monotonic() + LONGEST
    while Path(f"/proc/{pid}").exists():
        assert time.monotonic() < end, f"{pid} still lives"
        time.sleep(0.02)


def test_a_worker_is_a_copy_with_the_launchers_words_files_folder_and_environment(
    stem: subprocess.Popen[bytes], tmp_path: Path
) -> None:
    facts = started(tmp_path, warm_start._here[-1][0], OWN="mine")
    assert facts["parent"] == stem.pid
    assert facts["libraries"] == ["wave"]
    assert facts["group"] == facts["pid"]
    assert facts["arguments"] == ["--a", "b c"]
    assert facts["here"] == str(tmp_path)
    assert (facts["own"], facts["stems"]) == ("mine", None)
    assert started(tmp_path, warm_start._here[-1][0])["pid"] != facts["pid"]


def test_copies_draw_different_ids_of_rays(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(warm_start, "_here", [])
    begin(Imports(modules=(), of_ray=("ray.train.v2.api.data_parallel_trainer",)))
    name, process = warm_start._here[-1]
    draw = "from ray import JobID, _raylet; facts['own'] = _raylet.PlacementGroupID.of(JobID.from_int(1)).hex()\n"
    worker = WORKER.replace("print(", f"{draw}print(").replace('"own": os.environ.get("OWN"), ', "")
    found = [started(tmp_path, name, worker) for _ in range(2)]
    end()
    assert [facts["parent"] for facts in found] == [process.pid] * 2
    assert found[0]["own"] != found[1]["own"]


def test_without_a_stem_or_with_other_packages_a_worker_starts_cold(
    stem: subprocess.Popen[bytes], tmp_path: Path
) -> None:
    for facts in (
        started(tmp_path, "espalier-of-nobody"),
        started(tmp_path, warm_start._here[-1][0], PYTHONPATH=str(tmp_path)),
    ):
        assert facts["pid"] == facts["launcher"]
        assert facts["libraries"] == []
        assert facts["arguments"] == ["--a", "b c"]


def test_who_asks_for_nonsense_or_waits_no_more_gets_no_worker(stem: subprocess.Popen[bytes], tmp_path: Path) -> None:
    (tmp_path / "worker.py").write_text(f"open({str(tmp_path / 'began')!r}, 'w')")
    name = warm_start._here[-1][0]
    asked: dict[str, Any] = {"command": [str(tmp_path / "worker.py")], "environment": dict(os.environ)}
    asked |= {"folder": str(tmp_path), "oom_score": "0"}
    assert ask(name, {"nonsense": 1}) == b""
    assert ask(name, asked | {"folder": str(tmp_path / "nowhere")}) == b""
    assert ask(name, asked) == b"+"  # and does not say that it still waits
    assert started(tmp_path, name)["parent"] == stem.pid
    assert not (tmp_path / "began").exists()


def ask(name: str, words: dict[str, Any]) -> bytes:
    """Ask the stem for a worker as a launcher would, and go away at its answer."""
    text = json.dumps(words).encode()
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(LONGEST)
        connection.connect(f"\0{name}")
        socket.send_fds(connection, [warm_start.HEADER.pack(len(text))], [0, 1, 2])
        connection.sendall(text)
        return connection.recv(1)


def test_a_stem_ends_with_the_run_and_with_a_killed_driver(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(warm_start, "_here", [])
    begin(Imports(modules=("wave",), of_ray=()))
    process = warm_start._here[-1][1]
    end()
    assert not Path(f"/proc/{process.pid}").exists()
    assert warm_start.runtime_env() == {}
    driver = (
        "from cluster.starting import warm_start as w; import time\n"
        "w.begin(w.Imports(('wave',), ())); print(w._here[-1][1].pid, flush=True); time.sleep(60)"
    )
    with subprocess.Popen([sys.executable, "-c", driver], stdout=subprocess.PIPE, text=True) as running:
        assert running.stdout is not None
        pid = int(running.stdout.readline())
        running.send_signal(signal.SIGKILL)
    wait_until_gone(pid)


def look(tell: Any) -> dict[str, Any]:
    allocation = {name: os.environ.get(name) for name in ALLOCATION}
    libraries = [name for name in ("ray.train", "tensorflow", "tf_keras") if name in sys.modules]
    return {"pid": os.getpid(), "parent": os.getppid(), "libraries": libraries, "allocation": allocation}


def suicide(tell: Any) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


@pytest.mark.cluster
def test_a_task_that_starts_warm_has_tensorflow_and_another_has_not(ray_cluster: None) -> None:
    found = {
        warm: run_remote(look, resources=Resources(cpus=1), tell=lambda event: None, warm=warm)
        for warm in (True, False)
    }
    stem = warm_start._here[-1][1].pid
    assert found[True]["parent"] == stem != found[False]["parent"]
    assert found[True]["libraries"] == ["ray.train", "tensorflow", "tf_keras"]
    assert "tensorflow" not in found[False]["libraries"]
    settings = Path(f"/proc/{stem}/environ").read_text().split("\0")
    assert {f"{name}={value}" for name, value in ALLOCATION.items()} <= set(settings)  # those the C library goes by


@pytest.mark.cluster
def test_a_killed_warm_process_is_seen_and_the_next_starts_warm(ray_cluster: None) -> None:
    options: dict[str, Any] = {"resources": Resources(cpus=1), "tell": lambda event: None, "warm": True}
    with pytest.raises(StepError, match="suicide: its process died"):
        run_remote(suicide, **options)
    assert run_remote(look, **options)["parent"] == warm_start._here[-1][1].pid
