"""Times short trainings of one `train` step with several numbers of workers: what `espalier bench-strategy` does."""

from __future__ import annotations

import json
import statistics
import threading
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pydantic import ValidationError

from cluster.errors import RequestError
from cluster.folder import Folder
from cluster.resources import Resources
from cluster.work import run_remote
from jobs.artifacts import Dataset, Epoch, Scaling, Speed
from jobs.job import Output
from jobs.kinds.train import Train
from jobs.recipe import TrainRecipe
from jobs.strategies import Strategy
from jobs.training import Stage, TrainWork

HISTORY = "history.json"
WARM_UP = 1  # epochs that are not counted: the first traces the graph
Tell = Callable[[dict[str, Any]], None]


@dataclass(frozen=True)
class SpeedWork(TrainWork):
    """Trains as a train step does, and leaves the history alone."""

    def finish(self, stage: Stage, recipe: TrainRecipe, weights: dict[str, Any], history: list[Epoch]) -> None:
        """Write the history, in worker 0."""
        self.out.write_bytes(HISTORY, json.dumps([epoch.model_dump() for epoch in history]).encode())


@dataclass(frozen=True)
class Bench:
    """What is timed, on what, for how many train steps at least, and the folder the result goes to."""

    step: str
    job: Train
    data: Dataset
    train_steps: int
    place: Folder

    def run(self, numbers: Sequence[int], tell: Callable[[int], Tell], stop: threading.Event) -> Scaling:
        """Train with each number of workers in turn, on the cluster, and leave the result; no model is kept."""
        histories: dict[int, list[Epoch]] = {}
        scratch = self.place / f"trainings-{uuid.uuid4().hex[:8]}"
        try:
            for workers in numbers:
                folder = scratch / f"{workers}"
                out = Output(self.step, folder / "out", folder / "checkpoints", tell(workers), stop)
                histories[workers] = self._timed(under(self.job.strategy, workers), out)
        finally:
            scratch.delete()
        return scaling(self.step, self.job, histories).save(self.place)

    def _timed(self, strategy: Strategy, out: Output) -> list[Epoch]:
        from jobs.strategies.ray_train import Group, run

        an_epoch = -(-self.data.rows["train"] // self.job.batch_size)
        epochs = WARM_UP + -(-self.train_steps // an_epoch)
        plain = {"epochs": epochs, "frozen_epochs": 0, "early_stopping": None, "ema": None}
        recipe = self.job.recipe().model_copy(update=plain)
        work = SpeedWork(self.job.located(), recipe, strategy, self.data.folder, out.folder)
        run(Group(work, strategy, f"bench-{strategy.workers}", out.checkpoints, retries=0, keep=1), out)
        history = [Epoch.model_validate(epoch) for epoch in json.loads(out.folder.read_bytes(HISTORY))]
        return history[WARM_UP:]

    def write_page(self, tell: Tell, stop: threading.Event) -> None:
        """Write the page that shows the result beside it, in a worker."""
        from jobs.report.page import write_page

        title, folders = f"How {self.step} scales", {self.step: self.place}
        run_remote(write_page, title, folders, self.place, resources=Resources(1), tell=tell, stop=stop)


def under(strategy: Strategy, workers: int) -> Strategy:
    """Return the strategy with another number of workers; RequestError when it cannot have it."""
    try:
        return strategy.having(workers)
    except ValidationError as error:
        found, kind = "; ".join(str(line["msg"]) for line in error.errors()), strategy.model_dump()["kind"]
        raise RequestError(f"strategy {kind} with {workers} workers", found) from None


def scaling(step: str, job: Train, histories: Mapping[int, Sequence[Epoch]]) -> Scaling:
    """Sum up: the epoch of median speed of each number of workers, fewest first."""
    middle = {workers: _middle(histories[workers]) for workers in sorted(histories)}
    fewest, first = next(iter(middle.items()))
    speeds = [
        Speed(
            workers=workers,
            rows_per_second=epoch.rows_per_second,
            efficiency=epoch.rows_per_second / workers / (first.rows_per_second / fewest),
            timing=epoch.timing,
        )
        for workers, epoch in middle.items()
    ]
    strategy = job.strategy.model_dump(mode="json", exclude={"workers"})
    return Scaling(step=step, strategy=strategy, batch_size=job.batch_size, speeds=speeds)


def _middle(history: Sequence[Epoch]) -> Epoch:
    median = statistics.median_low(epoch.rows_per_second for epoch in history)
    return next(epoch for epoch in history if epoch.rows_per_second == median)
