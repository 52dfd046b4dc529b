"""`supernet`: one training of weights that all candidates share, which ranks them; some are trained alone to check."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field

from jobs.kinds.train import Train
from jobs.models import Backbone
from jobs.searching.methods.method import Method
from jobs.spec import Path
from jobs.sweeping.goals import Goals
from jobs.sweeping.space import Space, value_at

if TYPE_CHECKING:
    from jobs.job import Output
    from jobs.searching.quest import Quest
    from jobs.sweeping.plan import Plan

WHOLE = ("ema", "early_stopping", "frozen_epochs")  # mean nothing where each train step trains other weights


class Supernet(Method):
    """Weight sharing with progressive shrinking, after Once-for-All (Cai et al., 2020).

    Each train step sums the gradients of the largest layout and of `sampled` smaller ones, which with `distil` learn
    from the largest's answers (Yu et al., 2020). First only the largest sizes are trained, then smaller kernels, depths
    and widths are let in, in turn, in equal shares of `epochs`. Then candidates are scored on validation rows with the
    weights they share, batch normalisation recalibrated on training rows: all of them, or `scored` that evolution
    picks. `check` of these, evenly spread over the ranking and with its first, are trained alone; the best of those
    wins, and Kendall's τ tells how far the ranking agreed with them.
    """

    kind: Literal["supernet"] = "supernet"
    epochs: Annotated[int, Field(ge=1, le=100_000, description="Of the shared weights")] = 30
    sampled: Annotated[int, Field(ge=1, le=16, description="Smaller layouts a train step")] = 2
    distil: bool = True
    scored: Annotated[int, Field(ge=2, le=4_096, description="Candidates scored with shared weights, at most")] = 256
    calibration: Annotated[int, Field(ge=16, le=65_536, description="Training rows for batch normalisation")] = 512
    check: Annotated[int, Field(ge=1, le=1_000, description="Candidates trained alone")] = 8

    def problems(self, train: Train, space: Space, goals: Goals) -> Iterator[tuple[Path, str]]:
        """Yield what cannot share weights, or has no meaning for weights that are shared."""
        backbone = train.model.backbone
        if not type(backbone).elastic:
            can = ", ".join(name for name, member in Backbone.members().items() if member.elastic)
            yield ("train", "model", "backbone"), f"cannot share weights among layouts, which these can: {can}"
        if backbone.inputs():
            yield ("train", "model", "backbone"), "starts from weights, which a supernet does not: take evolution"
        if train.strategy.workers > 1 or train.strategy.resources() != train.strategy.train_resources():
            yield ("train", "strategy"), "must have one worker: a supernet is trained in one process"
        for field in WHOLE:
            if getattr(train, field):
                yield ("train", field), "means nothing where each train step trains other layouts"
        for name, distribution in space.items():
            if not distribution.holds(value_at(train, name)[0]):
                yield ("space", name), "must hold the definition's own value"
            if distribution.when:
                yield ("space", name, "when"), "leaves sizes out, and shared weights are those of the largest of all"

    def most_trials(self) -> int:
        """Return `check`."""
        return self.check

    def plan(self, quest: Quest, out: Output) -> tuple[Quest, Plan]:
        """Train and score, then return trials of candidates spread over the ranking."""
        from jobs.searching.among import Listed
        from jobs.searching.candidates import key

        found = quest.scored(self, out)
        candidates = [c.model_copy(update={"score": found.get(key(c.values))}) for c in quest.candidates]
        ranked = sorted((c for c in candidates if c.score is not None), key=lambda c: -(c.score or 0.0))
        chosen = [ranked[place].values for place in spread(len(ranked), self.check)]
        return replace(quest, candidates=candidates), quest.trials(Listed(chosen), len(chosen), own=False)


def spread(many: int, few: int) -> Sequence[int]:
    """Return `few` places of `many`, evenly apart, the first and the last among them; all where there are no more."""
    if few >= many:
        return range(many)
    return [0] if few == 1 else [round(place * (many - 1) / (few - 1)) for place in range(few)]
