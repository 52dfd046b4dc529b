"""What a run may ask of a cluster of one CPU whose autoscaler may add nodes."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cluster.autoscaling.head import ROOT, growing_from_one
from tests.cluster.test_resources import LIMIT, TYPES


@pytest.fixture(scope="module")
def growing(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Run the head of a cluster whose autoscaler may add nodes; yield its address."""
    with growing_from_one(tmp_path_factory.mktemp("growing"), TYPES, LIMIT) as head:
        yield head.address


DEFINITION = """
name: toy
steps:
  data: {job: dataset, source: {kind: digits}}
  model:
    job: train
    data: data
    model: {backbone: {kind: resnet, depth: 8}}
    batch_size: 60
    strategy: {kind: data_parallel, workers: WORKERS, cpus_per_worker: CPUS}
"""


def espalier(command: str, growing: str, root: Path, workers: int, cpus: int) -> subprocess.CompletedProcess[str]:
    """Run a command on the definition with these workers, in a process of its own."""
    file = root / "toy.yaml"
    file.write_text(DEFINITION.replace("WORKERS", str(workers)).replace("CPUS", str(cpus)))
    words = [sys.executable, "-m", "pipelines", command, str(file), "--store", str(root / "runs"), "--address", growing]
    return subprocess.run(words, cwd=ROOT, capture_output=True, text=True)


@pytest.mark.cluster
def test_what_the_autoscaler_may_add_counts(growing: str, tmp_path: Path) -> None:
    """The head has one CPU; three nodes at most may be added, of them two with four CPUs and one with two."""
    fits = espalier("plan", growing, tmp_path, workers=2, cpus=4)
    assert fits.returncode == 0, fits.stderr
    assert "can hold 11 CPU, 2 GPU" in fits.stdout


@pytest.mark.cluster
def test_what_it_may_never_add_is_refused_before_anything_starts(growing: str, tmp_path: Path) -> None:
    refused = espalier("run", growing, tmp_path, workers=3, cpus=4)
    asked = "step 'model' needs 12 CPU, the cluster can hold 11 CPU, 2 GPU"
    assert refused.stderr.splitlines()[-1] == f"error: {asked}; ask for less, or use a larger cluster"
    assert refused.returncode == 4
    assert not list(tmp_path.glob("runs/*/*"))
