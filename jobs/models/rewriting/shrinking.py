"""Makes a Keras model smaller: units taken out of it, or its layers brought to low ranks. For workers alone."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from jobs.artifacts import Rewrite
from jobs.models.model import load_weights, weights_of
from jobs.models.rewriting.costs import Cost, Costs, Measure
from jobs.models.rewriting.cutting import Scope, chosen, cut
from jobs.models.rewriting.flow import Flow, flow_of
from jobs.models.rewriting.importance import Importance, Rows, scores
from jobs.models.rewriting.low_rank import Factored, factored
from jobs.models.rewriting.rebuilding import kernels, macs_of, positions, rebuilt
from jobs.models.weights.wholes import name_of


@dataclass(frozen=True)
class Smaller:
    """A model made smaller: what it is rebuilt from, and what it cost before and costs now, counted on its layers."""

    rewrites: Sequence[Rewrite]
    weights: Mapping[str, Any]
    before: Cost
    after: Cost


def traced(model: Any) -> Costs:
    """Return how channels flow through a functional Keras model, and what it costs with fewer of them."""
    flow = flow_of(model.get_config(), lambda name: _shape(model.get_layer(name)))
    shapes = {name_of(v): tuple(v.shape) for v in model.weights}
    return Costs(flow, shapes, {layer.name: positions(layer) for layer in model.layers if kernels(layer)})


def _shape(layer: Any) -> Any:
    """Return the shape of a layer's output, or a list of them; an input's is in a list of one, or by name."""
    shape = layer.output_shape
    if isinstance(shape, dict):
        return list(shape.values())
    return shape[0] if isinstance(shape, list) and len(shape) == 1 else shape


def without_units(
    model: Any,
    kinds: Collection[str],
    by: Importance,
    scope: Scope,
    of: Measure,
    keep: float,
    rows: Rows,
    multiple: int = 1,
) -> Smaller:
    """Return `model` without its least important units of these `kinds`: the cost `of` it is `keep` of what it was.

    Where no more may go before that is so, it costs more than it should.
    """
    costs, weights = traced(model), weights_of(model)
    flow: Flow = costs.flow
    flow.groups = {root: group for root, group in flow.groups.items() if group.kind in kinds}
    kept = chosen(costs, scores(flow, model, weights, by, rows), scope, of, keep, multiple)
    facts, left = cut(flow, weights, kept)
    return smaller(model, costs.of({}), facts, left)


def at_low_rank(
    model: Any, forms: Collection[str], rank: int | None, energy: float | None
) -> tuple[list[Factored], Smaller]:
    """Return the layers of `model` that became two, and the model."""
    found, facts, left = factored(model.get_config(), weights_of(model), forms, rank, energy)
    return found, smaller(model, traced(model).of({}), facts, left)


def smaller(model: Any, before: Cost, facts: Sequence[Rewrite], weights: Mapping[str, Any]) -> Smaller:
    """Rebuild `model` by `facts` with `weights`, which must fit, and count it."""
    made = rebuilt(model, facts)
    load_weights(made, weights, "the smaller model")
    after = traced(made).of({})
    assert after.macs == macs_of(made), "what is counted is what its layers multiply"
    return Smaller(facts, weights, before, after)
