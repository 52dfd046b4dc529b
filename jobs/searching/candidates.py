"""The candidates of a search: every layout in its space, counted, and refused where beyond the limits."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from pydantic import ValidationError

from jobs.models.architecture.counting import costs
from jobs.models.model import ModelSpec
from jobs.spec import Path, Scalar, Spec
from jobs.sweeping.goals import Goals
from jobs.sweeping.space import Space, Values, counts, grid, ordered, parsed, replaced

MOST = 4_096  # candidates: each is counted before anything is trained
INSIDE = "model."  # how paths begin
COUNTED = ("parameter_bytes", "macs")

Key = tuple[tuple[str, str], ...]


def key(values: Mapping[str, Scalar]) -> Key:
    """Return what tells values apart."""
    return tuple(sorted((name, repr(value)) for name, value in values.items()))


def settled(space: Space, values: Mapping[str, Scalar]) -> Values:
    """Return the values of the fields that count: a definition has those, too, that its others leave out."""
    kept: Values = {}
    for name in ordered(space):
        if name in values and counts(space[name], kept):
            kept[name] = values[name]
    return kept


@dataclass(frozen=True)
class Costs:
    """Counts bytes and work of a model with fields replaced, for rows of one data set; picklable."""

    model: ModelSpec
    image: tuple[int, ...] | None  # height, width, channels
    classes: int

    def of(self, values: Values) -> ModelSpec:
        """Return the model; ValidationError when the values do not go together."""
        return replaced(self.model, {name.removeprefix(INSIDE): value for name, value in values.items()})

    def __call__(self, values: Values) -> dict[str, float]:
        """Return `parameter_bytes` and `macs`."""
        found = costs(self.of(values), self.image, self.classes)
        assert found is not None, "checked when the definition was loaded"
        return found


class Candidate(Spec):
    """One layout: what it holds and multiplies, and why it is not looked at; a supernet's score if it has one."""

    values: dict[str, Scalar]
    costs: dict[str, float] = {}
    refused: str = ""
    score: float | None = None


def listed(space: Space, count: Costs, goals: Goals) -> list[Candidate]:
    """Return every candidate of the space, those beyond the limits on what can be counted refused."""
    return [_judged(values, count, goals) for values in grid(space)]


def _judged(values: Values, count: Costs, goals: Goals) -> Candidate:
    try:
        found = count(values)
    except ValidationError as error:
        text = error.errors(include_url=False)[0]["msg"]
        return Candidate(values=values, refused=f"its values do not go together ({text})")
    return Candidate(values=values, costs=found, refused=beyond(found, goals))


def beyond(found: Mapping[str, float], goals: Goals) -> str:
    """Return which limits on what can be counted are overstepped; empty when none is."""
    over = [name for name in COUNTED if name in goals.limits and found[name] > goals.limits[name]]
    return ", ".join(f"{name} {found[name]:,.0f} is above {goals.limits[name]:,.0f}" for name in over)


def kept(candidates: Sequence[Candidate]) -> list[Candidate]:
    """Return those that are not refused."""
    return [candidate for candidate in candidates if not candidate.refused]


def space_problems(space: Space, model: ModelSpec) -> Iterator[tuple[Path, str]]:
    """Yield which paths are no fields of the backbone's layout, and whether there is an end of candidates."""
    fields = type(model.backbone).architecture
    endless = False
    for name, distribution in space.items():
        path = parsed(name) or ()
        if path[:2] != ("model", "backbone") or len(path) < 3 or path[2] not in fields:
            known = ", ".join(f"model.backbone.{field}" for field in fields) or "none, of this backbone"
            yield (name,), f"is no field that lays out the backbone's layers: {known}"
        if distribution.every() is None:
            endless = True
            yield (name,), "has no end of values: a search takes whole numbers, a step, or a choice"
    many = 0 if endless else math.prod(len(distribution.every() or []) for distribution in space.values())
    if many > MOST:
        yield (), f"has {many:,} candidates, more than {MOST:,}: leave values out"
