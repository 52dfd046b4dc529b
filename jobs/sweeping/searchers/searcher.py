"""What a searcher is: it is asked for values, and told what came of them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Annotated, Protocol

from pydantic import Field

from jobs.spec import Choice
from jobs.sweeping.goals import Goals
from jobs.sweeping.space import Space, Values


@dataclass(frozen=True)
class Outcome:
    """What came of a trial: what was measured of it, or that it was stopped early, or (without either) that it failed.

    `curve` is the watched measure after each epoch.
    """

    measured: dict[str, float] = field(default_factory=dict)
    stopped: bool = False
    curve: tuple[float, ...] = ()


class Search(Protocol):
    """A search under way."""

    def ask(self) -> tuple[object, Values] | None:
        """Return a token and the values of the next trial; None when there are no more."""

    def tell(self, token: object, outcome: Outcome) -> None:
        """Take what came of the trial that was asked for with `token`."""

    def begun(self, values: Values) -> None:
        """Take it that a trial of these values, not asked for here, is under way."""

    def replay(self, values: Values, outcome: Outcome) -> None:
        """Take a trial that was not asked for here: one of an earlier attempt, or the definition's own values."""


class Proposing(Protocol):
    """What begins a search: a searcher of a sweep, or the method of an architecture search."""

    @property
    def seed(self) -> int:
        """What it draws from."""

    def search(self, space: Space, goals: Goals, trials: int) -> Search:
        """Begin a search over `space` of about `trials` trials, in the process that drives the sweep."""


class Searcher(Choice):
    """The family of searchers."""

    seed: Annotated[int, Field(ge=0, lt=2**31)] = 0

    def problems(self, space: Space) -> Iterator[str]:
        """Yield what is wrong with searching `space`."""
        yield from ()

    def search(self, space: Space, goals: Goals, trials: int) -> Search:
        """Begin a search over `space` of about `trials` trials, in the process that drives the sweep."""
        raise NotImplementedError
