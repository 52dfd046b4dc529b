"""Weights of an ensemble's members, learned on labelled rows: convex problems over weights that sum to one."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from jobs.runtime.runner import softmax

STEPS = 1_000  # of either method, at most
STILL = 1e-7  # a change of every weight below it ends the search
TINY = 1e-12


def mixture_weights(logits: NDArray[Any], labels: NDArray[Any]) -> NDArray[np.float64]:
    """Return the weights, sum 1, of the mixture of softmaxes under which `labels` are most likely.

    By expectation maximisation, which never makes them less likely (Dempster et al., 1977); the likelihood is concave
    in the weights. `logits` are `float[members, rows, classes]`, `labels` `int[rows]`.
    """
    likely = np.stack([softmax(each.astype(np.float64)) for each in logits])
    right = np.maximum(likely[:, np.arange(len(labels)), labels], TINY)
    weights = np.full(len(logits), 1 / len(logits))
    for _ in range(STEPS):
        shares = weights[:, None] * right
        found = (shares / shares.sum(0)).mean(1)
        if np.abs(found - weights).max() < STILL:
            break
        weights = found
    total: NDArray[np.float64] = weights / weights.sum()
    return total


def logit_weights(logits: NDArray[Any], labels: NDArray[Any]) -> NDArray[np.float64]:
    """Return the weights, sum 1, of the mean of `logits` whose softmax makes `labels` most likely.

    The loss is convex in them. By exponentiated gradients (Kivinen & Warmuth, 1997), each step as long as it still
    makes the loss smaller.
    """
    z = logits.astype(np.float64)
    rows = np.arange(len(labels))
    weights, rate = np.full(len(z), 1 / len(z)), 1.0

    def loss(at: NDArray[np.float64]) -> float:
        return float(-np.log(np.maximum(softmax(np.tensordot(at, z, 1))[rows, labels], TINY)).mean())

    reached = loss(weights)
    for _ in range(STEPS):
        likely = softmax(np.tensordot(weights, z, 1))
        slope = ((likely * z).sum(2) - z[:, rows, labels]).mean(1)
        found = weights * np.exp(-rate * (slope - slope.min()))
        found /= found.sum()
        if (there := loss(found)) > reached:
            rate /= 2
            if rate < STILL:
                break
            continue
        still = np.abs(found - weights).max() < STILL
        weights, reached, rate = found, there, rate * 1.2
        if still:
            break
    total: NDArray[np.float64] = weights / weights.sum()
    return total
