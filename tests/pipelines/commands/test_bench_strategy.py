from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from cluster.folder import Folder
from cluster.resources import Resources
from jobs.artifacts import Scaling
from jobs.scaling import under
from jobs.strategies import Strategy
from pipelines.load import load
from pipelines.plan import plan
from pipelines.runner import Runner
from pipelines.store import Store
from tests.pipelines.commands.conftest import Espalier

DATA = """\
name: toy
steps:
  data: {job: dataset, source: {kind: digits}, split: {test: 0.5}}
"""
TRAINING = """\
  model:
    job: train
    data: data
    model: {backbone: {kind: resnet, depth: 8, width: 4}}
    batch_size: 200
    strategy: {kind: data_parallel, workers: 1}
  alone: {job: train, data: data, model: {backbone: {kind: resnet, depth: 8}}}
"""


SECRET = """\
name: secret
steps:
  data: {job: dataset, source: {kind: docstrings}}
  model:
    job: train
    data: data
    model: {backbone: {kind: text_cnn}}
    strategy: {kind: federated, workers: 2, privacy: {clip: 1, noise_multiplier: 1, delta: 1.0e-3}}
"""


@pytest.fixture
def definition(tmp_path: Path) -> str:
    (tmp_path / "toy.yaml").write_text(DATA + TRAINING)
    return "toy.yaml"


def test_only_a_train_step_is_timed(espalier: Espalier, definition: str) -> None:
    said = espalier("bench-strategy", definition, "modle")
    assert (said.code, said.err) == (2, "error: toy: has no step 'modle', did you mean 'model'?\n")
    said = espalier("bench-strategy", definition, "data")
    assert (said.code, said.err) == (2, "error: step 'data': is no train step, wanted one\n")


def test_the_data_must_be_made(espalier: Espalier, definition: str, tmp_path: Path) -> None:
    said = espalier("bench-strategy", definition, "model")
    assert said.err == "error: step 'data': is not made; 'model' reads it: run the definition first\n"
    assert said.code == 2
    assert not (tmp_path / "bench").exists()


def test_a_training_that_keeps_its_speed_secret_is_not_timed(espalier: Espalier, tmp_path: Path) -> None:
    (tmp_path / "secret.yaml").write_text(SECRET)
    said = espalier("bench-strategy", "secret.yaml", "model")
    assert (said.code, said.err) == (
        2,
        "error: step 'model': cannot be timed: privacy keeps secret who was drawn, and with it the rows of a round; "
        "leave that out to time it\n",
    )


def make_data(root: Path) -> None:
    """Make the data step alone."""
    (root / "data.yaml").write_text(DATA)
    pipeline = load(root / "data.yaml")
    planned = plan(pipeline, Store(Folder.parse(str(root / "runs"))))
    made = {"versions": {}, "commit": ""}
    assert Runner(pipeline, planned, Resources(3), lambda *event: None, made).run().done


@pytest.mark.cluster
def test_speeds_by_workers_are_told_and_kept_and_no_step_is_made(
    ray_cluster: None, espalier: Espalier, definition: str, tmp_path: Path
) -> None:
    make_data(tmp_path)
    before = sorted(path for path in tmp_path.rglob("runs/toy/**/*") if path.is_file())
    said = espalier("bench-strategy", definition, "model", "--workers", "2,1", "--steps", "4", "--page")
    assert said.code == 0, said.err
    assert [line.split()[0] for line in said.lines if "%" in line] == ["1", "2"]
    assert said.lines[-1] == "written: bench/toy-model/report.html"
    assert sorted(path for path in tmp_path.rglob("runs/toy/**/*") if path.is_file()) == before
    assert sorted(path.name for path in (tmp_path / "bench/toy-model").iterdir()) == ["artifact.json", "report.html"]
    made = Scaling.load(Folder.parse(str(tmp_path / "bench/toy-model")))
    assert [speed.workers for speed in made.speeds] == [1, 2]
    assert made.speeds[0].efficiency == 1
    assert made.speeds[1].efficiency == pytest.approx(
        made.speeds[1].rows_per_second / made.speeds[0].rows_per_second / 2
    )
    assert made.speeds[1].timing is not None
    assert made.speeds[1].timing.bytes_sent > 0
    assert "Speed of model by workers" in (tmp_path / "bench/toy-model/report.html").read_text()


@pytest.mark.cluster
def test_what_cannot_be_is_refused_before_anything_starts(
    ray_cluster: None, espalier: Espalier, definition: str, tmp_path: Path
) -> None:
    make_data(tmp_path)
    said = espalier("bench-strategy", definition, "model", "--workers", "1,x")
    assert (said.code, said.err) == (2, "error: --workers 1,x: is no list of numbers, wanted one such as 1,2,4\n")
    said = espalier("bench-strategy", definition, "alone", "--workers", "2")
    assert said.code == 2
    assert said.err.startswith("error: strategy single with 2 workers: ")
    said = espalier("bench-strategy", definition, "model", "--workers", "201")
    assert said.code == 2
    assert "200 rows a global batch cannot feed 201 workers" in said.err
    said = espalier("bench-strategy", definition, "model", "--workers", "1,4")
    assert said.code == 4
    assert said.err == (
        "error: step 'model' with 4 workers needs 4 CPU, the cluster can hold 3 CPU; "
        "ask for less, or use a larger cluster\n"
    )
    assert not (tmp_path / "bench").exists()


@pytest.mark.parametrize("kind", Strategy.members())
def test_every_strategy_of_several_workers_can_be_had_with_others(kind: str) -> None:
    fields: dict[str, Any] = {"kind": kind, "cpus_per_worker": 0.25}
    if kind == "single":
        assert under(Strategy.choose(fields), 1) == Strategy.choose(fields)
        return
    found = [under(Strategy.choose(fields), workers) for workers in (1, 2, 4)]
    assert [strategy.workers for strategy in found] == [1, 2, 4]
    assert {strategy.cpus_per_worker for strategy in found} == {0.25}
    assert not [wrong for strategy in found for wrong in strategy.problems(64)]
