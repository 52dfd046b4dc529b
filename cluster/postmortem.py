"""Says how a worker process ended and where its log is: Ray names the process, its log tells the rest."""

from __future__ import annotations

import os
import re
import signal
import time
from dataclasses import dataclass
from pathlib import Path

_PID = re.compile(r"\bpid: (\d+)")
_NODE = re.compile(r"\bip: ([0-9a-fA-F.:]+)")
_OWN = re.compile(r"\((SIGSEGV|SIGBUS|SIGFPE|SIGILL|SIGABRT)\)")  # what a program does to itself
_CODE = re.compile(r"\bexit code (-?\d+)")
_BROKEN = "connection error code"
_UNAVAILABLE = re.compile(r"The actor ([0-9a-f]+) is unavailable")  # one that Ray does not know the end of yet
_WITH_NODE = "its node has died"
GIVEN_UP = 40.0  # seconds in which Ray gives up a node that does not answer
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

    Ray's workers write a line for every fatal signal they can handle, and tell of SIGTERM and of the code they exit
    with. One whose connection broke without a word was ended by the one signal that leaves no word, SIGKILL; what ends
    itself by `os._exit` leaves none either, and is taken for that.
    """
    pid = match[1] if (match := _PID.search(error)) else "unknown"
    node = match[1] if (match := _NODE.search(error)) else "unknown"
    file = _log_of(pid, logs or own_logs())
    if file is None:
        return Death(pid, node, _ending(error, None), f"worker-*-{pid}.err in the Ray logs on {node}")
    return Death(pid, node, _ending(error, file.read_text(errors="replace")), str(file))


def _ending(error: str, log: str | None) -> str:
    """Say how a process ended by Ray's text about it and its log, if that is known."""
    if fatal := _FATAL.findall(log or ""):
        number = signal.Signals[fatal[-1]]
    elif "SIGTERM" in error:
        number = signal.SIGTERM
    elif code := _CODE.search(error):
        return f"ended with exit code {code[1]}"
    elif log is not None and _BROKEN in error:
        number = signal.SIGKILL
    else:
        return "died"
    return f"was killed by signal {number.value} ({number.name})"


def lost_with_node(error: str) -> bool:
    """Say whether the actor that Ray's text is about went with its node; waits until Ray would know."""
    if _WITH_NODE in error:
        return True
    found = _UNAVAILABLE.search(error)
    return found is not None and _goes(found[1])


def _goes(actor: str) -> bool:
    """Say whether the node of an actor that does not answer is given up: its process alone is soon known to be dead."""
    import ray

    node = ray._private.state.actors(actor).get("Address", {}).get("NodeID")
    until = time.monotonic() + GIVEN_UP
    while time.monotonic() < until:
        if any(one["NodeID"] == node and not one["Alive"] for one in ray.nodes()):
            return True
        time.sleep(0.5)
    return False


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
