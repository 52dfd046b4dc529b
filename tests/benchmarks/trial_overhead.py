"""`trial_overhead`, `trial_overhead_retraced`: seconds of a warm trial beyond its training."""

from __future__ import annotations

import json
import statistics
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

from cluster.folder import Folder
from cluster.session import connected
from jobs.artifacts import Dataset
from jobs.sweeping.gate import GateKeeper, Result
from jobs.sweeping.plan import Asked
from jobs.sweeping.trial import Trials
from tests.benchmarks.harness import Benchmark
from tests.benchmarks.made import digits

EPOCHS = 3
CLOCK = "clock"
MODEL = {"backbone": {"kind": "resnet", "depth": 8, "width": 16}}
TRAIN = {"data": "data", "model": MODEL, "epochs": EPOCHS, "batch_size": 32, "schedule": "constant"}


class Clocked:
    """An engine whose train steps and evaluations are timed."""

    def __init__(self, engine: Any) -> None:
        self.engine = engine
        self.seconds: dict[str, list[float]] = {"train": [], "evaluate": []}

    def __getattr__(self, name: str) -> Any:
        found = getattr(self.engine, name)
        return self.timed(name, found) if name in self.seconds else found

    def timed(self, name: str, method: Any) -> Any:
        """Return `method`, which notes how long it takes."""

        def run(*given: Any) -> Any:
            began = time.perf_counter()
            found = method(*given)
            self.seconds[name].append(time.perf_counter() - began)
            return found

        return run


class Timed(Trials):
    """Runs trials, and notes of each but the first how long its train steps and evaluations took."""

    done = 0

    def _here(self, asked: Asked, keeper: GateKeeper) -> Result:
        clock = Clocked(self._warm.engine) if self._warm is not None else None
        if clock is not None:
            self._warm.engine = clock
        found = super()._here(asked, keeper)
        if clock is not None:
            self._warm.engine = clock.engine
            note = json.dumps(clock.seconds).encode()
            self.plan.checkpoints.child(CLOCK).write_bytes(f"{self.done}.json", note)
        self.done += 1
        return found


class TrialOverhead(Benchmark):
    """From the start of a trial to that of the next, without what the same epochs take once they are traced."""

    id = "trial_overhead"
    name = "a warm trial beyond its training, where dropout, L2 and learning rate are drawn"
    unit = "s"
    better = "lower"
    target: ClassVar[float | None] = 0.1
    pairs = 3
    space: ClassVar[dict[str, Any]] = {
        "model.dropout": {"kind": "uniform", "low": 0.0, "high": 0.5},
        "model.l2": {"kind": "log_uniform", "low": 1e-7, "high": 1e-2},
        "learning_rate": {"kind": "log_uniform", "low": 1e-4, "high": 1e-2},
    }
    trials: ClassVar[int] = 12

    def prepare(self, work: Path) -> None:
        """Make the data, and start a cluster that lasts until the figures are there."""
        self.root = Path(tempfile.mkdtemp(dir=work))
        self.data = Dataset.load(digits(self.root / "data"))
        self.wrong: list[str] = []
        self._cluster = ExitStack()
        self._cluster.enter_context(connected("local", cpus=2))

    def ours(self) -> float:
        """Return the median over the trials after the first two."""
        from jobs.job import Output
        from jobs.kinds.sweep import Sweep
        from jobs.sweeping.driving import drive
        from jobs.sweeping.trials import read_table

        root = Folder(tempfile.mkdtemp(dir=self.root))
        drawn = {"space": self.space, "trials": self.trials, "searcher": {"kind": "random"}}
        sweep = Sweep.model_validate({"train": TRAIN, "concurrent": 1} | drawn)
        out = Output("tuned", root.child("out"), root.child("kept"), lambda event: None)
        plan = replace(sweep.plan({"data": self.data}, out), runner=Timed)
        drive(plan, out.folder, out.tell)
        rows = read_table(out.folder.fetch())
        if any(row["status"] != "finished" for row in rows):
            self.wrong.append(f"trials ended otherwise than they should: {[row['error'] for row in rows]}")
        begun, found = [row["begun"] for row in rows], []
        for number in range(2, self.trials - 1):
            clock = json.loads(out.checkpoints.child(CLOCK).read_bytes(f"{number}.json"))
            training = EPOCHS * sum(statistics.median(clock[name][1:]) for name in clock)
            found.append(begun[number + 1] - begun[number] - training)
        return float(statistics.median(found))

    def faults(self) -> Iterator[str]:
        """Yield sweeps of which a trial did not finish; end the cluster."""
        self._cluster.close()
        yield from self.wrong


class TrialOverheadRetraced(TrialOverhead):
    """The same where each trial has another width, and is built and traced anew."""

    id = "trial_overhead_retraced"
    name = "a warm trial beyond its training, where the width is drawn, so that it is built and traced anew"
    target: ClassVar[float | None] = None
    space: ClassVar[dict[str, Any]] = {"model.backbone.width": {"kind": "integer", "low": 4, "high": 24}}
    trials: ClassVar[int] = 8
