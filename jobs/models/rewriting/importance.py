"""How important each unit is that could be taken out of a model. For workers alone."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Literal

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from jobs.models.rewriting.flow import Flow, Group
from jobs.models.weights.wholes import name_of
from jobs.runtime.inputs import count, each

Importance = Literal["l1", "l2", "bn_scale", "taylor"]
Weights = Mapping[str, NDArray[Any]]
Rows = Callable[[], tuple[Any, NDArray[np.int32]]]
BATCH = 32  # rows a gradient is taken of
TABLES = ("kernel", "embeddings")


def scores(flow: Flow, model: Any, weights: Weights, by: Importance, rows: Rows) -> dict[str, NDArray[np.float64]]:
    """Return the importance of each unit, by the root of its group; a group that `by` cannot judge is left out.

    `l1` and `l2`: the norm of the weights that make it (Li et al., 2017). `bn_scale`: the size of the scale of batch
    normalisation behind it (Liu et al., 2017). `taylor`: the mean over batches of `rows` of the squared sum of gradient
    times weight, an estimate of how the loss changes without it (Molchanov et al., 2019).
    """
    if by == "bn_scale":
        scaled = {root: group for root, group in flow.groups.items() if group.norms}
        return {root: np.abs(np.float64(weights[f"{group.norms[0]}/gamma"])) for root, group in scaled.items()}
    if by == "taylor":
        return _taylor(flow, model, *rows())
    power = 1 if by == "l1" else 2
    return {root: _norm(group, weights, power) for root, group in flow.groups.items()}


def _norm(group: Group, weights: Weights, power: int) -> NDArray[np.float64]:
    total = np.zeros(group.units)
    for maker in group.makers:
        total += _by_unit(group, np.abs(np.float64(_table(weights, maker))) ** power)
    return np.asarray(total ** (1 / power))


def _table(weights: Mapping[str, Any], maker: str) -> Any:
    return next(weights[name] for part in TABLES if (name := f"{maker}/{part}") in weights)


def _by_unit(group: Group, values: Any) -> NDArray[np.float64]:
    """Return the sum of `values`, whose last axis is of channels, for each unit."""
    return np.asarray(np.reshape(values, [-1, group.units, group.width]).sum((0, 2)))


def _taylor(flow: Flow, model: Any, x: Any, y: NDArray[np.int32]) -> dict[str, NDArray[np.float64]]:
    tables = {name_of(v): v for v in model.trainable_variables if name_of(v).rpartition("/")[2] in TABLES}
    makers = {maker: _table(tables, maker) for group in flow.groups.values() for maker in group.makers}
    total = {root: np.zeros(group.units) for root, group in flow.groups.items()}
    for start in range(0, count(x), BATCH):
        part = each(x, lambda rows: rows[start : start + BATCH])  # noqa: B023  called at once
        with tf.GradientTape() as tape:
            logits = tf.cast(model(part, training=False), tf.float32)
            losses = tf.nn.sparse_softmax_cross_entropy_with_logits(y[start : start + BATCH], logits)
            loss = tf.reduce_mean(losses)
        found = dict(zip(makers, tape.gradient(loss, list(makers.values())), strict=True))
        for root, group in flow.groups.items():
            changes = (tf.convert_to_tensor(found[maker]) * makers[maker] for maker in group.makers)
            total[root] += np.square(sum(_by_unit(group, change.numpy()) for change in changes))
    return total
