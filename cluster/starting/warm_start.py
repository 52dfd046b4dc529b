"""Starts Ray's worker processes warm: forked from a process that has imported their libraries, once a run.

A runtime environment may name what Ray runs in place of Python (`py_executable`). Here that is this file: it hands the
worker's command line, environment and open files to the *stem*, a process of this file too, whose forked copy becomes
the worker. To Ray it is a worker like any other: it registers by its own process id, is killed by it, and logs under
it. Whatever keeps the stem from answering, the worker starts as it would have without it.

The stem only imports. TensorFlow and Ray start no threads of their own by that; those of OpenBLAS and jemalloc, which
they load, know of forks. It serves clusters that this process starts, on Linux; elsewhere workers start cold: the nodes
of another cluster need not have this file, nor this Python, where they lie here.
"""

from __future__ import annotations

import gc
import importlib
import json
import os
import select
import shlex
import socket
import struct
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

STEM = "--stem"
PATIENCE = 40.0  # seconds a stem may take for its imports before a worker starts without it: Ray waits for 60
SENDING = 10.0  # seconds a launcher may take to say what it wants
LOOK = 0.5  # seconds between two looks at which workers have ended
FORKED, GO = b"+", b"!"  # what a copy says when it can be the worker, and what its launcher, if it still waits
OOM_SCORE = Path("/proc/self/oom_score_adj")
HEADER = struct.Struct("!I")


@dataclass(frozen=True)
class Imports:
    """Modules that warm workers have imported.

    Ray reads its settings as it is imported: it, and what imports it, wait for the first worker's environment.
    """

    modules: tuple[str, ...]
    of_ray: tuple[str, ...]


_here: list[tuple[str, Any]] = []  # the stem that this process started: its name, and its process


def begin(imports: Imports) -> None:
    """Start a stem for the cluster that this process is about to start; it imports meanwhile."""
    if not hasattr(os, "pidfd_open"):
        return
    import subprocess
    import uuid

    from cluster.environment import training_variables

    name = f"espalier-{uuid.uuid4().hex}"
    arguments = [",".join(imports.modules), ",".join(imports.of_ray), str(os.getpid())]
    # glibc reads its settings when a process starts: copies have the stem's. Ray gives a worker as many BLAS threads
    # as it has CPUs, one as a rule; copies have those the stem's BLAS was loaded with.
    environment = os.environ | training_variables() | {"OMP_NUM_THREADS": "1"}
    with socket.socket(socket.AF_UNIX) as listener:  # whoever connects before the stem looks waits
        listener.bind(f"\0{name}")
        listener.listen(64)
        process = subprocess.Popen(
            [sys.executable, "-P", __file__, STEM, str(listener.fileno()), *arguments],
            env=environment,
            pass_fds=[listener.fileno()],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,  # Ctrl-C is for the process that started it
        )
    _here.append((name, process))


def end() -> None:
    """End the stem that this process started."""
    while _here:
        _, process = _here.pop()
        process.kill()
        process.wait()


def runtime_env() -> dict[str, Any]:
    """Return the part of a runtime environment by which Ray starts processes warm; empty where it cannot."""
    if not _here:
        return {}
    return {"py_executable": shlex.join([sys.executable, "-I", "-S", __file__, _here[-1][0]])}


# What Ray runs for a worker: no library is imported but Python's own.


def launch(name: str, command: list[str]) -> None:
    """Let the stem called `name` become the worker with the command line `command`; without an answer, do so here."""
    with suppress(OSError):  # no stem, or none that answers in time
        if _asked(name, command):
            return
    os.execv(sys.executable, [sys.executable, *command])


def _asked(name: str, command: list[str]) -> bool:
    asked = {"command": command, "environment": dict(os.environ), "folder": str(Path.cwd())}
    text = json.dumps(asked | {"oom_score": OOM_SCORE.read_text()}).encode()
    with socket.socket(socket.AF_UNIX) as stem:
        stem.settimeout(PATIENCE)
        stem.connect(f"\0{name}")
        if _user(stem) != os.getuid():
            return False
        socket.send_fds(stem, [HEADER.pack(len(text))], [0, 1, 2])
        stem.sendall(text)
        if answered := stem.recv(1) == FORKED:
            stem.sendall(GO)
        return answered


def _user(connection: socket.socket) -> int:
    """Return the id of the user whose process is at the other end: anybody may connect to, or take, a name."""
    size = struct.calcsize("3i")
    return int(struct.unpack("3i", connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, size))[1])


# The stem.


def _close(files: Iterable[int]) -> None:
    for file in files:
        os.close(file)


