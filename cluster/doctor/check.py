"""What a check is: facts gathered on a machine, and a judgement of them made here."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any, ClassVar, Literal

State = Literal["ok", "warning", "error"]
HERE = "here"


@dataclass(frozen=True)
class Finding:
    """One line of the doctor's: what was found where, and how to mend it where it is not ok."""

    state: State
    check: str
    where: str
    text: str
    remedy: str = ""

    def document(self) -> dict[str, str]:
        """Return the JSON fields."""
        return asdict(self)


@dataclass(frozen=True)
class Seen:
    """The facts of one machine, JSON values; clocks in seconds since 1970, `began` and `ended` by that machine's."""

    where: str
    facts: Any
    asked: float = 0.0
    began: float = 0.0
    ended: float = 0.0
    answered: float = 0.0

    @property
    def here(self) -> bool:
        """Whether it is the machine of the one who asks."""
        return self.where == HERE


class Check(ABC):
    """One thing that can be wrong. It is sent to every node: its fields are picklable."""

    name: ClassVar[str]
    on_gpu: ClassVar[bool] = False  # of a node with GPUs, it holds one while it looks

    def prepare(self) -> None:  # noqa: B027  most need nothing
        """Make ready, here, what is then looked for everywhere."""

    @abstractmethod
    def look(self) -> Any:
        """Return the facts of the machine this runs on, as JSON values; quickly, and changing nothing that stays."""

    @abstractmethod
    def judge(self, seen: Seen, here: Seen) -> Iterator[Finding]:
        """Yield what the facts of one machine mean, beside those of the machine that asks."""

    def tidy(self) -> None:  # noqa: B027  most leave nothing
        """Remove what was made ready."""

    def ok(self, seen: Seen, text: str) -> Finding:
        """Return that all is well."""
        return Finding("ok", self.name, seen.where, text)

    def warning(self, seen: Seen, text: str, remedy: str) -> Finding:
        """Return what may do harm."""
        return Finding("warning", self.name, seen.where, text, remedy)

    def error(self, seen: Seen, text: str, remedy: str) -> Finding:
        """Return what keeps runs from succeeding, or anybody's hands off the cluster from being held off."""
        return Finding("error", self.name, seen.where, text, remedy)
