"""Whether a candidate may have more requests, or none: pure decisions on what was counted.

A candidate may be a shadow first: it is asked what the other one answered, and nothing of it is returned. Then it is a
canary: it answers a share of the requests itself.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Literal

from pydantic import Field

from jobs.spec import Spec

SLACK_MS = 2.0  # of p99, which the processes beside it move by as much
LONGEST = 3  # times `seconds` that a stage waits for requests


class Stage(Spec):
    """What a candidate must hold to for a while.

    It is rolled back, with the reason, as soon as too many of its requests fail, its p99 is too slow compared with the
    other version's of the same time, or a golden row is answered otherwise than offline.
    """

    seconds: Annotated[float, Field(gt=0, le=86_400, description="Of a stage, at least")] = 30.0
    requests: Annotated[
        int, Field(ge=0, le=100_000, description="Of the candidate in a stage, waited for three times as long at most")
    ] = 50
    error_share: Annotated[float, Field(ge=0, le=1, description="Of the candidate's requests that may fail")] = 0.01
    slower: Annotated[float, Field(ge=1, le=100, description="Times its p99 may be the other's")] = 2.0

    def otherwise(self, candidate: Counted) -> str:
        """Say what is wrong with a candidate that got enough requests, beside errors and latency; empty if nothing."""
        return ""


class Canary(Stage):
    """How a new version gets its requests: a share of them for a while, then more, then all."""

    shares: Annotated[
        list[Annotated[float, Field(gt=0, lt=1)]], Field(min_length=1, max_length=10, description="One a stage")
    ] = [0.1, 0.5]


class Shadow(Stage):
    """How a new version is asked, before it answers anybody, what the other one answered.

    It is rolled back, too, when it says another label too often.
    """

    share: Annotated[float, Field(gt=0, le=1, description="Of the requests that are copied to it")] = 0.2
    differ_share: Annotated[
        float, Field(ge=0, le=1, description="Of the rows compared that may get another label than the other's")
    ] = 0.1

    def otherwise(self, candidate: Counted) -> str:
        """Say that too many rows got another label."""
        if candidate.differ <= self.differ_share * candidate.compared:
            return ""
        return f"{candidate.differ} of {candidate.compared} rows got another label than the other's"


@dataclass(frozen=True)
class Counted:
    """How one version did on all replicas in a stage; milliseconds are those, so far, of what it has in hand, too."""

    requests: int
    errors: int
    seconds_ms: Sequence[float]
    compared: int = 0  # rows, with what another version said of them
    differ: int = 0
    waiting: int = 0  # requests in its hands

    def facts(self) -> dict[str, Any]:
        """Return what is kept of it."""
        kept = {"requests": self.requests, "errors": self.errors, "p99_ms": self.p99_ms}
        return kept | ({"compared": self.compared, "differ": self.differ} if self.compared else {})

    @property
    def p99_ms(self) -> float | None:
        """The 99th percentile, None of fewer than ten."""
        if len(self.seconds_ms) < 10:
            return None
        ordered = sorted(self.seconds_ms)
        return ordered[min(len(ordered) - 1, math.ceil(0.99 * len(ordered)) - 1)]


@dataclass(frozen=True)
class Decision:
    """What to do, and why; a candidate that goes on may have got `few` requests, fewer than were wanted."""

    what: Literal["wait", "go on", "roll back"]
    reason: str = ""
    few: bool = False


State = Mapping[str, Any]  # of a replica


def counted(states: Sequence[State], version: str, before: Sequence[State] = ()) -> Counted:
    """Return how a version did over the replicas' states, in each since its state of `before`, if it has one."""
    then = {state["process"]: state["versions"].get(version) for state in before}
    found = [
        _since(state["versions"][version], then.get(state["process"]) or {})
        for state in states
        if version in state["versions"]
    ]
    requests, errors, compared, differ, waiting = (
        sum(getattr(one, name) for one in found) for name in ("requests", "errors", "compared", "differ", "waiting")
    )
    return Counted(requests, errors, [ms for one in found for ms in one.seconds_ms], compared, differ, waiting)


def _since(now: Mapping[str, Any], then: Mapping[str, Any]) -> Counted:
    requests, errors, compared, differ = (
        max(0, now[name] - then.get(name, 0)) for name in ("requests", "errors", "compared", "differ")
    )
    latest, waiting = now["latest_ms"], now["waiting_ms"]
    return Counted(
        requests, errors, [*(latest[-requests:] if requests else []), *waiting], compared, differ, len(waiting)
    )


def decide(stage: Stage, elapsed: float, candidate: Counted, other: Counted, tripped: Sequence[str] = ()) -> Decision:
    """Return what to do with a candidate `elapsed` seconds into a stage."""
    if tripped:
        return Decision("roll back", tripped[0])
    if candidate.errors > stage.error_share * max(candidate.requests, 1):
        return Decision("roll back", f"{candidate.errors} of {candidate.requests} requests failed")
    ours, theirs = candidate.p99_ms, other.p99_ms
    enough = candidate.requests + candidate.waiting >= max(stage.requests, 10)
    if enough and ours is not None and theirs is not None and ours > stage.slower * theirs + SLACK_MS:
        return Decision("roll back", f"p99 is {ours:.2f} ms, over {stage.slower:g} times the other's {theirs:.2f} ms")
    if candidate.requests >= max(stage.requests, 10) and (reason := stage.otherwise(candidate)):
        return Decision("roll back", reason)
    if elapsed < stage.seconds:
        return Decision("wait")
    if candidate.waiting and candidate.requests < max(stage.requests, 1):
        return Decision("wait")  # for what it has in hand: a request is given up some time
    if candidate.requests >= stage.requests:
        return Decision("go on", f"{candidate.requests} requests in {elapsed:.0f} s")
    if elapsed < LONGEST * stage.seconds:
        return Decision("wait")
    found = f"{candidate.requests} of {stage.requests} requests"
    return Decision("go on", f"only {found} in {elapsed:.0f} s", few=True)
