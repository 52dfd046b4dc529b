"""Which processes of this machine have TensorFlow loaded, and on which ports they listen: read from /proc."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path

LISTENS = "0A"
ZOMBIE = "Z"
KEPT = (b"ray::IDLE", b"ray::TrainStateActor", b"ray::_AutoscalingCoordinatorActor")  # they serve a whole cluster


def training_processes(parent: int) -> set[int]:
    """Return the ids of the processes that `parent` has started and that have TensorFlow loaded.

    The parent is a raylet, or what workers of its that start warm are copies of.
    """
    processes = (int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdecimal())
    return {pid for pid in processes if _has_tensorflow(pid, parent)}


def at_work(pids: Iterable[int]) -> dict[int, str]:
    """Return by id what those of `pids` are that live; not what Ray keeps for what comes next."""
    found = {}
    for pid in pids:
        with suppress(OSError):  # it has ended
            command = Path(f"/proc/{pid}/cmdline").read_bytes()
            state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
            if command and state != ZOMBIE and not command.startswith(KEPT):
                found[pid] = command.replace(b"\0", b" ").decode().strip()
    return found


def ports(pids: set[int]) -> set[int]:
    """Return the TCP ports that processes listen on."""
    sockets = {inode for pid in pids for inode in _sockets(pid)}
    return {port for inode, port in _listening() if inode in sockets}


def open_ports() -> set[int]:
    """Return the TCP ports that anything listens on."""
    return {port for _, port in _listening()}


def _has_tensorflow(pid: int, parent: int) -> bool:
    try:
        above = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1]
        return int(above) == parent and "libtensorflow" in Path(f"/proc/{pid}/maps").read_text()
    except OSError:
        return False  # it has ended


def _sockets(pid: int) -> Iterator[str]:
    with suppress(OSError):
        for file in Path(f"/proc/{pid}/fd").iterdir():
            with suppress(OSError):
                target = str(file.readlink())
                if target.startswith("socket:["):
                    yield target[len("socket:[") : -1]


def _listening() -> Iterator[tuple[str, int]]:
    for name in ("tcp", "tcp6"):
        for line in Path(f"/proc/net/{name}").read_text().splitlines()[1:]:
            fields = line.split()
            if fields[3] == LISTENS:
                yield fields[9], int(fields[1].rpartition(":")[2], 16)
