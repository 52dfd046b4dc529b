"""A model is rebuilt from its spec and rewrites; a fact that fits no layer is refused."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cluster.errors import RequestError
from cluster.folder import Folder
from jobs.artifacts import Dataset, Model, Rewrite
from jobs.data.preprocess import ImagePixels, WordPieces
from jobs.models.architecture.counting import costs
from jobs.models.model import ModelSpec, build, load_weights, shapes_of, weights_of
from jobs.product import Product, write_model
from jobs.strategies import Single
from tests.rig import TINY

pytestmark = pytest.mark.training

PIXELS = ImagePixels(height=8, width=8, channels=1)
BERT = {"kind": "bert", "layers": 1, "width": 16, "heads": 4, "feed_forward": 32, "vocabulary": 300, "length": 8}
TOKENS = WordPieces(vocabulary=300, length=8, tokenizer="tokenizer.json")


def spec_of(backbone: dict[str, Any]) -> ModelSpec:
    return ModelSpec.model_validate({"backbone": backbone})


def test_layers_have_the_sizes_that_rewrites_say() -> None:
    facts = [Rewrite(layer="stage1_block1_conv1", units=3), Rewrite(layer="stage2_block1_conv2", rank=2)]
    shapes = shapes_of(build(spec_of(TINY), PIXELS, 10, rewrites=facts))
    assert shapes["stage1_block1_conv1/kernel"] == (3, 3, 4, 3)
    assert shapes["stage1_block1_conv1_norm/gamma"] == (3,)
    assert shapes["stage1_block1_conv2/kernel"] == (3, 3, 3, 4)
    assert shapes["stage2_block1_conv2_factor/kernel"] == (3, 3, 8, 2)
    assert shapes["stage2_block1_conv2/kernel"] == (1, 1, 2, 8)


def test_attention_works_in_fewer_heads_and_an_embedding_in_a_rank() -> None:
    parts = ("query", "key", "value")
    facts = [Rewrite(layer=f"layer0_{part}", units=12) for part in parts]
    facts += [Rewrite(layer=f"layer0_{part}", heads=3) for part in ("shares", "mixed")]
    model = build(spec_of(BERT), TOKENS, 3, rewrites=[*facts, Rewrite(layer="words", rank=5)])
    shapes = shapes_of(model)
    assert shapes["layer0_query/kernel"] == (16, 12)
    assert shapes["layer0_attention/kernel"] == (12, 16)
    assert (shapes["words_factor/embeddings"], shapes["words/kernel"]) == ((300, 5), (5, 16))
    assert model.get_layer("layer0_shares").output_shape[1] == 3
    assert model(np.ones([2, 8], np.int32)).shape == (2, 3)


@pytest.mark.parametrize(
    ("fact", "reason"),
    [
        (Rewrite(layer="stage9", units=3), "rewrite of layer 'stage9' finds no such layer in the model"),
        (
            Rewrite(layer="pool", rank=3),
            "rewrite of layer 'pool' finds a GlobalAveragePooling2D, which has no such size",
        ),
        (Rewrite(layer="stem", heads=3), "rewrite of layer 'stem' finds a Conv2D, which has no such size"),
    ],
)
def test_a_fact_that_fits_no_layer_is_refused(fact: Rewrite, reason: str) -> None:
    with pytest.raises(RequestError) as found:
        build(spec_of(TINY), PIXELS, 10, rewrites=[fact])
    assert str(found.value).replace(":", "") == reason.replace(":", "")


def test_an_artifact_tells_its_rewrites_and_its_macs_and_one_without_them_loads(digits: Folder, tmp_path: Path) -> None:
    dataset = Dataset.load(digits)
    spec, facts = spec_of(TINY), (Rewrite(layer="stage1_block1_conv1", units=2),)
    preprocess = spec.backbone.preprocess(dataset, tmp_path)
    weights = weights_of(build(spec, preprocess, 10, rewrites=facts))
    out = Folder.parse(str(tmp_path / "out"))
    product = Product(spec, preprocess, dataset.classes, weights, Single(), [], {}, rewrites=facts)
    written = write_model(out, tmp_path, product, [], dataset)
    assert Model.load(out) == written
    whole = costs(spec, dataset.image, 10)
    assert whole is not None
    assert written.rewrites == list(facts)
    assert written.macs == whole["macs"] - 64 * 9 * (
        4 * 2 + 2 * 4
    )  # 8 by 8 pixels, two convolutions of half the channels
    load_weights(build(spec, preprocess, 10, rewrites=written.rewrites), weights, "the artifact")

    document = json.loads((out.path / "artifact.json").read_text())
    del document["facts"]["rewrites"], document["facts"]["macs"]
    (out.path / "artifact.json").write_text(json.dumps(document))
    old = Model.load(out)
    assert (old.rewrites, old.macs) == ([], None)
