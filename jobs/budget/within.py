"""What a compress step may be held to, and how the chain that keeps it is looked for. Specs alone."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator
from pydantic_core import PydanticCustomError

from jobs.spec import Spec
from jobs.sweeping.distributions import Distribution
from jobs.sweeping.goals import Goals
from jobs.sweeping.searchers import Searcher

MOST = 60  # chains: checkpoints number what is trained in three digits
SECOND = {"smallest": ("size_bytes", "p99_ms"), "fastest": ("p99_ms", "size_bytes")}


class Within(Spec):
    """A promise, measured on validation rows by the file that would be served: what is lost, its bytes, its time."""

    accuracy_drop: Annotated[
        float | None, Field(ge=0, le=1, description="At most, below the model that is compressed")
    ] = None
    accuracy: Annotated[float | None, Field(ge=0, le=1, description="At least")] = None
    size_bytes: Annotated[int | None, Field(gt=0, description="At most")] = None
    p99_ms: Annotated[
        float | None, Field(gt=0, description="Of one row and one thread on the host that compresses, at most")
    ] = None

    choose: Annotated[Literal["smallest", "fastest"], Field(description="Of the chains that keep it")] = "smallest"
    space: Annotated[
        dict[str, Distribution], Field(max_length=32, description="Fields that are drawn: techniques[0].sparsity, …")
    ] = {}
    trials: Annotated[int, Field(ge=1, le=MOST, description="Chains tried, the definition's own first")] = 8
    searcher: Searcher = Field(default_factory=lambda: Searcher.choose({"kind": "tpe"}))

    @model_validator(mode="after")
    def _promises_something(self) -> Self:
        if self.accuracy_drop is self.accuracy is self.size_bytes is self.p99_ms is None:
            raise PydanticCustomError("within", "promises nothing; set accuracy_drop, accuracy, size_bytes or p99_ms")
        return self

    def goals(self, before: Mapping[str, float]) -> Goals:
        """Return what is looked for, where the model that is compressed shows `before`."""
        floors = [self.accuracy] if self.accuracy is not None else []
        if self.accuracy_drop is not None:
            floors.append(before["accuracy"] - self.accuracy_drop)
        limits: dict[str, float] = {"accuracy": max(floors)} if floors else {}
        for name in ("size_bytes", "p99_ms"):
            if (limit := getattr(self, name)) is not None:
                limits[name] = float(limit)
        return Goals(dict.fromkeys(SECOND[self.choose], False) | {"accuracy": True}, limits)
