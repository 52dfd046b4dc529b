"""A row as a source yields it, and the error of one that cannot be used."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from numpy.typing import NDArray

LARGEST_FILE = 64 << 20  # bytes of one image file
LONGEST_TEXT = 1_000_000  # characters


class BadRow(ValueError):  # noqa: N818  it says what is wrong with a row, not with the program
    """A text or image that cannot be prepared; `reason` is a short phrase that follows the row's name."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


@dataclass(frozen=True, slots=True)
class Row:
    """One labelled text or image; `name` finds it in the source, `split` is set when the source gives splits.

    `raw` is a text, the bytes of an image file, or `uint8[height, width]` or `uint8[height, width, channels]`.
    """

    name: str
    raw: str | bytes | NDArray[Any]
    label: str
    split: str | None = None
