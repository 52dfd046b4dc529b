"""Real CIFAR-10 and AG's News through the `table` source to a judged int8 model; needs the data beside the project."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from jobs.artifacts import Report
from pipelines.find import artifact_at

ROOT = Path(__file__).parent.parent.parent
DATA = Path(os.environ.get("ESPALIER_TEST_DATA", ROOT / "data"))
pytestmark = [pytest.mark.slow, pytest.mark.cluster, pytest.mark.timeout(1800)]

DEFINITION = """
name: real
steps:
  data:
    job: dataset
    source:
      kind: table
      path: {{train: {train}, test: {test}}}
      {column}: {column}
      label: label
    split: {{validation: 0.1}}
  teacher:
    job: train
    data: data
    model: {model}
    epochs: {epochs}
    batch_size: 64
    learning_rate: {rate}
    strategy: {{kind: data_parallel, workers: 2}}
  small:
    job: compress
    model: teacher
    data: data
    techniques: [{{kind: prune, sparsity: 0.5, epochs: {tune}}}, {{kind: quantize, scheme: {scheme}}}]
    strategy: {{kind: data_parallel, workers: 2}}
  verdict: {{job: evaluate, models: [teacher, small], data: data, require: {{small: {{accuracy: {least}}}}}}}
"""
CASES = {
    "cifar10": {
        "column": "image",
        "model": "{backbone: {kind: resnet, depth: 20}, l2: 1e-4}",
        "epochs": "5", "rate": "0.003", "tune": "1", "scheme": "int8", "least": "0.55",
    },
    "agnews": {
        "column": "text",
        "model": "{backbone: {kind: text_cnn, length: 64}, dropout: 0.5}",
        "epochs": "5", "rate": "0.001", "tune": "2", "scheme": "int8", "least": "0.80",
    },
}  # fmt: skip


@pytest.mark.parametrize("name", sorted(CASES))
def test_real_data_becomes_a_judged_int8_model(name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    train, test = DATA / f"{name}-train.parquet", DATA / f"{name}-test.parquet"
    if not train.exists():
        pytest.skip(f"{train} is not there; set ESPALIER_TEST_DATA to the folder that holds it")
    (tmp_path / "real.yaml").write_text(DEFINITION.format(train=train, test=test, **CASES[name]))
    command = [sys.executable, "-m", "pipelines", "run", str(tmp_path / "real.yaml"), "--store", str(tmp_path / "runs")]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    verdict = artifact_at(str(next((tmp_path / "runs/real").glob("verdict-*"))), Report)
    for model, found in verdict.evaluations.items():
        with capsys.disabled():
            print(f"\n{name} {model}: accuracy {found['accuracy']:.4f}, {found['size_bytes']:,} bytes")
