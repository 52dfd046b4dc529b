"""What Ray Train notes of a run's checkpoints is damaged: it is set aside, and training goes on from what is whole."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from cluster.folder import Folder
from cluster.resources import Resources
from cluster.work import run_remote
from jobs.artifacts import Model
from jobs.models.model import ModelSpec
from jobs.recipe import TrainRecipe
from jobs.strategies import Single
from jobs.strategies.snapshots import ASIDE, SNAPSHOT
from jobs.training import TrainWork
from tests.rig import TINY, epochs_of

pytestmark = pytest.mark.cluster

NEWEST = "phase000-epoch000002"


def train(root: Path, data: Folder, epochs: int) -> list[dict[str, Any]]:
    """Train below `root`, under one name however often; return what was told."""
    from jobs.strategies.ray_train import Group, run_group

    model, recipe = ModelSpec.model_validate({"backbone": TINY}), TrainRecipe(epochs=epochs, batch_size=200)
    work = TrainWork(model, recipe, Single(), data, Folder.parse(str(root / "out")))
    events: list[dict[str, Any]] = []
    group = Group(work, Single(), "run", Folder.parse(str(root / "checkpoints")), retries=0, keep=2)
    run_remote(run_group, group, resources=Resources(), tell=events.append)
    return events


@pytest.fixture(scope="module")
def begun(ray_cluster: None, digits: Folder, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder of a training of two epochs: a checkpoint of each, and a snapshot that names both."""
    root = tmp_path_factory.mktemp("begun")
    train(root, digits, epochs=2)
    return root


def halve(run: Path) -> str:
    data = (run / SNAPSHOT).read_bytes()
    (run / SNAPSHOT).write_bytes(data[: len(data) // 2])
    return f"is not whole ({len(data) // 2} bytes)"


def empty(run: Path) -> str:
    (run / SNAPSHOT).write_bytes(b"")
    return "is empty"


def delete_newest(run: Path) -> str:
    (newest,) = run.glob(f"{NEWEST}-*")
    shutil.rmtree(newest)
    return f"names {newest.name}, which is not there"


@pytest.mark.parametrize(
    ("damage", "after"),
    [
        pytest.param(halve, 2, id="cut short"),
        pytest.param(empty, 2, id="emptied", marks=pytest.mark.slow),
        pytest.param(delete_newest, 1, id="names what is gone", marks=pytest.mark.slow),
    ],
)
def test_a_damaged_snapshot_is_set_aside_and_training_goes_on_from_the_newest_whole_checkpoint(
    damage: Callable[[Path], str], after: int, begun: Path, digits: Folder, tmp_path: Path
) -> None:
    root = tmp_path / "again"
    shutil.copytree(begun, root)
    run = root / "checkpoints/run"
    what = damage(run)
    found = (run / SNAPSHOT).read_bytes()

    events = train(root, digits, epochs=3)

    told = f"Ray Train's snapshot {run}/{SNAPSHOT} {what}; it is set aside as {ASIDE}"
    assert [event["warning"] for event in events if "warning" in event] == [told]
    assert (run / ASIDE).read_bytes() == found
    assert [(event["after_epoch"], event["train_step"]) for event in events if "resume" in event] == [(after, 0)]
    assert epochs_of(events) == list(range(after + 1, 4))
    assert [epoch.epoch for epoch in Model.load(Folder.parse(str(root / "out"))).history] == [1, 2, 3]
    named = json.loads((run / SNAPSHOT).read_bytes())["checkpoint_results"]
    assert named
    assert all((run / checkpoint["checkpoint_dir_name"]).is_dir() for checkpoint in named)  # the new one is whole
