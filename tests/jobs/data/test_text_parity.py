"""Preparation and serving make the same of a text, bit for bit, or refuse it for the same reason."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cluster.folder import Folder
from jobs.artifacts import Dataset, Model
from jobs.data.encode import encoded
from jobs.data.preparing import preparer
from jobs.data.rows import BadRow
from jobs.models.model import ModelSpec
from jobs.recipe import TrainRecipe
from jobs.runtime.classifier import Classifier
from jobs.strategies import Single
from jobs.training import TrainWork
from tests.jobs.data.making import made
from tests.jobs.models.making import hugging_face
from tests.rig import MemoryKeeper

pytestmark = pytest.mark.training

GOOD = [
    "oak and mast",
    "שלום عالم oak",
    "👋🏽 oak 👩\u200d👩\u200d👧",
    "oa\0k and\0",
    "oak " * 250_000,
    "[CLS] oak [SEP] [PAD] [MASK]",
    "ＯＡＫ ﬁr Émile e\u0301",
    "\u200b",
    "大oak\u202eleaf\u00a0root",
]
BAD = {"": "is empty", " \0\n": "is empty", "half \ud83d a pair": "is not valid UTF-8"}
BAD["x" * 1_000_001] = "has 1000001 characters, more than 1000000"


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    root = tmp_path_factory.mktemp("parity")
    plain = [f"oak {n} and leaf" if n % 2 else f"mast {n} and sail" for n in range(40)]
    for name, texts in {"train": plain, "test": [*GOOD, *BAD]}.items():
        rows = [json.dumps({"text": text, "label": "ab"[n % 2]}) for n, text in enumerate(texts)]
        (root / f"{name}.jsonl").write_text("\n".join(rows))
    paths = {name: str(root / f"{name}.jsonl") for name in ("train", "test")}
    found, _ = made(root / "data", {"kind": "table", "path": paths, "text": "text"}, max_rejected=0.5)
    return found.save(found.folder)


@pytest.fixture(scope="module", params=["embedding_bag", "bert"])
def model(request: pytest.FixtureRequest, dataset: Dataset, tmp_path_factory: pytest.TempPathFactory) -> Model:
    root = tmp_path_factory.mktemp(request.param)
    backbone: dict[str, Any] = {"kind": request.param, "length": 12}
    backbone |= {"weights": str(hugging_face(root / "hf"))} if request.param == "bert" else {"vocabulary": 120}
    out = Folder.parse(str(root / "model"))
    spec, recipe = ModelSpec.model_validate({"backbone": backbone}), TrainRecipe(epochs=1)
    TrainWork(spec, recipe, Single(), dataset.folder, out)(Single().engine(), MemoryKeeper(root))
    return Model.load(out)


def test_strange_texts_get_the_same_ids_and_the_same_answer(model: Model, dataset: Dataset) -> None:
    path: Path = model.folder.path
    rows = encoded(dataset, model.preprocess, "test", path)
    assert len(rows) == len(GOOD)
    assert np.array_equal(rows.x, preparer(model.preprocess, path)(GOOD))
    classifier = Classifier(model, path)
    answers = [[top["probability"] for top in answer["top"]] for answer in classifier.classify(list(GOOD))]
    prepared = np.sort(classifier.runner.probabilities(rows.x, model.temperature), 1)[:, ::-1]
    assert answers == prepared.tolist()


def test_unusable_texts_are_refused_for_the_same_reason(model: Model, dataset: Dataset) -> None:
    assert [row.reason for row in dataset.rejected] == list(BAD.values())
    classifier = Classifier(model, model.folder.path)
    for text, reason in BAD.items():
        with pytest.raises(BadRow) as caught:
            classifier.classify([text])
        assert caught.value.reason == reason
