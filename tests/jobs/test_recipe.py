"""What a recipe refuses, and what its parts do to the rate, the loss and the weights."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
import tf_keras as keras
from pydantic import ValidationError

from cluster.errors import StepError
from cluster.folder import Folder
from jobs.artifacts import Epoch, Model
from jobs.data.feed import Batch
from jobs.fit import Training, best_epoch, is_over
from jobs.models.model import ModelSpec, penalised, read_weights
from jobs.optimizers import Rate, optimizer_of, precision_of
from jobs.recipe import EarlyStopping, Recipe, TrainRecipe
from jobs.strategies import Single
from jobs.training import TrainWork, class_weights
from tests.rig import TINY, MemoryKeeper

pytestmark = pytest.mark.training


def rates(recipe: Recipe, steps: int) -> list[float]:
    return [float(Rate(recipe, 1.0, steps)(tf.constant(step, tf.int64))) for step in range(steps)]


def test_a_rate_is_scaled_with_the_batch_it_is_for() -> None:
    asked = {"learning_rate": 0.1, "schedule": "constant", "warmup": 0.2, "scale_learning_rate": "linear"}
    rate = optimizer_of(Recipe.model_validate({**asked, "batch_size": 512, "base_batch_size": 128}), 10)._learning_rate
    assert [float(rate(step)) for step in range(4)] == pytest.approx([0.0, 0.2, 0.4, 0.4])
    with pytest.raises(ValueError, match="scales the rate without a warm-up; set warmup above 0"):
        Recipe.model_validate({**asked, "warmup": 0.0, "base_batch_size": 128})
    with pytest.raises(ValueError, match="sets one of scale_learning_rate and base_batch_size without the other"):
        Recipe(base_batch_size=128)


def test_rates_rise_then_follow_the_schedule() -> None:
    constant = rates(Recipe(schedule="constant", warmup=0.2), 10)
    assert constant == pytest.approx([0, 0.5, *[1.0] * 8])
    cosine = rates(Recipe(schedule="cosine", warmup=0.2), 10)
    assert cosine[:3] == pytest.approx([0, 0.5, 1.0])
    assert cosine[6] == pytest.approx(0.5)
    assert cosine[2:] == sorted(cosine[2:], reverse=True)
    assert rates(Recipe(schedule="piecewise", warmup=0), 4) == pytest.approx([1, 1, 0.1, 0.01])
    fewer = Recipe(schedule="piecewise", warmup=0, drops=[0.25], drop=0.5)
    assert rates(fewer, 4) == pytest.approx([1, 0.5, 0.5, 0.5])


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"drops": [0.5]}, "sets drops or drop, which only schedule: piecewise has"),
        ({"schedule": "piecewise", "drops": [0.7, 0.2]}, "has drops that do not rise"),
    ],
)
def test_fields_that_would_do_nothing_are_refused(fields: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        Recipe.model_validate(fields)


def stepped(recipe: Recipe, gradient: list[float]) -> dict[str, Any]:
    """Take one train step from ones along `gradient`, of a kernel and a bias."""
    kernel, bias = (tf.Variable(tf.ones([2]), name=name) for name in ("dense/kernel", "dense/bias"))
    optimizer = optimizer_of(recipe, 10)
    optimizer.build([kernel, bias])
    optimizer.apply_gradients([(tf.constant(gradient), kernel), (tf.zeros([2]), bias)])
    return {"kernel": kernel.numpy(), "bias": bias.numpy()}


def test_weight_decay_is_decoupled_and_spares_biases() -> None:
    recipe = Recipe(optimizer="sgd", learning_rate=0.5, schedule="constant", warmup=0, weight_decay=0.1)
    after = stepped(recipe, [0.0, 0.0])
    np.testing.assert_allclose(after["kernel"], 1 - 0.5 * 0.1)
    np.testing.assert_array_equal(after["bias"], 1)


def test_the_global_norm_is_clipped() -> None:
    recipe = Recipe(optimizer="sgd", learning_rate=1.0, schedule="constant", warmup=0, clip_norm=1.0)
    after = stepped(recipe, [30.0, 40.0])
    np.testing.assert_allclose(after["kernel"], 1 - 1.9 * np.array([0.6, 0.8]), rtol=1e-6)  # Nesterov's first step


def loss(training: Training, logits: list[float], y: int, other: int | None = None, share: float = 1.0) -> float:
    other = y if other is None else other
    batch = Batch(None, tf.constant([y]), tf.constant([other]), tf.constant([share]), None, None, None)
    return float(training.losses(batch, tf.constant([logits]))[0])


def test_label_smoothing_class_weights_and_mixed_classes_enter_the_loss() -> None:
    logits = [2.0, 0.0, -1.0]
    logs = np.log(np.exp(logits) / np.exp(logits).sum())
    assert loss(Training(None, None, 0), logits, 0) == pytest.approx(-logs[0])
    smoothed = Training(None, None, 0, label_smoothing=0.3)
    assert loss(smoothed, logits, 0) == pytest.approx(-(0.7 + 0.1) * logs[0] - 0.1 * logs[1] - 0.1 * logs[2])
    weighed = Training(None, None, 0, class_weights=[3.0, 1.0, 0.5])
    assert loss(weighed, logits, 0) == pytest.approx(-3 * logs[0])
    assert loss(weighed, logits, 0, other=2, share=0.25) == pytest.approx(-0.25 * 3 * logs[0] - 0.75 * 0.5 * logs[2])


def test_class_weights_are_balanced_or_given_by_name() -> None:
    labels = np.array([0, 0, 0, 1])
    assert class_weights(Recipe(), ["a", "b"], labels) is None
    assert class_weights(Recipe(class_weights="balanced"), ["a", "b"], labels) == pytest.approx([4 / 6, 2.0])
    assert class_weights(Recipe(class_weights={"b": 5.0}), ["a", "b"], labels) == [1.0, 5.0]
    with pytest.raises(StepError, match=r"^class_weights\.c: is no class of the data, wanted a, b"):
        class_weights(Recipe(class_weights={"c": 5.0}), ["a", "b"], labels)


def epochs(losses: list[float]) -> list[Epoch]:
    return [
        Epoch(
            epoch=i + 1, loss=0, accuracy=0, validation_loss=value, validation_accuracy=-value, seconds=1,
            rows_per_second=1,
        )
        for i, value in enumerate(losses)
    ]  # fmt: skip


def test_patience_counts_epochs_since_the_best() -> None:
    stopping = EarlyStopping(patience=2)
    assert not is_over([], stopping)
    assert not is_over(epochs([3, 2, 2.5]), stopping)
    assert is_over(epochs([3, 2, 2.5, 2.0]), stopping), "as good as the best is no better"
    assert best_epoch(epochs([3, 2, 2.5, 2.0]), "loss") == 2
    assert best_epoch(epochs([3, 2, 1]), "accuracy") == 3


def trained(digits: Folder, root: Path, recipe: TrainRecipe, keeper: MemoryKeeper | None = None) -> tuple[Model, Any]:
    spec = ModelSpec.model_validate({"backbone": TINY})
    out = Folder.parse(str(root / "model"))
    TrainWork(spec, recipe, Single(), digits, out)(Single().engine(), keeper or MemoryKeeper(root))
    return Model.load(out), read_weights(out.read_bytes("weights.npz"), "weights")


def test_early_stopping_ends_in_the_weights_of_the_best_epoch(digits: Folder, tmp_path: Path) -> None:
    keeper = MemoryKeeper(tmp_path)
    recipe = TrainRecipe(
        epochs=12, learning_rate=0.3, schedule="constant", warmup=0, early_stopping=EarlyStopping(patience=1)
    )
    model, weights = trained(digits, tmp_path, recipe, keeper)
    best = best_epoch(model.history, "loss")
    assert len(model.history) == best + 1 < 12, "a rate this high gets worse within a few epochs"
    assert {"stopped early": f"after epoch {best + 1}, in the weights of epoch {best}"} in keeper.events
    fewer = recipe.model_copy(update={"epochs": best, "early_stopping": None})
    _, wanted = trained(digits, tmp_path / "fewer", fewer)
    for name, value in wanted.items():
        np.testing.assert_allclose(weights[name], value, atol=1e-6, err_msg=name)


def test_frozen_epochs_train_the_head_alone_then_all_at_two_rates(digits: Folder, tmp_path: Path) -> None:
    keeper = MemoryKeeper(tmp_path)
    recipe = TrainRecipe(epochs=1, frozen_epochs=1, learning_rate=0.01, backbone_learning_rate=1e-12, warmup=0)
    model, weights = trained(digits, tmp_path, recipe, keeper)
    assert [(epoch.phase, epoch.epoch) for epoch in model.history] == [("head", 1), ("train", 1)]
    start = keeper.kept[1].arrays
    _, untrained = trained(digits, tmp_path / "one", TrainRecipe(epochs=1, learning_rate=1e-12, warmup=0))
    np.testing.assert_allclose(weights["stem/kernel"], untrained["stem/kernel"], atol=1e-6)
    assert not np.allclose(weights["logits/kernel"], untrained["logits/kernel"], atol=1e-3)
    assert len(start) > 2, "the frozen epoch was kept"


def test_the_moving_average_is_what_is_judged_and_kept(digits: Folder, tmp_path: Path) -> None:
    keeper = MemoryKeeper(tmp_path)
    recipe = TrainRecipe(epochs=2, batch_size=256, learning_rate=0.01, ema=0.5)
    _, averaged = trained(digits, tmp_path, recipe, keeper)
    raw = keeper.kept[0].arrays
    kernel = next(v for v in raw.values() if v.shape == averaged["logits/kernel"].shape)
    assert not np.allclose(averaged["logits/kernel"], kernel), "training itself goes on from the raw weights"
    _, plain = trained(digits, tmp_path / "plain", recipe.model_copy(update={"ema": None}))
    np.testing.assert_allclose(kernel, plain["logits/kernel"], atol=1e-5)


@pytest.mark.parametrize("kind", ["mixed_bfloat16", "mixed_float16"])
def test_mixed_precision_keeps_variables_in_float32_and_learns(kind: str, digits: Folder, tmp_path: Path) -> None:
    recipe = TrainRecipe.model_validate({"epochs": 2, "learning_rate": 0.01, "precision": kind})
    model, weights = trained(digits, tmp_path, recipe)
    assert model.history[1].loss < model.history[0].loss
    assert model.recipe["precision"] == kind
    assert {value.dtype for value in weights.values()} == {np.dtype(np.float32)}
    assert keras.mixed_precision.global_policy().name == "float32", "the policy does not outlive the building"


def test_precision_is_chosen_by_what_every_gpu_has(monkeypatch: pytest.MonkeyPatch) -> None:
    found = {"v100": (7, 0), "a100": (8, 0), "k80": (3, 7)}
    monkeypatch.setattr(tf.config.experimental, "get_device_details", lambda gpu: {"compute_capability": found[gpu]})
    auto = TrainRecipe()
    assert precision_of(auto, []) == "float32"
    assert precision_of(auto, ["a100"]) == "mixed_bfloat16"
    assert precision_of(auto, ["a100", "v100"]) == "mixed_float16"
    assert precision_of(auto, ["a100", "k80"]) == "float32"
    assert precision_of(TrainRecipe(precision="float32"), ["a100"]) == "float32"


def test_penalties_and_decay_act_on_the_same_weights() -> None:
    inputs = keras.Input((8, 8, 3))
    x = keras.layers.DepthwiseConv2D(3, name="depthwise")(inputs)
    x = keras.layers.Flatten()(keras.layers.BatchNormalization(name="norm")(x))
    model = keras.Model(inputs, keras.layers.Dense(2, name="logits")(x))
    optimizer = optimizer_of(Recipe(weight_decay=0.1), 10)
    optimizer.build(model.trainable_variables)
    decayed = [v.name for v in model.trainable_variables if optimizer._use_weight_decay(v)]
    assert [v.name for v in penalised(model)] == decayed == ["depthwise/depthwise_kernel:0", "logits/kernel:0"]
