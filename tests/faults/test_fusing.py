"""Weights averaged over epochs by two workers, one of which is killed: the mean is what one unbroken worker makes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cluster.folder import Folder
from cluster.resources import Resources
from cluster.work import run_remote
from jobs.artifacts import Model
from jobs.fusing.methods import FuseMethod
from jobs.fusing.methods.method import Fusing
from jobs.fusing.swing import SwaWork
from jobs.models.model import ModelSpec, read_weights
from jobs.recipe import TrainRecipe
from jobs.strategies import Single
from jobs.strategies.data_parallel import DataParallel
from jobs.training import TrainWork
from tests.rig import DoAfterEpoch, KillOnce, MemoryKeeper

TEXT_CNN = {"kind": "text_cnn", "vocabulary": 300, "length": 16, "width": 8, "filters": 8}


@pytest.mark.slow
@pytest.mark.cluster
def test_a_killed_worker_changes_nothing_of_the_mean(ray_cluster: None, texts: Folder, tmp_path: Path) -> None:
    from jobs.strategies.ray_train import Group, run_group

    member = Folder.parse(str(tmp_path / "member"))
    recipe = TrainRecipe(epochs=1, batch_size=64, learning_rate=0.01)
    train = TrainWork(ModelSpec.model_validate({"backbone": TEXT_CNN}), recipe, Single(), texts, member)
    train(Single().engine(), MemoryKeeper(tmp_path))
    method: Any = FuseMethod.choose({"kind": "swa", "epochs": 3, "learning_rate": 0.01, "batch_size": 64})

    def work(name: str) -> SwaWork:
        return SwaWork(method, Fusing({"member": member}, texts, Folder.parse(str(tmp_path / name))))

    kill = KillOnce(1, 2, tmp_path / "killed")
    strategy, events = DataParallel(workers=2), list[dict[str, Any]]()
    group = Group(
        DoAfterEpoch(work("broken"), 1, kill), strategy, "swa", Folder.parse(str(tmp_path / "kept")), 1, 2
    )  # fmt: skip
    run_remote(run_group, group, resources=Resources(), tell=events.append, warm=True)
    work("whole")(Single().engine(), MemoryKeeper(tmp_path))
    assert kill.marker.exists()
    assert [event["restart"] for event in events if "retry" in event] == ["1 of 1"]
    found = {}
    for name in ("broken", "whole"):
        folder = Folder.parse(str(tmp_path / name))
        assert [epoch.epoch for epoch in Model.load(folder).history] == [1, 1, 2, 3]
        found[name] = read_weights(folder.read_bytes("weights.npz"), name)
    for name, value in found["whole"].items():
        np.testing.assert_allclose(found["broken"][name], value, atol=1e-4)
