"""From rows as a source yields them to blocks of prepared ones: pure, so that all processes on all nodes do the same.

What is kept of a row is a cleaned text, pixels of the size wanted, or both. Nothing here knows splits or files.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cluster.errors import EspalierError, StepError
from jobs.artifacts import RejectedRow
from jobs.data.images import decode, size_of
from jobs.data.preprocess import ImagePixels
from jobs.data.rows import BadRow, Pair, Row, part_of_pair, require_utf8
from jobs.data.text import clean

Content = str | NDArray[np.uint8] | tuple[NDArray[np.uint8], str]
MOST_ROWS, MOST_BYTES = 256, 8 << 20  # of one block


@dataclass(frozen=True)
class Wanted:
    """What images are brought to: `size`, or their own size where that is None; `own` says it is that of the first."""

    size: ImagePixels | None
    own: bool

    def content(self, row: Row) -> Content:
        """Return what is kept of a row; BadRow when it, or either part of a pair, cannot be prepared."""
        if isinstance(row.raw, str):
            return clean(row.raw)
        if not isinstance(row.raw, Pair):
            return self._pixels(row.name, row.raw)
        with part_of_pair("a text"):
            text = clean(row.raw.text)
        with part_of_pair("an image"):
            return self._pixels(row.name, row.raw.image), text

    def _pixels(self, name: str, raw: bytes | NDArray[Any]) -> NDArray[np.uint8]:
        return decode(raw, self.size if self.size is not None and not self.own else self._own_size(name, raw))

    def _own_size(self, name: str, raw: bytes | NDArray[Any]) -> ImagePixels:
        """Return the size the images have by themselves; a grey one among coloured ones is no other size."""
        size = size_of(raw)
        if self.size is None:
            return size
        if self.size in (size, size.model_copy(update={"channels": 3})):
            return self.size
        decode(raw, size)  # an image that cannot be read is a bad row, and its header no evidence
        remedy = "set image: {height, width, channels} to bring all to one size"
        raise StepError(name, f"is {_words(size)}", f"{_words(self.size)} as the images before it", remedy)


def own_size(rows: Iterable[Row | RejectedRow]) -> Wanted:
    """Return the size of the first image that can be prepared; none where the rows are texts, or all are bad."""
    for row in rows:
        if isinstance(row, Row):
            try:
                content = Wanted(None, own=True).content(row)
            except BadRow:
                continue
            if isinstance(content, str):
                break
            height, width, channels = (content[0] if isinstance(content, tuple) else content).shape
            return Wanted(ImagePixels(height=height, width=width, channels=1 if channels == 1 else 3), own=True)
    return Wanted(None, own=True)


def _words(pixels: ImagePixels) -> str:
    return f"{pixels.height}x{pixels.width}x{pixels.channels}"


@dataclass
class Block:
    """Rows that follow one another, prepared: usable ones with what is kept of them, the others with reasons."""

    contents: list[Content] = field(default_factory=list)
    labels: list[str] = field(default_factory=list)
    splits: list[str | None] = field(default_factory=list)
    owners: list[str | None] = field(default_factory=list)
    digests: list[bytes] = field(default_factory=list)  # SHA-256 of the contents
    rejected: list[RejectedRow] = field(default_factory=list)
    spoiled: set[str] = field(default_factory=set)  # labels of the rejected rows, where they are known
    size: int = 0  # bytes of content
    node: str = ""  # where it was prepared; empty in the process that takes it

    def __len__(self) -> int:
        return len(self.contents) + len(self.rejected)

    @property
    def full(self) -> bool:
        """Whether no row is to be added."""
        return len(self) >= MOST_ROWS or self.size >= MOST_BYTES

    def add(self, row: Row | RejectedRow, wanted: Wanted) -> None:
        """Prepare a row and keep it, or the reason why it cannot be prepared."""
        if isinstance(row, RejectedRow):
            self._reject(row)
            return
        label = ""  # one that is no text is no class either
        try:
            require_utf8(row.label, "label")
            label = row.label
            require_utf8(row.owner or "", "client")
            content = wanted.content(row)
        except BadRow as bad:
            self._reject(RejectedRow(row=row.name, reason=bad.reason, label=label))
            return
        self.contents.append(content)
        self.labels.append(row.label)
        self.splits.append(row.split)
        self.owners.append(row.owner)
        digest, size = _digested(content)
        self.digests.append(digest)
        self.size += size

    def _reject(self, row: RejectedRow) -> None:
        self.rejected.append(row)
        if row.label:
            self.spoiled.add(row.label)


def blocks(rows: Iterable[Row | RejectedRow], wanted: Wanted, node: str = "") -> Iterator[Block]:
    """Yield the rows prepared, in order; what is raised while they are read is raised after all rows before it."""
    block = Block(node=node)
    try:
        for row in rows:
            block.add(row, wanted)
            if block.full:
                yield block
                block = Block(node=node)
    except EspalierError:
        yield block
        raise
    yield block


def _digested(content: Content) -> tuple[bytes, int]:
    """Return (SHA-256, bytes) of what is kept of a row: of a pair, of both parts."""
    digest, size = hashlib.sha256(), 0
    for part in content if isinstance(content, tuple) else (content,):
        raw = part.encode() if isinstance(part, str) else part.data
        digest.update(raw)
        size += len(raw) if isinstance(raw, bytes) else raw.nbytes
    return digest.digest(), size
