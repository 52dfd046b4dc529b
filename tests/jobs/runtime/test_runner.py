from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cluster.errors import RequestError
from jobs.runtime.measure import latency, predictions, scores, size
from jobs.runtime.runner import Runner, softmax

pytestmark = pytest.mark.training


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a small LiteRT file: 4 numbers to 3 logits."""
    import tf_keras as keras

    from jobs.convert import to_litert

    inputs = keras.Input((4,))
    hidden = keras.layers.Dense(16, activation="relu")(inputs)
    path = tmp_path_factory.mktemp("file") / "model.tflite"
    path.write_bytes(to_litert(keras.Model(inputs, keras.layers.Dense(3)(hidden))))
    return path


class Rows:
    def __init__(self, x: Any, y: Any) -> None:
        self.x, self.y = x, y

    def __len__(self) -> int:
        return len(self.x)

    def gather(self, indices: Any) -> tuple[Any, Any]:
        return self.x[indices], self.y[indices]


def test_many_threads_get_what_one_gets(file: Path) -> None:
    runner = Runner(file)
    rows = np.random.default_rng(0).normal(size=(100, 4)).astype(np.float32)
    batches = [rows[i : i + 1 + i % 7] for i in range(90)]  # more batch sizes than interpreters are kept
    serial = [runner.logits(batch) for batch in batches]
    with ThreadPoolExecutor(16) as pool:
        together = list(pool.map(runner.logits, batches))
    for one, other in zip(serial, together, strict=True):
        np.testing.assert_array_equal(one, other)


def test_probabilities_sum_to_one_and_do_not_overflow(file: Path) -> None:
    assert Runner(file).probabilities(np.ones((2, 4), np.float32)).sum(1) == pytest.approx([1, 1])
    assert softmax(np.array([[1e4, 0]], np.float32)).tolist() == [[1, 0]]


def test_a_file_that_is_no_model_is_refused(tmp_path: Path) -> None:
    (tmp_path / "model.tflite").write_bytes(b"not a model")
    with pytest.raises(RequestError, match="is not a file LiteRT can run"):
        Runner(tmp_path / "model.tflite")


def test_measures_say_what_they_saw(file: Path) -> None:
    runner = Runner(file)
    x = np.random.default_rng(1).normal(size=(70, 4)).astype(np.float32)
    best = runner.logits(x).argmax(1).astype(np.int32)
    wrong = best.copy()
    wrong[:7] = (wrong[:7] + 1) % 3
    found, true = predictions(runner, Rows(x, wrong))
    assert scores(found, true, ["a", "b", "c"])["accuracy"] == pytest.approx(0.9)
    confusion = scores(found, true, ["a", "b", "c"])["confusion"]
    assert np.trace(confusion) == 63
    assert np.sum(confusion) == 70
    times = latency(runner, Rows(x, wrong), seconds=0, least=20)
    assert 0 < times["p50_ms"] <= times["p99_ms"]
    assert size(file)["size_bytes"] == file.stat().st_size


def test_scores_know_a_class_that_is_never_met() -> None:
    made = scores(np.array([0, 0], np.int32), np.array([0, 1], np.int32), ["a", "b", "c"])
    assert [row["rows"] for row in made["per_class"]] == [1, 1, 0]
    assert made["macro_f1"] == pytest.approx((2 / 3 + 0 + 0) / 3)
