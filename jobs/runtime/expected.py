"""What a model is expected to see and to say, as facts of its artifact; `jobs/runtime/expectation.py` finds them."""

from __future__ import annotations

from jobs.spec import Spec


class Bins(Spec):
    """How values are spread: bin i holds what is over edge i-1 and at most edge i."""

    edges: list[float]
    shares: list[float]  # one more than edges; they sum to 1


class Expected(Spec):
    """What held-out rows lead one to expect: shares of the predicted classes, and how the rows' features are spread."""

    rows: int
    predicted: list[float]
    features: dict[str, Bins]
