"""Federated training by whose rows are, and with privacy: a definition of both runs to its end."""

from __future__ import annotations

import csv
import math
import subprocess
import sys
from pathlib import Path

import pytest

from jobs.artifacts import Model
from jobs.data.rows import Row
from jobs.data.sources.docstrings import Docstrings
from pipelines.find import artifact_at

ROOT = Path(__file__).parent.parent.parent
HOSPITALS = ("north", "south", "west")
DEFINITION = """\
name: hospitals
steps:
  data:
    job: dataset
    source: {kind: table, path: rows.csv, text: text, label: label, client: hospital}
    split: {validation: 0.1, test: 0.2}
  by_hospital:
    job: train
    data: data
    model: {backbone: {kind: embedding_bag, vocabulary: 500, length: 32, width: 16}}
    epochs: 4
    batch_size: 32
    learning_rate: 0.02
    strategy: {kind: federated, workers: 3, local_epochs: 2, partition: {kind: column}}
  private:
    job: train
    data: data
    model: {backbone: {kind: embedding_bag, vocabulary: 500, length: 32, width: 16}}
    epochs: 4
    batch_size: 32
    learning_rate: 0.02
    strategy:
      kind: federated
      workers: 3
      fraction: 0.7
      partition: {kind: column}
      privacy: {clip: 1.0, noise_multiplier: 0.5, delta: 0.01}
  verdict: {job: evaluate, models: [by_hospital, private], data: data, require: {by_hospital: {accuracy: 0.6}}}
  report: {job: report, of: [data, by_hospital, private, verdict]}
  live: {job: deploy, model: by_hospital, after: [verdict], port: 0}
"""


def write_rows(file: Path) -> None:
    """Write docstrings labelled with their package; each lies with one of three hospitals."""
    rows = Docstrings(packages=["matplotlib", "numpy"], limit=300).rows()
    texts = [(row.raw, row.label) for row in rows if isinstance(row, Row)]
    with file.open("w", newline="") as out:
        lines = [(*text, HOSPITALS[number % 3]) for number, text in enumerate(texts)]
        csv.writer(out).writerows([("text", "label", "hospital"), *lines])


def model(store: Path, step: str) -> Model:
    (folder,) = store.glob(f"hospitals/{step}-*")
    return artifact_at(str(folder), Model)


@pytest.mark.slow
@pytest.mark.cluster
@pytest.mark.timeout(900)
def test_a_definition_by_hospital_and_one_with_privacy_run_to_their_end(tmp_path: Path) -> None:
    write_rows(tmp_path / "rows.csv")
    (tmp_path / "hospitals.yaml").write_text(DEFINITION)
    command = [sys.executable, "-m", "pipelines", "run", "hospitals.yaml", "--store", "store"]
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "answered a real request" in done.stdout
    by_hospital, private = (model(tmp_path / "store", step) for step in ("by_hospital", "private"))
    assert [epoch.facts for epoch in by_hospital.history] == [{"clients": 3}] * 4
    assert by_hospital.history[3].loss < by_hospital.history[0].loss
    spent = [epoch.facts["epsilon"] for epoch in private.history]
    assert spent == sorted(spent)
    assert 0 < spent[0] < spent[3] < math.inf
    assert {epoch.facts["delta"] for epoch in private.history} == {0.01}
