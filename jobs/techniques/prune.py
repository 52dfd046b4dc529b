"""Magnitude pruning: the smallest weights are set to zero while the rest goes on training (Zhu & Gupta, 2017)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

from pydantic import Field

from jobs.artifacts import Finding
from jobs.models.backbone import Backbone
from jobs.models.model import weights_of
from jobs.models.weights.wholes import name_of
from jobs.recipe import Recipe
from jobs.strategies.strategy import Strategy
from jobs.techniques.technique import Context, Technique

if TYPE_CHECKING:
    from jobs.fit import Training


# Weights as large as the last that is kept are kept too: float32 draws millions of them with a few ties.
SPARE_WEIGHTS, SPARE_SHARE = 1.5, 1e-5


class Prune(Recipe, Technique):
    """Unstructured: `sparsity` of each kernel's weights become zero, by TFMOT's schedule and masks.

    Zeros compress (gzip, sparse formats); they make nothing faster on a CPU.
    """

    kind: Literal["prune"] = "prune"
    zeroes: ClassVar[bool] = True
    sparsity: Annotated[float, Field(gt=0, lt=1, description="Share of zeros in every pruned kernel")] = 0.5
    ramp: Literal["polynomial", "constant"] = "polynomial"
    epochs: Annotated[int, Field(ge=1, le=100_000)] = 4

    def recipe(self) -> Recipe:
        """Return the fine-tuning's recipe."""
        return self

    def legal(self, before: Sequence[Technique], backbone: Backbone, strategy: Strategy) -> Iterator[str]:
        """Refuse a second pruning, and pruning what is already lowered to the file."""
        if any(isinstance(technique, Prune) for technique in before):
            yield "the chain prunes already; set one sparsity"
        if any(technique.shapes_file for technique in before):
            yield "weights cannot be pruned once the file is quantized; put prune before quantize"
        if any(technique.most_values() for technique in before):
            yield "pruning parts weights that share a value; put prune before share_weights, which keeps zeros"

    def prepare(self, model: Any, context: Context) -> Training:
        """Wrap every kernel in TFMOT's pruning wrapper; masks are updated over the first three quarters."""
        import tensorflow as tf
        import tensorflow_model_optimization as tfmot

        from jobs.fit import Training
        from jobs.optimizers import optimizer_of

        end = max(1, int(context.train_steps * 0.75))
        every = max(1, min(100, end // 10))
        end -= end % every  # the schedule reaches its sparsity only if a mask update falls on its last step
        sparsity = tfmot.sparsity.keras
        schedule = (
            sparsity.PolynomialDecay(0.0, self.sparsity, begin_step=0, end_step=end, frequency=every)
            if self.ramp == "polynomial"
            else sparsity.ConstantSparsity(self.sparsity, begin_step=0, frequency=every)
        )
        wrapped = _wrap(model, schedule)
        layers = [layer for layer in wrapped.layers if _is_wrapped(layer)]
        for layer in layers:
            _mask_as_kept(layer)

        def advance(train_step: Any) -> None:
            for layer in layers:
                layer.pruning_step.assign(tf.cast(train_step, layer.pruning_step.dtype))

        def updates_masks(train_step: int) -> bool:  # the wrapper counts from one
            return (train_step + 1) % every == 0 and (train_step < end or self.ramp == "constant")

        optimizer = optimizer_of(self, context.train_steps)
        return Training(wrapped, optimizer, self.seed, before_step=[advance], alone=updates_masks)

    def finish(self, training: Training) -> dict[str, Any]:
        """Apply the masks and return the weights of the layers inside the wrappers."""
        weights: dict[str, Any] = {}
        for layer in training.model.layers:
            if _is_wrapped(layer):
                weights.update(weights_of(layer.layer))
                for variable, mask, _ in layer.pruning_vars:
                    weights[name_of(variable)] = variable.numpy() * mask.numpy()
            else:
                weights.update(weights_of(layer))
        return weights

    def promise(self, before: Mapping[str, Any], after: Mapping[str, Any], file: bytes | None) -> Iterator[Finding]:
        """Check that every kernel has at least the promised share of zeros, to within one weight and ties."""
        for name, value in after.items():
            if _prunable(name, value):
                zeros = float((value == 0).mean())
                yield Finding(
                    technique="prune",
                    what="sparsity",
                    layer=name.rsplit("/", 1)[0],
                    promised=f">= {self.sparsity:g}",
                    measured=f"{zeros:.4f}",
                    kept=zeros >= self.sparsity - max(SPARE_WEIGHTS / value.size, SPARE_SHARE),
                )


def _prunable(name: str, value: Any) -> bool:
    """Say whether a weight is pruned: kernels and embeddings; not biases, normalisation or depthwise kernels."""
    return name.rsplit("/", 1)[-1] in ("kernel", "embeddings") and len(value.shape) >= 2


def _is_wrapped(layer: Any) -> bool:
    from tensorflow_model_optimization.python.core.sparsity.keras.pruning_wrapper import PruneLowMagnitude

    return isinstance(layer, PruneLowMagnitude)


def _mask_as_kept(layer: Any) -> None:
    """Let masks act on variables as they are kept: in mixed precision each masking would round them to 16 bits."""
    from tf_keras.src.mixed_precision.autocast_variable import AutoCastVariable

    def kept(variable: Any) -> Any:
        return variable._variable if isinstance(variable, AutoCastVariable) else variable

    layer.pruning_obj._pruning_vars = [tuple(map(kept, parts)) for parts in layer.pruning_vars]


def _wrap(model: Any, schedule: Any) -> Any:
    """Return `model` with a pruning wrapper around each layer that has a kernel; weights are shared, not copied."""
    import tensorflow_model_optimization as tfmot
    import tf_keras as keras

    def around(layer: Any) -> Any:
        if any(_prunable(name_of(v), v) for v in layer.trainable_weights):
            return tfmot.sparsity.keras.prune_low_magnitude(layer, pruning_schedule=schedule)
        return layer

    return keras.models.clone_model(model, clone_function=around)
