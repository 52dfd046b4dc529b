"""Augmentation in a training: of training rows alone, the same after a resumption, and refused where it cannot be."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cluster.folder import Folder
from jobs.artifacts import Dataset, Model
from jobs.data.encode import encoded
from jobs.data.preparing import preprocess_of
from jobs.models.model import ModelSpec, read_weights
from jobs.recipe import TrainRecipe
from jobs.strategies import Single
from jobs.training import TrainWork, feeds_of
from pipelines.language.mistakes import DefinitionError
from pipelines.load import load
from tests.rig import TINY, MemoryKeeper

AUGMENT: list[dict[str, Any]] = [
    {"kind": "crop", "padding": 1},
    {"kind": "rotate"},
    {"kind": "mixup"},
    {"kind": "cutout", "size": 2},
]


def recipe(augment: list[dict[str, Any]], **fields: Any) -> TrainRecipe:
    return TrainRecipe.model_validate({"epochs": 2, "batch_size": 256, "augment": augment, **fields})


def test_training_rows_are_augmented_and_validation_rows_never(digits: Folder, tmp_path: Path) -> None:
    dataset = Dataset.load(digits)
    train, validation = feeds_of(dataset, preprocess_of(dataset), tmp_path, recipe(AUGMENT))
    plain = encoded(dataset, preprocess_of(dataset), "train")
    batch = train.read(0, 0, 1)
    raw, _ = plain.gather(train.shard(0, 0, 1))
    assert (batch.x != raw).any((1, 2, 3)).all()
    held = encoded(dataset, preprocess_of(dataset), "validation")
    np.testing.assert_array_equal(validation.read(0, 0, 1).x, held.gather(validation.shard(0, 0, 1))[0])


class Interrupted(Exception):  # noqa: N818
    pass


class Interrupting(MemoryKeeper):
    """Interrupts the training after its first epoch, once."""

    def epoch_done(self, phase: int, history: Any, arrays: Any) -> None:
        again = phase in self.kept
        super().epoch_done(phase, history, arrays)
        if not again:
            raise Interrupted


def trained(digits: Folder, root: Path, keeper: MemoryKeeper, augment: list[dict[str, Any]]) -> dict[str, Any]:
    spec, out = ModelSpec.model_validate({"backbone": TINY}), Folder.parse(str(root / "out"))
    TrainWork(spec, recipe(augment), Single(), digits, out)(Single().engine(), keeper)
    assert Model.load(out).recipe["augment"] == [kind.model_dump() for kind in recipe(augment).augment]
    return read_weights((root / "out/weights.npz").read_bytes(), "weights")


@pytest.mark.training
def test_a_resumed_augmented_training_equals_an_unbroken_one(digits: Folder, tmp_path: Path) -> None:
    unbroken = trained(digits, tmp_path, MemoryKeeper(tmp_path / "a"), AUGMENT)
    keeper = Interrupting(tmp_path / "b")
    with pytest.raises(Interrupted):
        trained(digits, tmp_path, keeper, AUGMENT)
    resumed = trained(digits, tmp_path, keeper, AUGMENT)
    for name, value in unbroken.items():
        np.testing.assert_allclose(resumed[name], value, atol=1e-6, rtol=0, err_msg=name)
    plain = trained(digits, tmp_path, MemoryKeeper(tmp_path / "c"), [])
    assert not np.allclose(plain["logits/kernel"], unbroken["logits/kernel"], atol=1e-3)


DEFINITION = """
name: augmented
steps:
  data: {job: dataset, source: {kind: digits}}
  model:
    job: train
    data: data
    model: {backbone: {kind: resnet, depth: 8, width: 4}}
    augment:
      - {kind: crop, padding: 1}
      - {kind: mixup}
  small:
    job: compress
    model: model
    data: data
    techniques:
      - {kind: prune, augment: [{kind: flip}]}
"""


MISTAKES = [
    (
        ("{kind: mixup}", "{kind: word_swap}"),
        "11: steps.model.augment[1]: changes texts, but the model reads image rows",
    ),
    (
        ("{kind: crop, padding: 1}", "{kind: cutmix}"),
        "11: steps.model.augment[1]: mixes rows that are mixed already, and a label is shared by two rows only",
    ),
    (
        ("{kind: flip}", "{kind: word_swap}"),
        "17: steps.small.techniques[0].augment[0]: changes texts, but the model reads image rows",
    ),
    (("padding: 1", "padding: -1"), "10: steps.model.augment[0].padding: -1 is not 0 or more"),
    (("{kind: mixup}", "{kind: zoom, low: 2}"), "11: steps.model.augment[1]: has a low factor above its high one"),
]


@pytest.mark.parametrize(("change", "message"), MISTAKES)
def test_a_mistaken_list_is_answered_with_its_place(change: tuple[str, str], message: str, tmp_path: Path) -> None:
    file = tmp_path / "augmented.yaml"
    file.write_text(DEFINITION)
    assert load(file).name == "augmented"
    file.write_text(DEFINITION.replace(*change))
    with pytest.raises(DefinitionError) as caught:
        load(file)
    assert f"augmented.yaml:{message}" in str(caught.value)
