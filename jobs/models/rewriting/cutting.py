"""Takes units out of a model: which, by their importance and a cost to come to, and what is left of its weights."""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Iterable, Mapping
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from jobs.artifacts import Rewrite
from jobs.models.rewriting.costs import Costs, Measure
from jobs.models.rewriting.flow import Flow, Parts

Scope = Literal["per_layer", "global"]
Scores = Mapping[str, NDArray[np.float64]]  # importance of each unit, by the root of its group
Kept = dict[str, NDArray[np.int64]]  # units, rising, by root
LEAST = 0.05  # of the units of a group stay, and one at least: none of a layer is no layer


def order(scores: Scores, scope: Scope) -> list[tuple[str, int]]:
    """Return (root, unit) in the order in which units go.

    `per_layer`: from all groups in proportion, in each the least important first. `global`: the least important of all
    first, each measured by the root mean square of its group's, as layers differ in scale (Molchanov et al., 2017).
    """
    going: list[tuple[float, str, int]] = []
    for root, found in scores.items():
        count = len(found)
        most = count - max(1, math.ceil(LEAST * count))
        scale = float(np.sqrt(np.mean(np.square(found)))) or 1.0
        for place, unit in enumerate(np.argsort(found, kind="stable")[:most]):
            key = (place + 1) / count if scope == "per_layer" else float(found[unit]) / scale
            going.append((key, root, int(unit)))
    return [(root, unit) for _, root, unit in sorted(going, key=lambda entry: entry[0])]


def chosen(costs: Costs, scores: Scores, scope: Scope, of: Measure, keep: float) -> Kept:
    """Return the units that stay, so that the cost `of` the model is the share `keep` or less: as many as may.

    Where it cannot be, returns what is left when all went that may.
    """
    going = order(scores, scope)
    whole = getattr(costs.of({}), of)

    def saved(count: int) -> float:
        left = {root: _channels(costs.flow, root, len(kept)) for root, kept in _without(scores, going[:count]).items()}
        return float(1 - getattr(costs.of(left), of) / whole)

    count = bisect_left(range(len(going)), 1 - keep, key=saved)
    return _without(scores, going[:count])


def _without(scores: Scores, gone: Iterable[tuple[str, int]]) -> Kept:
    left = {root: np.ones(len(found), bool) for root, found in scores.items()}
    for root, unit in gone:
        left[root][unit] = False
    return {root: np.flatnonzero(kept) for root, kept in left.items()}


def _channels(flow: Flow, root: str, units: int) -> int:
    return flow.groups[root].width * units


def cut(flow: Flow, weights: Mapping[str, Any], kept: Kept) -> tuple[list[Rewrite], dict[str, Any]]:
    """Return the facts and the weights of the model of which only the units `kept` are left."""
    facts: list[Rewrite] = []
    for root, units in kept.items():
        group = flow.groups[root]
        if len(units) < group.units:
            facts += [Rewrite(layer=maker, units=_channels(flow, root, len(units))) for maker in group.makers]
            facts += [Rewrite(layer=layer, heads=len(units)) for layer in group.heads]
    return facts, {name: _left(flow, name, value, kept) for name, value in weights.items()}


def _left(flow: Flow, name: str, value: Any, kept: Kept) -> Any:
    layer, _, part = name.rpartition("/")
    if layer in flow.reads:
        if part == "kernel" and (read := flow.reads[layer]):
            value = np.take(value, _indices(flow, read, kept), -2)
        return np.take(value, _indices(flow, (layer,), kept), -1)
    if layer in flow.carries:
        return np.take(value, _indices(flow, flow.carries[layer], kept), -2 if part == "depthwise_kernel" else -1)
    return value


def _indices(flow: Flow, parts: Parts, kept: Kept) -> NDArray[np.int64]:
    """Return which of the channels of `parts`, side by side, are left."""
    found: list[NDArray[np.int64]] = []
    start = 0
    for part in parts:
        root = flow.root.get(part, part)
        own = np.arange(flow.channels[part])
        if root in kept:
            width = flow.groups[root].width
            own = (kept[root][:, None] * width + np.arange(width)).reshape(-1)
        found.append(start + own)
        start += flow.channels[part]
    return np.concatenate(found)
