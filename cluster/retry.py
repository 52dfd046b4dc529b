"""Decides whether what failed is tried again. Pure: the failures so far go in, a decision comes out."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

SAME = 3  # equal tracebacks or crashes that show a bug: another attempt would only repeat it
UNLIMITED = "unlimited"

# What differs between two occurrences of one error: addresses, Ray's ids, and every number that is no line's.
_VARIES = re.compile(r"0x[0-9a-fA-F]+|\b[0-9a-f]{16,}\b|\d+(?:[.:]\d+)*")
_PLACE = re.compile(r'^\s*File "')


@dataclass(frozen=True)
class Failure:
    """An attempt that ended badly: what failed and how, and why that may not matter or may be final.

    `what` says who died (role, rank, process, node) and of what; `log` is where more is told. `traceback` is empty for
    a process that was killed; `crash` says who ended by which signal of its own doing. A node that was taken away is
    `preempted`; `final` is what no other attempt can change.
    """

    what: str
    log: str = ""
    traceback: str = ""
    crash: str = ""
    preempted: bool = False
    final: bool = False


@dataclass(frozen=True)
class Retry:
    """Try again: the `number`-th time of `limit`, None without one; both count failures alone, not preemptions."""

    number: int
    limit: int | None

    def __str__(self) -> str:
        return f"{self.number} of {UNLIMITED if self.limit is None else self.limit}"


@dataclass(frozen=True)
class GiveUp:
    """Do not try again; `reason` is empty where none was promised."""

    reason: str = ""


@dataclass(frozen=True)
class RetryPolicy:
    """Tries again after at most `max_failures` failures (None: any number), and never what fails alike three times."""

    max_failures: int | None = 0

    @classmethod
    def of(cls, retries: int | str) -> RetryPolicy:
        """Return the policy a definition asks for: a number of retries, or `unlimited`."""
        return cls(None if retries == UNLIMITED else int(retries))

    def decide(self, failures: Sequence[Failure]) -> Retry | GiveUp:
        """Decide what follows the last of `failures`, which are all there were, in their order."""
        last = failures[-1]
        counted = [failure for failure in failures if not failure.preempted]
        if last.final:
            return GiveUp()
        if last.preempted:
            return Retry(len(counted), self.max_failures)
        if self.max_failures is not None and len(counted) > self.max_failures:
            return GiveUp(f"after {_times(self.max_failures)}" if self.max_failures else "")
        if sum(alike(last, failure) for failure in counted) >= SAME:
            return GiveUp(f"the same error {SAME} times, which another attempt would repeat")
        return Retry(len(counted), self.max_failures)


def alike(one: Failure, other: Failure) -> bool:
    """Say whether two failures are the same crash, or tracebacks but for what differs between occurrences of one."""
    if one.crash or other.crash:
        return one.crash == other.crash
    return bool(one.traceback) and normalised(one.traceback) == normalised(other.traceback)


def normalised(traceback: str) -> str:
    """Return a traceback without what differs between two occurrences of one error; lines of code keep their number."""
    lines = (line.strip() for line in traceback.splitlines())
    return "\n".join(line if _PLACE.match(line) else _VARIES.sub("#", line) for line in lines)


def _times(count: int) -> str:
    return "1 restart" if count == 1 else f"{count} restarts"
