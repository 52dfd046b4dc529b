"""Quantization: fewer bits for weights and activations, after training or, with `aware`, also in a fine-tuning."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal, Self

from pydantic import Field, model_validator
from pydantic_core import PydanticCustomError

from jobs.artifacts import Finding
from jobs.exporting.forms import Skipped
from jobs.models.backbone import Backbone
from jobs.recipe import Recipe
from jobs.strategies.strategy import Strategy
from jobs.techniques.technique import Context, Technique

if TYPE_CHECKING:
    from jobs.fit import Training

LEAST = 1024  # elements; the converter leaves smaller tensors as they are, where that is faster
STORED = {"float16": "float16", "dynamic": "int8", "int8": "int8", "int16x8": "int8", "int4": "int4"}
BITS = {"dynamic": 8, "int8": 8, "int16x8": 8, "int4": 4}  # of weights
FOUR_BITS = ("CONV_2D", "FULLY_CONNECTED", "EMBEDDING_LOOKUP")  # operators of LiteRT that take int4 weights
WIDE = ("CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED")  # that take int8 weights beside int16 activations
READERS = {"int4": FOUR_BITS, "int16x8": WIDE}  # of the weights a scheme is about; of all others, of any
CALIBRATED = ("int8", "int16x8")
LARGEST = 65_504.0  # of float16


class Quantize(Recipe, Technique):
    """Store weights (`float16`, `dynamic`, `int4`) or weights and activations (`int8`, `int16x8`) in fewer bits.

    `int8` and `int16x8` set their ranges on `calibration` rows of the training split. With `int8`, images are then
    taken as `uint8` pixels, each standing for itself, whichever of 0…255 the calibration rows hold. `int4` is made by
    ai-edge-quantizer: convolutions and dense layers, weights alone. In `int4` and `int16x8` embeddings have no operator
    and stay float.

    With `aware` the model is fine-tuned first with rounded weights (for `int8`, activations too). What techniques
    before it left is kept: zeros of a pruning, shared values, or both, unless `preserve` is false.
    """

    kind: Literal["quantize"] = "quantize"
    shapes_file: ClassVar[bool] = True
    whole: ClassVar[bool] = True
    scheme: Literal["float16", "dynamic", "int8", "int16x8", "int4"] = "int8"
    calibration: Annotated[int, Field(ge=1, le=100_000, description="Rows the ranges are set on")] = 256
    per_channel: Annotated[bool, Field(description="A scale for each output channel of a kernel, else one for all")] = (
        True
    )
    aware: Annotated[bool, Field(description="Fine-tune with rounded weights first")] = False
    preserve: Annotated[bool, Field(description="Keep zeros and shared values while fine-tuning")] = True
    epochs: Annotated[int, Field(ge=1, le=100_000)] = 4

    @model_validator(mode="after")
    def _only_aware_trains(self) -> Self:
        if self.aware and self.scheme == "float16":
            raise PydanticCustomError("aware", "has nothing to learn with float16, which rounds by a ten-thousandth")
        fields = {*Recipe.model_fields, "preserve"}
        said = [n for n in sorted(fields) if getattr(self, n) != type(self).model_fields[n].default]
        if said and not self.aware:
            raise PydanticCustomError("aware", "sets {fields} and does not train; add aware: true", {"fields": said[0]})
        if self.scheme == "int4" and not self.per_channel:
            raise PydanticCustomError("per_channel", "of int4 is always true")
        return self

    def recipe(self) -> Recipe | None:
        """Return the fine-tuning's recipe, if there is one."""
        return self if self.aware else None

    def calibrates(self) -> int:
        """Return `calibration` where ranges are set."""
        return self.calibration if self.scheme in CALIBRATED else 0

    def takes_whole(self) -> bool:
        """Say whether it builds nothing around layers: only a fine-tuning does."""
        return not self.aware

    def legal(self, before: Sequence[Technique], backbone: Backbone, strategy: Strategy) -> Iterator[str]:
        """Refuse a second quantization."""
        if any(isinstance(technique, Quantize) for technique in before):
            yield "the chain quantizes already; choose one scheme"

    def unfit(self, backbone: Backbone) -> Iterator[str]:
        """Refuse int16 activations behind token ids: embeddings stay float, and the converter finds no range of ids."""
        yield from super().unfit(backbone)
        if self.scheme == "int16x8" and backbone.modality == "text":
            yield "int16x8 keeps embeddings float, and the converter cannot calibrate token ids; take int8 or dynamic"

    def uncarried(self) -> Iterator[str]:
        """Refuse fine-tuning, as any, and ranges: only clients read the rows they are set on."""
        yield from super().uncarried()
        if self.calibrates():
            yield "sets its ranges on training rows, which only clients read; quantize in a step of another strategy"

    def prepare(self, model: Any, context: Context) -> Training:
        """Put rounding around the layers, and around that what stood before in the chain."""
        from jobs.fit import Training
        from jobs.optimizers import optimizer_of
        from jobs.tuning.fake_quantization import made_aware, watch

        chain = context.chain if self.preserve else ()
        zeros = any(technique.zeroes for technique in chain)
        clusters = max((technique.most_values() for technique in chain), default=0) or None
        activations = self.scheme == "int8"
        wrapped = made_aware(model, BITS[self.scheme], self.per_channel, activations, (zeros, clusters))
        if activations:
            assert context.calibration is not None, "a chain brings rows to calibrate with"
            watch(wrapped, context.calibration(self.calibration))
        return Training(wrapped, optimizer_of(self, context.train_steps), self.seed)

    def finish(self, training: Training) -> dict[str, Any]:
        """Return the weights, not rounded, in the patterns that were to be kept."""
        from jobs.tuning.keeping import kept_weights

        return kept_weights(training.model)

    def lower(self, converter: Any, context: Context) -> None:
        """Set the converter's options for the scheme."""
        import tensorflow as tf

        if self.scheme == "int4":
            return
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
        if self.scheme == "float16":
            converter.target_spec.supported_types = [tf.float16]
        converter._experimental_disable_per_channel = not self.per_channel
        converter._experimental_disable_per_channel_quantization_for_dense_layers = not self.per_channel
        if self.calibrates():
            self._calibrate(converter, context)

    def _calibrate(self, converter: Any, context: Context) -> None:
        import tensorflow as tf

        from jobs.runtime.inputs import each, singles

        ops = tf.lite.OpsSet
        assert context.calibration is not None, "a chain that makes a file brings rows to calibrate with"
        rows = [*singles(context.calibration(self.calibration))]
        if self.scheme == "int16x8":  # what has no such operator stays float
            wide = ops.EXPERIMENTAL_TFLITE_BUILTINS_ACTIVATIONS_INT16_WEIGHTS_INT8
            converter.target_spec.supported_ops = [wide, ops.TFLITE_BUILTINS]
        else:
            converter.target_spec.supported_ops = [ops.TFLITE_BUILTINS_INT8]
            if "image" in context.modality:  # token ids stay int32
                rows.append(each(rows[0], _spanning))
                converter.inference_input_type = tf.uint8
        # Two inputs go by name: the converter orders them as it likes.
        converter.representative_dataset = lambda: (x if isinstance(x, dict) else [x] for x in rows)

    def rework(self, file: bytes, context: Context) -> bytes:
        """Return the float file with int4 weights, where that is the scheme."""
        if self.scheme != "int4":
            return file
        from jobs.exporting.four_bits import four_bits

        return four_bits(file, FOUR_BITS)

    def skips(self, model: Any, file: bytes) -> Iterator[Skipped]:
        """Name what stays float in the file, and what was not rounded while training."""
        from jobs.convert import float_weights, layer_of

        names = [layer.name for layer in model.layers]
        why = f"has no operator with {STORED[self.scheme]} weights: its weights stay float32 in the file"
        for tensor in float_weights(file, LEAST):
            yield Skipped(layer=layer_of(tensor, names), why=why)
        if self.aware:
            from jobs.tuning.fake_quantization import untrained

            for name, kind in untrained(model):
                text = f"{kind} has no scheme to train rounded with: it is quantized after the training, if at all"
                yield Skipped(layer=name, why=text)

    def promise(self, before: Mapping[str, Any], after: Mapping[str, Any], file: bytes | None) -> Iterator[Finding]:
        """Check that the file really holds its weights in the promised type, and takes pixels as they are."""
        from jobs.convert import pixel_scales, weight_bytes_by_type

        if file is None:
            return
        if self.scheme == "float16":
            yield from _fitting(after)
        wanted = STORED[self.scheme]
        by_type = weight_bytes_by_type(file, LEAST, READERS.get(self.scheme))
        share = by_type.get(wanted, 0) / sum(by_type.values()) if by_type else 1.0
        yield Finding(
            technique="quantize",
            what=f"share in {wanted} of the bytes of weights with {LEAST} elements or more",
            promised=">= 0.9",
            measured=f"{share:.3f}",
            kept=share >= 0.9,
        )
        for name, found in pixel_scales(file).items():
            yield Finding(
                technique="quantize",
                what="(scale, zero point) of its pixels",
                layer=name,
                promised="(1.0, 0)",
                measured=str(found),
                kept=found == (1.0, 0),
            )


def _fitting(weights: Mapping[str, Any]) -> Iterator[Finding]:
    """Check that float16 holds the largest weight: what is beyond would become infinite."""
    largest, name = max((float(abs(value).max()), name) for name, value in weights.items() if value.size)
    yield Finding(
        technique="quantize",
        what="largest weight",
        layer=name.rsplit("/", 1)[0],
        promised=f"<= {LARGEST:g}",
        measured=f"{largest:g}",
        kept=largest <= LARGEST,
    )


def _spanning(part: Any) -> Any:
    """Return a row of pixels with one pixel at each end of 0…255, which the converter scales its input by."""
    if part.dtype.kind != "f":
        return part
    row = part.copy()
    row.flat[0], row.flat[-1] = 0, 255
    return row
