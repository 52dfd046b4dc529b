from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydantic import ValidationError

from cluster.errors import RequestError
from cluster.folder import Folder
from jobs.artifacts import Dataset
from jobs.data.text import Encoder
from jobs.models import Backbone
from jobs.models.checkpoint import Sizes
from jobs.models.model import ModelSpec, build_to_train, weights_of
from jobs.models.saved_model.bert_pair import fill_pair
from tests.jobs.models.making import WORDS, hugging_face, tensors


def bert(**fields: Any) -> Any:
    return Backbone.choose({"kind": "bert", **fields})


def test_sizes_are_those_of_turc_et_al_changed_by_fields() -> None:
    assert bert().sizes() == Sizes(layers=4, width=256, heads=4, feed_forward=1024)
    assert bert(size="tiny", layers=3).sizes() == Sizes(layers=3, width=128, heads=2, feed_forward=512)


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"size": "base", "weights": "hf"}, "has a size, but its weights say what it is; leave size out"),
        ({"width": 100, "heads": 3}, "width 100 is not a multiple of heads 3"),
    ],
)
def test_sizes_that_do_not_go_together_are_refused(fields: dict[str, Any], reason: str) -> None:
    with pytest.raises(ValidationError, match=reason):
        bert(**fields)


def test_a_resolved_backbone_has_the_sizes_of_its_weights_and_needs_no_folder(tmp_path: Path) -> None:
    folder = hugging_face(tmp_path / "hf", layer_norm_eps=1e-5)
    resolved = bert(weights=str(folder), length=12).resolved(tmp_path)
    assert resolved.sizes() == Sizes(layers=1, width=8, heads=2, feed_forward=12, epsilon=1e-5)
    (folder / "config.json").unlink()
    assert Backbone.choose(resolved.model_dump(mode="json")) == resolved
    assert bert(size="tiny").resolved(tmp_path).model_dump(include={"size", "layers", "width"}) == {
        "size": None, "layers": 2, "width": 128,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("fields", "message"),
    [({"layers": 2}, ": layers: is 1, wanted 2"), ({"length": 21}, ": has 20 positions, wanted length 21")],
)
def test_fields_that_contradict_the_weights_are_refused(fields: dict[str, Any], message: str, tmp_path: Path) -> None:
    folder = hugging_face(tmp_path / "hf")
    with pytest.raises(RequestError) as caught:
        bert(weights=str(folder), **({"length": 12} | fields)).resolved(tmp_path)
    assert str(caught.value) == f"{folder}{message}"


def test_weights_are_located_and_told_as_an_input(tmp_path: Path) -> None:
    placed = bert(weights="hf").located(tmp_path)
    assert placed.inputs() == [str(tmp_path / "hf")]
    assert bert(weights="s3://models/hf").located(tmp_path).inputs() == ["s3://models/hf"]
    assert bert().located(tmp_path).inputs() == []


@pytest.mark.training
def test_embeddings_filled_up_beyond_the_tokens_are_built_and_loaded(texts: Folder, tmp_path: Path) -> None:
    rows = len(WORDS) + 8 - len(WORDS) % 8
    values = tensors()
    words = np.concatenate([values["embeddings.word_embeddings.weight"], np.ones((rows - len(WORDS), 8), np.float32)])
    values["embeddings.word_embeddings.weight"] = words
    backbone = bert(weights=str(hugging_face(tmp_path / "hf", values, vocab_size=rows)), length=12)
    preprocess = backbone.preprocess(Dataset.load(texts), tmp_path)
    model = build_to_train(ModelSpec(backbone=backbone), preprocess, 2, 0, tmp_path)
    np.testing.assert_array_equal(weights_of(model)["words/embeddings"], words)
    ids = Encoder(tmp_path / "tokenizer.json", 12, framed=True).encode(["oak leaf"])
    assert model(ids).shape == (1, 2)


@pytest.mark.training
def test_sizes_that_the_weights_contradict_are_refused_before_anything_is_made_of_them(
    texts: Folder, tmp_path: Path
) -> None:
    """No memory holds a model of these sizes: TensorFlow's own error would come first."""
    width = 10**12
    backbone = bert(weights=str(hugging_face(tmp_path / "hf", hidden_size=width)), length=12)
    preprocess = backbone.preprocess(Dataset.load(texts), tmp_path)
    with pytest.raises(RequestError) as caught:
        build_to_train(ModelSpec(backbone=backbone), preprocess, 2, 0, tmp_path)
    assert str(caught.value) == (
        f"{tmp_path}/hf/model.safetensors: tensor embeddings.word_embeddings.weight: has shape [{len(WORDS)}, 8], "
        f"wanted [{len(WORDS)}, {width}]"
    )
    with pytest.raises(RequestError, match=r"tensor embeddings\.word_embeddings\.weight: has shape"):
        fill_pair(str(tmp_path / "hf"), Folder.parse(str(tmp_path / "pair")), 12)
