"""Model parallelism: each worker holds a part of most layers, so that a model may be larger than a worker's memory."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import Field, model_validator

from jobs.models.backbone import Backbone
from jobs.models.sharding import Sharding
from jobs.recipe import Recipe, TrainRecipe
from jobs.strategies.strategy import Engine, Limited, Strategy

RANK = "DTENSOR_CLIENT_ID"
LEAST = 0.5  # of the parameters must divide


class ModelParallel(Limited):
    """DTensor over a mesh of `batch × model` workers: layers divide over `model`, the rows of a batch over `batch`.

    Attention divides by heads, a feed-forward by columns and then by rows, embeddings by width; what else there is is
    whole in every worker (Shoeybi et al., 2019). `workers` follows from `batch` and `model`, or `model` from `workers`.
    """

    kind: Literal["model_parallel"] = "model_parallel"
    needs_cluster_config: ClassVar[bool] = True
    divides_models: ClassVar[bool] = True
    precisions: ClassVar[tuple[str, ...]] = ("float32", "mixed_bfloat16")

    workers: Annotated[int, Field(ge=1, le=4096, description="Worker processes: batch × model")] = 2
    batch: Annotated[int, Field(ge=1, le=4096, description="Parts the rows of a global batch are divided into")] = 1
    model: Annotated[int, Field(ge=1, le=4096, description="Workers that layers are divided over")] = 2

    @model_validator(mode="before")
    @classmethod
    def _what_follows(cls, fields: Any) -> Any:
        given = {name: fields[name] for name in ("workers", "batch", "model") if name in fields}
        if not all(type(value) is int and value > 0 for value in given.values()):
            return fields
        batch = given.get("batch", 1)
        model = given.get("model", max(1, given.get("workers", 2 * batch) // batch))
        return {"workers": batch * model, **fields, "model": model}

    @model_validator(mode="after")
    def _mesh_is_of_the_workers(self) -> Self:
        if self.workers != self.batch * self.model:
            mesh = f"batch {self.batch} × model {self.model} makes {self.batch * self.model}"
            raise ValueError(f"has {self.workers} workers, but {mesh}; leave workers out")
        return self

    def having(self, workers: int) -> Strategy:
        """Return it with the model over another number of workers: with one, it is single."""
        alone = {"kind": "single"} if workers == 1 else {"workers": workers}
        mesh = {"workers", "batch", "model", "kind"} if workers == 1 else {"workers", "model"}
        return Strategy.choose(self.model_dump(mode="json", exclude=mesh) | alone)

    def environment(self, addresses: list[str], rank: int) -> dict[str, str]:
        """Return what DTensor reads: who the workers are, and which of them this is."""
        return {
            RANK: str(rank),
            "DTENSOR_NUM_CLIENTS": str(len(addresses)),
            "DTENSOR_JOB_NAME": "worker",
            "DTENSOR_JOBS": ",".join(addresses),
        }

    def engine(self) -> Engine:
        """Join the mesh of the workers."""
        import os

        from jobs.strategies.model_parallel.engine import Meshed

        return Meshed(self.batch, self.model, int(os.environ[RANK]))

    def problems(self, batch_size: int) -> Iterator[str]:
        """Check that there is something to divide, that parts of a batch are of as many rows, and the devices."""
        if self.workers == 1:
            yield "a mesh of one worker divides nothing; say kind: single"
        if batch_size < self.batch:
            yield f"{batch_size} rows a global batch do not divide into {self.batch} parts"
        elif left := batch_size % self.batch:
            near = f"take {batch_size - left} or {batch_size - left + self.batch}"
            yield f"{batch_size} rows a global batch do not divide evenly into {self.batch} parts; {near}"
        if self.gpus_per_worker > 1:
            yield f"{self.gpus_per_worker:g} GPUs a worker: a place in the mesh has one; raise model or batch instead"

    def too_whole(self, rule: Sharding, shapes: Mapping[str, Sequence[int]]) -> str:
        """Refuse a model of which under half divides: most of it would lie whole in every worker."""
        share = rule.share(shapes)
        if self.model == 1 or share >= LEAST:
            return ""
        return f"{share:.0%} of the model's parameters divide over workers, and {LEAST:.0%} must"

    def refuses(self, backbone: Backbone, recipe: Recipe) -> Iterator[str]:
        """Refuse what has no rule for dividing it, or what does not divide evenly."""
        if not isinstance(recipe, TrainRecipe):
            yield "cannot fine-tune under a technique: its losses, masks and wrapped layers have no rule for a mesh"
            return
        if recipe.precision not in ("auto", *self.precisions):
            yield f"precision {recipe.precision} scales the loss, which has no rule for a mesh: take mixed_bfloat16"
        kind = backbone.model_dump()["kind"]
        if backbone.normalises_batches:
            yield (
                f"{kind} normalises batches, which has no rule for a mesh, and rows that fill up a batch would enter "
                "its statistics: take data_parallel"
            )
        if self.model == 1:
            return
        if not backbone.sharding.divides:
            yield f"no layer of {kind} has a rule for dividing it: 0 % of its parameters divide, and 50 % must"
        for field, size in backbone.divided_sizes().items():
            if size % self.model:
                yield f"{field} {size} of the backbone does not divide by model {self.model}"
