"""Takes units out of a model: which, by their importance and a cost to come to, and what is left of its weights."""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Iterable, Iterator, Mapping
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


def order(scores: Scores, scope: Scope, multiple: int = 1) -> list[tuple[str, list[int]]]:
    """Return (root, units) in the order in which units go; a group comes to multiples of `multiple` if it is larger.

    `per_layer`: from all groups in proportion, in each the least important first. `global`: the least important of all
    first, each measured by the root mean square of its group's, as layers differ in scale (Molchanov et al., 2017).
    """
    going: list[tuple[float, str, list[int]]] = []
    for root, found in scores.items():
        count = len(found)
        scale = float(np.sqrt(np.mean(np.square(found)))) or 1.0
        rising = [int(unit) for unit in np.argsort(found, kind="stable")]
        gone = 0
        for left in _sizes(count, multiple):
            units = rising[gone : count - left]
            gone = count - left
            key = gone / count if scope == "per_layer" else float(np.mean(found[units])) / scale
            going.append((key, root, units))
    return [(root, units) for _, root, units in sorted(going, key=lambda entry: entry[0])]


def _sizes(count: int, multiple: int) -> Iterator[int]:
    """Yield, falling, to how many units a group of `count` may come; one that is smaller loses unit by unit."""
    step = multiple if count >= multiple else 1
    least = max(step, math.ceil(LEAST * count))
    yield from (size for size in range(count - 1, 0, -1) if size % step == 0 and size >= least)


def chosen(costs: Costs, scores: Scores, scope: Scope, of: Measure, keep: float, multiple: int = 1) -> Kept:
    """Return the units that stay, so that the cost `of` the model is the share `keep` or less: as many as may.

    Where it cannot be, returns what is left when all went that may.
    """
    going = order(scores, scope, multiple)
    whole = getattr(costs.of({}), of)

    def saved(count: int) -> float:
        left = {root: _channels(costs.flow, root, len(kept)) for root, kept in _without(scores, going[:count]).items()}
        return float(1 - getattr(costs.of(left), of) / whole)

    count = bisect_left(range(len(going)), 1 - keep, key=saved)
    return _without(scores, going[:count])


def _without(scores: Scores, gone: Iterable[tuple[str, list[int]]]) -> Kept:
    left = {root: np.ones(len(found), bool) for root, found in scores.items()}
    for root, units in gone:
        left[root][units] = False
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
