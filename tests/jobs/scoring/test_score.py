"""Scoring a source with a real served file on a cluster: what is written, by whom, and what is not done twice."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pyarrow import parquet

from cluster.errors import EspalierError, StepError
from cluster.folder import Folder
from cluster.resources import Resources
from cluster.work import run_remote
from jobs.artifacts import Dataset, Model, Scores
from jobs.data.sources import Source
from jobs.job import Output
from jobs.judging.judge import judge
from jobs.kinds.score import Score
from jobs.models.model import ModelSpec
from jobs.recipe import TrainRecipe
from jobs.runtime.classifier import Classifier
from jobs.scoring.work import ScoreWork, ScoringWorker, score
from jobs.strategies import Single
from jobs.training import TrainWork
from tests.jobs.scoring.making import Failing, Watched, lines_of
from tests.rig import MemoryKeeper

pytestmark = [pytest.mark.cluster, pytest.mark.training]
TEXT = {"backbone": {"kind": "text_cnn", "vocabulary": 300, "length": 16, "width": 8, "filters": 8}}


@pytest.fixture(scope="module")
def model(texts: Folder, tmp_path_factory: pytest.TempPathFactory) -> Folder:
    root = tmp_path_factory.mktemp("scoring")
    out = Folder.parse(str(root / "model"))
    recipe = TrainRecipe(epochs=1, batch_size=64, learning_rate=0.01)
    work = TrainWork(ModelSpec.model_validate(TEXT), recipe, Single(), texts, out)
    work(Single().engine(), MemoryKeeper(root))
    return out


def table(path: Path, **fields: Any) -> Source:
    return Source.choose({"kind": "table", "path": str(path), "text": "text", **fields})


def lines(path: Path, rows: int) -> Path:
    """Write texts without labels."""
    path.write_text("".join(json.dumps({"text": f"an oak and {number} anchors"}) + "\n" for number in range(rows)))
    return path


def work_of(model: Folder, source: Source, **fields: Any) -> ScoreWork:
    given = {"labelled": False, "top": None, "batch_size": 32, "workers": 1, **fields}
    return ScoreWork(model=model, source=source.to_score(given["labelled"]), **given)


def scored(
    work: ScoreWork, root: Path, worker: type[ScoringWorker] = ScoringWorker
) -> tuple[Scores, list[dict[str, Any]]]:
    told: list[dict[str, Any]] = []
    places = (Folder(str(root / "parts")), Folder(str(root / "out")))

    def call(tell: Any) -> Scores:
        return score(work, *places, tell, worker)

    made = run_remote(call, resources=Resources(), tell=told.append)
    return made.at(places[1]), told


def rows_of(scores: Scores) -> list[dict[str, Any]]:
    return [
        row
        for number in range(scores.parts)
        for row in parquet.read_table(scores.folder.path / f"part-{number:05}.parquet").to_pylist()
    ]


def test_scoring_the_test_split_gives_the_accuracy_of_evaluate(
    ray_cluster: None, model: Folder, texts: Folder, tmp_path: Path
) -> None:
    dataset = Dataset.load(texts)
    source = table(lines_of(dataset, "test", tmp_path / "test.jsonl"))
    made, told = scored(work_of(model, source, labelled=True), tmp_path)
    judged = judge({"model": model}, texts, None, Folder(str(tmp_path / "verdict")), lambda event: None)["model"]
    assert made.accuracy == judged["accuracy"]
    assert (made.rows, made.rejected_rows) == (dataset.rows["test"], 0)
    assert made.model_sha256 == model.sha256("model.tflite")
    assert told[-1]["rows"] == made.rows
    rows = rows_of(made)
    kept = parquet.read_table(tmp_path / "verdict" / "predictions.parquet")
    assert [row["label"] for row in rows] == [dataset.classes[index] for index in kept["model"].to_pylist()]
    np.testing.assert_allclose([row["probability"] for row in rows], kept["model.probability"].to_numpy(), rtol=1e-5)


def test_workers_hold_no_tensorflow_and_rows_keep_their_order(ray_cluster: None, model: Folder, tmp_path: Path) -> None:
    work = work_of(model, table(lines(tmp_path / "t.jsonl", 1_000)), workers=2, top=1)
    made, _ = scored(work, tmp_path, Watched)
    assert [row["row"] for row in rows_of(made)] == [f"t.jsonl row {number}" for number in range(1, 1_001)]
    notes = [json.loads(file.read_text()) for file in (model.path.parent / "notes").glob("*.json")]
    assert sum(note["rows"] for note in notes) == 1_000
    for note in notes:
        assert "ai_edge_litert" in note["modules"]
        assert not {"tensorflow", "tf_keras", "keras"} & set(note["modules"])


def test_what_was_scored_is_not_scored_again(ray_cluster: None, model: Folder, tmp_path: Path) -> None:
    root = tmp_path / "copy"
    for name in model.files():
        (Folder(str(root / "model"))).write_bytes(name, model.read_bytes(name))
    copy = Folder(str(root / "model"))
    source = table(lines(tmp_path / "t.jsonl", 1_000))
    with pytest.raises(EspalierError, match=r"^the fourth piece: cannot be scored$"):
        scored(work_of(copy, source, part_rows=200), tmp_path, Failing)
    parts = tmp_path / "parts"
    assert sorted(file.name for file in parts.glob("*.parquet")) == ["part-00000.parquet"]
    before = (parts / "part-00000.parquet").read_bytes()
    made, told = scored(work_of(copy, source, part_rows=200), tmp_path, Watched)
    assert told[0] == {"start": "going on after 256 rows"}
    (notes,) = (json.loads(file.read_text()) for file in (root / "notes").glob("*.json"))
    assert notes["rows"] == 1_000 - 256
    assert (made.folder.path / "part-00000.parquet").read_bytes() == before
    whole, _ = scored(work_of(copy, source), tmp_path / "whole")
    assert rows_of(made) == rows_of(whole)
    assert (made.rows, made.parts, whole.parts) == (1_000, 4, 1)


def test_a_row_that_cannot_be_scored_is_listed_and_the_others_are_what_they_are_alone(
    ray_cluster: None, model: Folder, tmp_path: Path
) -> None:
    texts = ["an oak", " \0 ", "a mast", None, "a leaf"]
    (tmp_path / "t.jsonl").write_text("".join(json.dumps({"text": text}) + "\n" for text in texts))
    made, told = scored(work_of(model, table(tmp_path / "t.jsonl")), tmp_path)
    rows = rows_of(made)
    assert [row["reason"] for row in rows] == [None, "is empty", None, "has no text", None]
    assert [(row.row, row.reason) for row in made.rejected] == [
        ("t.jsonl row 2", "is empty"),
        ("t.jsonl row 4", "has no text"),
    ]
    assert {"warning": "2 of 5 rows cannot be scored: the column reason says why"} in told
    classifier = Classifier(Model.load(model), model.path)
    for place in (0, 2, 4):
        (alone,) = classifier.classify([str(texts[place])])
        assert rows[place]["label"] == alone["label"]
        assert rows[place]["probability"] == pytest.approx(alone["probability"], abs=1e-6)


def test_a_source_of_which_nothing_can_be_scored_is_refused(ray_cluster: None, model: Folder, tmp_path: Path) -> None:
    (tmp_path / "t.jsonl").write_text('{"text": ""}\n')
    with pytest.raises(StepError) as caught:
        scored(work_of(model, table(tmp_path / "t.jsonl")), tmp_path)
    assert str(caught.value) == (
        "the source: has 1 rows, none of which can be scored: t.jsonl row 1 is empty, wanted rows the model reads"
    )


def test_the_job_leaves_an_artifact(ray_cluster: None, model: Folder, tmp_path: Path) -> None:
    job = Score(model="m", source=table(lines(tmp_path / "t.jsonl", 300)))
    attempt, checkpoints = Folder(str(tmp_path / "attempt")), Folder(str(tmp_path / "checkpoints"))
    made = job.run({"m": Model.load(model)}, Output("scored", attempt, checkpoints, lambda event: None)).save(attempt)
    assert Scores.load(attempt) == made
    assert sorted(attempt.files()) == ["artifact.json", "part-00000.parquet"]
    assert [row["row"] for row in rows_of(made)] == [f"t.jsonl row {number}" for number in range(1, 301)]


def test_parts_go_to_an_object_store(ray_cluster: None, model: Folder, tmp_path: Path, s3_root: Folder) -> None:
    """The processes of the shared cluster know no keys of the store, so this one gathers what they answer."""
    work = work_of(model, table(lines(tmp_path / "t.jsonl", 256)), part_rows=128)
    made = score(work, s3_root / "parts", s3_root / "out", lambda event: None)
    assert sorted((s3_root / "out").files()) == [f"part-{number:05}.parquet" for number in range(2)]
    fetched = Folder(str((s3_root / "out").fetch()))
    assert len(rows_of(made.at(fetched))) == 256
