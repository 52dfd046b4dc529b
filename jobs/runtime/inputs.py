"""Prepared rows: one array `[rows, …]`, or such arrays by input name for a model of two inputs."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np

Inputs = Any  # NDArray, or dict[str, NDArray]


def each(x: Inputs, act: Callable[[Any], Any]) -> Inputs:
    """Return `x` with `act` applied to its array, or to each of its arrays."""
    return {name: act(part) for name, part in x.items()} if isinstance(x, dict) else act(x)


def count(x: Inputs) -> int:
    """Return how many rows `x` has."""
    return len(next(iter(x.values())) if isinstance(x, dict) else x)


def joined(parts: Sequence[Inputs]) -> Inputs:
    """Return the rows of all `parts`, one after the other."""
    first = parts[0]
    if isinstance(first, dict):
        return {name: np.concatenate([part[name] for part in parts]) for name in first}
    return np.concatenate(parts)


def singles(x: Inputs) -> Iterator[Inputs]:
    """Yield each row of `x` as a batch of one."""
    for row in range(count(x)):
        yield each(x, lambda part: part[row : row + 1])  # noqa: B023  called at once


def as_read(x: Inputs) -> Inputs:
    """Return `x` as a model takes it: pixels as `float32`, everything else as it is."""
    return each(x, lambda part: part.astype(np.float32) if part.dtype == np.uint8 else part)