@dataclass(frozen=True)
class Asked:
    """A worker to become: what its launcher had."""

    command: list[str]
    environment: dict[str, str]
    folder: str
    oom_score: str
    files: tuple[int, ...]

    @classmethod
    def of(cls, connection: socket.socket) -> Asked:
        """Read what a launcher asks; OSError or ValueError when it is not a launcher's words."""
        connection.settimeout(SENDING)
        header, files, _, _ = socket.recv_fds(connection, HEADER.size, 3)
        try:
            text, size = b"", HEADER.unpack(header)[0]
            while len(text) < size:
                if not (part := connection.recv(1 << 16)):
                    raise ConnectionError("the launcher went away")
                text += part
            return cls(**json.loads(text), files=tuple(files))
        except (OSError, ValueError, TypeError, struct.error) as error:
            _close(files)
            raise ValueError("no launcher's words") from error

    def fits(self) -> bool:
        """Say whether a copy of this process has imported what the worker would."""
        return self.environment.get("PYTHONPATH") == os.environ.get("PYTHONPATH")

    def take_over(self, connection: socket.socket) -> None:
        """Make this process, a fresh copy of the stem, stand where the launcher does; end it where that cannot be.

        The launcher hears of it only then, and says whether it still waits: else it is the worker itself.
        """
        with suppress(OSError):
            os.setpgid(0, 0)  # Ray ends the whole group of a worker that has ended
            for number, file in enumerate(self.files):
                os.dup2(file, number)
            _close(self.files)
            os.chdir(self.folder)
            OOM_SCORE.write_text(self.oom_score)
            connection.sendall(FORKED)
            if connection.recv(1) == GO:
                return
        os._exit(1)

    def become(self) -> None:
        """Turn this process into the worker."""
        import runpy

        os.environ.clear()
        os.environ.update(self.environment)
        if "numpy" in sys.modules:
            sys.modules["numpy"].random.seed()  # copies would draw the same
        sys.argv = self.command
        sys.path.insert(0, str(Path(self.command[0]).parent))
        runpy.run_path(self.command[0], run_name="__main__")


def stem(listening: int, modules: str, of_ray: str, owner: int) -> Asked | None:
    """Import, then fork for whoever asks at a socket, as long as the process `owner` lives; None at its end.

    Returns what is asked in every copy.
    """
    with socket.socket(fileno=listening) as listener, suppress(ProcessLookupError):
        owned = os.pidfd_open(owner)
        _import(modules)
        workers = set[int]()
        watched: list[Any] = [listener, owned]
        while owned not in (ready := select.select(watched, [], [], LOOK)[0]):
            workers = {pid for pid in workers if os.waitpid(pid, os.WNOHANG)[0] == 0}
            if not ready:
                continue
            connection, _ = listener.accept()
            with connection:
                if (asked := _read(connection)) is None:
                    continue
                if of_ray and not _import_of_ray(of_ray, asked.environment):
                    break
                of_ray = ""
                if (pid := os.fork()) == 0:
                    os.close(owned)
                    asked.take_over(connection)
                    return asked
                workers.add(pid)
                _close(asked.files)
    return None


def _import_of_ray(modules: str, environment: dict[str, str]) -> bool:
    """Import what reads Ray's settings from the environment; say whether copies are fit to be workers."""
    os.environ.update(environment)
    with _undrawn():
        _import(modules)
    return _copies_draw_apart()


@contextmanager
def _undrawn() -> Iterator[None]:
    """Have the ids of actor classes drawn by another generator than Ray's own in this block.

    Ray's is seeded as it first draws: copies of a process in which it has drawn give different tasks one id.
    """
    import ray.actor as rays

    drawing = rays.ActorClassID
    rays.ActorClassID = SimpleNamespace(from_random=lambda: drawing(os.urandom(drawing.size())))
    try:
        yield
    finally:
        rays.ActorClassID = drawing


def _copies_draw_apart() -> bool:
    """Say whether two copies of this process would draw different ids."""
    from ray import JobID
    from ray._raylet import PlacementGroupID

    drawn = set()
    for _ in range(2):
        told, tell = os.pipe()
        if (pid := os.fork()) == 0:
            os.write(tell, PlacementGroupID.of(JobID.from_int(1)).binary())
            os._exit(0)
        os.close(tell)
        drawn.add(os.read(told, 1 << 10))
        os.close(told)
        os.waitpid(pid, 0)
    return len(drawn) == 2


def _import(modules: str) -> None:
    for module in filter(None, modules.split(",")):
        with suppress(Exception):  # the worker itself will say so
            importlib.import_module(module)
    gc.freeze()  # memory the collector never looks at again stays shared with the copies


def _read(connection: socket.socket) -> Asked | None:
    try:
        if _user(connection) != os.getuid():
            return None
        asked = Asked.of(connection)
    except (OSError, ValueError):
        return None
    if not asked.fits():
        _close(asked.files)
        return None
    return asked


def main(arguments: list[str]) -> None:
    """Be a stem (`--stem SOCKET MODULES OF-RAY OWNER`) or a launcher (`NAME WORKER-SCRIPT …`)."""
    if arguments[0] != STEM:
        launch(arguments[0], arguments[1:])
    elif (asked := stem(int(arguments[1]), arguments[2], arguments[3], int(arguments[4]))) is not None:
        asked.become()


if __name__ == "__main__":
    main(sys.argv[1:])
