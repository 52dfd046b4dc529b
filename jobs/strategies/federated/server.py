"""What the server does with the clients' updates: the fields of each way; the arithmetic is in `updates.py`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import Field

from jobs.spec import Choice

if TYPE_CHECKING:
    from numpy.typing import NDArray

Arrays = list["NDArray[Any]"]


class Server(Choice):
    """The family of server updates: from a round's mean update to the next weights."""

    def proximal(self) -> float:
        """Return μ of the term μ/2·‖w − w₀‖² in each client's loss, w₀ being the weights the round began with."""
        return 0.0

    def step(self, mean: Arrays, state: Mapping[str, Any]) -> tuple[Arrays, dict[str, Any]]:
        """Return what is added to the weights, given the `mean` update, and the state after it."""
        return mean, {}


class FedAvg(Server):
    """The mean of the clients' weights, each counted by its rows (McMahan et al., 2017)."""

    kind: Literal["fedavg"] = "fedavg"


class FedProx(Server):
    """As fedavg; each client's loss has the term μ/2·‖w − w₀‖² (Li et al., 2020)."""

    kind: Literal["fedprox"] = "fedprox"
    mu: Annotated[float, Field(gt=0)] = 0.01

    def proximal(self) -> float:
        """Return μ."""
        return self.mu


class FedAdam(Server):
    """Adam on the server, the mean update in place of a gradient (Reddi et al., 2021, algorithm 2)."""

    kind: Literal["fedadam"] = "fedadam"
    learning_rate: Annotated[float, Field(gt=0)] = 0.01
    betas: Annotated[list[Annotated[float, Field(ge=0, lt=1)]], Field(min_length=2, max_length=2)] = [0.9, 0.99]
    tau: Annotated[float, Field(gt=0, description="How little Adam adapts")] = 1e-3

    def step(self, mean: Arrays, state: Mapping[str, Any]) -> tuple[Arrays, dict[str, Any]]:
        """Return Adam's step; the state holds both moments of every weight."""
        from jobs.strategies.federated.updates import adam

        return adam(mean, state, self.learning_rate, (self.betas[0], self.betas[1]), self.tau)
