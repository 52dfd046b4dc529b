"""A model of pairs as a replica and the command line serve it: what they answer, and what they refuse."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

import pytest

from cluster.folder import Folder
from jobs.artifacts import Dataset, Model
from jobs.data.preprocess import ImageAndText
from jobs.data.rows import Pair, Row
from jobs.data.sources.table import Table
from jobs.models.model import ModelSpec, build, weights_of
from jobs.product import Product, golden_of, write_model
from jobs.runtime.classifier import Classifier, golden_rows
from jobs.scoring.scorer import Scorer
from jobs.serving.answering.app import App
from jobs.strategies import Single
from tests.jobs.data.making import pair_table
from tests.jobs.serving.conftest import app_of, asked
from tests.jobs.serving.conftest import ask as ask_app
from tests.pipelines.commands.conftest import Espalier, espalier  # noqa: F401  a fixture
from tests.rig import TINY

pytestmark = pytest.mark.training


@pytest.fixture(scope="module")
def model(pairs: Folder, tmp_path_factory: pytest.TempPathFactory) -> Folder:
    """Return the folder of an untrained model of pairs."""
    root = tmp_path_factory.mktemp("model")
    dataset = Dataset.load(pairs)
    text = {"kind": "text_cnn", "vocabulary": 300, "length": 16, "width": 8, "filters": 8}
    spec = ModelSpec.model_validate({"backbone": {"kind": "fusion", "image": TINY, "text": text}})
    preprocess = spec.backbone.preprocess(dataset, root)
    assert isinstance(preprocess, ImageAndText)
    weights = weights_of(build(spec, preprocess, len(dataset.classes)))
    product = Product(spec, preprocess, dataset.classes, weights, Single(), golden_of(dataset), {})
    return write_model(Folder.parse(str(root / "out")), root, product, [], dataset).folder


@pytest.fixture(scope="module")
def app(model: Folder) -> App:
    return app_of(asked(model), name="pairs")


@pytest.fixture(scope="module")
def pair(model: Folder) -> Pair:
    found = golden_rows(model.path)[1]
    assert isinstance(found, Pair)
    return found


def ask(app: App, body: bytes, kind: str = "application/json") -> tuple[int, Any]:
    answer = ask_app(app, "POST", "/v1/classify", body, kind)
    return answer.status, answer.json


def body_of(image: bytes, text: str) -> bytes:
    return json.dumps({"image": base64.b64encode(image).decode(), "text": text}).encode()


def test_an_application_answers_what_the_file_answers_offline(app: App, model: Folder, pair: Pair) -> None:
    status, answer = ask(app, body_of(pair.image, pair.text))
    assert (status, answer["predictions"]) == (200, Classifier(Model.load(model), model.path).classify([pair]))
    other = ask(app, body_of(pair.image, "something else entirely"))[1]
    assert other["predictions"] != answer["predictions"]


def test_a_request_that_lacks_a_part_is_told_so(app: App, pair: Pair) -> None:
    wanted = "wanted an image and a text"
    assert ask(app, b'{"text": "a"}') == (422, {"error": f"the model: was given a text, {wanted}"})
    assert ask(app, pair.image, "image/png") == (422, {"error": f"the model: was given an image, {wanted}"})
    assert ask(app, body_of(pair.image, " ")) == (422, {"error": "has a text that is empty"})
    assert ask(app, body_of(pair.image[:-30], "a")) == (422, {"error": "has an image that is truncated or corrupt"})
    assert ask(app, body_of(b"", "a")) == (422, {"error": "has an image that is empty"})


def test_predict_takes_the_image_and_its_text(
    espalier: Espalier,  # noqa: F811
    model: Folder,
    pair: Pair,
    tmp_path: Path,
) -> None:
    (tmp_path / "photo.png").write_bytes(pair.image)
    said = espalier("predict", model, tmp_path / "photo.png", "--text", pair.text)
    assert json.loads(said.out)["predictions"] == Classifier(Model.load(model), model.path).classify([pair])
    said = espalier("predict", model, tmp_path / "photo.png")
    assert (said.code, said.err) == (2, "error: the model: was given an image, wanted an image and a text\n")


def test_pairs_are_scored_as_they_are_answered(model: Folder, tmp_path: Path) -> None:
    source = Table(path=str(pair_table(tmp_path / "t.parquet", 20)), image="image", text="text")
    rows = list(source.rows())
    (block,) = Scorer(model, 8).blocks([*rows, Row("broken", Pair(b"", "text"), "even ray")])
    assert block.reasons == [None] * 20 + ["has an image that is empty"]
    items = [row.raw for row in rows if isinstance(row, Row) and isinstance(row.raw, Pair)]
    answers = Classifier(Model.load(model), model.path).classify([*items])
    assert block.probabilities[:20].max(1).tolist() == pytest.approx([answer["probability"] for answer in answers])
