"""What happens to a training whose worker is killed, whose checkpoint is damaged or whose disk is full."""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cluster.errors import RequestError, StepError
from cluster.folder import Folder
from cluster.resources import Resources
from cluster.work import run_remote
from jobs.artifacts import Model
from jobs.checkpoints import newest, write
from jobs.models.model import ModelSpec, read_weights
from jobs.progress import Begun, Progress
from jobs.recipe import TrainRecipe
from jobs.strategies.data_parallel import DataParallel
from jobs.training import TrainWork
from tests.rig import TINY, DoAfterEpoch, DoAfterSteps, KillOnce, KillWithin, epochs_of

pytestmark = pytest.mark.cluster
EPOCHS = 4


@dataclass
class Training:
    """A small training by two workers below `root`; `run` may be called again to go on."""

    root: Path
    data: Folder
    runs: int = 0

    def run(
        self, act: Any = None, within: Any = None, retries: int = 0, wrap: Any = None, **recipe: Any
    ) -> list[dict[str, Any]]:
        from jobs.strategies.ray_train import Group, run_group

        self.runs += 1
        model = ModelSpec.model_validate({"backbone": TINY, "dropout": 0.2, "l2": 1e-4})
        strategy = DataParallel(workers=2)
        out = Folder.parse(str(self.root / "out"))
        work = TrainWork(model, TrainRecipe(epochs=EPOCHS, batch_size=200, **recipe), strategy, self.data, out)
        wrapped: Any = work if wrap is None else wrap(work)
        acting = wrapped if act is None else DoAfterEpoch(wrapped, act.rank, act)
        if within is not None:
            acting = DoAfterSteps(acting, within.rank, within)
        group = Group(
            acting,
            strategy,
            f"run{self.runs}",
            self.checkpoints,
            retries,
            2,
        )
        events: list[dict[str, Any]] = []
        run_remote(run_group, group, resources=Resources(), tell=events.append, warm=True)
        return events

    @property
    def checkpoints(self) -> Folder:
        return Folder.parse(str(self.root / "checkpoints"))

    def weights(self) -> dict[str, Any]:
        return read_weights((self.root / "out/weights.npz").read_bytes(), "weights")

    def history(self) -> list[int]:
        return [epoch.epoch for epoch in Model.load(Folder.parse(str(self.root / "out"))).history]


@pytest.fixture(scope="module")
def unbroken(ray_cluster: None, digits: Folder, tmp_path_factory: pytest.TempPathFactory) -> Training:
    """Return a training that nothing happens to, but that its sums are numbers of NumPy's."""
    training = Training(tmp_path_factory.mktemp("unbroken"), digits)
    training.run(wrap=InSinglePrecision, checkpoint_every=2)
    return training


@dataclass(frozen=True)
class InSinglePrecision:
    """Does `work` with an engine whose sums are `np.float32`."""

    work: Any

    def __call__(self, engine: Any, keeper: Any) -> None:
        train, evaluate = engine.train, engine.evaluate
        engine.train = lambda *args: tuple(map(np.float32, train(*args)))
        engine.evaluate = lambda *args: tuple(map(np.float32, evaluate(*args)))
        self.work(engine, keeper)


def test_numbers_of_numpy_end_no_training(unbroken: Training) -> None:
    assert unbroken.history() == [1, 2, 3, 4]


def assert_same(training: Training, unbroken: Training) -> None:
    wanted = unbroken.weights()
    for name, found in training.weights().items():
        np.testing.assert_allclose(found, wanted[name], atol=1e-6, rtol=0, err_msg=name)
    assert training.history() == [1, 2, 3, 4]


def test_a_killed_worker_is_replaced_and_training_goes_on_where_it_was(
    unbroken: Training, digits: Folder, tmp_path: Path
) -> None:
    training = Training(tmp_path, digits)
    events = training.run(within=KillWithin(1, 3, 4, tmp_path / "killed"), retries=1, checkpoint_every=2)
    (restart,) = (e for e in events if "retry" in e)
    died = r"worker 1 of 2: \(pid \d+ on [0-9.]+\) was killed by signal 9 \(SIGKILL\)"
    assert re.fullmatch(died, restart["retry"])
    assert Path(restart["log"]).exists()
    assert restart["restart"] == "1 of 1"
    (resumed,) = ((e["after_epoch"], e["train_step"]) for e in events if "resume" in e)
    assert resumed in ((2, 2), (2, 4))  # the last was being written
    assert epochs_of(events) == [1, 2, 3, 4]
    assert_same(training, unbroken)


