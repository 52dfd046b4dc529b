"""What a scoring worker does: prepare raw rows and run the served file over them. No TensorFlow, no Ray."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cluster.folder import Folder
from jobs.artifacts import Model, RejectedRow
from jobs.data.preparing import preparer
from jobs.data.rows import BadRow, Row
from jobs.runtime.runner import Runner

BLOCK = 1_024  # rows handed on at once


@dataclass(frozen=True)
class Block:
    """Scored rows in the order of the source; a reason, and zeros, where a row could not be read or prepared."""

    names: list[str]
    labels: list[str]  # the source's, empty without
    reasons: list[str | None]
    probabilities: NDArray[np.float32]


class Scorer:
    """Holds a model's preprocessing and its served file."""

    def __init__(self, folder: Folder, batch_size: int) -> None:
        model, path = Model.load(folder), folder.fetch()
        model.require_servable(str(folder))
        self.temperature, self.batch_size = model.temperature, batch_size
        self.runner = Runner(path / model.served)
        self.prepare = preparer(model.preprocess, path)

    def blocks(self, rows: Iterable[Row | RejectedRow]) -> Iterator[Block]:
        """Yield the rows scored, at most 1,024 at once."""
        rest = iter(rows)
        while some := list(islice(rest, BLOCK)):
            yield self._block(some)

    def _block(self, rows: list[Row | RejectedRow]) -> Block:
        reasons: list[str | None] = [row.reason if isinstance(row, RejectedRow) else None for row in rows]
        made = np.zeros((len(rows), self.runner.classes), np.float32)
        sound = [index for index, reason in enumerate(reasons) if reason is None]
        for start in range(0, len(sound), self.batch_size):
            some = sound[start : start + self.batch_size]
            prepared = self._prepared([rows[index] for index in some], some, reasons)
            if kept := [index for index in some if reasons[index] is None]:
                made[kept] = self.runner.probabilities(prepared, self.temperature)
        names = [row.row if isinstance(row, RejectedRow) else row.name for row in rows]
        labels = ["" if isinstance(row, RejectedRow) else row.label for row in rows]
        return Block(names, labels, reasons, made)

    def _prepared(self, rows: list[Any], places: list[int], reasons: list[str | None]) -> Any:
        """Return the batch of the rows that can be prepared; note the reasons of the others."""
        try:
            return self.prepare([row.raw for row in rows])
        except BadRow:
            pass  # which one it is, and whether there are more, only each alone can tell
        good = []
        for row, place in zip(rows, places, strict=True):
            try:
                self.prepare([row.raw])
                good.append(row.raw)
            except BadRow as bad:
                reasons[place] = bad.reason
        return self.prepare(good) if good else None
