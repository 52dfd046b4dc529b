"""Who is told of what a replica answers. An observer is called within the event loop and must be quick."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

from numpy.typing import NDArray

from jobs.artifacts import Model
from jobs.runtime.inputs import Inputs


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
    model: str = ""  # that it was about; empty where the client's has no such name


class Observer(Protocol):
    """What is told of requests and of predictions."""

    def seen(self, request: Seen) -> None:
        """Take note of a request."""

    def knows(self, version: str, model: Model) -> None:
        """Take note of a version that was loaded and may answer; called from any thread."""

    def forgets(self, version: str) -> None:
        """Take note of a version that answers no more."""

    def predicted(self, version: str, rows: Inputs, probabilities: NDArray[Any]) -> None:
        """Take note of prepared rows and what a version said of them, `float32[rows, classes]`."""

    def batched(self, version: str, rows: int) -> None:
        """Take note of how many rows ran together; called from any thread."""

    async def close(self) -> None:
        """Do what is left to do before the replica ends."""