def test_without_retries_the_error_names_worker_signal_and_log_and_the_next_run_survives_a_flipped_byte(
    unbroken: Training, digits: Folder, tmp_path: Path
) -> None:
    training = Training(tmp_path, digits)
    with pytest.raises(StepError) as caught:
        training.run(KillOnce(rank=1, epoch=3, marker=tmp_path / "killed"))
    said = re.fullmatch(
        r"worker 1 of 2: \(pid \d+ on [0-9.]+\) was killed by signal 9 \(SIGKILL\); its log: (.*\.err)",
        str(caught.value),
    )
    assert said, str(caught.value)
    assert Path(said[1]).exists()

    found = newest(training.checkpoints, 0, lambda text: None)
    assert found is not None
    flip_a_byte(found.path / "arrays.npz")
    events = training.run()
    warnings = [e["warning"] for e in events if "warning" in e]
    damage = f"checkpoint {found}/arrays.npz: is damaged: its SHA-256 is not the manifest's"
    assert warnings == [f"{damage}; the checkpoint before it is used"]
    assert epochs_of(events) == [3, 4]
    assert_same(training, unbroken)


def test_with_no_whole_checkpoint_left_the_error_says_so(tmp_path: Path) -> None:
    folder = tmp_path / "run" / "phase000-epoch000001"
    folder.mkdir(parents=True)
    write(folder, 0, Progress([], Begun(), {"w/0": np.zeros(4)}))
    flip_a_byte(folder / "arrays.npz")
    with pytest.raises(
        RequestError, match="holds 1 checkpoints, none of them good, wanted a whole one; delete that folder"
    ):
        newest(Folder.parse(str(tmp_path)), 0, lambda text: None)


def test_a_checkpoint_torn_while_it_was_written_never_counted(tmp_path: Path) -> None:
    folder = tmp_path / "run" / "phase000-epoch000001"
    folder.mkdir(parents=True)
    write(folder, 0, Progress([], Begun(), {"w/0": np.zeros(400)}))
    data = (folder / "arrays.npz").read_bytes()
    warnings: list[str] = []
    for torn in (data[: len(data) // 2], b""):
        (folder / "arrays.npz").write_bytes(torn)
        assert newest(Folder.parse(str(tmp_path)), 0, warnings.append) is None
    (folder / "manifest.json").unlink()
    assert newest(Folder.parse(str(tmp_path)), 0, warnings.append) is None
    assert [warning.endswith("; it is passed over") for warning in warnings] == [True, True, True]


def test_a_loss_that_is_no_number_is_named_with_its_train_step(
    ray_cluster: None, digits: Folder, tmp_path: Path
) -> None:
    training = Training(tmp_path, digits)
    with pytest.raises(StepError, match=r"^loss is (NaN|infinite) at train_step [1-9]; lower learning_rate"):
        training.run(optimizer="sgd", learning_rate=1e30, schedule="constant")


def flip_a_byte(file: Path) -> None:
    data = bytearray(file.read_bytes())
    data[len(data) // 2] ^= 1
    file.write_bytes(bytes(data))


@dataclass(frozen=True)
class FillOnce:
    """Leaves 20 kB on the disk of `folder` after the first epoch."""

    folder: Path
    rank: int = 0

    def __call__(self, epoch: int) -> None:
        free = os.statvfs(self.folder)
        if epoch == 1:
            (self.folder / "filler").write_bytes(b"x" * max(0, free.f_bavail * free.f_frsize - 20_000))


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """Yield a folder on a file system of 2 MB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", str(folder)], capture_output=True)
    if mounted.returncode:
        pytest.skip("a small tmpfs can only be mounted by root")
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True)


def test_a_full_disk_fails_the_step_and_keeps_the_checkpoint_before(
    ray_cluster: None, digits: Folder, small_disk: Path
) -> None:
    training = Training(small_disk, digits)
    with pytest.raises(StepError, match=r"found the disk full .*ENOSPC"):
        training.run(FillOnce(small_disk))
    (small_disk / "filler").unlink()
    found = newest(training.checkpoints, 0, lambda text: None)
    assert found is not None
    assert found.name.startswith("phase000-epoch000001-")
    assert [name for name in training.checkpoints.child("run1").names() if "epoch" in name] == [found.name]
