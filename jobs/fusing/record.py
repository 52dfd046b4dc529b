"""What a fused model's artifact says of the models it was made of."""

from __future__ import annotations

from typing import Any

from jobs.spec import Spec


class Ingredient(Spec):
    """A member by its step, and what it showed on validation rows by its float32 weights; weight 0: it was left out."""

    step: str
    accuracy: float
    loss: float  # mean cross-entropy, at the model's own temperature
    weight: float


class Fused(Spec):
    """How a model came of others: the method as asked, its members, and what it shows itself on the same rows."""

    method: dict[str, Any]
    members: list[Ingredient]
    accuracy: float
    loss: float
    rows: int  # of the validation split, on which everything was chosen
