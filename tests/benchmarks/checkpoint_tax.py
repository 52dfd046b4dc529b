"""`checkpoint_tax`: training speed with a checkpoint every 50 train steps, against the same epochs without."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cluster.folder import Folder
from cluster.resources import Resources
from cluster.session import connected
from cluster.work import run_remote
from tests.benchmarks.harness import Benchmark
from tests.benchmarks.made import dataset_of
from tests.benchmarks.pictures import write_table

EVERY, STEPS, BATCH = 50, 110, 32  # two checkpoints within an epoch
PAIRS = 5
MODEL = {"backbone": {"kind": "resnet", "depth": 20}}
ROWS = {"train": STEPS * BATCH, "validation": 64}


@dataclass(frozen=True)
class Epochs:
    """Trains the same epoch again and again from the same weights, with and without checkpoints; picklable."""

    data: Folder

    def __call__(self, engine: Any, keeper: Any) -> None:
        from jobs.artifacts import Dataset
        from jobs.fit import Training, fit
        from jobs.models.model import ModelSpec, build
        from jobs.optimizers import optimizer_of
        from jobs.recipe import Recipe
        from jobs.training import feeds_of, preprocessing

        spec, dataset = ModelSpec.model_validate(MODEL), Dataset.load(self.data)
        folder, preprocess = preprocessing(spec, dataset, keeper, "preprocess")
        plain = Recipe(epochs=1, batch_size=BATCH, schedule="constant")
        feeds = feeds_of(dataset, preprocess, folder, plain)
        with engine.scope():
            model = build(spec, preprocess, len(dataset.classes), 0)
            training = Training(model, optimizer_of(plain, STEPS), 0)
            training.optimizer.build(model.trainable_variables)
        start = engine.read(training)
        for number in range(1 + 2 * PAIRS):  # the first traces
            every = EVERY if number % 4 in (1, 0) else None  # every other pair begins with the epoch without
            engine.restore(training, start)
            recipe = plain.model_copy(update={"checkpoint_every": every})
            (epoch,) = fit(engine, training, *feeds, recipe, keeper, number, f"epoch {number}")
            keeper.tell({"every": every, "rows": epoch.rows_per_second, "loss": epoch.loss, "number": number})


class CheckpointTax(Benchmark):
    """Rows a second of ResNet-20 on two workers, in one group; what checkpoints cost is in an epoch's time."""

    id = "checkpoint_tax"
    name = f"training with a checkpoint every {EVERY} train steps, against the same epochs without"
    unit = "rows/s"
    better = "higher"
    target = 0.99
    pairs = PAIRS

    def prepare(self, work: Path) -> None:
        """Train all the epochs, in one group of workers."""
        from jobs.strategies.ray_train import Group, run_group

        root = Path(tempfile.mkdtemp(dir=work))
        write_table(root / "pictures.parquet", ROWS)
        data = dataset_of(root / "pictures.parquet", root / "data")
        told: list[dict[str, Any]] = []
        checkpoints = Folder.parse(str(root / "checkpoints"))
        with connected("local", cpus=3):
            from jobs.strategies import Strategy

            strategy = Strategy.choose({"kind": "data_parallel", "workers": 2})
            group = Group(Epochs(data), strategy, "run", checkpoints, 0, 1_000)
            run_remote(run_group, group, resources=Resources(), tell=told.append)
        self.epochs = [event for event in told if event.get("number")]
        self.kept = [name for name in checkpoints.child("run").names() if "-step" in name and "phase000" not in name]
        self._with = [event["rows"] for event in self.epochs if event["every"]]
        self._without = [event["rows"] for event in self.epochs if not event["every"]]

    def ours(self) -> float:
        """Return the speed of the next epoch with checkpoints."""
        return float(self._with.pop(0))

    def reference(self) -> float:
        """Return the speed of the next epoch without."""
        return float(self._without.pop(0))

    def faults(self) -> Iterator[str]:
        """Yield where epochs end apart, or checkpoints are missing."""
        losses = {event["loss"] for event in self.epochs}
        if max(losses) - min(losses) > 1e-6 * max(losses):
            yield f"the same epoch ends in losses from {min(losses)} to {max(losses)}"
        if len(self.kept) != PAIRS * (STEPS // EVERY):
            yield f"{len(self.kept)} checkpoints within epochs were kept, not {PAIRS * (STEPS // EVERY)}"
