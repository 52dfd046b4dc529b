"""What a trial shows of its training: epochs of all of the model, not those in which its head learned alone."""

from __future__ import annotations

from pathlib import Path
from typing import Any, cast

import pytest
from pydantic import ValidationError

from jobs.artifacts import Epoch
from jobs.kinds.train import Train
from jobs.sweeping.gate import GateKeeper
from jobs.sweeping.plan import Asked
from jobs.sweeping.trial import Trials, shown
from pipelines.pipeline import Pipeline
from tests.jobs.sweeping.synthetic import epoch_of, plan_of

SPACE = {"model.dropout": {"kind": "uniform", "low": 0.0, "high": 0.9}}


def history() -> list[Epoch]:
    """Return two epochs of the head, which look the better ones, and two of the model."""
    scores = [("head", 1, 0.9), ("head", 2, 0.95), ("train", 1, 0.7), ("train", 2, 0.6)]
    return [epoch_of(number, score).model_copy(update={"phase": phase}) for phase, number, score in scores]


@pytest.mark.parametrize(("stopping", "accuracy"), [(None, 0.6), ({"metric": "accuracy"}, 0.7)])
def test_what_a_trial_came_to_is_of_the_whole_model(stopping: dict[str, Any] | None, accuracy: float) -> None:
    train = {"data": "data", "model": {"backbone": {"kind": "resnet"}}, "frozen_epochs": 2, "epochs": 2}
    asked = Asked(Train.model_validate(train | {"early_stopping": stopping}), None)
    assert shown(asked, history())["accuracy"] == accuracy


class Handed:
    """Stands for the keeper of a trial that trains in a group of its own."""

    def __init__(self) -> None:
        self.results: list[dict[str, Any]] = []

    def hand(self, result: dict[str, Any]) -> None:
        self.results.append(result)


def test_a_scheduler_sees_no_epoch_of_the_head_alone(tmp_path: Path) -> None:
    trials, keeper = Trials(plan_of(tmp_path, SPACE, 2)), Handed()
    out = trials._output(cast(GateKeeper, keeper))
    for epoch in history():
        out.tell({"epoch": epoch.model_dump()})
    assert [result["validation_accuracy"] for result in keeper.results] == [0.7, 0.6]
    trials.close()


@pytest.mark.parametrize(
    ("scheduler", "kept"), [("none", False), ("asha", False), ("median", False), ("hyperband", True), ("pbt", True)]
)
def test_a_trials_state_is_read_only_where_it_may_be_taken_up_again(scheduler: str, kept: bool, tmp_path: Path) -> None:
    trials = Trials(plan_of(tmp_path, SPACE, 2, scheduler={"kind": scheduler}))
    keeper = trials.gate({"model.dropout": 0.1}, None).keeper
    assert keeper.keeps == kept
    keeper._on.put(True)
    keeper.epoch_done(0, [epoch_of(1, 0.5)], {"w/kernel": 1.0})
    assert (keeper.progress is not None) == kept
    trials.close()


@pytest.mark.parametrize("scheduler", ["hyperband", "pbt"])
def test_frozen_epochs_are_not_drawn_where_trials_pause(scheduler: str) -> None:
    train = {"data": "data", "model": {"backbone": {"kind": "resnet"}}, "epochs": 9}
    space = {"frozen_epochs": {"kind": "choice", "values": [0, 1]}}
    tuned = {"job": "sweep", "train": train, "space": space, "scheduler": {"kind": scheduler}}
    steps = {"data": {"job": "dataset", "source": {"kind": "digits"}}, "tuned": tuned}
    with pytest.raises(ValidationError, match="takes none up again among its frozen_epochs"):
        Pipeline.model_validate({"name": "toy", "steps": steps})
