"""Applies a list of augmentations, in order, to the rows of one replica's shard."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from jobs.data.augment.augment import Augment, SpecialTokens
from jobs.data.augment.draws import Draws

INPUTS = {"image": "image", "text": "tokens"}  # the part of a two-input model's rows that a modality changes
Gather = Callable[[NDArray[np.int64]], tuple[Any, NDArray[np.int32]]]
Rows = NDArray[np.int64]


@dataclass(frozen=True)
class Chain:
    """Augmentations under one seed; each is keyed by its place in the list too, so that two of a kind differ."""

    kinds: Sequence[Augment]
    seed: int
    special: SpecialTokens

    def read(self, gather: Gather, train_step: int, rows: Rows, batch: Rows) -> tuple[Any, Any, Any, Any]:
        """Return (x, labels, labels of the partners, weights `float32[rows]` of each row's own label) of `rows`.

        `batch` holds the rows of the whole global batch, among which each row of `rows` finds its partner. A partner
        goes through what precedes the mixing with its own draws, as it does where it is a row itself.
        """
        mixing = next((place for place, kind in enumerate(self.kinds) if kind.mixes), None)
        if mixing is None:
            x, y = self._gathered(gather, rows)
            return self._applied(0, len(self.kinds), x, train_step, rows), y, y, np.ones(len(rows), np.float32)
        needed, places = np.unique(
            np.concatenate([rows, partners(self.seed, train_step, rows, batch)]), return_inverse=True
        )
        x, y = self._gathered(gather, needed)
        x = self._applied(0, mixing, x, train_step, needed)
        own, other = np.split(places, 2)
        x, share = self.kinds[mixing].mix(x[own], x[other], self._draws(mixing, train_step, rows))
        return self._applied(mixing + 1, len(self.kinds), x, train_step, rows), y[own], y[other], share

    def _gathered(self, gather: Gather, rows: Rows) -> tuple[Any, NDArray[np.int32]]:
        """Return the rows, their bytes as floats if images are to be changed."""
        x, y = gather(rows)
        if all(kind.modality != "image" for kind in self.kinds):
            return x, y
        return {**x, INPUTS["image"]: _floats(x[INPUTS["image"]])} if isinstance(x, dict) else _floats(x), y

    def _applied(self, first: int, last: int, x: Any, train_step: int, rows: Rows) -> Any:
        for place in range(first, last):
            kind, draws = self.kinds[place], self._draws(place, train_step, rows)
            if isinstance(x, dict):
                name = INPUTS[kind.modality]
                x = {**x, name: kind.apply(x[name], draws, self.special)}
            else:
                x = kind.apply(x, draws, self.special)
        return x

    def _draws(self, place: int, train_step: int, rows: Rows) -> Draws:
        return Draws(self.seed, f"{place}/{type(self.kinds[place]).__name__}", train_step, rows)


def _floats(pixels: NDArray[Any]) -> NDArray[np.float32]:
    return pixels.astype(np.float32)


def partners(seed: int, train_step: int, rows: Rows, batch: Rows) -> Rows:
    """Return the partner of each of `rows`: the row after it in a circle of the whole batch, drawn anew each step."""
    circle = batch[np.argsort(Draws(seed, "partners", train_step, batch).uniform("place")[:, 0])]
    order = np.argsort(circle)
    place = order[np.searchsorted(circle, rows, sorter=order)]
    return circle[(place + 1) % len(circle)]
