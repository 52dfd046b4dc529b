"""A run that is watched: Prometheus scrapes it while it runs, and every panel of the dashboard has what it draws."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import ray
import yaml

from cluster.folder import Folder
from cluster.metrics import Metric
from cluster.monitoring.dashboard import expressions
from cluster.monitoring.prometheus import rules, scrape
from cluster.session import capacity
from jobs.serving.metrics import declared as serving
from jobs.watching.metrics import JUDGED, RATIO, TRIALS
from pipelines.load import load
from pipelines.plan import plan
from pipelines.runner import Runner
from pipelines.store import Store
from pipelines.watching.following import Followed
from pipelines.watching.metrics import STEPS, alerts, packages
from pipelines.watching.telling import Telling
from tests.cluster.monitoring import prometheus

DEFINITION = """
name: watched
steps:
  data: {job: dataset, source: {kind: digits}}
  model:
    job: train
    data: data
    model: {backbone: {kind: resnet, depth: 8, width: 4}}
    epochs: 2
    batch_size: 256
    strategy: HELD
"""


def heard(step: str, state: str, details: dict[str, Any]) -> None:
    assert state not in ("failed", "skipped"), (step, details)


MORE = """\
  small: {job: compress, model: model, data: data, techniques: [{kind: quantize, scheme: float16}]}
  verdict: {job: evaluate, models: [model, small], data: data}
  tried:
    job: sweep
    train:
      data: data
      model: {backbone: {kind: resnet, depth: 8, width: 4}}
      epochs: 1
      batch_size: 256
      strategy: HELD
    space: {learning_rate: {kind: choice, values: [0.01, 0.02]}}
    trials: 2
"""


@contextmanager
def scraping(root: Path) -> Iterator[prometheus.Prometheus]:
    """Have Prometheus scrape the one node of the cluster this process is connected to, with our alerts."""
    prometheus.found()
    (port,) = {node["MetricsExportPort"] for node in ray.nodes()}
    (root / "prometheus.yaml").write_text(yaml.safe_dump(scrape([f"127.0.0.1:{port}"], every="1s")))
    (root / "alerts.yaml").write_text(yaml.safe_dump(rules(alerts())))
    with prometheus.running(root / "prometheus.yaml", root / "data") as server:
        yield server


def assert_drawn(server: prometheus.Prometheus, metrics: Iterable[Metric]) -> None:
    """Assert that what a dashboard asks of these metrics gives series, each with all tags."""
    for metric in metrics:
        for expression in expressions(metric, {"definition": "watched", "step": ".*"}).values():
            series = server.wait_for(expression)
            assert series, expression
            assert {tag for each in series for tag in each["metric"]} == set(metric.tags), expression


def watched(root: Path, definition: str, left_out: tuple[Metric, ...]) -> None:
    """Run a definition, watched by Prometheus, and ask for every metric but some as the dashboard would."""
    # What every node is called is a label too: what asks for it runs there, and nowhere else.
    node = ray.nodes()[0]["NodeID"]
    held = f"{{kind: single, memory: 1048576, labels: {{ray.io/node-id: {node}}}}}"
    (root / "watched.yaml").write_text(definition.replace("HELD", held))
    pipeline = load(root / "watched.yaml")
    planned = plan(pipeline, Store(Folder.parse(str(root / "runs"))))
    metrics = [metric for declared in packages().values() for metric in declared if metric not in left_out]
    run = root.name
    told = Followed(heard, [Telling(pipeline.name, run, len(planned))])
    with scraping(root) as server, told:
        outcome = Runner(pipeline, planned, capacity("local"), told, {"versions": {}, "commit": ""}).run()
        assert outcome.done, outcome.errors
        assert_drawn(server, metrics)
        done = f'{STEPS.exported}{{run="{run}", state="done"}} == {len(planned)}'
        assert server.wait_for(done), "the last states are told too"
        states = server.ask(f'{STEPS.exported}{{run="{run}"}}')
        found = {each["metric"]["state"]: float(each["value"][1]) for each in states}
        assert found == {"waiting": 0, "running": 0, "done": len(planned)}


@pytest.mark.cluster
@pytest.mark.usefixtures("ray_cluster")
def test_every_panel_of_what_a_training_emits_has_data(tmp_path: Path) -> None:
    watched(tmp_path, DEFINITION, left_out=(TRIALS, RATIO, JUDGED, *serving.METRICS))


@pytest.mark.slow
@pytest.mark.cluster
@pytest.mark.usefixtures("ray_cluster")
def test_every_panel_has_data_with_compression_judgement_and_a_sweep(tmp_path: Path) -> None:
    watched(tmp_path, DEFINITION + MORE, left_out=serving.METRICS)
