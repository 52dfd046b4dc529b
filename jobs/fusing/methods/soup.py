"""Model soups: the mean of members' weights, as small and as fast as one of them (Wortsman et al., 2022)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field

from jobs.fusing.methods.method import FuseMethod, Made
from jobs.models.model import ModelSpec
from jobs.spec import Path

if TYPE_CHECKING:
    from jobs.fusing.members import Members

UNLIKE = "has another backbone than the first member: weights of both have no mean"


class Soup(FuseMethod):
    """Average the weights of members of one architecture. It helps where they were tuned from one start.

    `uniform` takes all of them. `greedy` takes the best on validation rows, and then each further one, the better ones
    first, with which the soup is no worse. Averages of batch normalisation are taken anew on training rows: those of
    the members are of activations that the soup does not have.
    """

    kind: Literal["soup"] = "soup"
    recipe: Annotated[Literal["greedy", "uniform"], Field(description="Which members go in")] = "greedy"

    def problems(self, specs: Sequence[ModelSpec]) -> Iterator[tuple[Path, str]]:
        """Refuse members whose weights do not lie in the same layers."""
        for number, spec in enumerate(specs):
            if spec.backbone != specs[0].backbone:
                yield ("models", number), f"{UNLIKE}; average their answers"

    def fuse(self, members: Members) -> Made:
        """Average all weights, or those of the members that make it no worse."""
        members.require_one_spec()
        chosen = list(range(len(members)))
        if self.recipe == "greedy":
            chosen = self._greedy(members)
        shares = [1 / len(chosen) if number in chosen else 0.0 for number in range(len(members))]
        return Made(members.specs[0], members.averaged(chosen), shares, members.models[0].rewrites)

    def _greedy(self, members: Members) -> list[int]:
        """Return which members go in, the best first."""
        order = sorted(range(len(members)), key=lambda number: members.merit(number), reverse=True)
        chosen, reached = order[:1], members.merit(order[0])
        for number in order[1:]:
            weights = members.averaged([*chosen, number])
            if (merit := members.merit_of(weights)) >= reached:
                chosen, reached = [*chosen, number], merit
        return chosen
