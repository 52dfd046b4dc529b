"""Arithmetic on updates, which are lists of arrays like a model's weights: means, clipping, noise, Adam. All pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

Arrays = list[NDArray[Any]]
BELOW = 1 - 1e-6  # of a clipped update's norm: rounding to float32 must not lift it over the norm it was clipped to


def mean(updates: Sequence[Arrays], weights: Sequence[float]) -> Arrays:
    """Return the mean of `updates`, each counted by its weight."""
    shares = np.asarray(weights, np.float64) / np.sum(weights)
    return [
        sum((share * part.astype(np.float64) for share, part in zip(shares, parts, strict=True)), np.float64(0)).astype(
            parts[0].dtype
        )
        for parts in zip(*updates, strict=True)
    ]


def clipped(update: Arrays, norm: float) -> Arrays:
    """Return `update` scaled so that its norm over all arrays is at most `norm`; nothing when it is not finite."""
    length = float(np.sqrt(sum(float(np.sum(np.square(part, dtype=np.float64))) for part in update)))
    if not np.isfinite(length):
        return [np.zeros_like(part) for part in update]
    scale = min(1.0, norm * BELOW / length) if length else 1.0
    return [(part * scale).astype(part.dtype) for part in update]


def private_mean(
    updates: Sequence[Arrays], like: Arrays, norm: float, noise: float, expected: float, key: Sequence[int]
) -> Arrays:
    """Return (sum of `updates` + Gaussian noise) / `expected`, the number of clients expected in a round.

    Every update has a norm of at most `norm`; the noise has the deviation `noise`·`norm` in every weight, drawn by
    `key`. `like` gives the shapes, for a round in which no client was drawn (McMahan et al., 2018, algorithm 1).
    """
    stream = np.random.Generator(np.random.Philox(np.random.SeedSequence(list(key))))
    noisy = []
    for place, part in enumerate(like):
        total = sum((update[place].astype(np.float64) for update in updates), np.zeros(part.shape))
        noisy.append(((total + noise * norm * stream.standard_normal(part.shape)) / expected).astype(part.dtype))
    return noisy


def adam(
    update: Arrays, state: Mapping[str, Any], rate: float, betas: tuple[float, float], tau: float
) -> tuple[Arrays, dict[str, Any]]:
    """Return Adam's step along `update` and the moments after it, without bias correction: v begins at τ²."""
    steps: Arrays = []
    after: dict[str, Any] = {}
    for place, part in enumerate(update):
        first = betas[0] * state.get(f"m/{place}", 0.0) + (1 - betas[0]) * part
        second = betas[1] * state.get(f"v/{place}", tau**2) + (1 - betas[1]) * np.square(part)
        steps.append((rate * first / (np.sqrt(second) + tau)).astype(part.dtype))
        after |= {f"m/{place}": first.astype(part.dtype), f"v/{place}": second.astype(part.dtype)}
    return steps, after


def drawn(clients: int, fraction: float, poisson: bool, key: Sequence[int]) -> list[int]:
    """Return the clients of a round: each by itself with probability `fraction`, or that share of them, at least one.

    `key` names the round: the same key draws the same clients.
    """
    stream = np.random.Generator(np.random.Philox(np.random.SeedSequence(list(key))))
    if poisson:
        return [int(client) for client in np.flatnonzero(stream.random(clients) < fraction)]
    count = max(1, round(clients * fraction))
    return sorted(int(client) for client in stream.choice(clients, count, replace=False))
