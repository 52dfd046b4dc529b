"""Names a process so that another on the same machine can tell whether it still lives, also after its id was reused."""

from __future__ import annotations

import os
from dataclasses import asdict, dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, Self

DEAD_STATES = ("Z", "X")


@dataclass(frozen=True)
class Process:
    """A process: `machine` names the boot and the process namespace, `started` is in ticks since that boot."""

    host: str
    pid: int
    machine: str = ""
    started: int = 0

    @classmethod
    def this(cls) -> Self:
        """Return the process that asks."""
        pid = os.getpid()
        _, started = _state(pid)
        return cls(os.uname().nodename, pid, _machine(), started)

    @classmethod
    def read(cls, document: dict[str, Any]) -> Self:
        """Make one from its JSON fields; TypeError or ValueError when they are not a process's."""
        host, machine = str(document["host"]), str(document["machine"])
        return cls(host, int(document["pid"]), machine, int(document["started"]))

    def document(self) -> dict[str, Any]:
        """Return the JSON fields."""
        return asdict(self)

    def is_here(self) -> bool:
        """Say whether it belongs to this machine's processes."""
        return (self.host, self.machine) == (os.uname().nodename, _machine())

    def is_dead(self) -> bool:
        """Say whether it surely lives no more; False for a process of another machine, of which nothing is known."""
        if not self.is_here():
            return False
        try:
            os.kill(self.pid, 0)
        except ProcessLookupError:
            return True
        except PermissionError:
            pass  # it lives, and is another user's
        state, started = _state(self.pid)
        return state in DEAD_STATES or (bool(self.started and started) and started != self.started)

    def __str__(self) -> str:
        return f"process {self.pid} on {self.host}"


@lru_cache(maxsize=1)
def _machine() -> str:
    """Name this boot of the kernel and this process namespace; empty where there is no /proc."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
        return f"{boot} {Path('/proc/self/ns/pid').readlink()}"
    except OSError:
        return ""


def _state(pid: int) -> tuple[str, int]:
    """Return the state's letter and the start in ticks after boot; empty and 0 where there is no /proc."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return "", 0
    fields = text.rpartition(")")[2].split()  # the name before it may hold spaces and parentheses
    return fields[0], int(fields[19])
