"""Judging real served files: what is kept of every row, and that it tells what was told."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pyarrow import parquet

from cluster.errors import StepError
from cluster.folder import Folder
from jobs.artifacts import Model
from jobs.judging.judge import judge
from jobs.models.model import ModelSpec
from jobs.recipe import TrainRecipe
from jobs.runtime.classifier import Classifier, golden_rows
from jobs.runtime.intervals import mcnemar, wilson
from jobs.strategies import Single
from jobs.training import TrainWork
from tests.rig import TINY, MemoryKeeper

pytestmark = pytest.mark.training


@pytest.fixture(scope="module")
def models(digits: Folder, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Folder]:
    """Train a model long, and one short."""
    made = {}
    for name, epochs in (("long", 4), ("short", 1)):
        root = tmp_path_factory.mktemp(name)
        made[name] = Folder.parse(str(root / "model"))
        recipe = TrainRecipe(epochs=epochs, batch_size=64, learning_rate=0.01)
        work = TrainWork(ModelSpec.model_validate({"backbone": TINY}), recipe, Single(), digits, made[name])
        work(Single().engine(), MemoryKeeper(root))
    return made


@pytest.fixture(scope="module")
def judged(models: dict[str, Folder], digits: Folder, tmp_path_factory: pytest.TempPathFactory) -> Any:
    out = tmp_path_factory.mktemp("verdict")
    told: list[dict[str, Any]] = []
    return judge(models, digits, 0.9, Folder(str(out)), told.append), out, told


def test_others_can_do_the_test_again(judged: Any) -> None:
    found, out, _ = judged
    table = parquet.read_table(out / "predictions.parquet")
    assert table.column_names == ["row", "label", "long", "long.probability", "short", "short.probability"]
    assert json.loads(table.schema.metadata[b"classes"]) == [str(digit) for digit in range(10)]
    columns = {name: table[name].to_numpy() for name in table.column_names}
    right = {name: columns[name] == columns["label"] for name in ("long", "short")}
    lost, gained = int((right["long"] & ~right["short"]).sum()), int((right["short"] & ~right["long"]).sum())
    against = found["short"]["against"]
    assert (against["first"], against["lost"], against["gained"]) == ("long", lost, gained)
    assert against["p_value"] == mcnemar(lost, gained) < 0.001
    for name, rows in right.items():
        assert found[name]["accuracy"] == pytest.approx(rows.mean())
        interval = (found[name]["accuracy_low"], found[name]["accuracy_high"])
        assert interval == wilson(int(rows.sum()), len(rows))
    assert "against" not in found["long"]


def test_what_is_told_of_each_model(judged: Any) -> None:
    found, _, told = judged
    facts = ("accuracy", "accuracy_low", "accuracy_high", "size_bytes", "p99_ms")
    assert told == [{"judged": name} | {fact: found[name][fact] for fact in facts} for name in ("long", "short")]


def test_the_temperature_makes_the_test_rows_likelier(judged: Any, models: dict[str, Folder]) -> None:
    calibration = judged[0]["short"]["calibration"]
    assert calibration["temperature"] == Model.load(models["short"]).temperature != 1.0
    assert calibration["nll"] < calibration["nll_before"]
    assert sum(found["rows"] for found in calibration["bins"]) == judged[0]["short"]["rows"]


def test_the_threshold_rejects_in_a_classifier_what_it_rejected_in_judgement(
    judged: Any, models: dict[str, Folder]
) -> None:
    reject = judged[0]["short"]["reject"]
    assert reject["aimed"] == 0.9
    assert 0 < reject["threshold"] < 1
    assert judged[0]["short"]["accuracy"] < reject["accuracy"] <= 1
    table = parquet.read_table(judged[1] / "predictions.parquet")
    assert reject["rows"] == int((table["short.probability"].to_numpy() >= reject["threshold"]).sum())
    folder = models["short"]
    rows = golden_rows(folder.path)
    plain = Classifier(Model.load(folder), folder.path).classify(rows)
    sure = float(np.median([answer["probability"] for answer in plain]))
    abstaining = Classifier(Model.load(folder), folder.path, reject_below=sure).classify(rows)
    for before, after in zip(plain, abstaining, strict=True):
        rejected = before["probability"] < sure
        assert after == {**before, "rejected": rejected, "label": None if rejected else before["label"]}
    assert {answer["rejected"] for answer in abstaining} == {True, False}


def test_the_temperature_changes_probabilities_and_no_label(models: dict[str, Folder]) -> None:
    folder = models["short"]
    model = Model.load(folder)
    rows = golden_rows(folder.path)
    warm, plain = (
        Classifier(model.model_copy(update={"temperature": t}), folder.path).classify(rows, top=10) for t in (3.0, 1.0)
    )
    for one, other in zip(warm, plain, strict=True):
        assert one["label"] == other["label"]
        assert one["probability"] < other["probability"]
        assert sum(label["probability"] for label in one["top"]) == pytest.approx(1)


def test_an_accuracy_no_threshold_reaches_is_refused(digits: Folder, models: dict[str, Folder], tmp_path: Path) -> None:
    """The probabilities of a file whose answers are all but constant say nothing."""
    with pytest.raises(StepError) as caught:
        judge({"blind": blind(models["short"], tmp_path)}, digits, 0.999, Folder(str(tmp_path / "out")), print)
    assert str(caught.value) == (
        "'blind': reaches accuracy 0.999 on validation rows at no threshold, wanted a threshold that rows pass; "
        "lower reject.accuracy"
    )


def blind(folder: Folder, root: Path) -> Folder:
    """Return a copy of a model whose temperature is so high that every probability is the same."""
    copy = Folder(str(root / "blind"))
    for name in folder.files():
        copy.write_bytes(name, folder.read_bytes(name))
    Model.load(folder).model_copy(update={"temperature": 1e9}).save(copy)
    return copy
