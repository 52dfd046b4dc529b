"""What a compressed model's artifact says of the chains it was chosen among."""

from __future__ import annotations

from jobs.spec import Scalar, Spec


class Tried(Spec):
    """A chain that was tried: what it was, and what its file showed on validation rows on the host that made it."""

    number: int
    chain: list[str]  # kinds of its techniques in order
    values: dict[str, Scalar] = {}  # drawn, by path
    measured: dict[str, float] = {}  # accuracy, loss, size_bytes, p99_ms; empty where it failed
    failed: str = ""
    front: bool = False  # no other is more accurate, smaller and faster
    chosen: bool = False


class Budget(Spec):
    """A search for a chain: what the model to be compressed shows, what had to be kept, and all that was tried."""

    before: dict[str, float]  # of the model that was compressed
    limits: dict[str, float]  # accuracy at least, everything else at most
    choose: str
    tried: list[Tried]
