from __future__ import annotations

import http.server
import socket
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from cluster.doctor import checks
from cluster.doctor.check import HERE, Check, Finding, Seen
from cluster.doctor.checks import dashboard
from cluster.doctor.checks.clock import Clock
from cluster.doctor.checks.code import ROOT, Code
from cluster.doctor.checks.dashboard import Dashboard
from cluster.doctor.checks.disk import Disk
from cluster.doctor.checks.image import Image
from cluster.doctor.checks.listening import listening
from cluster.doctor.checks.network import Network
from cluster.doctor.checks.ports import Ports
from cluster.doctor.checks.python import Python
from cluster.doctor.checks.shared_memory import SharedMemory
from cluster.doctor.checks.store import Store
from cluster.doctor.checks.token import Token
from cluster.doctor.checks.versions import Versions
from cluster.doctor.examine import examine
from jobs.doctor.tensorflow import TensorFlow

GB = 2**30
TF = {"tensorflow": "2.21.0", "keras": "2.21.0", "legacy": True, "gpus": 0, "growth": [], "cuda": True, "there": 0}


def judged(check: Check, facts: object, here: object = None, where: str = "node 10.0.0.2") -> list[tuple[str, str]]:
    found = check.judge(Seen(where, facts), Seen(HERE, facts if here is None else here))
    return [(finding.state, finding.text) for finding in found]


def clocked(offset: float, there: float = 1.0, way: float = 0.5) -> list[Finding]:
    began = 1000.0 + way + offset
    return list(
        Clock().judge(Seen("n", None, 1000.0, began, began + there, 1000.0 + there + 2 * way), Seen(HERE, None))
    )


@contextmanager
def answering(status: int) -> Iterator[int]:
    """Run a server that answers everything with `status`; yield its port."""

    class Answer(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(401 if self.headers.get("Authorization") else status)
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002
            return None

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Answer)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server.server_port
    server.shutdown()
    server.server_close()


