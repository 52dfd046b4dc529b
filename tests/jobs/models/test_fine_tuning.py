"""A BERT from a Hugging Face folder, fine-tuned; the folder is gone before anyone uses what came of it."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cluster.errors import RequestError
from cluster.folder import Folder
from jobs.artifacts import Dataset, Model
from jobs.compressing import CompressWork
from jobs.data.encode import encoded
from jobs.data.preprocess import WordPieces
from jobs.models.checkpoint import Checkpoint
from jobs.models.model import ModelSpec, build, build_to_train, load_weights, read_weights, weights_of
from jobs.recipe import TrainRecipe
from jobs.runtime.classifier import Classifier, golden_rows
from jobs.runtime.runner import Runner
from jobs.strategies import Single
from jobs.techniques import Technique
from jobs.training import TrainWork
from tests.jobs.models.making import WORDS, hugging_face
from tests.rig import MemoryKeeper

pytestmark = pytest.mark.training


def train(backbone: dict[str, Any], data: Folder, root: Path) -> Folder:
    out = Folder.parse(str(root / "model"))
    spec = ModelSpec.model_validate({"backbone": backbone})
    recipe = TrainRecipe(epochs=1, batch_size=40, learning_rate=1e-3)
    TrainWork(spec, recipe, Single(), data, out)(Single().engine(), MemoryKeeper(root))
    return out


@pytest.fixture(scope="module")
def tuned(texts: Folder, tmp_path_factory: pytest.TempPathFactory) -> Folder:
    root = tmp_path_factory.mktemp("tuned")
    folder = hugging_face(root / "hf")
    out = train({"kind": "bert", "weights": str(folder), "length": 12}, texts, root)
    shutil.rmtree(folder)
    return out


def test_training_starts_from_the_weights_of_the_folder(tmp_path: Path) -> None:
    folder = hugging_face(tmp_path / "hf")
    spec = ModelSpec.model_validate({"backbone": {"kind": "bert", "weights": str(folder), "length": 12}})
    model = build_to_train(spec, WordPieces(length=12, vocabulary=len(WORDS), framed=True), 2, 0, tmp_path)
    found, wanted = weights_of(model), Checkpoint(str(folder)).weights(12, pooler=False)
    assert set(found) - set(wanted) == {"logits/kernel", "logits/bias"}
    assert all(np.array_equal(found[name], value) for name, value in wanted.items())


def test_the_artifact_stands_alone(tuned: Folder, texts: Folder, tmp_path: Path) -> None:
    model = Model.load(tuned)
    assert (model.spec["backbone"]["layers"], model.spec["backbone"]["width"]) == (1, 8)
    assert model.preprocess == WordPieces(length=12, vocabulary=len(WORDS), framed=True)
    out = Folder.parse(str(tmp_path / "out"))
    chain = [Technique.choose({"kind": "quantize", "scheme": "dynamic"})]
    CompressWork(chain, Single(), tuned, texts, out)(Single().engine(), MemoryKeeper(tmp_path))
    assert len(Classifier(Model.load(out), out.path).classify(golden_rows(out.path))) == 4


def test_the_served_file_answers_as_the_model_does(tuned: Folder, texts: Folder) -> None:
    artifact, dataset = Model.load(tuned), Dataset.load(texts)
    model = build(ModelSpec.model_validate(artifact.spec), artifact.preprocess, len(artifact.classes))
    load_weights(model, read_weights((tuned.path / "weights.npz").read_bytes(), "weights"), "model")
    rows = encoded(dataset, artifact.preprocess, "test", tuned.path).x
    assert np.allclose(Runner(tuned.path / artifact.served).logits(rows), model(rows).numpy(), atol=1e-5)


def test_a_tokenizer_of_another_size_stops_the_training(texts: Folder, tmp_path: Path) -> None:
    folder = hugging_face(tmp_path / "hf", vocab_size=99)
    with pytest.raises(RequestError) as caught:
        train({"kind": "bert", "weights": str(folder), "length": 12}, texts, tmp_path)
    assert str(caught.value) == f"{folder}/vocab.txt: has 36 tokens, wanted 99, the vocabulary of the model"
