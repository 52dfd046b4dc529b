"""Post-training quantization by the LiteRT converter: float16, dynamic-range int8, full int8 with calibration rows."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field

from jobs.artifacts import Finding
from jobs.models.backbone import Backbone
from jobs.strategies.strategy import Strategy
from jobs.techniques.technique import Context, Technique

LEAST = 1024  # elements; the converter leaves smaller tensors as they are, where that is faster


class Quantize(Technique):
    """Store weights (`float16`, `dynamic`) or weights and activations (`int8`) in fewer bits.

    `int8` sets its ranges on `calibration` rows of the training split; images are then taken as `uint8` pixels,
    each standing for itself, whichever of 0…255 the calibration rows hold.
    """

    kind: Literal["quantize"] = "quantize"
    shapes_file: ClassVar[bool] = True
    whole: ClassVar[bool] = True
    scheme: Literal["float16", "dynamic", "int8"] = "int8"
    calibration: Annotated[int, Field(ge=1, le=100_000, description="Rows the ranges are set on")] = 256

    def legal(self, before: Sequence[Technique], backbone: Backbone, strategy: Strategy) -> Iterator[str]:
        """Refuse a second quantization."""
        if any(isinstance(technique, Quantize) for technique in before):
            yield "the chain quantizes already; choose one scheme"

    def uncarried(self) -> Iterator[str]:
        """Refuse ranges: only clients read the rows they are set on."""
        if self.scheme == "int8":
            yield "sets its ranges on training rows, which only clients read; quantize in a step of another strategy"

    def lower(self, converter: Any, context: Context) -> None:
        """Set the converter's options for the scheme."""
        import tensorflow as tf

        from jobs.runtime.inputs import each, singles

        converter.optimizations = [tf.lite.Optimize.DEFAULT]
        if self.scheme == "float16":
            converter.target_spec.supported_types = [tf.float16]
        if self.scheme == "int8":
            assert context.calibration is not None, "a chain that makes a file brings rows to calibrate with"
            rows = [*singles(context.calibration(self.calibration))]
            if "image" in context.modality:  # token ids stay int32
                rows.append(each(rows[0], _spanning))
                converter.inference_input_type = tf.uint8
            # Two inputs go by name: the converter orders them as it likes.
            converter.representative_dataset = lambda: (x if isinstance(x, dict) else [x] for x in rows)
            converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]

    def promise(self, before: Mapping[str, Any], after: Mapping[str, Any], file: bytes | None) -> Iterator[Finding]:
        """Check that the file really holds its weights in the promised type, and takes pixels as they are."""
        from jobs.convert import pixel_scales, weight_bytes_by_type

        if file is None:
            return
        by_type = weight_bytes_by_type(file, LEAST)
        wanted = "float16" if self.scheme == "float16" else "int8"
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


def _spanning(part: Any) -> Any:
    """Return a row of pixels with one pixel at each end of 0…255, which the converter scales its input by."""
    if part.dtype.kind != "f":
        return part
    row = part.copy()
    row.flat[0], row.flat[-1] = 0, 255
    return row
