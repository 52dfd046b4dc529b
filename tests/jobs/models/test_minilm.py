"""Our encoder with MiniLM's weights against what the reference implementation made of them.

`minilm.json` holds the reference values, the versions they were made with, and the script that made them.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from jobs.data.preprocess import WordPieces
from jobs.data.pretrained_tokenizer import read_tokenizer
from jobs.data.text import Encoder
from jobs.models.model import ModelSpec, build_to_train
from tests.jobs.models.making import minilm

pytestmark = pytest.mark.training

REFERENCE = json.loads(Path(__file__).with_name("minilm.json").read_text("utf-8"))
CLOSE = 1e-4


@pytest.fixture(scope="module")
def ids(tmp_path_factory: pytest.TempPathFactory) -> Any:
    stored = tmp_path_factory.mktemp("minilm") / "tokenizer.json"
    read_tokenizer(minilm(), 30_522).save(str(stored))
    return Encoder(stored, REFERENCE["length"], framed=True).encode(REFERENCE["texts"])


def model_of(pooling: str) -> Any:
    backbone = {"kind": "bert", "weights": str(minilm()), "length": REFERENCE["length"], "pooling": pooling}
    spec = ModelSpec.model_validate({"backbone": backbone})
    preprocess = WordPieces(length=REFERENCE["length"], vocabulary=30_522, framed=True)
    return build_to_train(spec, preprocess, 4, seed=0, folder=Path())


def test_token_ids_are_the_reference_tokenizers(ids: Any) -> None:
    assert ids.tolist() == REFERENCE["ids"]


def test_hidden_states_and_every_pooling_are_the_references(ids: Any) -> None:
    import tf_keras as keras

    for pooling in ("mean", "pooler", "cls"):
        model = model_of(pooling)
        wanted = [model.get_layer("layer5_output_norm").output, model.get_layer("logits").input]
        hidden, features = (found.numpy() for found in keras.Model(model.input, wanted)(ids))
        expected = np.array(REFERENCE["hidden"])
        assert np.abs(hidden[:, REFERENCE["positions"], : expected.shape[-1]] - expected).max() < CLOSE
        if pooling == "cls":
            assert np.array_equal(features, hidden[:, 0])
        else:
            expected = np.array(REFERENCE[pooling])
            assert np.abs(features[:, : expected.shape[-1]] - expected).max() < CLOSE
