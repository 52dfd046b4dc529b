"""The fusion of an image and a text backbone: what is refused, what its layers are called, what they compute."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytest
from numpy.typing import NDArray
from pydantic import ValidationError

from cluster.folder import Folder
from jobs.artifacts import Dataset
from jobs.data.preprocess import ImageAndText, ImagePixels, Preprocess, WordPieces
from jobs.models import Backbone
from jobs.models.model import ModelSpec, build, build_to_train, frozen_backbone, weights_of
from tests.jobs.models.making import hugging_face
from tests.rig import TINY

pytestmark = pytest.mark.training

TEXT: dict[str, Any] = {"kind": "text_cnn", "vocabulary": 100, "length": 5, "width": 4, "filters": 4, "kernels": [2]}
PREPROCESS = ImageAndText(image=ImagePixels(height=8, width=8, channels=1), text=WordPieces(length=5, vocabulary=100))


class ToyPooled(Backbone):
    """Words, averaged; its layers are named as an image backbone names its own, and it starts from weights."""

    kind: Literal["toy_pooled"] = "toy_pooled"
    modality = "text"
    weights: str = "toy.npz"

    def inputs(self) -> list[str]:
        return [self.weights]

    def located(self, root: Path) -> ToyPooled:
        return self.model_copy(update={"weights": str(root / self.weights)})

    def pretrained(self, preprocess: Preprocess) -> Mapping[str, NDArray[Any]]:
        return {"stem/embeddings": np.full((100, 4), 7, np.float32)}

    def features(self, inputs: Any, preprocess: Preprocess, seed: int) -> Any:
        import tf_keras as keras

        x = keras.layers.Embedding(100, 4, name="stem")(inputs)
        return keras.layers.GlobalAveragePooling1D(name="pool")(x)


def spec(**fields: Any) -> ModelSpec:
    return ModelSpec.model_validate({"backbone": {"kind": "fusion", "image": TINY, "text": TEXT, **fields}})


def rows(count: int = 6) -> dict[str, Any]:
    random = np.random.default_rng(0)
    image = random.integers(0, 256, (count, 8, 8, 1)).astype(np.float32)
    return {"image": image, "tokens": random.integers(0, 100, (count, 5)).astype(np.int32)}


@pytest.mark.parametrize(
    ("fields", "place", "message"),
    [
        ({"image": TEXT}, ("backbone", "image"), "reads text rows where a backbone of image rows belongs"),
        ({"text": TINY}, ("backbone", "text"), "reads image rows where a backbone of text rows belongs"),
        (
            {"text": {"kind": "fusion", "image": TINY, "text": TEXT}},
            ("backbone", "text"),
            "reads image_text rows where a backbone of text rows belongs",
        ),
        (
            {"image": {"kind": "hub", "module": "there", "reads": "image"}},
            ("backbone", "image"),
            "is kept whole: its layers cannot be built into another model",
        ),
        ({"width": 0}, ("backbone", "width"), "Input should be greater than or equal to 1"),
        ({"modality_dropout": 1.0}, ("backbone", "modality_dropout"), "Input should be less than 1"),
    ],
)
def test_backbones_of_the_wrong_modality_are_refused(
    fields: dict[str, Any], place: tuple[str, ...], message: str
) -> None:
    with pytest.raises(ValidationError) as caught:
        spec(**fields)
    (error,) = caught.value.errors()
    assert (error["loc"], error["msg"]) == (place, message)


@pytest.mark.parametrize("fields", [{}, {"width": 6}, {"fusion": "gated", "width": 6}])
def test_weights_go_by_the_same_names_in_every_process(fields: dict[str, Any]) -> None:
    first, again = (build(spec(**fields), PREPROCESS, 3, seed=2) for _ in range(2))
    assert weights_of(first).keys() == weights_of(again).keys()
    assert {name.split("_")[0].split("/")[0] for name in weights_of(first)} <= {"image", "text", "joint", "logits"}
    assert "image_stem/kernel" in weights_of(first)
    np.testing.assert_array_equal(first(rows()), again(rows()))
    assert (first(rows()).numpy() != build(spec(**fields), PREPROCESS, 3, seed=3)(rows()).numpy()).any()


TEXTS = {
    "text_cnn": TEXT,
    "embedding_bag": {"kind": "embedding_bag"},
    "bert": {"kind": "bert", "layers": 1, "width": 8, "heads": 2, "feed_forward": 12, "length": 5},
}


@pytest.mark.parametrize("text", TEXTS)
def test_each_part_is_the_backbone_alone(text: str) -> None:
    import tf_keras as keras

    fused = spec(text=TEXTS[text])
    whole = build(fused, PREPROCESS, 3, seed=2)
    joined = keras.Model(whole.input, whole.get_layer("joint_both").output)(rows()).numpy()
    alone = []
    for name, part in (("image", PREPROCESS.image), ("text", PREPROCESS.text)):
        backbone = getattr(fused.backbone, name)
        model = build(ModelSpec(backbone=backbone), part, 3, seed=2)
        features = keras.Model(model.input, model.layers[-1].input)
        alone.append(features(rows()[part.input_name]).numpy())
    np.testing.assert_array_equal(joined, np.concatenate(alone, 1))


def test_the_gate_is_that_of_the_paper() -> None:
    import tf_keras as keras

    model = build(spec(fusion="gated", width=6), PREPROCESS, 3)
    weights = weights_of(model)
    outputs = [model.get_layer(name).output for name in ("image_pool", "text_conv2_pool", "joint_mixed")]
    image, text, mixed = (part.numpy() for part in keras.Model(model.input, outputs)(rows()))
    gate = 1 / (1 + np.exp(-np.concatenate([image, text], 1) @ weights["joint_gate/kernel"]))
    from_image, from_text = (np.tanh(x @ weights[f"joint_{n}/kernel"]) for x, n in ((image, "image"), (text, "text")))
    np.testing.assert_allclose(mixed, gate * from_image + (1 - gate) * from_text, atol=1e-5)


def test_pretrained_weights_of_a_part_whose_layers_are_named_alike_find_their_place(tmp_path: Path) -> None:
    fused = spec(text={"kind": "toy_pooled"})
    assert fused.backbone.inputs() == ["toy.npz"]
    assert fused.backbone.located(Path("/there")).inputs() == ["/there/toy.npz"]
    weights = weights_of(build_to_train(fused, PREPROCESS, 3, 0, tmp_path))
    assert (weights["text_stem/embeddings"] == 7).all()
    assert weights["image_stem/kernel"].std() > 0.01
    assert spec().backbone.pretrained(PREPROCESS) is None


def test_a_pretrained_bert_brings_its_weights_and_its_tokenizer(pairs: Folder, tmp_path: Path) -> None:
    hf, dataset = str(hugging_face(tmp_path / "hf")), Dataset.load(pairs)
    fused = spec(text={"kind": "bert", "weights": hf, "length": 12})
    folders = {name: tmp_path / name for name in ("fused", "alone")}
    for folder in folders.values():
        folder.mkdir()
    preprocess = fused.backbone.preprocess(dataset, folders["fused"])
    own = ModelSpec.model_validate({"backbone": fused.backbone.model_dump()["text"]})
    alone = own.backbone.preprocess(dataset, folders["alone"])
    assert isinstance(preprocess, ImageAndText)
    assert preprocess.text == alone
    assert [(folders["fused"] / name).read_bytes() for name in preprocess.files()] == [
        (folders["alone"] / name).read_bytes() for name in alone.files()
    ]
    found = weights_of(build_to_train(fused, preprocess, 3, 0, folders["fused"]))
    for name, value in weights_of(build_to_train(own, alone, 3, 0, folders["alone"])).items():
        if not name.startswith("logits"):
            np.testing.assert_array_equal(found[f"text_{name}"], value)


def test_what_joins_the_parts_learns_while_they_are_frozen() -> None:
    model = build(spec(fusion="gated", width=6), PREPROCESS, 3)
    with frozen_backbone(model):
        learning = {variable.name.split("/")[0] for variable in model.trainable_variables}
    assert learning == {"joint_image", "joint_text", "joint_gate", "logits"}


def test_a_row_loses_one_modality_or_none_and_the_key_alone_decides() -> None:
    import tensorflow as tf

    from jobs.models.joining import ModalityDropout
    from jobs.models.layers import draws

    layer = ModalityDropout(0.4, name="modality_dropout")

    def dropped(train_step: int) -> Any:
        with draws(tf.constant(train_step, tf.int64), tf.constant(0), 0):
            return [part.numpy() for part in layer([tf.ones([4_000, 3]), tf.ones([4_000, 2])], training=True)]

    image, text = dropped(3)
    assert (image == image[:, :1]).all()
    assert (text == text[:, :1]).all()
    lost = [float((part[:, 0] == 0).mean()) for part in (image, text)]
    assert lost == pytest.approx([0.2, 0.2], abs=0.03)
    assert not ((image[:, 0] == 0) & (text[:, 0] == 0)).any()
    np.testing.assert_array_equal(image, dropped(3)[0])
    assert (image != dropped(4)[0]).any()
    assert all((part.numpy() == 1).all() for part in layer([tf.ones([9, 3]), tf.ones([9, 2])], training=False))
    assert ModalityDropout.from_config(layer.get_config()).rate == 0.4
