"""Trials in one process: each comes to what a training of its own would, and what does not change is traced once."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest

from cluster.errors import StepError
from cluster.folder import Folder
from jobs.artifacts import Dataset, Model
from jobs.kinds.train import Train
from jobs.strategies import Single
from jobs.sweeping.gate import QuietKeeper
from jobs.sweeping.warm import Warm
from jobs.training import TrainWork
from tests.rig import TINY, MemoryKeeper

pytestmark = pytest.mark.training


def asked(**fields: Any) -> Train:
    model = {"backbone": TINY, "dropout": fields.pop("dropout", 0.0), "l2": fields.pop("l2", 0.0)}
    return Train.model_validate({"data": "data", "model": model, "epochs": 2, "batch_size": 64} | fields)


def by_itself(train: Train, digits: Folder, root: Path) -> list[float]:
    out = Folder.parse(str(root / "out"))
    TrainWork(train.model, train.recipe(), Single(), digits, out)(Single().engine(), MemoryKeeper(root))
    return [epoch.validation_loss for epoch in Model.load(out).history]


def test_trials_come_to_what_trainings_of_their_own_come_to(digits: Folder, tmp_path: Path) -> None:
    warm = Warm(Single().engine(), Dataset.load(digits))
    keeper = QuietKeeper(Folder(str(tmp_path / "products")))
    trials = [
        asked(learning_rate=0.01),
        asked(learning_rate=0.003, dropout=0.4, l2=1e-3),
        asked(learning_rate=0.01),  # again: nothing of the trial before is left
    ]
    found = [[epoch.validation_loss for epoch in warm.train(train, keeper)[1]] for train in trials]
    assert len(warm.kits) == 1  # dials alone differ
    assert found[0] == found[2]
    for number, train in enumerate(trials[:2]):
        (root := tmp_path / str(number)).mkdir()
        assert found[number] == pytest.approx(by_itself(train, digits, root), rel=1e-3)
    assert found[0] != pytest.approx(found[1], rel=1e-2)


def test_a_trial_that_differs_in_more_is_built_anew(digits: Folder, tmp_path: Path) -> None:
    warm = Warm(Single().engine(), Dataset.load(digits))
    keeper = QuietKeeper(Folder(str(tmp_path / "products")))
    for fields in ({}, {"batch_size": 128}, {"seed": 1}):
        warm.train(asked(epochs=1, **fields), keeper)
    assert len(warm.kits) == 2  # no more are kept


@pytest.mark.parametrize("more", [{}, {"ema": 0.5, "backbone_learning_rate": 1e-3}], ids=["plain", "averaged"])
def test_a_trial_trains_its_head_alone_first_as_its_training_does(
    more: dict[str, Any], digits: Folder, tmp_path: Path
) -> None:
    warm = Warm(Single().engine(), Dataset.load(digits))
    keeper = QuietKeeper(Folder(str(tmp_path / "products")))
    trials = [asked(frozen_epochs=2, epochs=1, learning_rate=rate, **more) for rate in (0.01, 0.003, 0.01)]
    found = [[epoch.validation_loss for epoch in warm.train(train, keeper)[1]] for train in trials]
    assert len(warm.kits) == 1  # frozen epochs are built with the rest, and once
    assert found[0] == found[2]
    for number, train in enumerate(trials[:2]):
        (root := tmp_path / str(number)).mkdir()
        assert found[number] == pytest.approx(by_itself(train, digits, root), rel=1e-3)
    assert [epoch.phase for epoch in warm.train(trials[0], keeper)[1]] == ["head", "head", "train"]


def test_a_moving_average_of_a_trial_is_its_own(digits: Folder, tmp_path: Path) -> None:
    warm = Warm(Single().engine(), Dataset.load(digits))
    keeper = QuietKeeper(Folder(str(tmp_path / "products")))
    first, second = ([e.validation_loss for e in warm.train(asked(ema=0.5), keeper)[1]] for _ in range(2))
    assert first == second


def test_a_loss_that_is_no_number_ends_the_trial_and_no_other(digits: Folder, tmp_path: Path) -> None:
    warm = Warm(Single().engine(), Dataset.load(digits))
    keeper = QuietKeeper(Folder(str(tmp_path / "products")))
    with pytest.raises(StepError, match="loss is"):
        warm.train(asked(learning_rate=1e30), keeper)
    warm.forget()
    _, history = warm.train(asked(learning_rate=0.01), keeper)
    assert math.isfinite(history[-1].validation_loss)
