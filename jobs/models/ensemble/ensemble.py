"""An ensemble as a backbone: its members are whole models, so that it answers without a head of its own."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import Field, model_validator
from pydantic_core import PydanticCustomError

from jobs.artifacts import Dataset
from jobs.data.preprocess import Preprocess
from jobs.models.backbone import Backbone
from jobs.models.model import ModelSpec, headed

Weight = Annotated[float, Field(ge=0, le=1)]
Temperature = Annotated[float, Field(gt=0)]
OFF = 1e-3  # that weights may sum to beside 1


def prefix(number: int) -> str:
    """Return what the names of a member's layers, and of its weights, begin with."""
    return f"member{number}_"


class Ensemble(Backbone):
    """Models of one preprocessing whose answers are combined; each member's logits are divided by its temperature.

    `probabilities` are averaged with `weights` (a mixture), `logits` too (a product of experts); in a `vote` each
    member names one class, and the mean of all probabilities decides between classes with as many votes.
    """

    kind: Literal["ensemble"] = "ensemble"
    several_heads: ClassVar[bool] = True
    models: Annotated[list[ModelSpec], Field(min_length=1, max_length=64)]
    rule: Literal["probabilities", "logits", "vote"] = "probabilities"
    weights: Annotated[list[Weight] | None, Field(description="Of the members, sum 1; equal if nothing is said")] = None
    temperatures: list[Temperature] | None = None

    @model_validator(mode="after")
    def _members_go_together(self) -> Self:
        for number, member in enumerate(self.models):
            if member.backbone.modality != self.modality:
                context: dict[str, Any] = {
                    "number": number, "reads": member.backbone.modality, "wanted": self.modality,
                }  # fmt: skip
                raise PydanticCustomError("modality", "member {number} reads {reads} rows, not {wanted} rows", context)
            if not member.backbone.compressible:
                context = {"number": number}
                raise PydanticCustomError(
                    "whole", "member {number} is kept whole: its layers cannot be joined", context
                )
        for name, given in (("weights", self.weights), ("temperatures", self.temperatures)):
            if given is not None and len(given) != len(self.models):
                context = {"name": name, "found": len(given), "wanted": len(self.models)}
                raise PydanticCustomError("count", "has {found} {name} for {wanted} members", context)
        if self.weights is not None and abs(sum(self.weights) - 1) > OFF:
            raise PydanticCustomError("weights", "has weights that sum to {sum}, not 1", {"sum": sum(self.weights)})
        return self

    @property
    def modality(self) -> Literal["image", "text", "image_text"]:  # type: ignore[override]
        """What the first member reads, and all do."""
        return self.models[0].backbone.modality

    @property
    def normalises_batches(self) -> bool:  # type: ignore[override]
        """Whether any member does."""
        return any(member.backbone.normalises_batches for member in self.models)

    @property
    def smallest(self) -> int:  # type: ignore[override]
        """How many pixels a side the member reads that needs most."""
        return max(member.backbone.smallest for member in self.models)

    def problems(self) -> Iterator[str]:
        """Refuse to be trained: its weights and temperatures are found once its members are."""
        yield "an ensemble is what a fuse step makes of models that were trained: train its members"

    def located(self, root: Path) -> Self:
        """Return this backbone with the relative paths of its members taken from `root`."""
        return self._each(lambda backbone: backbone.located(root))

    def resolved(self, folder: Path) -> Self:
        """Return this backbone with the paths of its members relative to `folder`."""
        return self._each(lambda backbone: backbone.resolved(folder))

    def files(self) -> list[str]:
        """Return what the layers of the members are built of."""
        return sorted({name for member in self.models for name in member.backbone.files()})

    def preprocess(self, dataset: Dataset, folder: Path) -> Preprocess:
        """Prepare rows as the first member does."""
        return self.models[0].backbone.preprocess(dataset, folder)

    def answers(self, inputs: Any, preprocess: Preprocess, classes: int, seed: int) -> Any:
        """Build every member on `inputs`, its layers named `member0_…`, and what combines their logits."""
        from jobs.models.ensemble.combining import Combined
        from jobs.models.joining import prefixed

        said = [
            prefixed(prefix(number), inputs, headed(member, inputs, preprocess, classes, seed))
            for number, member in enumerate(self.models)
        ]
        equal = [1 / len(said)] * len(said)
        return Combined(self.rule, self.weights or equal, self.temperatures or [1.0] * len(said), name="combined")(said)

    def _each(self, change: Any) -> Self:
        models = [member.model_copy(update={"backbone": change(member.backbone)}) for member in self.models]
        return self.model_copy(update={"models": models})


def joined(
    members: list[ModelSpec],
    rule: Literal["probabilities", "logits", "vote"],
    weights: list[float] | None,
    temperatures: list[float] | None,
) -> ModelSpec:
    """Return the model that combines `members`; they read rows of one modality, and none is kept whole."""
    return ModelSpec(backbone=Ensemble(models=members, rule=rule, weights=weights, temperatures=temperatures))
