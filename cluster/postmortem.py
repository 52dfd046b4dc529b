"""Says how a worker process ended and where its log is: Ray names the process, its log tells the rest."""

from __future__ import annotations

import os
import re
import signal
from dataclasses import dataclass
from pathlib import Path

_PID = re.compile(r"\bpid: (\d+)")
_NODE = re.compile(r"\bip: ([0-9a-fA-F.:]+)")
_OWN = re.compile(r"\((SIGSEGV|SIGBUS|SIGFPE|SIGILL|SIGABRT)\)")  # what a program does to itself
_FATAL = re.compile(r"\*\*\* (SIG[A-Z]+) received")


@dataclass(frozen=True)
class Death:
    """A process that ended without being asked to: where it ran, how it ended as far as can be told, its log."""

    pid: str
    node: str
    found: str
    log: str

    def __str__(self) -> str:
        return f"(pid {self.pid} on {self.node}) {self.found}"


def death(error: str, logs: Path | None = None) -> Death:
    """Read Ray's text about a dead actor, and the process's log if it lies on this node.

    Ray's workers write a line for every fatal signal they can handle and answer SIGTERM with an orderly end: a process
    that went without a word was ended by the one signal that leaves no word, SIGKILL.
    """
    pid = match[1] if (match := _PID.search(error)) else "unknown"
    node = match[1] if (match := _NODE.search(error)) else "unknown"
    file = _log_of(pid, logs or own_logs())
    if file is None:
        return Death(pid, node, "died", f"worker-*-{pid}.err in the Ray logs on {node}")
    fatal = _FATAL.findall(file.read_text(errors="replace"))
    number = signal.Signals[fatal[-1]] if fatal else signal.SIGKILL
    return Death(pid, node, f"was killed by signal {number.value} ({number.name})", str(file))


def crash(found: str) -> str:
    """Return the signal in the words of a death, where the fault is the program's own; else nothing."""
    match = _OWN.search(found)
    return match[1] if match else ""


def own_logs() -> Path | None:
    """Return the folder this Ray worker process logs to, None when its standard error is no file."""
    try:
        target = Path(os.readlink("/proc/self/fd/2"))  # noqa: PTH115  resolve() would follow further
    except OSError:
        return None
    return target.parent if target.suffix == ".err" else None


def _log_of(pid: str, logs: Path | None) -> Path | None:
    return next(iter(sorted(logs.glob(f"worker-*-{pid}.err"))), None) if logs is not None else None
