"""Reads what became of a group's workers: which of their errors is to blame, and how it is told."""

from __future__ import annotations

import errno
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from ray.exceptions import RayActorError

from cluster.errors import DeathError, EspalierError, FinalError, PreemptedError, RequestError, StepError
from cluster.postmortem import crash, death
from cluster.retry import Failure
from cluster.work import in_short


@dataclass(frozen=True)
class Blamed:
    """The error that ended a group, as it is told when nothing follows, and as a failure to decide on."""

    error: EspalierError
    failure: Failure

    def ended(self, reason: str) -> EspalierError:
        """Return the error, with the `reason` why it was not tried again."""
        error = self.error
        found = ", ".join(part for part in (error.found, reason) if part)
        return type(error)(error.subject, found, error.wanted, error.remedy)


def blamed(errors: Mapping[int, Any], name: Callable[[int], str]) -> Blamed:
    """Return which of the workers' errors, by rank, the others follow from: our own, else a death, else a bug.

    `name` says what a rank is called.
    """
    preempted = any(_preempted(error) for error in errors.values())
    causes = {rank: _cause(error) for rank, error in errors.items()}
    for cause in causes.values():
        if isinstance(cause, EspalierError):
            same = "" if isinstance(cause, DeathError) else str(cause)
            taken = preempted or isinstance(cause, PreemptedError)
            final = isinstance(cause, RequestError | FinalError)
            return Blamed(cause, Failure(str(cause), "", same, _crash(cause), taken, final))
    # A dead actor comes as itself or, when a health check found it first, as that check's words about it.
    for rank, error in errors.items():
        if "actor died" in str(error) or "actor is dead" in str(error):
            end = death(str(error))
            dead = DeathError(name(rank), str(end), remedy=f"its log: {end.log}")
            return Blamed(dead, Failure(f"{dead.subject}: {end}", end.log, crash=_crash(dead), preempted=preempted))
    rank, cause = min(causes.items(), key=lambda pair: _is_tensorflows(pair[1]))
    subject, same = name(rank), traceback_of(cause)
    if isinstance(cause, OSError) and cause.errno == errno.ENOSPC:
        told = StepError(subject, f"found the disk full (ENOSPC: {cause})", remedy="free some space")
    elif _is_tensorflows(cause) and type(cause).__name__ == "UnavailableError":
        told = StepError(subject, f"raised {in_short(cause)}: a process it trained with was lost, as its node may be")
        same = ""  # a death, though another's: however often nodes are lost, no bug shows
    else:
        told = StepError(subject, f"raised {in_short(cause)}")
    return Blamed(told, Failure(f"{told.subject}: {told.found}", "", same, preempted=preempted))


def _crash(error: EspalierError) -> str:
    """Return who crashed and by which signal, of the error of a process that did; else nothing."""
    signal = crash(error.found) if isinstance(error, DeathError) else ""
    return signal and f"{error.subject}: {signal}"


def traceback_of(error: BaseException) -> str:
    """Return the traceback an error was noted with where it was raised; without one, the error in short."""
    return next(iter(getattr(error, "__notes__", [])), in_short(error))


def _is_tensorflows(error: BaseException) -> bool:
    """Say whether TensorFlow raised the error: workers that lost another one of theirs do so too."""
    return type(error).__module__.startswith("tensorflow")


def _preempted(error: Any) -> bool:
    found = getattr(error, "health_check_failure", error)
    return isinstance(found, RayActorError) and found.preempted


def _cause(error: Any) -> Any:
    while True:
        inner = getattr(error, "cause", None) or error.__cause__
        if inner is None or inner is error:
            return error
        error = inner
