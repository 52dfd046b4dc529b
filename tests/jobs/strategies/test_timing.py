from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytest

from cluster.folder import Folder
from jobs.artifacts import Dataset
from jobs.data.encode import encoded
from jobs.data.feed import Feed
from jobs.data.preparing import preprocess_of
from jobs.fit import Gradient, Training, fit
from jobs.models.model import ModelSpec, build
from jobs.optimizers import optimizer_of
from jobs.recipe import Recipe
from jobs.strategies import Single
from jobs.strategies.timing import Calls, ring_bytes
from tests.rig import TINY, MemoryKeeper


class Slow:
    """Rows that take their time."""

    def __init__(self, rows: Any) -> None:
        self.rows = rows

    def __len__(self) -> int:
        return len(self.rows)

    def gather(self, indices: Any) -> tuple[Any, Any]:
        time.sleep(0.3)
        found: tuple[Any, Any] = self.rows.gather(indices)
        return found


def made(digits: Folder, slow: bool) -> tuple[Training, Feed, Feed, Recipe]:
    """Return a small training with its feeds, six train steps an epoch, and its recipe."""
    dataset = Dataset.load(digits)
    pixels = preprocess_of(dataset)
    rows = encoded(dataset, pixels, "train")
    recipe = Recipe(epochs=2, batch_size=256)
    train = Feed(Slow(rows) if slow else rows, recipe.batch_size, recipe.seed)
    model = build(ModelSpec.model_validate({"backbone": TINY}), pixels, len(dataset.classes), 0)
    training = Training(model, optimizer_of(recipe, recipe.epochs * train.steps), 0)
    return training, train, Feed(encoded(dataset, pixels, "validation"), 256, None), recipe


@pytest.mark.training
def test_every_epoch_says_where_its_time_went(digits: Folder, tmp_path: Path) -> None:
    training, train, validation, recipe = made(digits, slow=False)
    history = fit(Single().engine(), training, train, validation, recipe, MemoryKeeper(tmp_path), phase=0, name="train")
    found = [epoch.timing for epoch in history if epoch.timing is not None]
    assert [(timing.calls, timing.train_steps) for timing in found] == [(2, 6), (2, 6)]  # the last step is smaller
    for timing in found:
        assert len(timing.rows_per_second) == 1
        assert 0 < timing.p50_ms <= timing.p90_ms <= timing.p99_ms
        assert (timing.communication_seconds, timing.bytes_sent) == (0, 0)
        assert timing.input_seconds is not None
        assert timing.compute_seconds is not None
        assert 0 < timing.input_seconds < timing.seconds
        assert timing.input_seconds + timing.compute_seconds == pytest.approx(timing.seconds)


@pytest.mark.training
def test_rows_that_come_slowly_are_time_in_input(digits: Folder) -> None:
    training, train, *_ = made(digits, slow=True)
    engine = Single().engine()
    engine.train(training, train, 0, train.steps)  # it traces, and rows are read ahead meanwhile
    engine.timing()
    engine.train(training, train, train.steps, 5 * train.steps)
    timing = engine.timing()
    assert timing is not None
    assert timing.input_seconds is not None
    assert timing.input_seconds > timing.seconds / 4


@pytest.mark.training
def test_a_train_step_that_takes_long_is_told_from_those_of_its_call(digits: Folder) -> None:
    import tensorflow as tf

    def pause(train_step: Any) -> None:
        tf.py_function(lambda number: time.sleep(0.5 * (int(number) == 2 + 6)), [train_step], [])

    training, train, *_ = made(digits, slow=False)
    training.before_step.append(pause)
    engine = Single().engine()
    for first in (0, train.steps):  # the first epoch traces
        engine.timing()
        engine.train(training, train, first, first + train.steps)
    timing = engine.timing()
    assert timing is not None
    assert (timing.calls, timing.train_steps) == (2, 6)
    assert timing.p50_ms < 250 < 450 < timing.p99_ms


@pytest.mark.training
def test_an_embedding_sends_the_rows_it_looked_up_a_kernel_the_whole_of_it() -> None:
    import tensorflow as tf

    from jobs.strategies.replicated.exchange import Exchange

    class Three:
        num_replicas_in_sync = 3

    kernel, table = Gradient((8, 4), tf.float32), Gradient((1000, 16), tf.float32, tf.int32)
    assert Exchange(Three(), [kernel], 10).bytes_sent() == 2 * 2 * 8 * 4 * 4
    assert Exchange(Three(), [table], 10).bytes_sent() == 3 * 2 * 10 * (16 * 4 + 4)


def test_a_ring_of_one_sends_nothing() -> None:
    assert [ring_bytes(100, members) for members in (1, 2, 5)] == [0, 200, 800]


def test_steps_of_a_call_that_times_them_count_with_their_own_time() -> None:
    calls = Calls()
    with calls.of(3) as each:
        each += [0.001, 0.002, 0.009]
    timing = calls.timing([1.0], 0)
    assert timing is not None
    assert (timing.calls, timing.train_steps, timing.p50_ms) == (1, 3, 2)
    assert timing.compute_seconds is None  # neither input nor exchange was timed


def test_calls_are_weighed_by_their_steps_and_forgotten_when_reset() -> None:
    calls = Calls()
    assert calls.timing([1.0], 0) is None
    for steps in (3, 1):
        with calls.of(steps):
            pass
    timing = calls.timing([40.0, 60.0], 7, exchange_seconds=0.5)
    assert timing is not None
    assert (timing.calls, timing.train_steps, timing.bytes_sent) == (2, 4, 7)
    assert timing.communication_seconds == 2
    assert timing.input_seconds is None
    assert timing.rows_per_second[1] == pytest.approx(1.5 * timing.rows_per_second[0])
    calls.reset()
    assert calls.timing([1.0], 0) is None
