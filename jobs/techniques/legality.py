"""The table of what may follow what, on which backbone, under which strategy; and the nearest chain that may. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import permutations

from jobs.models.backbone import Backbone
from jobs.strategies.strategy import Strategy
from jobs.techniques.technique import Teaches, Technique

MOST = 6  # techniques of a chain whose orders are all looked at: 720


def refusals(
    technique: Technique, before: Sequence[Technique], backbone: Backbone | None, strategy: Strategy
) -> Iterator[str]:
    """Yield each reason why `technique` cannot follow `before` on `backbone` under `strategy`: an entry of the table.

    Of a model that is not known until it is there, `backbone` is None: what depends on it is left open.
    """
    if backbone is not None:
        yield from technique.unfit(backbone)
        yield from technique.legal(before, backbone, strategy)
    yield from strategy.cannot_carry(technique)
    recipe = technique.recipe()
    if recipe is not None:
        yield from strategy.problems(recipe.batch_size)
        learner = technique.learner().backbone if isinstance(technique, Teaches) else backbone
        yield from strategy.refuses(learner, recipe) if learner is not None else ()


def legal(chain: Sequence[Technique], backbone: Backbone, strategy: Strategy) -> bool:
    """Say whether nothing speaks against any technique of `chain`."""
    for index, technique in enumerate(chain):
        if any(refusals(technique, chain[:index], backbone, strategy)):
            return False
        backbone = technique.learner().backbone if isinstance(technique, Teaches) else backbone
    return True


def nearest(chain: Sequence[Technique], backbone: Backbone, strategy: Strategy) -> list[Technique]:
    """Return the legal chain that keeps most of `chain`'s techniques, and of these the one that moves fewest.

    It is empty where not one of them is legal, or where there are too many to look at.
    """
    if len(chain) > MOST:
        return []
    for count in range(len(chain), 0, -1):
        orders = sorted(permutations(range(len(chain)), count), key=_moved)
        for order in orders:
            if legal(found := [chain[index] for index in order], backbone, strategy):
                return found
    return []


def _moved(order: Sequence[int]) -> int:
    """Return how many pairs of `order` stand the other way round."""
    return sum(first > second for place, first in enumerate(order) for second in order[place + 1 :])
