"""What int8 files take as pixels, whatever the calibration rows hold."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from jobs.convert import kernels_in, pixel_scales, to_litert
from jobs.runtime.inputs import as_read
from jobs.runtime.runner import Runner
from jobs.techniques.quantize import Quantize
from jobs.techniques.technique import Context

pytestmark = pytest.mark.training


def dark(rows: int = 64) -> Any:
    """Return images whose pixels lie in 0…100, each with a bright stripe where its class says."""
    draws = np.random.default_rng(3)
    images = draws.integers(0, 40, (rows, 8, 8, 1))
    images[np.arange(rows), np.arange(rows) % 8] += 60
    return images.astype(np.uint8)


def striped(pairs: bool = False) -> Any:
    """Return a model that says which row of an image is the brightest; of pairs, a token adds to that."""
    import tf_keras as keras

    image = keras.Input((8, 8, 1), name="image")
    x = keras.layers.Reshape((8, 8))(keras.layers.Rescaling(1 / 255)(image))
    x = keras.layers.Dense(1, kernel_initializer="ones", name="sum")(x)
    logits = keras.layers.Flatten()(x)
    if not pairs:
        return keras.Model(image, logits)
    tokens = keras.Input((4,), dtype="int32", name="tokens")
    words = keras.layers.Flatten()(keras.layers.Embedding(50, 2)(tokens))
    return keras.Model({"image": image, "tokens": tokens}, keras.layers.Add()([logits, words]))


def lowered(model: Any, modality: str, rows: Any) -> bytes:
    context = Context([], modality, calibration=lambda count: as_read(rows))
    return to_litert(model, lambda converter: Quantize().lower(converter, context))


def pixel_findings(file: bytes) -> list[tuple[str, str, bool]]:
    found = [
        finding for finding in Quantize().promise({}, {}, file) if finding.what == "(scale, zero point) of its pixels"
    ]
    return [(finding.promised, finding.measured, finding.kept) for finding in found]


def test_calibrated_on_dark_images_a_file_takes_pixels_as_they_are(tmp_path: Path) -> None:
    images, model = dark(), striped()
    (tmp_path / "model.tflite").write_bytes(file := lowered(model, "image", images))
    found = Runner(tmp_path / "model.tflite").logits(images)
    assert (found.argmax(1) == np.arange(64) % 8).all()
    assert np.abs(found - model(as_read(images)).numpy()).max() < 0.1  # of logits up to 3
    assert pixel_findings(file) == [("(1.0, 0)", "(1.0, 0)", True)]


def test_of_pairs_the_image_takes_pixels_and_the_text_token_ids() -> None:
    rows = {"image": dark(), "tokens": np.full((64, 4), 7, np.int32)}
    file = lowered(striped(pairs=True), "image_text", rows)
    assert list(pixel_scales(file).values()) == [(1.0, 0)]


def test_a_file_that_scales_its_pixels_breaks_the_promise() -> None:
    import tensorflow as tf

    def lower(converter: Any) -> None:
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
        converter.representative_dataset = lambda: ([row[None]] for row in as_read(dark()))
        converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
        converter.inference_input_type = tf.uint8

    ((promised, measured, kept),) = pixel_findings(to_litert(striped(), lower))
    assert (promised, kept) == ("(1.0, 0)", False)
    assert measured.startswith("(0.38")


def test_a_weight_that_float16_does_not_hold_breaks_the_promise() -> None:
    weights = {"stem/kernel": np.full((3, 3), 2.0), "head/kernel": np.array([[1.0, -70_000.0]])}
    file = to_litert(striped())
    found = next(iter(Quantize(scheme="float16").promise({}, weights, file)))
    assert (found.what, found.layer, found.promised, found.measured) == ("largest weight", "head", "<= 65504", "70000")
    assert not found.kept


@pytest.mark.parametrize(("per_channel", "scales"), [(True, 6), (False, 1)])
def test_a_kernel_has_a_scale_for_each_output_or_one_for_all(per_channel: bool, scales: int) -> None:
    import tf_keras as keras

    image = keras.Input((8, 8, 1), name="image")
    model = keras.Model(image, keras.layers.Dense(6)(keras.layers.Flatten()(keras.layers.Conv2D(6, 3)(image))))
    context = Context([], "image", calibration=lambda count: as_read(dark()))
    file = to_litert(model, lambda converter: Quantize(per_channel=per_channel).lower(converter, context))
    assert [tensor.scales for tensor in kernels_in(file)] == [scales, scales]
