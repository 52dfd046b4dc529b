"""A row as a source yields it, and the error of one that cannot be used."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from numpy.typing import NDArray

LARGEST_FILE = 64 << 20  # bytes of one image file
LONGEST_TEXT = 1_000_000  # characters


class BadRow(ValueError):  # noqa: N818  it says what is wrong with a row, not with the program
    """An item that cannot be prepared; `reason` is a short phrase that follows the row's name."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


def require_utf8(text: str, what: str = "") -> None:
    """Raise BadRow when `text`, which is `what` of a row, cannot be encoded: it came of bytes that are not UTF-8."""
    try:
        text.encode()
    except UnicodeEncodeError:
        raise BadRow(f"has a {what} that is not valid UTF-8" if what else "is not valid UTF-8") from None


@contextmanager
def part_of_pair(part: str) -> Iterator[None]:
    """Let a BadRow say that it speaks of one `part` of a pair, `an image` or `a text`."""
    try:
        yield
    except BadRow as bad:
        raise BadRow(f"has {part} that {bad.reason}") from None


@dataclass(frozen=True, slots=True)
class Pair:
    """An image and the text that belongs to it: one row of two modalities."""

    image: bytes
    text: str


@dataclass(frozen=True, slots=True)
class Row:
    """One labelled item; `name` finds it in the source, `split` is set when the source gives splits.

    `owner` says whose it is, where the source says so.

    `raw` is a text, the bytes of an image file, `uint8[height, width]` or `uint8[height, width, channels]`, or a pair.
    """

    name: str
    raw: str | bytes | NDArray[Any] | Pair
    label: str
    split: str | None = None
    owner: str | None = None
