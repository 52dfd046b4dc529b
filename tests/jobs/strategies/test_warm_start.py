"""Workers of a training that start warm."""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from cluster.folder import Folder
from cluster.resources import Resources
from cluster.starting import warm_start
from cluster.work import run_remote
from jobs.strategies.data_parallel import DataParallel

pytestmark = pytest.mark.cluster


def tensorflow_at(pid: int) -> str:
    """Return the address TensorFlow is loaded at in a process: another one in every process that loads it itself."""
    lines = Path(f"/proc/{pid}/maps").read_text().splitlines()
    return next(line.split("-")[0] for line in lines if "libtensorflow_cc" in line)


@dataclass(frozen=True)
class TellWhere:
    """Leaves where each worker's TensorFlow lies, whose child it is, and what the workers' sum is; picklable."""

    root: Path

    def __call__(self, engine: Any, keeper: Any) -> None:
        import tensorflow as tf

        with engine.scope():
            total = engine.strategy.reduce("SUM", engine.strategy.run(lambda: tf.constant(1.0)), axis=None)
        facts = f"{os.getppid()} {tensorflow_at(os.getpid())} {float(total)}"
        (self.root / str(keeper.rank)).write_text(facts)


def test_no_worker_of_two_trainings_of_a_run_loads_tensorflow(ray_cluster: None, tmp_path: Path) -> None:
    from jobs.strategies.ray_train import Group, run_group

    strategy = DataParallel(workers=2)
    for name in ("first", "second"):
        root = tmp_path / name
        root.mkdir()
        group = Group(TellWhere(root), strategy, name, Folder.parse(str(tmp_path / "checkpoints" / name)), 0, 2)
        run_remote(run_group, group, resources=Resources(), tell=lambda event: None, warm=True)
        stem = warm_start._here[-1][1].pid
        for rank in ("0", "1"):
            assert (root / rank).read_text() == f"{stem} {tensorflow_at(stem)} 2.0"
