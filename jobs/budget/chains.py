"""The chains that a search goes through: parts of the one in the definition, with some fields drawn. Pure."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from itertools import combinations

from jobs.models.backbone import Backbone
from jobs.spec import Scalar
from jobs.strategies.strategy import Strategy
from jobs.sweeping.distributions import Distribution
from jobs.sweeping.space import Space, parsed
from jobs.techniques import Technique
from jobs.techniques.legality import legal

PARTS = "parts"  # the field of the space that says which techniques are in
JOIN = "+"


def place_of(path: str) -> int:
    """Return which technique a path (`techniques[1].sparsity`) lies in."""
    place = (parsed(path) or ("", 0))[1]
    assert isinstance(place, int), "paths were checked when the definition was loaded"
    return place


def parts_of(techniques: Sequence[Technique], backbone: Backbone, strategy: Strategy) -> list[str]:
    """Return every part of a chain that is legal by itself, the whole first, as numbers joined by `+`."""
    places = range(len(techniques))
    found = [chosen for size in reversed(places) for chosen in combinations(places, size + 1)]
    return [
        JOIN.join(map(str, chosen))
        for chosen in found
        if legal([techniques[place] for place in chosen], backbone, strategy)
    ]


def space_over(parts: Sequence[str], drawn: Space) -> dict[str, Distribution]:
    """Return the space of a search: which part, and what is drawn of techniques that are in."""
    if len(parts) < 2:
        return dict(drawn)
    whole: dict[str, Distribution] = {PARTS: Distribution.choose({"kind": "choice", "values": list(parts)})}
    for path, distribution in drawn.items():
        place = str(place_of(path))
        having = [part for part in parts if place in part.split(JOIN)]
        whole[path] = distribution.model_copy(update={"when": distribution.when | {PARTS: having}})
    return whole


def part_at(techniques: Sequence[Technique], values: Mapping[str, Scalar]) -> list[Technique]:
    """Return the techniques that `values` leave in; their fields were replaced before."""
    chosen = values.get(PARTS)
    return list(techniques) if chosen is None else [techniques[int(place)] for place in str(chosen).split(JOIN)]


def digest_of(techniques: Sequence[Technique]) -> str:
    """Return a name of what a chain comes to: chains that begin alike share what was trained so far."""
    document = json.dumps([technique.model_dump(mode="json") for technique in techniques], sort_keys=True)
    return hashlib.sha256(document.encode()).hexdigest()[:16]
