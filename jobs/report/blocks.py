"""What a section is made of: plain values. Only the page's template turns them into HTML, and it escapes all of them.

The one exception is a figure's SVG, which `figures.py` draws.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from markupsafe import Markup

LONG = 40  # rows from which a table is folded away until it is asked for


@dataclass(frozen=True)
class Heading:
    """A heading inside a section, mostly a step's name."""

    kind: ClassVar[str] = "heading"
    text: str


@dataclass(frozen=True)
class Note:
    """A sentence."""

    kind: ClassVar[str] = "note"
    text: str


@dataclass(frozen=True)
class Facts:
    """Names with their values."""

    kind: ClassVar[str] = "facts"
    rows: Sequence[tuple[str, str]]


@dataclass(frozen=True)
class Table:
    """Rows under headings; the first `texts` columns are texts, the others numbers. Each row opens with its name."""

    kind: ClassVar[str] = "table"
    caption: str
    headings: Sequence[str]
    rows: Sequence[Sequence[str]]
    texts: int = 1
    folded: bool = False

    @property
    def folds(self) -> bool:
        """Whether the table is folded away."""
        return self.folded or len(self.rows) > LONG


@dataclass(frozen=True)
class Code:
    """Text whose spaces and lines count, such as YAML."""

    kind: ClassVar[str] = "code"
    caption: str
    text: str


@dataclass(frozen=True)
class Figure:
    """A chart; `svg` is an SVG element that is safe inside a page."""

    kind: ClassVar[str] = "figure"
    caption: str
    svg: Markup


@dataclass(frozen=True)
class Matrix:
    """Counts by true class (down) and predicted class (across)."""

    kind: ClassVar[str] = "matrix"
    caption: str
    classes: Sequence[str]
    counts: Sequence[Sequence[int]]

    def share(self, true: int, predicted: int) -> float:
        """Return which share of the rows of class `true` was taken for `predicted`."""
        return self.counts[true][predicted] / max(1, sum(self.counts[true]))


Block = Heading | Note | Facts | Table | Code | Figure | Matrix
