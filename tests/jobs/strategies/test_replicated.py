from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

import pytest

pytestmark = pytest.mark.training


def test_two_replicas_are_read_as_one_in_a_call_and_restored_alike() -> None:
    command = [sys.executable, "-m", "tests.jobs.strategies.two_replicas"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr[-2000:]
    found = json.loads(done.stdout.splitlines()[-1])
    assert found == {
        "mean": [2.0, 3.0, 4.0],
        "seen": 30.0,  # a sum
        "means": [[3.0, 4.0, 5.0]] * 2,  # restored to one more than the mean
        "reduced": 1,  # by itself: the sum alone
        "rose": True,
        "other": False,
        "shards": [[0, 1], [2, 3]],
    }


def test_no_iterator_has_a_thread_that_tunes_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its end waits for that thread, for up to a minute."""
    import tensorflow as tf
    from tensorflow.python.data.ops import iterator_ops, multi_device_iterator_ops

    from jobs.strategies.replicated.iterating import iterator_of

    tuned: list[bool | None] = []

    def watched(kind: type[Any]) -> None:
        stock = kind.__init__

        def made(self: Any, dataset: Any = None, *given: Any, **options: Any) -> None:
            if dataset is not None:
                tuned.append(dataset.options().autotune.enabled)
            stock(self, dataset, *given, **options)

        monkeypatch.setattr(kind, "__init__", made)

    watched(iterator_ops.OwnedIterator)
    watched(multi_device_iterator_ops.OwnedMultiDeviceIterator)
    for strategy in (tf.distribute.get_strategy(), tf.distribute.MirroredStrategy(["CPU:0"])):
        iterator = iterator_of(strategy, lambda context: tf.data.Dataset.range(4).prefetch(1))
        assert [int(next(iterator)) for _ in range(2)] == [0, 1]
    assert tuned == [False] * 3  # of the default strategy; of all devices, and of the one there is
