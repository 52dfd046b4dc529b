"""Pieces of a source, in order, small enough to be sent to another node and read there."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import TypeVar

from cluster.errors import EspalierError
from jobs.artifacts import RejectedRow
from jobs.data.rows import Pair, Row

Part = Callable[[], Iterator[Row | RejectedRow]]  # picklable; reads its rows where it is called
MOST_ITEMS, MOST_BYTES = 128, 4 << 20  # of one piece

T = TypeVar("T")


def pieces(items: Iterable[T], size: Callable[[T], int]) -> Iterator[list[T]]:
    """Yield the items in lists; what is raised while they are read is raised after all items before it."""
    piece: list[T] = []
    held = 0
    try:
        for item in items:
            piece.append(item)
            held += size(item)
            if len(piece) >= MOST_ITEMS or held >= MOST_BYTES:
                yield piece
                piece, held = [], 0
    except EspalierError:
        yield piece
        raise
    yield piece


def row_size(row: Row | RejectedRow) -> int:
    """Return about how many bytes a row holds."""
    if isinstance(row, RejectedRow):
        return 0
    raw = row.raw
    if isinstance(raw, Pair):
        return len(raw.image) + len(raw.text)
    return len(raw) if isinstance(raw, str | bytes) else raw.nbytes
