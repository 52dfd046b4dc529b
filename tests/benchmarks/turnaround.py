"""`turnaround_cold`, `turnaround_warm`: seconds from asking for a short training on two workers to its end."""

from __future__ import annotations

import json
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from cluster.environment import training_variables
from cluster.folder import Folder
from jobs.artifacts import Dataset, Model
from jobs.models.model import read_weights
from tests.benchmarks.data_parallel import DATA, RATE, SEED, WORKERS, Trained, differences, launched
from tests.benchmarks.finished import artifact
from tests.benchmarks.harness import Benchmark
from tests.benchmarks.processes import Ran, python

SCRIPT = "tests.benchmarks.references.launched"
EPOCHS, STEPS, BATCH = 3, 100, 32
ROWS = {"train": STEPS * BATCH, "validation": 256}
MODEL = {"backbone": {"kind": "resnet", "depth": 8, "width": 4}}
RECIPE = {"epochs": EPOCHS, "batch_size": BATCH, "learning_rate": RATE, "schedule": "constant", "seed": SEED}
STRATEGY = {"kind": "data_parallel", "workers": WORKERS}


class Turnaround(Benchmark):
    """Three epochs of a hundred train steps, each measured on validation rows, which end in a Model artifact."""

    unit = "s"
    better = "lower"
    steps: tuple[str, ...]  # one after the other; the last is measured

    def prepare(self, work: Path) -> None:
        """Make the data set, which both sides read."""
        from tests.benchmarks.pictures import write_table

        folder = self.folder = work / self.id
        folder.mkdir()
        write_table(folder / "pictures.parquet", ROWS)
        self.definition, self.store = folder / "speed.yaml", folder / "store"
        text = DATA.format(table=folder / "pictures.parquet")
        self.definition.write_text(text)
        self._run()
        self.data = artifact(self.store, "speed", "data", Dataset).folder
        for before, step in zip(("data", *self.steps), self.steps, strict=False):
            asked = {"job": "train", "data": "data", "after": [before], "model": MODEL, "strategy": STRATEGY} | RECIPE
            text += f"  {step}: {json.dumps(asked)}\n"
        self.definition.write_text(text)
        self.trained: list[Trained] = []

    def _run(self, *options: str) -> Ran:
        return python("-m", "pipelines", "run", str(self.definition), "--store", str(self.store), "--json", *options)

    def ours(self) -> float:
        """Train as often as there are steps in one run; return the seconds of the last training."""
        events = [json.loads(line) for line in self._run("--fresh", "first").output.splitlines()]
        for step in self.steps:
            self._note(artifact(self.store, "speed", step, Model))
        return next(float(e["seconds"]) for e in events if e.get("state") == "done" and e["step"] == self.steps[-1])

    def reference(self) -> float:
        """Start the script in a process a worker, and return the seconds until all have ended."""
        out = Path(tempfile.mkdtemp(dir=self.folder)) / "model"
        settings = {"data": str(self.data), "out": str(out), "model": MODEL, "recipe": RECIPE, "strategy": STRATEGY}
        started = time.perf_counter()
        launched(SCRIPT, settings, training_variables())
        seconds = time.perf_counter() - started
        self._note(Model.load(Folder.parse(str(out))))
        return seconds

    def _note(self, model: Model) -> None:
        weights = read_weights(model.folder.read_bytes("weights.npz"), str(model.folder))
        self.trained.append(Trained(model.history[-1].loss, weights))

    def faults(self) -> Iterator[str]:
        """Yield where any two trainings, of either side, end apart."""
        first, *others = self.trained
        for other in others:
            yield from differences(first, other)


class TurnaroundCold(Turnaround):
    """The first training of a run, on a cluster that has just been started."""

    id = "turnaround_cold"
    name = "a run's first short training on two workers, against the same in two processes started by hand"
    target = 1.5
    steps = ("first",)


class TurnaroundWarm(Turnaround):
    """The second training of the same run."""

    id = "turnaround_warm"
    name = "a run's second short training on two workers, against the same in two processes started by hand"
    target = 0.75
    steps = ("first", "second")
