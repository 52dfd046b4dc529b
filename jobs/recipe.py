"""How a model is trained: how long, how fast, on what batches, and what is done against overfitting. Specs alone."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator
from pydantic_core import PydanticCustomError

from jobs.data.augment import Augment
from jobs.spec import INCIDENTAL, Spec

Share = Annotated[float, Field(gt=0, lt=1)]


class Recipe(Spec):
    """What every training and every fine-tuning says: epochs, batches, the optimizer and its rate, the loss."""

    epochs: Annotated[int, Field(ge=1, le=100_000)] = 10
    batch_size: Annotated[int, Field(ge=1, description="Rows a train step over all workers: the global batch")] = 64
    optimizer: Literal["adam", "sgd"] = "adam"
    learning_rate: Annotated[float, Field(gt=0)] = 1e-3
    scale_learning_rate: Annotated[
        Literal["linear"] | None,
        Field(description="Rates are those of batches of base_batch_size rows; larger batches have larger ones"),
    ] = None
    base_batch_size: Annotated[int | None, Field(ge=1, description="Global batch that the rates are for")] = None
    schedule: Literal["constant", "cosine", "piecewise"] = "cosine"
    warmup: Annotated[float, Field(ge=0, lt=1, description="Share of the train steps the rate rises over")] = 0.05
    drops: Annotated[
        list[Share] | None,
        Field(description="Of a piecewise schedule: after which shares of the train steps the rate falls; 0.5, 0.75"),
    ] = None
    drop: Annotated[Share | None, Field(description="Of a piecewise schedule: what the rate falls to; a tenth")] = None
    weight_decay: Annotated[
        float, Field(ge=0, lt=1, description="Decoupled (AdamW, SGDW), on kernels and embeddings")
    ] = 0.0
    clip_norm: Annotated[float | None, Field(gt=0, description="Largest global norm of a train step's gradient")] = None
    label_smoothing: Annotated[float, Field(ge=0, lt=1, description="Share of a label spread over all classes")] = 0.0
    class_weights: Annotated[
        Literal["balanced"] | dict[str, Annotated[float, Field(gt=0)]] | None,
        Field(description="Weight of each class in the loss, or balanced: inversely to its rows"),
    ] = None
    augment: Annotated[
        list[Augment], Field(max_length=32, description="What is done to training rows, in this order")
    ] = []
    precision: Annotated[
        Literal["auto", "float32", "mixed_bfloat16", "mixed_float16"],
        Field(description="auto: mixed on GPUs that have it, float32 elsewhere; variables are always float32"),
    ] = "auto"
    seed: Annotated[int, Field(ge=0, lt=2**31)] = 0
    checkpoint_every: Annotated[
        int | None,
        INCIDENTAL,
        Field(ge=1, description="Train steps from one checkpoint within an epoch to the next; each epoch ends in one"),
    ] = None

    def rate_scale(self) -> float:
        """Return what rates are multiplied with: the batch's share of the base batch (Goyal et al., 2017).

        The rule holds while the rate rises gently at first (`warmup`), and up to batches of some thousand rows.
        """
        return 1.0 if self.base_batch_size is None else self.batch_size / self.base_batch_size

    @model_validator(mode="after")
    def _a_scaled_rate_has_a_base_and_a_warm_up(self) -> Self:
        if (self.scale_learning_rate is None) != (self.base_batch_size is None):
            raise PydanticCustomError("scale", "sets one of scale_learning_rate and base_batch_size without the other")
        if self.scale_learning_rate and not self.warmup:
            raise PydanticCustomError("scale", "scales the rate without a warm-up; set warmup above 0")
        return self

    @model_validator(mode="after")
    def _drops_belong_to_piecewise(self) -> Self:
        if self.schedule != "piecewise" and (self.drops is not None or self.drop is not None):
            raise PydanticCustomError("schedule", "sets drops or drop, which only schedule: piecewise has")
        if self.drops is not None and self.drops != sorted(set(self.drops)):
            raise PydanticCustomError("schedule", "has drops that do not rise")
        return self


class EarlyStopping(Spec):
    """Ends a training whose validation rows stop getting better, and restores the weights of the best epoch."""

    patience: Annotated[int, Field(ge=1, description="Epochs without a better one")] = 3
    metric: Literal["loss", "accuracy"] = "loss"


class TrainRecipe(Recipe):
    """What only a training from the start, or from pretrained weights, says."""

    frozen_epochs: Annotated[
        int, Field(ge=0, le=100_000, description="Epochs, before the others, in which the head alone learns")
    ] = 0
    backbone_learning_rate: Annotated[
        float | None, Field(gt=0, description="The backbone's rate, when it is another than the head's")
    ] = None
    early_stopping: EarlyStopping | None = None
    ema: Annotated[
        float | None,
        Field(gt=0, lt=1, description="Momentum of the moving average of weights, which is judged and kept"),
    ] = None

    def head_recipe(self) -> TrainRecipe:
        """Return the recipe of the frozen epochs: the head's rate, no early end."""
        return self.model_copy(
            update={
                "epochs": self.frozen_epochs,
                "frozen_epochs": 0,
                "backbone_learning_rate": None,
                "early_stopping": None,
                "ema": None,
            }
        )


def unknown_classes(recipe: Recipe, classes: list[str]) -> Iterator[str]:
    """Yield the classes that `recipe` weighs and the data has not."""
    weights = recipe.class_weights
    yield from (name for name in weights if name not in classes) if isinstance(weights, dict) else ()
