"""Runs of MLflow: one a step, in a file store, as a tracking server would be told of them."""

from __future__ import annotations

from pathlib import Path

import pytest

import tests.pipelines.toy_jobs as toys
from cluster.errors import RequestError
from jobs.watching.mlflow import Tracked
from tests.jobs.watching.test_tensorboard import epoch

mlflow = pytest.importorskip("mlflow", reason="pip install mlflow-skinny")


def test_a_step_is_a_run_with_its_fields_its_epochs_and_its_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")
    uri = (tmp_path / "mlruns").as_uri()
    pipeline = toys.pipeline(tmp_path / "diary", a={"text": "hello"}, b={"of": ["a"]}, c={"of": ["b"]})
    with Tracked(uri, "toys", "first", pipeline.steps) as tracked:
        for number, loss in ((1, 0.5), (2, 0.25)):
            if number == 1:
                tracked("a", "running", {"asked": "1 CPU"})
            tracked("a", "event", epoch(number, loss))
        tracked("a", "event", {"compression_ratio": 4.0})
        tracked("a", "done", {"artifact": "/somewhere", "seconds": 2.0})
        tracked("b", "running", {})
        tracked("b", "failed", {"error": "it broke"})
        tracked("c", "skipped", {"because": "because 'b' failed"})
    client = mlflow.MlflowClient(tracking_uri=uri)
    (experiment,) = [e for e in client.search_experiments() if e.name == "toys"]
    runs = {run.data.tags["espalier.step"]: run for run in client.search_runs([experiment.experiment_id])}
    assert {step: run.info.status for step, run in runs.items()} == {"a": "FINISHED", "b": "FAILED"}
    assert runs["a"].data.params == {"job": "toy_work", "text": "hello", "of": "[]", "after": "[]"}
    assert runs["b"].data.params["of.0"] == "a"
    assert runs["a"].data.tags["espalier.artifact"] == "/somewhere"
    assert runs["a"].data.tags["espalier.run"] == "first"
    history = client.get_metric_history(runs["a"].info.run_id, "train/train/loss")
    assert [(metric.step, metric.value) for metric in history] == [(1, 0.5), (2, 0.25)]
    assert runs["a"].data.metrics["compression_ratio"] == 4.0


def test_a_place_that_cannot_be_told_is_refused_before_the_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")
    (tmp_path / "file").write_text("")
    with pytest.raises(RequestError, match=r"^--mlflow file:.* cannot be told"):
        Tracked((tmp_path / "file").as_uri(), "toys", "first", {})
