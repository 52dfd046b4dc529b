"""The mean of members' answers, in which better members may count for more."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field

from jobs.fusing.methods.ensembling import Ensembling

if TYPE_CHECKING:
    from jobs.fusing.members import Members


class Average(Ensembling):
    """Average probabilities (a mixture) or logits (a product of experts) of the members.

    Learned weights are those under which the labels of the validation rows are most likely: both problems are convex,
    so that there is one answer, with no rate and no start to choose.
    """

    kind: Literal["average"] = "average"
    of: Annotated[Literal["probabilities", "logits"], Field(description="What is averaged")] = "probabilities"
    weights: Annotated[Literal["learned", "equal"], Field(description="Of the members; learned on validation rows")] = (
        "learned"
    )

    def rule(self) -> Literal["probabilities", "logits", "vote"]:
        """Average what was asked."""
        return self.of

    def shares(self, members: Members) -> list[float]:
        """Return the weights, learned if they are to be."""
        from jobs.fusing.weighing import logit_weights, mixture_weights

        if self.weights == "equal":
            return super().shares(members)
        learn = mixture_weights if self.of == "probabilities" else logit_weights
        return [float(share) for share in learn(members.scaled(), members.labels)]
