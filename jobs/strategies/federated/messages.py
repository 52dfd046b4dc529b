"""What passes between the coordinator and its clients."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from numpy.typing import NDArray


@dataclass(frozen=True)
class Terms:
    """What every client is told at the start; `clip` is the norm its updates are brought under, if they must be."""

    clients: int
    local_epochs: int
    proximal: float
    clip: float | None


@dataclass(frozen=True)
class Round:
    """A round that begins: its number, from zero, the clients drawn, and the weights; None once it is over."""

    number: int
    drawn: list[int]
    weights: list[NDArray[Any]] | None


@dataclass(frozen=True)
class Update:
    """What leaves a client: by how much its weights changed, and, unless that is private, what its rows summed to."""

    client: int
    change: list[NDArray[Any]]  # clipped to a norm where updates are private
    rows: int | None = None
    sums: tuple[float, float, float] | None = None  # loss, correct rows and rows of all local epochs
    bad_step: int | None = None  # the first train step whose loss was not finite
