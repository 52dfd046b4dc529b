"""Distillation: the loss, what the teacher is asked, and that a student ends as a model of its own."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from cluster.errors import StepError
from cluster.folder import Folder
from jobs.artifacts import Dataset, Model
from jobs.compressing import CompressWork
from jobs.data.encode import encoded
from jobs.data.feed import Feed
from jobs.models.model import ModelSpec, build, load_weights, read_weights
from jobs.strategies import Single
from jobs.teaching.softening import Softening
from jobs.techniques import Technique
from tests.rig import TINY, MemoryKeeper

pytestmark = pytest.mark.training


def softmax(logits: Any) -> Any:
    return np.exp(logits) / np.exp(logits).sum()


def test_the_loss_blends_labels_and_the_softened_teacher() -> None:
    teacher, student = np.array([3, 1, -2], np.float32), np.array([0.5, 0, 1], np.float32)
    p, q = softmax(teacher / 2), softmax(student / 2)
    wanted = 0.3 * 7.0 + 0.7 * 4 * float((p * np.log(p / q)).sum())
    found = Softening(0.7, 2.0).blend(tf.constant([7.0]), tf.constant([teacher]), tf.constant([student]))
    assert float(found[0]) == pytest.approx(wanted, rel=1e-5)
    same = Softening(1.0, 2.0).blend(tf.constant([7.0]), tf.constant([teacher]), tf.constant([teacher]))
    assert float(same[0]) == pytest.approx(0, abs=1e-6)


def test_predictions_come_in_the_rows_order(digits: Folder, teacher: Folder) -> None:
    model, dataset = Model.load(teacher), Dataset.load(digits)
    plain = build(ModelSpec.model_validate(model.spec), model.preprocess, len(model.classes))
    load_weights(plain, read_weights(teacher.read_bytes("weights.npz"), "weights"), "teacher")
    rows = encoded(dataset, model.preprocess, "validation")
    found = Single().engine().predict(plain, Feed(rows, 50, None))
    wanted = plain(rows.x.astype(np.float32), training=False).numpy()
    np.testing.assert_allclose(found, wanted, atol=1e-4)


def distilled(digits: Folder, teacher: Folder, root: Path, **fields: Any) -> tuple[Model, list[dict[str, Any]]]:
    technique = {"kind": "distill", "student": {"backbone": TINY}, "epochs": 2, "learning_rate": 0.01} | fields
    out, keeper = Folder.parse(str(root / "out")), MemoryKeeper(root)
    work = CompressWork([Technique.choose(technique)], Single(), teacher, digits, out)
    for _ in range(2):  # the second time the finished technique is taken over
        work(Single().engine(), keeper)
    return Model.load(out), keeper.events


def test_the_student_replaces_its_teacher_and_says_how_far_it_agrees(
    digits: Folder, teacher: Folder, tmp_path: Path
) -> None:
    made, events = distilled(digits, teacher, tmp_path)
    assert made.spec["backbone"]["width"] == 4
    assert made.parameters < Model.load(teacher).parameters
    assert [epoch.phase for epoch in made.history] == ["train"] * 3 + ["distill"] * 2
    finding, converted = made.findings
    assert finding.what == "agreement with the teacher on validation rows"
    assert 0.3 < float(finding.measured) <= 1
    assert (converted.technique, converted.promised) == ("convert", "<= 0.001")
    assert events.count({"start": "asking the teacher"}) == 1, "the teacher is asked once"


def test_a_student_that_agrees_too_little_breaks_its_promise(digits: Folder, teacher: Folder, tmp_path: Path) -> None:
    with pytest.raises(StepError, match=r"^distill broke its promise: agreement .* is 0\.\d+, wanted >= 1$"):
        distilled(digits, teacher, tmp_path, agreement=1.0, epochs=1, learning_rate=1e-6)


def test_a_student_as_large_as_its_teacher_is_warned_of(digits: Folder, teacher: Folder, tmp_path: Path) -> None:
    _, events = distilled(digits, teacher, tmp_path, student={"backbone": TINY | {"width": 8}}, epochs=1)
    count = sum(value.size for value in read_weights(teacher.read_bytes("weights.npz"), "weights").values())
    assert [event["warning"] for event in events if "warning" in event] == [
        f"the student has {count:,} weights, its teacher {count:,}: nothing becomes smaller by it"
    ]
