from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cluster.errors import RequestError, StepError
from cluster.folder import Folder
from jobs.artifacts import Dataset
from jobs.data.encode import encoded
from jobs.data.feed import Feed
from jobs.data.preparing import preprocess_of
from jobs.fit import Training, fit
from jobs.models.model import ModelSpec, build, load_weights, weights_of
from jobs.optimizers import optimizer_of
from jobs.progress import Pace, Progress
from jobs.recipe import Recipe
from jobs.strategies import Single
from tests.rig import TINY, MemoryKeeper

pytestmark = pytest.mark.training

SPEC = ModelSpec.model_validate({"backbone": TINY, "dropout": 0.3, "l2": 1e-4})


def trained(digits: Folder, keeper: Any, recipe: Recipe) -> dict[str, Any]:
    dataset = Dataset.load(digits)
    pixels = preprocess_of(dataset)
    train = Feed(encoded(dataset, pixels, "train"), recipe.batch_size, recipe.seed)
    validation = Feed(encoded(dataset, pixels, "validation"), 256, None)
    model = build(SPEC, pixels, len(dataset.classes), recipe.seed)
    training = Training(model, optimizer_of(recipe, recipe.epochs * train.steps), recipe.seed, SPEC.l1, SPEC.l2)
    fit(Single().engine(), training, train, validation, recipe, keeper, phase=0, name="train")
    return weights_of(model)


class Interrupted(Exception):  # noqa: N818
    pass


class Interrupting(MemoryKeeper):
    """Interrupts the training at its checkpoint number `at`, once."""

    def __init__(self, root: Path, at: int) -> None:
        super().__init__(root)
        self.left = at

    def steps_done(self, phase: int, progress: Progress) -> None:
        super().steps_done(phase, progress)
        self.count()

    def epoch_done(self, phase: int, history: Any, arrays: Any) -> None:
        super().epoch_done(phase, history, arrays)
        self.count()

    def count(self) -> None:
        self.left -= 1
        if self.left == 0:
            raise Interrupted


@pytest.mark.parametrize(("every", "at", "steps"), [(None, 2, 0), (2, 5, 4)])  # after an epoch, and within the second
def test_a_resumed_training_equals_an_unbroken_one(
    digits: Folder, tmp_path: Path, every: int | None, at: int, steps: int
) -> None:
    unbroken = MemoryKeeper(tmp_path)
    wanted = trained(digits, unbroken, Recipe(epochs=3, batch_size=256, seed=5))
    recipe = Recipe(epochs=3, batch_size=256, seed=5, checkpoint_every=every)
    keeper = Interrupting(tmp_path, at)
    with pytest.raises(Interrupted):
        trained(digits, keeper, recipe)
    assert keeper.kept[0].begun.train_steps == steps
    resumed = trained(digits, keeper, recipe)
    for name, value in wanted.items():
        np.testing.assert_allclose(resumed[name], value, atol=1e-6, rtol=0, err_msg=name)
    history = keeper.kept[0].history
    assert [epoch.epoch for epoch in history] == [1, 2, 3]
    for found, epoch in zip(history, unbroken.kept[0].history, strict=True):
        assert found.loss == pytest.approx(epoch.loss, rel=1e-6)
        assert found.accuracy == epoch.accuracy


def test_loss_falls_and_the_seed_is_honoured(digits: Folder, tmp_path: Path) -> None:
    keeper = MemoryKeeper(tmp_path)
    first = trained(digits, keeper, Recipe(epochs=2, batch_size=64, learning_rate=0.01))
    history = keeper.kept[0].history
    assert history[1].loss < history[0].loss
    other = trained(digits, MemoryKeeper(tmp_path), Recipe(epochs=1, batch_size=64, learning_rate=0.01, seed=1))
    assert not np.allclose(first["logits/kernel"], other["logits/kernel"])


def test_a_loss_that_is_no_number_stops_training_and_names_the_train_step(digits: Folder, tmp_path: Path) -> None:
    recipe = Recipe(epochs=3, batch_size=128, optimizer="sgd", learning_rate=1e30, schedule="constant")
    with pytest.raises(StepError, match=r"^loss is (NaN|infinite) at train_step [1-9]\d*; lower learning_rate"):
        trained(digits, MemoryKeeper(tmp_path), recipe)


def test_l1_and_l2_penalise_kernels_alone(digits: Folder) -> None:
    dataset = Dataset.load(digits)
    model = build(SPEC, preprocess_of(dataset), 10)
    kernels = [v.numpy() for v in model.trainable_variables if "kernel" in v.name]
    penalty = float(Training(model, None, 0, l1=0.5, l2=0.25).penalty())
    wanted = sum(0.5 * np.abs(k).sum() + 0.25 * np.square(k).sum() for k in kernels)
    assert penalty == pytest.approx(wanted, rel=1e-5)


def test_weights_of_another_shape_are_refused_by_name(digits: Folder) -> None:
    model = build(SPEC, preprocess_of(Dataset.load(digits)), 10)
    weights = weights_of(model)
    weights["logits/kernel"] = np.zeros((3, 10), np.float32)
    with pytest.raises(RequestError, match=r"^given: weight logits/kernel: has shape \(3, 10\), wanted \(16, 10\)$"):
        load_weights(model, weights, "given")
    del weights["logits/kernel"]
    with pytest.raises(RequestError, match=r"weight logits/kernel: is missing, wanted shape \(16, 10\)"):
        load_weights(model, weights, "given")


def test_train_steps_are_taken_together_for_about_the_time_asked_for() -> None:
    times = iter([0.0, 10.0, 10.5, 13.5, 19.5])
    pace = Pace(3.0, lambda: next(times))
    assert pace.choose(100) == 1  # nothing is known
    assert pace.choose(100) == 1  # the first took ten seconds: it traced
    assert pace.choose(100) == 6
    assert pace.choose(2) == 2  # six took three seconds; two are left
    assert pace.choose(100) == 1
