"""A cluster as its owner starts it, `ray start --head`: processes, ports, folder and token of its own, on loopback."""

from __future__ import annotations

import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from cluster.errors import ClusterError
from cluster.submit.server import Server

START_S = 90.0
END_S = 30.0


@dataclass(frozen=True)
class Head:
    """A running head node: its dashboard, Ray's own address, and the file of its token."""

    url: str
    address: str
    token: Path
    process: int

    def kill(self) -> None:
        """End every process of the node at once, as the loss of its machine would."""
        for process in _family(self.process):
            with suppress(ProcessLookupError):
                os.kill(process, signal.SIGKILL)

    @property
    def environment(self) -> dict[str, str]:
        """The environment of a client that has the token."""
        return _environment(self.token)


def _family(process: int) -> list[int]:
    """Return a process and all that it and they have started."""
    try:
        files = list(Path(f"/proc/{process}/task").glob("*/children"))
        children = [int(child) for file in files for child in file.read_text().split()]
    except FileNotFoundError:
        return [process]  # it has ended
    return [process, *(one for child in children for one in _family(child))]


def _environment(token: Path) -> dict[str, str]:
    return {**os.environ, "RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN_PATH": str(token)}


@contextmanager
def head_node(cpus: int = 2) -> Iterator[Head]:
    """Run a head node for a block; its folder has a short path, for sockets lie in it."""
    folder = Path(tempfile.mkdtemp(prefix="head", dir="/tmp"))
    token = folder / "token"
    token.write_text(secrets.token_hex(32))
    token.chmod(0o600)
    gcs, dashboard = _free_port(), _free_port()
    paths = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    environment = {**_environment(token), "PATH": paths}
    environment.pop("RAY_ADDRESS", None)
    command = [str(Path(sys.executable).parent / "ray"), "start", "--head", "--block", "--disable-usage-stats"]
    command += ["--node-ip-address", "127.0.0.1", "--port", str(gcs), "--num-cpus", str(cpus)]
    command += ["--include-dashboard", "true", "--dashboard-host", "127.0.0.1", "--dashboard-port", str(dashboard)]
    # By default all clusters of a machine name one port each for these, and the second to start cannot run jobs.
    command += ["--dashboard-agent-listen-port", str(_free_port()), "--ray-client-server-port", str(_free_port())]
    command += ["--temp-dir", str(folder / "ray")]
    with (folder / "out").open("w") as out:
        process = subprocess.Popen(
            command, env=environment, stdout=out, stderr=subprocess.STDOUT, start_new_session=True, cwd=folder
        )
    head = Head(f"http://127.0.0.1:{dashboard}", f"127.0.0.1:{gcs}", token, process.pid)
    try:
        _wait_for(head, process, folder / "out")
        yield head
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(END_S)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
        shutil.rmtree(folder, ignore_errors=True)


def _wait_for(head: Head, process: subprocess.Popen[bytes], out: Path) -> None:
    server = Server(head.url, head.token.read_text())
    until = time.monotonic() + START_S
    while True:
        try:
            server.version()
            server.jobs()
        except ClusterError:
            assert process.poll() is None, out.read_text()
            assert time.monotonic() < until, out.read_text()
            time.sleep(0.2)
        else:
            return


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
