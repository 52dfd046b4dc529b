"""However training is spread, the same rows in the same order end in the same weights."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cluster.folder import Folder
from cluster.resources import Resources
from cluster.work import run_remote
from jobs.models.model import ModelSpec, read_weights
from jobs.recipe import TrainRecipe
from jobs.strategies import Strategy
from jobs.training import TrainWork
from tests.contracts.test_strategies import Both

pytestmark = pytest.mark.cluster

NEAR = 1e-4  # the most that ‖a-b‖ may be of ‖b‖
BERT = {"kind": "bert", "layers": 2, "width": 16, "heads": 2, "feed_forward": 32, "vocabulary": 300, "length": 16}
RECIPE = TrainRecipe(epochs=1, batch_size=40, optimizer="sgd", learning_rate=0.05)
LONGER = pytest.mark.slow
SPREAD = [
    pytest.param({"kind": "data_parallel", "workers": 1}, id="data_parallel_1", marks=LONGER),
    pytest.param({"kind": "data_parallel", "workers": 2}, id="data_parallel_2"),
    pytest.param({"kind": "data_parallel", "workers": 4}, id="data_parallel_4", marks=LONGER),
    pytest.param({"kind": "model_parallel", "batch": 1, "model": 2}, id="model_parallel_1x2"),
    pytest.param({"kind": "model_parallel", "batch": 2, "model": 1}, id="model_parallel_2x1", marks=LONGER),
    pytest.param({"kind": "model_parallel", "batch": 2, "model": 2}, id="model_parallel_2x2", marks=LONGER),
]
SAME_DRAWS = {"kind": "model_parallel", "batch": 1, "model": 2}  # rows are divided as in one worker: masks too


def trained(data: Folder, strategy: dict[str, Any], root: Path) -> dict[str, dict[str, Any]]:
    """Train without dropout and with it; return the weights of each, `plain` and `dropped`, by name."""
    from jobs.strategies.ray_train import Group, run_group

    chosen = Strategy.choose({"cpus_per_worker": 0.5, **strategy})

    def work(name: str, dropout: float) -> TrainWork:
        spec = {"backbone": {**BERT, "dropout": dropout}, "dropout": dropout, "l2": 1e-3}
        return TrainWork(ModelSpec.model_validate(spec), RECIPE, chosen, data, Folder.parse(str(root / name)))

    both = Both(work("plain", 0.0), work("dropped", 0.3))
    run_remote(
        run_group,
        Group(both, chosen, "run", Folder.parse(str(root / "checkpoints")), retries=0, keep=1),
        resources=Resources(),
        tell=lambda event: None,
    )
    files = {name: root / name / "weights.npz" for name in ("plain", "dropped")}
    return {name: read_weights(file.read_bytes(), name) for name, file in files.items()}


@pytest.fixture(scope="module")
def alone(ray_cluster: None, texts: Folder, tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, Any]]:
    return trained(texts, {"kind": "single"}, tmp_path_factory.mktemp("single"))


def distance(found: dict[str, Any], wanted: dict[str, Any]) -> float:
    """Return ‖found - wanted‖ / ‖wanted‖ over all weights."""
    assert found.keys() == wanted.keys()
    a, b = (np.concatenate([weights[name].ravel() for name in sorted(wanted)]) for weights in (found, wanted))
    return float(np.linalg.norm(a - b) / np.linalg.norm(b))


@pytest.mark.parametrize("strategy", SPREAD)
def test_it_ends_in_the_weights_of_one_worker(
    alone: dict[str, dict[str, Any]], texts: Folder, tmp_path: Path, strategy: dict[str, Any]
) -> None:
    found = trained(texts, strategy, tmp_path)
    assert distance(found["plain"], alone["plain"]) <= NEAR
    if strategy == SAME_DRAWS:
        assert distance(found["dropped"], alone["dropped"]) <= NEAR
    assert distance(alone["dropped"], alone["plain"]) > 10 * NEAR
