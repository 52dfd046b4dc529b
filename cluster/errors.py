"""The errors a user can meet: each says its subject, what was found, what was wanted and the remedy.

They survive pickling, so one raised in a worker reads the same in the driver.
"""

from __future__ import annotations


class EspalierError(Exception):
    """An error with a subject, what was found, what was wanted, and a remedy.

    The text is `subject: found, wanted …; remedy`; parts left empty are left out.
    """

    exit_code = 3

    def __init__(self, subject: str, found: str = "", wanted: str = "", remedy: str = "") -> None:
        super().__init__(subject, found, wanted, remedy)
        self.subject = subject
        self.found = found
        self.wanted = wanted
        self.remedy = remedy

    def __str__(self) -> str:
        text = f"{self.subject}: {self.found}" if self.found else self.subject
        if self.wanted:
            text += f", wanted {self.wanted}"
        return f"{text}; {self.remedy}" if self.remedy else text

    def __reduce__(self) -> tuple[type[EspalierError], tuple[str, str, str, str]]:
        return type(self), (self.subject, self.found, self.wanted, self.remedy)


class RequestError(EspalierError, ValueError):
    """The definition, its data or the request is wrong; nothing was started."""

    exit_code = 2


class StepError(EspalierError):
    """A step started and failed."""

    exit_code = 3


class FinalError(StepError):
    """A step failed by what another attempt would only repeat."""


class DeathError(StepError):
    """A process that the step needs ended without being asked to."""


class PreemptedError(DeathError):
    """A process that the step needs ended with its node, which was taken away."""


class ClusterError(EspalierError):
    """The cluster is unreachable or can never hold what was asked."""

    exit_code = 4
