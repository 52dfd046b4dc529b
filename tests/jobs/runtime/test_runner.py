from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cluster.errors import RequestError
from jobs.data.shards import JoinedRows
from jobs.data.shards import Rows as Numeric
from jobs.runtime.measure import latency, logits_of, scores, size
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


@pytest.fixture(scope="module")
def of_two(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Any]:
    """Return a LiteRT file of two inputs, in another order than the Keras model's own, and that model."""
    import tf_keras as keras

    from jobs.convert import to_litert

    inputs = {"image": keras.Input((2,), name="image"), "tokens": keras.Input((2,), dtype="int32", name="tokens")}
    hidden = keras.layers.Concatenate()([keras.layers.Embedding(9, 3)(inputs["tokens"])[:, 0], inputs["image"]])
    model = keras.Model(inputs, keras.layers.Dense(4)(hidden))
    path = tmp_path_factory.mktemp("file") / "model.tflite"
    path.write_bytes(to_litert(model))
    return path, model


def test_inputs_of_a_file_go_by_name(of_two: tuple[Path, Any]) -> None:
    runner = Runner(of_two[0])
    assert runner.input_types == {"image": np.float32, "tokens": np.int32}
    random = np.random.default_rng(0)
    for count in (1, 5, 70):
        rows = {"tokens": random.integers(0, 9, (count, 2)).astype(np.int32), "image": random.random((count, 2), "f4")}
        np.testing.assert_allclose(runner.logits(rows), of_two[1](rows), atol=1e-5)


def test_a_file_of_two_inputs_is_measured(of_two: tuple[Path, Any]) -> None:
    runner = Runner(of_two[0])
    x = {"image": np.ones((70, 2), np.float32), "tokens": np.arange(140, dtype=np.int32).reshape(70, 2) % 9}
    best = runner.logits(x).argmax(1).astype(np.int32)
    parts = {name: Numeric(part, best) for name, part in x.items()}
    logits, true = logits_of(runner, JoinedRows(parts))
    np.testing.assert_array_equal(logits.argmax(1), true)
    times = latency(runner, JoinedRows(parts), seconds=0, least=5)
    assert 0 < times["p50_ms"] <= times["p99_ms"]


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
    logits, true = logits_of(runner, Rows(x, wrong))
    found = logits.argmax(1).astype(np.int32)
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
