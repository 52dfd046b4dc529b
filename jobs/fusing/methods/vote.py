"""The majority's answer."""

from __future__ import annotations

from typing import Literal

from jobs.fusing.methods.ensembling import Ensembling


class Vote(Ensembling):
    """Each member names one class, and the class most often named is the answer; of equals, the likelier by the mean.

    The probabilities that are served are shares of votes: coarse, and calibrated only as far as a temperature can.
    """

    kind: Literal["vote"] = "vote"

    def rule(self) -> Literal["probabilities", "logits", "vote"]:
        """Count votes."""
        return "vote"
