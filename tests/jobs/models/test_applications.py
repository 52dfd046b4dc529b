"""Backbones of `tf_keras.applications`: weights files of the original give the original's features."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from cluster.errors import RequestError, StepError
from cluster.folder import Folder
from jobs.artifacts import Dataset
from jobs.data.preprocess import ImagePixels
from jobs.models import Backbone
from jobs.models.model import ModelSpec, build, build_to_train, weights_of
from pipelines.language.mistakes import DefinitionError
from pipelines.load import load

pytestmark = pytest.mark.training

HEIGHT, WIDTH = 40, 32
RGB = ImagePixels(height=HEIGHT, width=WIDTH, channels=3)
SMALL = {"kind": "mobilenet_v2", "alpha": 0.35}
BACKBONES: dict[str, dict[str, Any]] = {
    "mobilenet_v2": SMALL,
    "resnet50": {"kind": "resnet50"},
    "resnet50_v2": {"kind": "resnet50_v2"},
    "efficientnet_b0": {"kind": "efficientnet_b0", "stochastic_depth": 0.0},
}


def original(kind: str, **options: Any) -> tuple[Any, Any]:
    """Return the Keras application of `kind` with drawn statistics, and its own preprocessing."""
    import tf_keras as keras

    applications = keras.applications
    make, module = {
        "mobilenet_v2": (applications.MobileNetV2, applications.mobilenet_v2),
        "resnet50": (applications.ResNet50, applications.resnet50),
        "resnet50_v2": (applications.ResNet50V2, applications.resnet_v2),
        "efficientnet_b0": (applications.EfficientNetB0, applications.efficientnet),
    }[kind]
    if kind == "mobilenet_v2":
        options = {"alpha": 0.35} | options
    chosen = {"include_top": False, "pooling": "avg", "input_shape": (HEIGHT, WIDTH, 3)} | options
    model = make(weights=None, **chosen)
    draw = np.random.default_rng(5)
    for layer in model.layers:
        if isinstance(layer, keras.layers.BatchNormalization | keras.layers.Normalization):
            drawn = [w + np.abs(draw.normal(0, 0.1, w.shape)) if w.ndim else w for w in layer.get_weights()]
            layer.set_weights(drawn)
    return model, module.preprocess_input


@pytest.fixture(scope="module")
def photographs() -> Any:
    """Return real photographs, `float32[2, height, width, 3]` of values 0…255."""
    from sklearn.datasets import load_sample_images

    images = [Image.fromarray(image).resize((WIDTH, HEIGHT)) for image in load_sample_images().images]
    return np.stack([np.asarray(image) for image in images]).astype(np.float32)


def features(fields: dict[str, Any], pixels: Any, seed: int = 0) -> Any:
    import tf_keras as keras

    to = ImagePixels(height=pixels.shape[1], width=pixels.shape[2], channels=pixels.shape[3])
    model = build_to_train(ModelSpec.model_validate({"backbone": fields}), to, 2, seed, Path())
    return keras.Model(model.input, model.layers[-2].output)(pixels, training=False).numpy()


@pytest.mark.parametrize("kind", sorted(BACKBONES))
def test_weights_of_the_original_give_its_features(kind: str, photographs: Any, tmp_path: Path) -> None:
    model, preprocess = original(kind)
    expected = model(preprocess(photographs.copy()), training=False).numpy()
    read = {}
    for name in ("w.h5", "w.weights.h5"):
        model.save_weights(tmp_path / name)
        backbone = Backbone.choose(BACKBONES[kind] | {"weights": str(tmp_path / name)})
        read[name] = backbone.pretrained(RGB)
    assert read["w.h5"] is not None
    assert read["w.weights.h5"] is not None
    assert set(read["w.h5"]) == set(read["w.weights.h5"])
    assert all(np.array_equal(array, read["w.weights.h5"][key]) for key, array in read["w.h5"].items())
    found = features(BACKBONES[kind] | {"weights": str(tmp_path / "w.h5")}, photographs)
    assert np.abs(expected).max() > 0.1
    np.testing.assert_allclose(found, expected, atol=1e-5)


@pytest.mark.filterwarnings("ignore:You are saving your model as an HDF5 file")
def test_weights_of_models_around_the_original_are_found_too(photographs: Any, tmp_path: Path) -> None:
    import tf_keras as keras

    model, _ = original("mobilenet_v2")
    around = keras.Sequential([model, keras.layers.Dense(5)])
    model.save(tmp_path / "whole.h5")
    around.save_weights(tmp_path / "around.h5")
    around.save_weights(tmp_path / "around.weights.h5")
    model.save_weights(tmp_path / "w.h5")
    expected = Backbone.choose(SMALL | {"weights": str(tmp_path / "w.h5")}).pretrained(RGB)
    assert expected is not None
    for name in ("whole.h5", "around.h5", "around.weights.h5"):
        found = Backbone.choose(SMALL | {"weights": str(tmp_path / name)}).pretrained(RGB)
        assert found is not None
        assert all(np.array_equal(array, found[key]) for key, array in expected.items()), name


def test_weights_of_an_artifact_start_another_training(photographs: Any, tmp_path: Path) -> None:
    trained = build(ModelSpec.model_validate({"backbone": {"kind": "resnet", "depth": 8}}), RGB, 7, seed=3)
    np.savez(tmp_path / "weights.npz", **weights_of(trained))
    again = features({"kind": "resnet", "depth": 8, "weights": str(tmp_path / "weights.npz")}, photographs)
    assert np.array_equal(again, features({"kind": "resnet", "depth": 8}, photographs, seed=3))


def test_a_weights_file_of_another_width_is_refused(tmp_path: Path) -> None:
    model, _ = original("mobilenet_v2", alpha=0.5)
    model.save_weights(tmp_path / "w.h5")
    with pytest.raises(RequestError) as caught:
        Backbone.choose({"kind": "mobilenet_v2", "alpha": 0.2, "weights": str(tmp_path / "w.h5")}).pretrained(RGB)
    assert str(caught.value) == f"{tmp_path}/w.h5: weight Conv1/kernel: has shape (3, 3, 3, 16), wanted (3, 3, 3, 8)"


def test_the_deviations_in_keras_imagenet_file_are_not_taken_for_variances(photographs: Any, tmp_path: Path) -> None:
    model, preprocess = original("efficientnet_b0")
    norm = next(layer for layer in model.layers if layer.name.startswith("normalization"))
    mean, deviation = np.array([0.485, 0.456, 0.406]), np.array([0.229, 0.224, 0.225])
    norm.set_weights([mean, deviation, 0])
    model.save_weights(tmp_path / "w.h5")
    norm.set_weights([mean, deviation**2, 0])  # (x - mean) / deviation, which weights="imagenet" makes of the file
    expected = model(preprocess(photographs.copy()), training=False).numpy()
    found = features({"kind": "efficientnet_b0", "weights": str(tmp_path / "w.h5")}, photographs)
    np.testing.assert_allclose(found, expected, atol=1e-5)


def test_a_backbone_is_the_same_in_every_process_and_another_by_seed() -> None:
    spec = ModelSpec.model_validate({"backbone": {"kind": "resnet50_v2"}})
    first, second, other = (weights_of(build(spec, RGB, 2, seed)) for seed in (1, 1, 2))
    assert list(first) == list(second)
    assert all(np.array_equal(first[name], second[name]) for name in first)
    assert not np.array_equal(first["conv1_conv/kernel"], other["conv1_conv/kernel"])
    layers = [layer.name for layer in build(spec, RGB, 2).layers]
    assert layers == [layer.name for layer in build(spec, RGB, 2).layers]


def test_grey_images_become_three_equal_channels(photographs: Any) -> None:
    grey = photographs[..., :1]
    assert np.array_equal(features(SMALL, grey), features(SMALL, np.repeat(grey, 3, -1)))


def test_blocks_left_out_at_random_depend_on_the_key_alone(photographs: Any) -> None:
    from jobs.models.layers import draws

    fields = {"kind": "efficientnet_b0", "stochastic_depth": 0.5}
    model = build(ModelSpec.model_validate({"backbone": fields}), RGB, 2)
    names = [layer.name for layer in model.layers if type(layer).__name__ == "StochasticDepth"]
    assert (names[0], names[-1], len(names)) == ("block2b_drop", "block6d_drop", 9)

    def trained(train_step: int) -> Any:
        for layer in model.layers:  # so that training changes nothing but what is drawn
            layer.trainable = "drop" in layer.name
        with draws(train_step, 0, 7):
            return model(photographs, training=True).numpy()

    assert np.array_equal(trained(3), trained(3))
    assert not np.array_equal(trained(3), trained(4))


def test_a_definition_of_images_that_are_too_small_is_refused(tmp_path: Path) -> None:
    steps = {
        "data": {"job": "dataset", "source": {"kind": "digits"}, "image": {"height": 24, "width": 40}},
        "model": {"job": "train", "data": "data", "model": {"backbone": {"kind": "mobilenet_v2"}}},
    }
    (tmp_path / "small.yaml").write_text(json.dumps({"name": "small", "steps": steps}))
    text = r"steps\.model\.model\.backbone: reads images of 32 pixels a side or more, but step 'data' makes some of 24"
    with pytest.raises(DefinitionError, match=text):
        load(tmp_path / "small.yaml")


def test_images_that_are_too_small_are_refused(digits: Folder, tmp_path: Path) -> None:
    for kind in BACKBONES:
        with pytest.raises(StepError) as caught:
            Backbone.choose({"kind": kind}).preprocess(Dataset.load(digits), tmp_path)
        assert str(caught.value) == (
            "the data set: holds images of 8x8, wanted 32x32 or larger for this backbone; "
            "set image: {height: 32, width: 32} in its step"
        )
