"""The files that `espalier monitoring` writes: Prometheus takes them, and Grafana's dashboard says what it may."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

from cluster.metrics import Metric
from cluster.monitoring.dashboard import dashboard, expressions
from jobs.artifacts import Epoch
from jobs.watching.metrics import ACCURACY, EPOCH, LOSS, readings
from pipelines.watching.metrics import packages
from tests.pipelines.commands.conftest import Espalier, diary, espalier  # noqa: F401  fixtures

PROMTOOL = shutil.which("promtool")
TEXT = {"type": "string", "minLength": 1}
SOURCE = {"type": "object", "required": ["type", "uid"], "properties": {"type": {"const": "prometheus"}}}
PLACE = {
    "type": "object",
    "required": ["x", "y", "w", "h"],
    "properties": {"x": {"minimum": 0, "maximum": 23}, "w": {"minimum": 1, "maximum": 24}, "h": {"minimum": 1}},
}
TARGET = {"type": "object", "required": ["refId", "expr", "datasource"], "properties": {"expr": TEXT}}
PANEL = {
    "type": "object",
    "required": ["id", "type", "title", "gridPos"],
    "properties": {
        "id": {"type": "integer"},
        "type": {"enum": ["row", "timeseries"]},
        "title": TEXT,
        "gridPos": PLACE,
        "datasource": SOURCE,
        "targets": {"type": "array", "items": TARGET, "minItems": 1},
    },
    "if": {"properties": {"type": {"const": "timeseries"}}},
    "then": {"required": ["targets", "datasource", "fieldConfig"]},
}
DASHBOARD = {  # of what Grafana imports, the part a dashboard of ours has
    "type": "object",
    "required": ["title", "uid", "schemaVersion", "panels", "templating", "time"],
    "properties": {
        "schemaVersion": {"type": "integer", "minimum": 36},
        "uid": {"type": "string", "maxLength": 40},
        "panels": {"type": "array", "items": PANEL},
        "templating": {"type": "object", "required": ["list"]},
    },
}


def epoch(**changed: Any) -> Epoch:
    facts = {"epoch": 2, "loss": 0.5, "accuracy": 0.75, "validation_loss": 0.625, "validation_accuracy": 0.875}
    return Epoch.model_validate({**facts, "seconds": 4.0, "rows_per_second": 100.0, **changed})


def test_an_epoch_is_read_whole_and_what_is_private_is_left_out() -> None:
    read = {(m.name, *sorted(tags.items())): value for m, value, tags in readings({"epoch": epoch().model_dump()})}
    phase, train, held = ("phase", "train"), ("split", "train"), ("split", "validation")
    assert read[EPOCH.name, phase] == 2
    assert read[LOSS.name, phase, train] == 0.5
    assert read[ACCURACY.name, phase, held] == 0.875
    private = readings({"epoch": epoch(loss=None, accuracy=None).model_dump()})
    assert {tags.get("split") for metric, _, tags in private if metric in (LOSS, ACCURACY)} == {"validation"}


def test_what_says_nothing_is_not_read() -> None:
    assert list(readings({"rows": 10})) == []
    assert list(readings({"best_of": "tuned", "trial": 3, "values": {}})) == []


def test_no_two_metrics_share_a_name_and_every_name_says_whose_it_is() -> None:
    names = [metric.name for metrics in packages().values() for metric in metrics]
    assert len(set(names)) == len(names)
    assert all(name.startswith("espalier_") for name in names)


def test_a_histogram_is_drawn_by_its_quantiles_a_counter_by_its_rate() -> None:
    slow = Metric("toy_seconds", "histogram", "Slow", ("step",), (1.0,))
    assert expressions(slow) == {
        "p50 {{step}}": "histogram_quantile(0.5, sum by (step, le) (rate(ray_toy_seconds_bucket[2m])))",
        "p99 {{step}}": "histogram_quantile(0.99, sum by (step, le) (rate(ray_toy_seconds_bucket[2m])))",
    }
    count = Metric("toy", "counter", "Toys", ("step", "run"))
    assert expressions(count, {"step": "a|b"}) == {
        "{{step}}": 'sum by (step, run) (rate(ray_toy_total{step=~"a|b"}[2m]))'
    }


def test_the_dashboard_is_one_that_grafana_imports_and_shows_every_metric() -> None:
    made = dashboard("Espalier", packages())
    jsonschema.validate(made, DASHBOARD)
    metrics = [metric for metrics in packages().values() for metric in metrics]
    drawn = [panel for panel in made["panels"] if panel["type"] == "timeseries"]
    assert [panel["title"] for panel in drawn] == [metric.help for metric in metrics]
    for metric, panel in zip(metrics, drawn, strict=True):
        assert all(metric.exported in target["expr"] for target in panel["targets"])
    places = [tuple(panel["gridPos"].values()) for panel in made["panels"]]
    assert len({place[:2] for place in places}) == len(places)
    assert [choice["name"] for choice in made["templating"]["list"]] == ["source", "definition", "step"]


def test_the_command_writes_files_that_prometheus_takes(espalier: Espalier, tmp_path: Path) -> None:  # noqa: F811
    said = espalier("monitoring", "--write", "watch", "--target", "127.0.0.1:8080")
    assert (said.code, said.err) == (0, "")
    watch = tmp_path / "watch"
    assert {file.name for file in watch.iterdir()} == {"dashboard.json", "prometheus.yaml", "alerts.yaml"}
    jsonschema.validate(json.loads((watch / "dashboard.json").read_text()), DASHBOARD)
    (scraped,) = yaml.safe_load((watch / "prometheus.yaml").read_text())["scrape_configs"]
    assert scraped == {"job_name": "ray", "static_configs": [{"targets": ["127.0.0.1:8080"]}]}
    if PROMTOOL is None:
        pytest.skip("promtool checks the rest: apt-get install prometheus")
    words = [PROMTOOL, "check", "config", "prometheus.yaml"]
    checked = subprocess.run(words, cwd=watch, capture_output=True, text=True)
    assert checked.returncode == 0, checked.stdout + checked.stderr
    assert "SUCCESS: 6 rules found" in checked.stdout


def test_a_folder_that_cannot_be_written_is_told(espalier: Espalier, tmp_path: Path) -> None:  # noqa: F811
    (tmp_path / "file").write_text("")
    said = espalier("monitoring", "--write", "file")
    assert said.code == 2
    assert said.err == "error: file cannot be written (File exists), wanted a folder\n".replace("file c", "file: c")
