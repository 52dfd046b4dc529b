"""Magnitude pruning: the smallest weights are set to zero while the rest goes on training (Zhu & Gupta, 2017)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal, Self

from pydantic import Field, model_validator
from pydantic_core import PydanticCustomError

from jobs.artifacts import Finding
from jobs.models.backbone import Backbone
from jobs.models.model import weights_of
from jobs.models.weights.wholes import name_of
from jobs.recipe import Recipe
from jobs.strategies.strategy import Strategy
from jobs.techniques import patterns
from jobs.techniques.technique import Context, Technique

if TYPE_CHECKING:
    from jobs.fit import Training


# Weights as large as the last that is kept are kept too: float32 draws millions of them with a few ties.
SPARE_WEIGHTS, SPARE_SHARE = 1.5, 1e-5

LATER = {"reached"}  # fields that older artifacts do not have


class Prune(Recipe, Technique):
    """`sparsity` of each kernel's weights become zero, by TFMOT's schedule and masks, wherever they are smallest.

    `m_by_n` zeroes m of every n weights along the input axis of dense layers and two-dimensional convolutions (Mishra
    et al., 2021), `block` whole blocks of dense kernels and embeddings. Zeros compress (gzip, sparse formats); none of
    the patterns makes anything faster on a CPU: structured pruning does.
    """

    kind: Literal["prune"] = "prune"
    zeroes: ClassVar[bool] = True
    sparsity: Annotated[float, Field(gt=0, lt=1, description="Share of zeros in every pruned kernel")] = 0.5
    pattern: Literal["unstructured", "m_by_n", "block"] = "unstructured"
    m_by_n: Annotated[
        list[Annotated[int, Field(ge=1, le=64)]],
        Field(min_length=2, max_length=2, description="Zeros, and of how many weights in a row; [2, 4]"),
    ] = [2, 4]
    block: Annotated[
        list[Annotated[int, Field(ge=1, le=64)]],
        Field(min_length=2, max_length=2, description="Inputs and outputs of a block; [4, 4]"),
    ] = [4, 4]
    ramp: Literal["polynomial", "constant"] = "polynomial"
    reached: Annotated[
        float, Field(gt=0, le=1, description="Share of the train steps after which a polynomial ramp is at sparsity")
    ] = 0.75
    epochs: Annotated[int, Field(ge=1, le=100_000)] = 4

    @model_validator(mode="after")
    def _the_pattern_says_how_many(self) -> Self:
        fields, said = type(self).model_fields, self.model_fields_set
        if said >= set(fields) - LATER:  # written out in full, as trials and artifacts have it
            said = {name for name, field in fields.items() if getattr(self, name) != field.default}
        zeros, of = self.m_by_n
        if zeros >= of:
            raise PydanticCustomError("pattern", f"zeroes {zeros} of every {of} weights, and some must be left")
        for name in ("m_by_n", "block"):
            if name in said and self.pattern != name:
                raise PydanticCustomError("pattern", f"sets {name}, which only pattern: {name} has")
        if self.pattern == "m_by_n" and {"sparsity", "ramp", "reached"} & said:
            raise PydanticCustomError(
                "pattern", "sets sparsity, ramp or reached, but m_by_n says how many are zero from the start"
            )
        if self.ramp == "constant" and "reached" in said:
            raise PydanticCustomError("ramp", "sets reached, but a constant ramp is at its sparsity from the start")
        return self

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
        if self.pattern == "block" and backbone.modality == "image":
            yield "blocks are of matrices, and image backbones are of convolutions; take prune_structured"

    def prepare(self, model: Any, context: Context) -> Training:
        """Wrap every kernel in TFMOT's pruning wrapper; masks are updated until the ramp is at its end."""
        import tensorflow as tf
        import tensorflow_model_optimization as tfmot

        from jobs.fit import Training
        from jobs.optimizers import optimizer_of

        end = max(1, int(context.train_steps * self.reached))
        every = max(1, min(100, end // 10))
        end -= end % every  # the schedule reaches its sparsity only if a mask update falls on its last step
        sparsity = tfmot.sparsity.keras
        schedule = (
            sparsity.PolynomialDecay(0.0, self.sparsity, begin_step=0, end_step=end, frequency=every)
            if self._rises()
            else sparsity.ConstantSparsity(self.sparsity, begin_step=0, frequency=every)
        )
        wrapped = self._wrapped(model, schedule)
        layers = [layer for layer in wrapped.layers if _is_wrapped(layer)]
        for layer in layers:
            _mask_as_kept(layer)

        def advance(train_step: Any) -> None:
            for layer in layers:
                layer.pruning_step.assign(tf.cast(train_step, layer.pruning_step.dtype))

        def updates_masks(train_step: int) -> bool:  # the wrapper counts from one
            return (train_step + 1) % every == 0 and (train_step < end or not self._rises())

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
        """Check that every kernel has the promised share of zeros, to within one of them and ties, in the pattern."""
        judged = [(name.rsplit("/", 1)[0], self._judged(v)) for name, v in after.items() if self._prunes(name, v)]
        for layer, (what, promised, measured, kept) in judged:
            yield Finding(technique="prune", what=what, layer=layer, promised=promised, measured=measured, kept=kept)
        if file is not None and self.pattern == "unstructured":
            yield from self._in_file(file, [layer for layer, _ in judged])
        if not judged:
            yield Finding(technique="prune", what="kernels in the pattern", promised=">= 1", measured="0", kept=False)

    def _in_file(self, file: bytes, layers: Sequence[str]) -> Iterator[Finding]:
        """Check that the zeros of every pruned kernel are zeros in the file too."""
        from jobs.convert import kernels_in, layer_of

        for tensor in kernels_in(file):
            if (layer := layer_of(tensor.name, layers)) in layers:
                share = tensor.zeros()
                kept = share >= self.sparsity - max(SPARE_WEIGHTS / tensor.elements, SPARE_SHARE)
                what, promised = "sparsity in the file", f">= {self.sparsity:g}"
                yield Finding(
                    technique="prune", what=what, layer=layer, promised=promised, measured=f"{share:.4f}", kept=kept
                )

    def _judged(self, value: Any) -> tuple[str, str, str, bool]:
        """Return what of a kernel is judged, what was promised and measured of it, and whether it was kept."""
        if self.pattern == "m_by_n":
            zeros, of = self.m_by_n
            most = patterns.most_left(value, of)
            return f"weights left of each {of} inputs", f"<= {of - zeros}", str(most), most <= of - zeros
        height, width = self.block if self.pattern == "block" else (1, 1)
        share, blocks = patterns.zero_share(value, height, width)
        what = "sparsity" if self.pattern == "unstructured" else "share of blocks that are zero"
        least = self.sparsity - max(SPARE_WEIGHTS / blocks, SPARE_SHARE)
        return what, f">= {self.sparsity:g}", f"{share:.4f}", share >= least

    def _rises(self) -> bool:
        return self.ramp == "polynomial" and self.pattern != "m_by_n"

    def _prunes(self, name: str, value: Any) -> bool:
        """Say whether a weight is pruned: kernels and embeddings; not biases, normalisation or depthwise kernels.

        TFMOT knows m by n of kernels of two or four axes, and blocks of matrices that are larger than one both ways.
        """
        axes, part = len(value.shape), name.rsplit("/", 1)[-1]
        if self.pattern == "m_by_n":
            return part == "kernel" and axes in (2, 4)
        if self.pattern == "block":
            larger = axes == 2 and all(size > one for size, one in zip(value.shape, self.block, strict=True))
            return part in ("kernel", "embeddings") and larger
        return part in ("kernel", "embeddings") and axes >= 2

    def _wrapped(self, model: Any, schedule: Any) -> Any:
        """Return `model` with a pruning wrapper around each layer that is pruned; weights are shared, not copied."""
        import tensorflow_model_optimization as tfmot
        import tf_keras as keras

        options = {
            "unstructured": {},
            "m_by_n": {"sparsity_m_by_n": tuple(self.m_by_n)},
            "block": {"block_size": tuple(self.block)},
        }[self.pattern]

        def around(layer: Any) -> Any:
            if any(self._prunes(name_of(v), v) for v in layer.trainable_weights):
                return tfmot.sparsity.keras.prune_low_magnitude(layer, pruning_schedule=schedule, **options)
            return layer

        return keras.models.clone_model(model, clone_function=around)


def _is_wrapped(layer: Any) -> bool:
    from tensorflow_model_optimization.python.core.sparsity.keras.pruning_wrapper import PruneLowMagnitude

    return isinstance(layer, PruneLowMagnitude)


def _mask_as_kept(layer: Any) -> None:
    """Let masks act on variables as they are kept: in mixed precision each masking would round them to 16 bits."""
    from tf_keras.src.mixed_precision.autocast_variable import AutoCastVariable

    def kept(variable: Any) -> Any:
        return variable._variable if isinstance(variable, AutoCastVariable) else variable

    layer.pruning_obj._pruning_vars = [tuple(map(kept, parts)) for parts in layer.pruning_vars]
