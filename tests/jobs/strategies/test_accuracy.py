"""With parameter servers, whose updates come in any order, a model is as good on test rows as by one process."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from statistics import mean
from typing import Any

import pytest

from cluster.folder import Folder
from cluster.resources import Resources
from cluster.work import run_remote
from jobs.artifacts import Dataset, Model
from jobs.data.encode import encoded
from jobs.models.model import ModelSpec
from jobs.recipe import TrainRecipe
from jobs.runtime.measure import logits_of
from jobs.runtime.runner import Runner
from jobs.strategies import Strategy
from jobs.training import TrainWork
from tests.contracts.test_strategies import Aside

SEEDS = (0, 1, 2)
NEAR = 0.02  # of accuracy, between the means over the seeds: by chance alone a mean of 3 · 178 rows is off by 0.0075
KINDS: dict[str, dict[str, Any]] = {"single": {}, "parameter_server": {"workers": 2}}
MODEL = ModelSpec.model_validate({"backbone": {"kind": "resnet", "depth": 8, "width": 8}})


@dataclass(frozen=True)
class InTurn:
    """Does one work after the other in the same workers; picklable."""

    works: list[Any]

    def __call__(self, engine: Any, keeper: Any) -> None:
        for work in self.works:
            work(engine, Aside(keeper))


def accuracies(kind: str, data: Folder, root: Path) -> list[float]:
    """Train once a seed, and return the share of test rows each served file is right about."""
    from jobs.strategies.ray_train import Group, run_group

    strategy = Strategy.choose({"kind": kind, **KINDS[kind]})
    recipes = [TrainRecipe(epochs=6, batch_size=64, learning_rate=0.01, seed=seed) for seed in SEEDS]
    outs = [Folder.parse(str(root / f"{kind}-{seed}")) for seed in SEEDS]
    works = [TrainWork(MODEL, recipe, strategy, data, out) for recipe, out in zip(recipes, outs, strict=True)]
    group = Group(InTurn(works), strategy, kind, Folder.parse(str(root / "checkpoints")), retries=0, keep=1)
    run_remote(run_group, group, resources=Resources(), tell=lambda event: None)
    return [accuracy(Model.load(out), Dataset.load(data)) for out in outs]


def accuracy(model: Model, data: Dataset) -> float:
    path = model.folder.path
    logits, true = logits_of(Runner(path / model.served), encoded(data, model.preprocess, "test", path))
    return float((logits.argmax(1) == true).mean())


@pytest.mark.slow
@pytest.mark.cluster
@pytest.mark.timeout(600)
def test_parameter_servers_reach_the_accuracy_of_one_process(ray_cluster: None, digits: Folder, tmp_path: Path) -> None:
    found = {kind: accuracies(kind, digits, tmp_path) for kind in KINDS}
    assert min(found["single"]) > 0.9, found
    assert abs(mean(found["parameter_server"]) - mean(found["single"])) <= NEAR, found
