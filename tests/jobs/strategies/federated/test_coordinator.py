"""The coordinator's part: rounds go on where they were left, clients are drawn, privacy is accounted for."""

from __future__ import annotations

import math
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from cluster.folder import Folder
from jobs.artifacts import Epoch
from jobs.checkpoints import Link, write_link
from jobs.strategies import Strategy
from jobs.strategies.federated.accountant import epsilon
from tests.jobs.strategies.federated.rig import BAG, SGD, Trained
from tests.rig import MemoryKeeper

pytestmark = pytest.mark.training

THREE = {"kind": "federated", "workers": 3}


class Interrupted(Exception):  # noqa: N818
    pass


class Interrupting(MemoryKeeper):
    """Interrupts the training after the second round, once."""

    def epoch_done(self, phase: int, history: Any, arrays: Any) -> None:
        again = phase in self.kept and len(history) == 3
        super().epoch_done(phase, history, arrays)
        if len(history) == 2 and not again:
            raise Interrupted


def test_a_resumed_training_equals_an_unbroken_one_and_the_seed_is_honoured(texts: Folder, tmp_path: Path) -> None:
    """The server's moments, who is drawn, and each client's order of rows must all be what they would have been."""
    from tests.jobs.strategies.federated.local import run_locally  # imports TensorFlow

    server = {"kind": "fedadam", "learning_rate": 0.1}
    strategy = {"kind": "federated", "workers": 2, "fraction": 0.5, "local_epochs": 2, "server": server}
    recipe = SGD | {"epochs": 4, "schedule": "cosine", "seed": 3}

    def training(name: str, **more: Any) -> Trained:
        return Trained(tmp_path / name, texts, strategy, recipe | more, {"backbone": BAG, "dropout": 0.3})

    unbroken, resumed, other = training("unbroken"), training("resumed"), training("other", seed=4, epochs=1)
    clients = run_locally(unbroken, MemoryKeeper(tmp_path / "unbroken/kept"))
    assert [len(begun.drawn) for begun in clients.rounds] == [1, 1, 1, 1]
    assert len({tuple(begun.drawn) for begun in clients.rounds}) > 1
    keeper = Interrupting(tmp_path / "resumed/kept")
    with pytest.raises(Interrupted):
        run_locally(resumed, keeper)
    rest = run_locally(resumed, keeper)
    assert [begun.drawn for begun in rest.rounds] == [begun.drawn for begun in clients.rounds[2:]]
    for name, value in unbroken.weights().items():
        np.testing.assert_allclose(resumed.weights()[name], value, atol=1e-6, rtol=0, err_msg=name)
    assert [epoch.epoch for epoch in resumed.history()] == [1, 2, 3, 4]
    run_locally(other, MemoryKeeper(tmp_path / "other/kept"))
    assert not np.allclose(other.weights()["logits/kernel"], unbroken.weights()["logits/kernel"])


def test_updates_are_clipped_noisy_and_accounted_for(texts: Folder, tmp_path: Path) -> None:
    from tests.jobs.strategies.federated.local import run_locally  # imports TensorFlow

    privacy = {"clip": 0.2, "noise_multiplier": 0.7, "delta": 0.01}
    strategy = THREE | {"fraction": 0.5, "privacy": privacy}
    private = Trained(tmp_path, texts, strategy, SGD | {"epochs": 6})
    clients = run_locally(private, MemoryKeeper(tmp_path / "kept"))
    for number, epoch in enumerate(private.history(), 1):
        assert epoch.facts == {"epsilon": epsilon(0.7, 0.5, number, 0.01), "delta": 0.01}
        assert math.isnan(epoch.loss)
        assert math.isnan(epoch.accuracy)
        assert epoch.timing is None  # it would tell who was drawn
    assert len({len(begun.drawn) for begun in clients.rounds}) > 1
    assert clients.sent
    for update in clients.sent:
        length = np.linalg.norm(np.concatenate([part.ravel() for part in update.change]).astype(np.float64))
        assert 0 < length <= 0.2
        assert (update.rows, update.sums, update.bad_step) == (None, None, None)
    weights = [np.concatenate([part.ravel() for part in begun.weights or []]) for begun in clients.rounds]
    assert np.std(np.diff(weights, axis=0)) == pytest.approx(0.7 * 0.2 / (0.5 * 3), rel=0.05)  # nearly all of it noise
    secret = (tmp_path / "kept/secret/key").read_bytes()
    assert len(secret) == 16
    assert not any(secret in private.out.read_bytes(name) for name in private.out.files())


def test_rounds_of_every_training_are_accounted_for_also_those_of_an_earlier_attempt(tmp_path: Path) -> None:
    from jobs.strategies.federated.coordinator import ROUND, Coordinator, CoordinatorKeeper

    privacy = {"clip": 0.2, "noise_multiplier": 0.7, "delta": 0.01}
    strategy = Strategy.choose(THREE | {"fraction": 0.5, "privacy": privacy})
    keeper = MemoryKeeper(tmp_path)
    first, second = (SimpleNamespace(model=SimpleNamespace(weights=[]), optimizer=Weightless()) for _ in range(2))

    def after(*trainings: tuple[Any, int], took_over: bool = False) -> float:
        """Return the ε after trainings of so many rounds, the first of them in an earlier attempt."""
        coordinator = Coordinator(strategy, Notes(), keeper)  # type: ignore[arg-type]
        kept = CoordinatorKeeper(keeper, Notes())  # type: ignore[arg-type]
        kept.engine = coordinator
        if took_over:
            assert kept.product("head") is not None
        for training, rounds in trainings:
            coordinator.restore(training, {ROUND: np.array(rounds)})
        return coordinator.facts()["epsilon"]

    assert after((first, 3)) == epsilon(0.7, 0.5, 3, 0.01)
    assert after((first, 3), (second, 2)) == epsilon(0.7, 0.5, 5, 0.01)
    epochs = [epoch_of(number) for number in (1, 2, 3)]
    keeper.keep("head", lambda path: write_link(path, Link(history=epochs), {}))
    assert after((second, 2), took_over=True) == epsilon(0.7, 0.5, 5, 0.01)


class Notes:
    """Clients who hear nothing."""

    def write(self, name: str, value: Any) -> None:
        pass


class Weightless:
    variables: tuple[Any, ...] = ()


def epoch_of(number: int) -> Epoch:
    facts: Any = {"loss": 1.0, "accuracy": 0.5, "validation_loss": 1.0, "validation_accuracy": 0.5}
    return Epoch(phase="head", epoch=number, seconds=1.0, rows_per_second=1.0, **facts)


def test_a_loss_that_is_no_number_is_the_end(texts: Folder, tmp_path: Path) -> None:
    from cluster.errors import StepError
    from tests.jobs.strategies.federated.local import run_locally  # imports TensorFlow

    broken = Trained(tmp_path, texts, THREE, SGD | {"epochs": 2, "learning_rate": 1e30})
    with pytest.raises(StepError, match=r"^loss is (NaN|infinite) at train_step \d+; lower learning_rate"):
        run_locally(broken, MemoryKeeper(tmp_path / "kept"))
