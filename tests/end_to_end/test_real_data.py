"""Real CIFAR-10 and AG's News through the `table` source to a judged int8 model, and through the shipped definitions.

They need the data beside the project.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from jobs.artifacts import Report
from pipelines.find import artifact_at
from tests.jobs.models.making import minilm

ROOT = Path(__file__).parent.parent.parent
SHIPPED = ROOT / "pipelines/definitions"
DATA = Path(os.environ.get("ESPALIER_TEST_DATA", ROOT / "data"))
pytestmark = [pytest.mark.slow, pytest.mark.cluster, pytest.mark.timeout(7200)]

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


def tables(name: str) -> dict[str, str]:
    found = {split: DATA / f"{name}-{split}.parquet" for split in ("train", "test")}
    if not found["train"].exists():
        pytest.skip(f"{found['train']} is not there; set ESPALIER_TEST_DATA to the folder that holds it")
    return {split: str(path) for split, path in found.items()}


def verdict(definition: Path, root: Path, params: dict[str, str]) -> dict[str, dict[str, Any]]:
    """Run a definition and return, by model, what its step `verdict` found."""
    settings = [part for name, value in params.items() for part in ("--set", f"{name}={value}")]
    command = [sys.executable, "-m", "pipelines", "run", str(definition), "--store", str(root / "runs"), *settings]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    return artifact_at(str(next((root / "runs").glob("*/verdict-*"))), Report).evaluations


def show(name: str, evaluations: dict[str, dict[str, Any]], capsys: pytest.CaptureFixture[str]) -> None:
    with capsys.disabled():
        for model, found in evaluations.items():
            print(f"\n{name} {model}: accuracy {found['accuracy']:.4f}, {found['size_bytes']:,} bytes")


@pytest.mark.parametrize("name", sorted(CASES))
def test_real_data_becomes_a_judged_int8_model(name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "real.yaml").write_text(DEFINITION.format(**tables(name), **CASES[name]))
    show(name, verdict(tmp_path / "real.yaml", tmp_path, {}), capsys)


def test_augmentation_and_regularisation_bring_three_points(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found = verdict(SHIPPED / "cifar10.yaml", tmp_path, {"port": "0"} | tables("cifar10"))
    show("cifar10", found, capsys)
    assert found["robust"]["accuracy"] >= found["plain"]["accuracy"] + 0.03


def test_a_chain_is_fifteen_times_smaller_and_half_the_work_loses_little(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    found = verdict(SHIPPED / "cifar10_small.yaml", tmp_path, {"port": "0"} | tables("cifar10"))
    show("cifar10", found, capsys)
    assert found["small"]["gzip_bytes"] * 15 <= found["teacher"]["gzip_bytes"]
    assert found["small"]["accuracy"] >= found["teacher"]["accuracy"] - 0.01
    assert found["fast"]["accuracy"] >= found["teacher"]["accuracy"] - 0.015


def test_a_pretrained_bert_is_fine_tuned_and_taught_on(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found = verdict(SHIPPED / "bert.yaml", tmp_path, {"port": "0", "weights": str(minilm())} | tables("agnews"))
    show("agnews", found, capsys)
    assert found["teacher"]["accuracy"] >= 0.88
    assert found["alone"]["accuracy"] >= 0.85


def test_three_students_of_a_bert_fit_into_a_fiftieth(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    params = {"port": "0", "weights": str(minilm())} | tables("agnews")
    found = verdict(SHIPPED / "bert_small.yaml", tmp_path, params)
    show("agnews", found, capsys)
    assert found["small"]["size_bytes"] * 50 <= found["teacher"]["size_bytes"]
    assert found["small"]["accuracy"] >= found["teacher"]["accuracy"] - 0.03
    alone = [found[name]["accuracy"] for name in ("first", "second", "third")]
    assert found["small"]["accuracy"] >= sum(alone) / len(alone)
