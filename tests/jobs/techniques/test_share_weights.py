"""Shared weights: how many values a kernel has, whose zeros stay, and what a chain of it with pruning leaves."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cluster.folder import Folder
from jobs.artifacts import Model
from jobs.compressing import CompressWork
from jobs.models.model import read_weights
from jobs.strategies import Single
from jobs.techniques import Technique
from jobs.techniques.share_weights import ShareWeights, shared
from tests.rig import MemoryKeeper

pytestmark = pytest.mark.training


@pytest.mark.parametrize("initialisation", ["kmeans_plus_plus", "density", "linear"])
def test_values_are_the_means_of_the_weights_that_take_them(initialisation: str) -> None:
    kernel = np.random.default_rng(5).normal(size=(3, 3, 8, 16)).astype(np.float32)
    found = shared(kernel, 8, initialisation, zeros=False)
    values = np.unique(found)
    assert 4 <= len(values) <= 8
    for value in values:
        assert kernel[found == value].mean() == pytest.approx(value, abs=1e-5)
    assert ((found - kernel) ** 2).mean() < 0.1  # of a variance of 1


def test_zeros_stay_and_count_as_one_value() -> None:
    kernel = np.random.default_rng(5).normal(size=(40, 40)).astype(np.float32)
    kernel[np.abs(kernel) < 0.7] = 0
    found = shared(kernel, 8, "kmeans_plus_plus", zeros=True)
    assert ((found == 0) == (kernel == 0)).all()
    assert len(np.unique(found)) <= 8


def test_a_kernel_of_few_values_is_left_as_it_is() -> None:
    kernel = np.arange(6, dtype=np.float32).reshape(2, 3)
    assert (shared(kernel, 6, "linear", zeros=False) == kernel).all()


def test_one_value_too_many_breaks_the_promise() -> None:
    kernel = np.arange(9, dtype=np.float32).reshape(3, 3)
    findings = list(ShareWeights(epochs=1, clusters=8).promise({}, {"head/kernel": kernel, "head/bias": kernel}, None))
    assert [(f.layer, f.promised, f.measured, f.kept) for f in findings] == [("head", "<= 8", "9", False)]


def kernels(out: Folder) -> dict[str, Any]:
    weights = read_weights(out.read_bytes("weights.npz"), "weights")
    return {name: value for name, value in weights.items() if name.endswith("/kernel")}


def test_behind_a_pruning_zeros_stay_zeros_while_values_learn(digits: Folder, model: Folder, tmp_path: Path) -> None:
    chain = [
        Technique.choose({"kind": "prune", "sparsity": 0.6, "epochs": 1}),
        Technique.choose({"kind": "share_weights", "clusters": 8, "epochs": 2, "learning_rate": 0.003}),
    ]
    keeper, out = MemoryKeeper(tmp_path), Folder.parse(str(tmp_path / "out"))
    CompressWork(chain, Single(), model, digits, out)(Single().engine(), keeper)
    pruned = read_weights(keeper.root.read_bytes("tuned001/weights.npz"), "kept")
    for name, kernel in kernels(out).items():
        assert len(np.unique(kernel)) <= 8, name
        assert ((kernel == 0) | (pruned[name] != 0)).all(), name
        start = shared(pruned[name], 8, "kmeans_plus_plus", zeros=True)
        assert not np.allclose(kernel, start, atol=1e-5), f"{name} has not learnt"
    made = Model.load(out)
    assert {finding.technique for finding in made.findings} == {"prune", "share_weights", "convert"}
    assert [epoch.phase for epoch in made.history[-3:]] == ["prune", "share_weights", "share_weights"]
