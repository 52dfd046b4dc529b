"""`sweep_sequential`, `sweep_stock`: sixteen trials with ASHA, against a loop and against Ray's own guide."""

from __future__ import annotations

import json
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack
from itertools import product
from pathlib import Path
from typing import Any

from cluster.environment import variables
from cluster.folder import Folder
from cluster.session import connected
from jobs.artifacts import Dataset
from tests.benchmarks.data_parallel import free_port
from tests.benchmarks.harness import Benchmark
from tests.benchmarks.made import digits
from tests.benchmarks.processes import ended, start

WIDTH, EPOCHS, BATCH = 16, 32, 32
LISTS: dict[str, list[float]] = {
    "model.dropout": [0.1, 0.4],
    "model.l2": [1e-6, 1e-4],
    "learning_rate": [1e-4, 1e-3, 3e-3, 1e-2],
}
VALUES = [dict(zip(LISTS, combined, strict=True)) for combined in product(*LISTS.values())]
OWN = {"model.dropout": 0.1, "model.l2": 1e-6, "learning_rate": 1e-3}
NEAR = 0.003  # of validation accuracy: what stopping early may cost
LEAST = 180.0  # seconds the loop must take, so that no start of processes decides


def sweep_of(epochs: int = EPOCHS, **fields: Any) -> dict[str, Any]:
    """Return the definition of a sweep over digits, with other fields."""
    model: dict[str, Any] = {"backbone": {"kind": "resnet", "depth": 8, "width": WIDTH}}
    model |= {"dropout": OWN["model.dropout"], "l2": OWN["model.l2"]}
    train = {"data": "data", "model": model, "epochs": epochs, "batch_size": BATCH, "schedule": "constant"}
    train |= {"learning_rate": OWN["learning_rate"]}
    space = {name: {"kind": "choice", "values": values} for name, values in LISTS.items()}
    searched = {"space": space, "trials": len(VALUES), "searcher": {"kind": "grid"}}
    return {"job": "sweep", "train": train, "scheduler": {"kind": "asha"}} | searched | fields


class SweepSequential(Benchmark):
    """Wall seconds of sixteen trials over dropout, L2 and learning rate; the loop stops none of them."""

    id = "sweep_sequential"
    name = "a sweep of 16 trials with ASHA on a cluster that is up, against a loop of the same 16 in tf_keras"
    unit = "s"
    better = "lower"
    target = 0.33

    def prepare(self, work: Path) -> None:
        """Make the data, as an artifact and as arrays."""
        import numpy as np

        from jobs.data.shards import read

        self.root = Path(tempfile.mkdtemp(dir=work))
        self.data = Dataset.load(digits(self.root / "data"))
        self.arrays = self.root / "rows.npz"
        arrays: dict[str, Any] = {}
        for split in ("train", "validation"):
            rows = read(self.data.folder.path / f"{split}.arrow").gather(np.arange(self.data.rows[split]))
            arrays |= {f"{split}_x": rows[0], f"{split}_y": rows[1]}
        np.savez(self.arrays, **arrays)
        self.ours_found: list[float] = []
        self.theirs_found: list[float] = []
        self.wrong: list[str] = []

    def ours(self) -> float:
        """Sweep on a cluster that is up, with processes that are not."""
        from jobs.job import Output
        from jobs.kinds.sweep import Sweep

        root = Folder(tempfile.mkdtemp(dir=self.root))
        with connected("local", cpus=2):
            out = Output("tuned", root.child("out"), root.child("kept"), lambda event: None)
            began = time.perf_counter()
            made = Sweep.model_validate(sweep_of()).run({"data": self.data}, out)
            seconds = time.perf_counter() - began
        self.ours_found.append(made.measured["accuracy"])
        if made.failed or made.finished + made.stopped != len(VALUES):
            self.wrong.append(f"{made.finished} trials finished, {made.stopped} were stopped, {made.failed} failed")
        return seconds

    def told(self, script: str, **more: Any) -> tuple[float, dict[str, Any]]:
        """Run a script of the reference; return its seconds and what it told."""
        settings = {"data": str(self.arrays), "values": VALUES, "width": WIDTH, "classes": len(self.data.classes)}
        settings |= {"epochs": EPOCHS, "batch": BATCH} | more
        began = time.perf_counter()
        ran = ended(start("-m", script, json.dumps(settings), environment=variables()), began)
        found: dict[str, Any] = json.loads(ran.output.splitlines()[-1])
        self.theirs_found.append(found["accuracy"])
        return ran.seconds, found

    def reference(self) -> float:
        """Train all sixteen to their end, one after another, in one process."""
        seconds, _ = self.told("tests.benchmarks.references.sweep_loop")
        if seconds < LEAST:
            self.wrong.append(f"the loop took {seconds:.0f} s, less than {LEAST:.0f}")
        return seconds

    def faults(self) -> Iterator[str]:
        """Yield sweeps that lost trials, or whose best is less accurate than the reference's."""
        yield from self.wrong
        for ours, theirs in zip(self.ours_found, self.theirs_found, strict=True):
            if ours < theirs - NEAR:
                yield f"the best has a validation accuracy of {ours:.4f}, the reference's {theirs:.4f}"


class SweepStock(SweepSequential):
    """The same sweep; the reference starts a trainer for each trial and stops by ASHA too."""

    id = "sweep_stock"
    name = "a sweep of 16 trials with ASHA, against Ray Tune over TensorflowTrainer after Ray's own guide"

    def reference(self) -> float:
        """Tune, on a cluster that is up."""
        with ExitStack() as probes:
            port = free_port(probes)
        place = tempfile.mkdtemp(dir=self.root)
        _, found = self.told("tests.benchmarks.references.sweep_tune", place=place, port=port)
        if found["errors"]:
            self.wrong.append(f"{found['errors']} trials of the reference failed")
        return float(found["seconds"])
