"""What ensembles share: their members stay whole models, side by side in one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal

from jobs.fusing.methods.method import FuseMethod, Made
from jobs.models.model import ModelSpec

if TYPE_CHECKING:
    from jobs.fusing.members import Members

LEAST = 0.005  # of a learned weight: a member below it costs bytes and time for nothing


class Ensembling(FuseMethod):
    """The base of methods whose result is an ensemble."""

    def rule(self) -> Literal["probabilities", "logits", "vote"]:
        """Return how answers are combined."""
        raise NotImplementedError

    def shares(self, members: Members) -> list[float]:
        """Return how much each member counts, sum 1: here alike."""
        return [1 / len(members)] * len(members)

    def spec(self, specs: Sequence[ModelSpec]) -> ModelSpec:
        """Return the ensemble, its members equal."""
        return self._joined(specs, None, None)

    def fuse(self, members: Members) -> Made:
        """Join the layers and weights of the members that count."""
        from jobs.models.ensemble import prefix

        shares = counting(self.shares(members))
        chosen = [number for number, share in enumerate(shares) if share]
        temperatures = [members.models[number].temperature for number in chosen]
        spec = self._joined([members.specs[n] for n in chosen], [shares[n] for n in chosen], temperatures)
        weights = {
            prefix(place) + name: value
            for place, number in enumerate(chosen)
            for name, value in members.weights[number].items()
        }
        rewrites = [
            rewrite.model_copy(update={"layer": prefix(place) + rewrite.layer})
            for place, number in enumerate(chosen)
            for rewrite in members.models[number].rewrites
        ]
        return Made(spec, weights, shares, rewrites)

    def _joined(
        self, specs: Sequence[ModelSpec], shares: list[float] | None, temperatures: list[float] | None
    ) -> ModelSpec:
        from jobs.models.ensemble import joined

        return joined(list(specs), self.rule(), shares, temperatures)


def counting(shares: list[float]) -> list[float]:
    """Return `shares` without those that are next to nothing, the others in proportion, sum 1."""
    kept = [share if share >= LEAST else 0.0 for share in shares]
    return [share / sum(kept) for share in kept]
