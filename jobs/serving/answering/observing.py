"""Who is told of what a replica answers. An observer is called within the event loop and must be quick."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class Seen:
    """One request, once it is answered: no payload, no key."""

    protocol: str  # http or grpc
    path: str  # the route, not what the client wrote
    status: int  # of HTTP
    seconds: float
    rows: int
    version: str  # empty where none answered
    key: str
    request_id: str


class Observer(Protocol):
    """What is told of requests and of predictions."""

    def seen(self, request: Seen) -> None:
        """Take note of a request."""

    def predicted(self, version: str, items: Sequence[Any], probabilities: NDArray[Any]) -> None:
        """Take note of what a version said, `float32[rows, classes]`; `items` are raw, or empty for tensors."""

    def batched(self, version: str, rows: int) -> None:
        """Take note of how many rows ran together; called from any thread."""

    async def close(self) -> None:
        """Do what is left to do before the replica ends."""