@pytest.mark.parametrize(("status", "state"), [(200, "error"), (401, "warning"), (403, "warning")])
def test_an_open_dashboard_itself_says_whether_it_asks_for_a_token(
    status: int, state: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RAY_AUTH_MODE", "token" if status == 200 else "disabled")  # this process's, not its
    with answering(status) as port:
        monkeypatch.setattr(dashboard, "listening", lambda: {port: True})
        check = Dashboard()
        check.port = port
        assert [found for found, _ in judged(check, check.look())] == [state]


def test_clocks() -> None:
    assert [f.state for f in clocked(0.0)] == ["ok"]
    (late,) = clocked(-30.0)
    assert (late.state, late.text) == ("warning", "30.0 s behind the driver's, ± 0.5 s")
    (early,) = clocked(120.0)
    assert (early.state, early.text) == ("error", "120.0 s ahead of the driver's, ± 0.5 s")
    assert [f.state for f in clocked(20.0, way=30.0)] == ["ok"], "the way may hide as much"


@pytest.mark.parametrize(
    ("check", "facts", "here", "state", "text"),
    [
        (Python(), [3, 11, 4], [3, 11, 4], "ok", "3.11.4"),
        (
            Python(),
            [3, 11, 4],
            [3, 11, 9],
            "warning",
            "is 3.11.4, the driver's is 3.11.9: Ray by default wants them equal",
        ),
        (Python(), [3, 12, 1], [3, 11, 9], "error", "is 3.12.1, the driver's is 3.11"),
        (Python(), [3, 10, 1], [3, 10, 1], "error", "is 3.10.1, wanted 3.11 to 3.13"),
        (Code(), {"root": "/a", "cluster": "/a", "jobs": "/a", "pipelines": "/a"}, None, "ok", "ours, in /a"),
        (
            Code(),
            {"root": "/a", "cluster": "/a", "jobs": "/b", "pipelines": "/a"},
            None,
            "error",
            "jobs in /b is not ours, which is in /a",
        ),
        (
            Code(),
            {"root": "/a", "cluster": "/a", "jobs": "", "pipelines": "/a"},
            None,
            "error",
            "jobs cannot be imported",
        ),
        (Token(), {"path": "/t", "environment": False, "open": True}, None, "error", "/t may be read by others"),
        (Token(), {"path": "/t", "environment": False, "open": False}, None, "ok", "in /t, closed to others"),
        (
            Dashboard(),
            {"port": 8265, "open": True, "token": False},
            None,
            "error",
            "port 8265 is open on all addresses, without a token",
        ),
        (
            Dashboard(),
            {"port": 8265, "open": True, "token": True},
            None,
            "warning",
            "port 8265 is open on all addresses, with a token sent in the clear",
        ),
        (
            Dashboard(),
            {"port": 8265, "open": False, "token": True},
            None,
            "ok",
            "port 8265 is not open on all addresses",
        ),
        (
            Ports(),
            {"8000": True, "10001": False},
            None,
            "warning",
            "port 8000 (Ray Serve's HTTP) is open on all addresses",
        ),
        (Ports(), {"8000": False}, None, "ok", "in use, not open on all addresses: 8000"),
        (Disk(), {"folder": "/t", "total": 100 * GB, "free": 50 * GB}, None, "ok", "50.0 of 100.0 GiB free at /t"),
        (Disk(), {"folder": "/t", "total": 100 * GB, "free": 8 * GB}, None, "warning", "8.0 of 100.0 GiB free at /t"),
        (Disk(), {"folder": "/t", "total": 100 * GB, "free": 4 * GB}, None, "error", "4.0 of 100.0 GiB free at /t"),
        (
            SharedMemory(),
            {"total": GB // 16, "free": 0, "memory": 16 * GB},
            None,
            "warning",
            "/dev/shm has 0.1 GiB, the machine 16.0 GiB",
        ),
        (Network(), {"up": ["eth0", "lo"], "named": "", "gpus": 2}, None, "ok", "eth0"),
        (
            Network(),
            {"up": ["eth0", "ib0"], "named": "ib1", "gpus": 2},
            None,
            "error",
            "NCCL_SOCKET_IFNAME=ib1 is not up here (eth0, ib0)",
        ),
        (Network(), {"up": ["eth0", "ib0"], "named": "", "gpus": 2}, None, "warning", "NCCL chooses among eth0, ib0"),
    ],
)
def test_what_facts_mean(check: Check, facts: object, here: object, state: str, text: str) -> None:
    assert judged(check, facts, here) == [(state, text)]


def test_versions_that_differ() -> None:
    check = Versions()
    pinned = dict(check.pinned)
    assert judged(check, pinned) == [("ok", f"{len(pinned)} packages as pinned")]
    other = {**pinned, "ray": "2.9.3", "pillow": ""}
    assert judged(check, other, pinned) == [
        ("error", "without pillow"),
        ("error", f"Ray 2.9.3, the driver's is {pinned['ray']}"),
        ("warning", f"not as tested: ray 2.9.3, wanted {pinned['ray']}"),
    ]


def test_launch_files_of_another_ray() -> None:
    facts = [["raycluster.yaml", "Ray", "2.9.3"]]
    assert judged(Image(), facts, where=HERE) == [("warning", "launch files name raycluster.yaml: Ray 2.9.3")]
    assert ["raycluster.yaml", "Ray", Versions().pinned["ray"]] in Image().look()


@pytest.mark.parametrize(
    ("facts", "last"),
    [
        (TF, ("ok", "no GPU there, none seen")),
        ({**TF, "there": 2}, ("error", "TensorFlow sees none of the machine's 2 GPU")),
        (
            {**TF, "there": 2, "cuda": False},
            ("error", "TensorFlow sees none of the machine's 2 GPU: it is built without CUDA"),
        ),
        (
            {**TF, "there": 1, "gpus": 1, "growth": [True]},
            ("ok", "TensorFlow sees 1 GPU, whose memory grows as it is needed"),
        ),
        (
            {**TF, "there": 1, "gpus": 1, "growth": [False]},
            ("warning", "TensorFlow takes all memory of 1 GPU at once"),
        ),
    ],
)
def test_gpus(facts: dict[str, object], last: tuple[str, str]) -> None:
    assert judged(TensorFlow(), facts) == [("ok", "TensorFlow 2.21.0 with Keras 2.21.0"), last]


def test_keras_3_is_an_error() -> None:
    first, _ = judged(TensorFlow(), {**TF, "legacy": False})
    assert first == ("error", "TensorFlow 2.21.0 takes Keras 3, wanted 2")


def test_a_package_of_a_common_name_that_is_not_ours(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "jobs").mkdir()
    (tmp_path / "jobs/__init__.py").touch()
    monkeypatch.syspath_prepend(str(tmp_path))
    for name in [name for name in sys.modules if name.partition(".")[0] == "jobs"]:
        monkeypatch.delitem(sys.modules, name)
    assert judged(Code(), Code().look()) == [("error", f"jobs in {tmp_path} is not ours, which is in {ROOT}")]


def test_ports_that_are_listened_on() -> None:
    with socket.socket() as everywhere, socket.socket() as loopback:
        everywhere.bind(("0.0.0.0", 0))
        loopback.bind(("127.0.0.1", 0))
        for one in (everywhere, loopback):
            one.listen()
        found = listening()
        assert found[everywhere.getsockname()[1]] is True
        assert found[loopback.getsockname()[1]] is False


def test_a_token_that_others_may_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "token"
    path.write_text("secret")
    path.chmod(0o640)
    monkeypatch.delenv("RAY_AUTH_TOKEN", raising=False)
    monkeypatch.setenv("RAY_AUTH_TOKEN_PATH", str(path))
    (found,) = Token().judge(Seen(HERE, Token().look()), Seen(HERE, None))
    assert (found.state, found.text, found.remedy) == ("error", f"{path} may be read by others", f"chmod 600 {path}")


def test_a_store_that_is_not_writable_or_another_one(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    (found,) = (f for f in examine([Store(str(tmp_path / "file/runs"))], nodes=False))
    assert (found.state, found.remedy) == ("error", "give the machine access, or name another")
    assert found.text.startswith(f"{tmp_path}/file/runs cannot be written: [Errno 20] Not a directory: ")
    unprepared = Store(str(tmp_path / "runs"))
    assert judged(unprepared, unprepared.look()) == [("error", f"{tmp_path}/runs is another folder there than here")]


def test_nothing_is_left_in_the_store(tmp_path: Path) -> None:
    (found,) = examine([Store(str(tmp_path / "runs"))], nodes=False)
    assert (found.state, found.text) == ("ok", f"{tmp_path}/runs is read and written")
    assert list(tmp_path.iterdir()) == []


def test_a_check_that_breaks_is_a_finding_and_the_others_go_on() -> None:
    class Broken(Python):
        name = "broken"

        def look(self) -> list[int]:
            raise OSError("no such thing")

    first, second = examine([Broken(), Python()], nodes=False)
    assert (first.state, first.text) == ("error", "cannot be looked at: OSError('no such thing')")
    assert second.state == "ok"


def test_the_doctor_has_a_check_a_file() -> None:
    names = [check.name for check in checks("runs")]
    assert len(set(names)) == len(names) == 12
