"""Trials that cost nothing: a score that grows by an amount that depends on the values, epoch by epoch."""

from __future__ import annotations

import json
import os
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from cluster.folder import Folder
from jobs.artifacts import Epoch
from jobs.kinds.train import Train
from jobs.progress import Begun, Progress
from jobs.sweeping.distributions import Distribution
from jobs.sweeping.driving import Book
from jobs.sweeping.gate import Gate, GateKeeper, Result
from jobs.sweeping.goals import Goals
from jobs.sweeping.plan import Asked, Plan
from jobs.sweeping.schedulers import Scheduler
from jobs.sweeping.schedulers.scheduler import DRAWN, ENDED, MEASURE
from jobs.sweeping.searchers import Searcher

EPOCHS = 9
BEST = 0.3  # of model.dropout


def worth(values: dict[str, Any]) -> float:
    """Return what an epoch with these values brings: most at a dropout of BEST."""
    return 1.0 - abs(float(values["model.dropout"]) - BEST)


class Synthetic:
    """Runs such trials; some values make a trial fail, die or come to nothing."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan

    def gate(self, values: dict[str, Any], begin: Progress | None) -> Gate:
        return Gate(lambda keeper: self.body(values, keeper), GateKeeper(self.plan.data, begin))

    def body(self, values: dict[str, Any], keeper: GateKeeper) -> Result:
        begun = keeper.begin
        score = float(begun.arrays["score"]) if begun else 0.0
        history = list(begun.history) if begun else []
        for epoch in range(len(history), self.plan.asked.train.epochs):
            self.trouble(values, epoch)
            score += worth(values)
            history.append(epoch_of(epoch + 1, score))
            keeper.progress = Progress(list(history), Begun(), {"score": np.float64(score)})
            keeper.hand({"validation_accuracy": score, "validation_loss": -score})
        nothing = values.get("seed") == 666
        return {"measured": {"accuracy": float("nan") if nothing else score, "loss": -score}}

    def trouble(self, values: dict[str, Any], epoch: int) -> None:
        if epoch == 1 and values.get("seed") == 13:
            raise ValueError("the thirteenth seed is unlucky")
        if epoch == 1 and values.get("seed") == 9:
            os.kill(os.getpid(), signal.SIGKILL)
        if "slow" in os.environ.get("ESPALIER_SYNTHETIC", ""):
            time.sleep(0.3)

    def close(self) -> None:
        return None


def epoch_of(number: int, score: float) -> Epoch:
    return Epoch(
        epoch=number, loss=0.0, accuracy=0.0, validation_loss=-score, validation_accuracy=score, seconds=0.0,
        rows_per_second=0.0,
    )  # fmt: skip


def plan_of(
    root: Path,
    space: dict[str, dict[str, Any]],
    trials: int,
    searcher: str | dict[str, Any] = "random",
    scheduler: str | dict[str, Any] = "none",
    goals: Goals | None = None,
    **train: Any,
) -> Plan:
    """Return a plan of synthetic trials whose journal lies in `root`."""
    fields = {"data": "data", "model": {"backbone": {"kind": "resnet"}, "dropout": 0.9}, "epochs": EPOCHS} | train
    return Plan(
        Asked(Train.model_validate(fields), None),
        {name: Distribution.choose(fields) for name, fields in space.items()},
        goals or Goals({"accuracy": True}, {}),
        Searcher.choose({"kind": searcher} if isinstance(searcher, str) else searcher),
        Scheduler.choose({"kind": scheduler} if isinstance(scheduler, str) else scheduler),
        trials,
        None,
        Folder(str(root / "data")),
        "tuned",
        Folder(str(root / "kept")),
        Synthetic,
    )


def run_book(book: Book, trials: int, accuracy: Callable[[dict[str, Any]], float]) -> list[dict[str, Any]]:
    """Run trials one after another, without Ray; return the values of each."""
    asked: list[dict[str, Any]] = []
    while len(asked) < trials and (trial := book.ask()) is not None:
        measured = {"accuracy": accuracy(trial["values"])}
        result = {DRAWN: json.dumps({"values": trial["values"], "curve": [0.0]}), MEASURE: 0.0}
        book.saw(trial["number"], result)
        book.ended(trial["number"], result | {ENDED: json.dumps({"measured": measured})})
        asked.append(trial["values"])
    return asked
