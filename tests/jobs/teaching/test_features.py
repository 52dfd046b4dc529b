"""Features that a student matches: where they are taken from, brought to which width, and what a student learns."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from cluster.errors import FinalError
from cluster.folder import Folder
from jobs.artifacts import Model, Rewrite
from jobs.compressing import CompressWork
from jobs.data.feed import Batch
from jobs.data.preprocess import ImagePixels
from jobs.fit import Training
from jobs.models.model import HEAD, ModelSpec, build, read_weights
from jobs.strategies import Single
from jobs.teaching.features import PROJECTION, with_features
from jobs.teaching.softening import Softening
from jobs.techniques import Technique
from tests.jobs.teaching.test_teaching import distilled
from tests.rig import TINY, MemoryKeeper

pytestmark = pytest.mark.training

MATCHED = 1.0  # the weight of features
ASKED = {"start": "asking the teacher"}
PIXELS = ImagePixels(height=8, width=8, channels=1)
ROWS = np.random.default_rng(0).uniform(0, 255, (5, 8, 8, 1)).astype(np.float32)


def made(backbone: dict[str, Any] = TINY, rewrites: Any = (), **fields: Any) -> Any:
    return build(ModelSpec.model_validate({"backbone": backbone} | fields), PIXELS, 3, rewrites=rewrites)


@pytest.mark.parametrize("rewrites", [(), [Rewrite(layer=HEAD, rank=2)]])
def test_features_are_what_the_head_reads_before_its_dropout_and_its_factor(rewrites: Any) -> None:
    model = made(dropout=0.5, rewrites=rewrites)
    found = with_features(model)(ROWS, training=True).numpy()
    assert found.shape == (5, 3 + 16)
    pooled = [layer for layer in model.layers if isinstance(layer, tf.keras.layers.GlobalAveragePooling2D)]
    inner = tf.keras.Model(model.input, pooled[0].output)
    model = made(dropout=0.5, rewrites=rewrites)  # normalisation has moved its averages
    whole = with_features(model)
    inner = tf.keras.Model(model.input, next(x for x in model.layers if x.name == pooled[0].name).output)
    np.testing.assert_allclose(whole(ROWS).numpy()[:, 3:], inner(ROWS).numpy(), atol=1e-6)
    np.testing.assert_allclose(whole(ROWS).numpy()[:, :3], model(ROWS).numpy(), atol=1e-6)


def test_a_projection_is_learnt_only_where_widths_differ() -> None:
    same, other = with_features(made(), 16), with_features(made(), 24)
    assert not [weight for weight in same.weights if PROJECTION in weight.name]
    assert [tuple(w.shape) for w in other.weights if PROJECTION in w.name] == [(16, 24), (24,)]
    assert other(ROWS).shape == (5, 3 + 24)
    again = with_features(made(), 24)
    np.testing.assert_array_equal(other(ROWS).numpy(), again(ROWS).numpy())  # its start is seeded


def test_a_model_without_a_head_of_its_own_has_no_features() -> None:
    several = made({"kind": "ensemble", "models": [{"backbone": TINY}, {"backbone": TINY}]})
    with pytest.raises(FinalError, match=r"^the features of the teacher: are several members', or none, wanted one"):
        with_features(several)


def test_the_loss_adds_the_mean_squared_distance_of_features() -> None:
    model = made()
    outputs, taught = np.zeros((2, 3 + 2), np.float32), np.zeros((2, 3 + 2), np.float32)
    outputs[:, 3:], taught[:, 3:] = [[1, 2], [0, 0]], [[1, 0], [3, 1]]
    y, ones = np.zeros(2, np.int32), np.ones(2, np.float32)
    batch = Batch(None, y, y, ones, ones, np.float32(0.5), tf.constant(taught))
    training = Training(model, None, 0, softening=Softening(0.5, 1.0, 10.0), classes=3)
    losses = training.losses(batch, tf.constant(outputs)).numpy()
    np.testing.assert_allclose(losses, 0.5 * np.log(3) + 10 * np.array([2.0, 5.0]), rtol=1e-6)


def explained(model: Model) -> float:
    (found,) = (finding for finding in model.findings if finding.what.startswith("share of the variance"))
    return float(found.measured)


@pytest.fixture(scope="module")
def matched(digits: Folder, teacher: Folder, tmp_path_factory: pytest.TempPathFactory) -> Model:
    """Return a student that matched features."""
    made, events = distilled(digits, teacher, tmp_path_factory.mktemp("matched"), features=MATCHED)
    assert events.count(ASKED) == 1
    return made


def test_a_student_takes_on_features_of_another_width_and_the_projection_is_left_out(
    matched: Model, digits: Folder, teacher: Folder, tmp_path: Path
) -> None:
    hardly, _ = distilled(digits, teacher, tmp_path, features=1e-9)
    assert explained(matched) > explained(hardly) + 0.1
    weights = read_weights((matched.folder.path / "weights.npz").read_bytes(), "weights")
    assert not [name for name in weights if PROJECTION in name]
    assert matched.parameters == hardly.parameters == sum(value.size for value in weights.values())


def test_several_models_features_are_refused_when_it_is_loaded() -> None:
    several = ModelSpec.model_validate(
        {"backbone": {"kind": "ensemble", "models": [{"backbone": TINY}, {"backbone": TINY}]}}
    )
    matching = Technique.choose({"kind": "distill", "student": {"backbone": TINY}, "features": 1.0})
    assert [*matching.legal([], several.backbone, Single())] == [
        "the teacher's ensemble has several models' features, none to be matched; leave features out"
    ]
    answers = Technique.choose({"kind": "distill", "student": {"backbone": TINY}})
    assert not [*answers.legal([], several.backbone, Single())]


class StopOnce(MemoryKeeper):
    """Ends the first attempt after an epoch."""

    stopped = False

    def epoch_done(self, phase: int, history: Any, arrays: Any) -> None:
        super().epoch_done(phase, history, arrays)
        if not self.stopped:
            self.stopped = True
            raise InterruptedError


def test_the_next_attempt_reads_what_the_teacher_said_and_ends_in_the_same_weights(
    matched: Model, digits: Folder, teacher: Folder, tmp_path: Path
) -> None:
    technique = {"kind": "distill", "student": {"backbone": TINY}, "epochs": 2, "learning_rate": 0.01}
    out, keeper = Folder.parse(str(tmp_path / "out")), StopOnce(tmp_path)
    work = CompressWork([Technique.choose(technique | {"features": MATCHED})], Single(), teacher, digits, out)
    with pytest.raises(InterruptedError):
        work(Single().engine(), keeper)
    assert keeper.events.count(ASKED) == 1
    work(Single().engine(), keeper)
    assert keeper.events.count(ASKED) == 1
    ended = [read_weights((folder / "weights.npz").read_bytes(), "w") for folder in (out.path, matched.folder.path)]
    assert ended[0].keys() == ended[1].keys()
    for name, value in ended[0].items():
        np.testing.assert_allclose(value, ended[1][name], atol=1e-5, err_msg=name)
