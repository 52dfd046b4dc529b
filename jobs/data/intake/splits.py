"""Which rows a split gets: stratified and seeded, decided row by row as they stream."""

from __future__ import annotations

import hashlib
from collections import Counter
from math import floor

from jobs.artifacts import Dataset

BLOCK = 10  # rows of one class that are dealt at a time


class Stratifier:
    """Deals the rows of each class, ten at a time, to train, validation and test in an order drawn from the seed.

    Of ten rows each split gets its share; what does not come out even is rounded by turns. So every split holds each
    class in proportion, within one row for every whole block, and no row waits for later ones. The first row of a
    class goes to train. The same rows in the same order are dealt alike in every process.
    """

    def __init__(self, validation: float, test: float, seed: int) -> None:
        self._shares = {"test": test, "validation": validation}
        self._seed = seed
        self._taken: Counter[str] = Counter()
        self._deals: dict[str, list[str]] = {}

    def split(self, label: str) -> str:
        """Return the split of the next row of class `label`."""
        block, place = divmod(self._taken[label], BLOCK)
        self._taken[label] += 1
        if place == 0:
            self._deals[label] = self._deal(label, block)
        return self._deals[label][place]

    def _deal(self, label: str, block: int) -> list[str]:
        places = sorted(range(BLOCK), key=lambda place: self._draw(label, block, place))
        if block == 0:
            places.sort(key=lambda place: place == 0)  # stable: the first row is dealt last, to train
        deal = [Dataset.splits[0]] * BLOCK
        start = 0
        for split, share in self._shares.items():
            turn = self._draw(label, 0, split) / 2**64
            end = start + floor((block + 1) * BLOCK * share + turn + 1e-9) - floor(block * BLOCK * share + turn + 1e-9)
            for place in places[start:end]:
                deal[place] = split
            start = end
        return deal

    def _draw(self, *key: str | int) -> int:
        return int.from_bytes(hashlib.blake2b(repr((self._seed, *key)).encode(), digest_size=8).digest(), "big")
