"""Chains that change layers: what is left is smaller, is rebuilt by whoever comes next, and goes on where it broke."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cluster.errors import StepError
from cluster.folder import Folder
from jobs.artifacts import Dataset, Model
from jobs.compressing import CompressWork
from jobs.convert import to_litert
from jobs.data.encode import encoded
from jobs.judging.faithful import faithful
from jobs.models.model import ModelSpec, build, load_weights, read_weights, weights_of
from jobs.recipe import TrainRecipe
from jobs.runtime.classifier import Classifier, golden_rows
from jobs.strategies import Single
from jobs.techniques import Technique
from jobs.training import TrainWork
from tests.rig import DoAfterEpoch, MemoryKeeper

pytestmark = pytest.mark.training

SPEC = ModelSpec.model_validate({"backbone": {"kind": "resnet", "depth": 8, "width": 8}})
FINE = {"batch_size": 256, "learning_rate": 0.003}


@pytest.fixture(scope="module")
def whole(digits: Folder, tmp_path_factory: pytest.TempPathFactory) -> Folder:
    root = tmp_path_factory.mktemp("whole")
    out = Folder.parse(str(root / "model"))
    recipe = TrainRecipe(epochs=2, batch_size=64, learning_rate=0.01)
    TrainWork(SPEC, recipe, Single(), digits, out)(Single().engine(), MemoryKeeper(root))
    return out


def compressed(chain: list[dict[str, Any]], model: Folder, data: Folder, root: Path) -> Folder:
    root.mkdir()
    out = Folder.parse(str(root / "small"))
    work = CompressWork([Technique.choose(fields) for fields in chain], Single(), model, data, out)
    work(Single().engine(), MemoryKeeper(root))
    return out


def weights_in(folder: Folder) -> dict[str, Any]:
    return read_weights((folder.path / "weights.npz").read_bytes(), "weights")


def test_a_smaller_model_is_made_smaller_again_and_teaches(whole: Folder, digits: Folder, tmp_path: Path) -> None:
    chain = [
        {"kind": "prune_structured", "keep": 0.6, "importance": "taylor", "rows": 64, "epochs": 1, **FINE},
        {"kind": "factorize", "rank": 3, "epochs": 0},
    ]
    once = compressed(chain, whole, digits, tmp_path / "once")
    first, small = Model.load(whole), Model.load(once)
    assert first.rewrites == []
    assert all(finding.kept for finding in small.findings)
    assert small.macs is not None
    assert first.macs is not None
    assert small.macs <= 0.6 * first.macs
    assert small.parameters < first.parameters
    assert small.size_bytes < first.size_bytes
    model = build(SPEC, small.preprocess, len(small.classes), rewrites=small.rewrites)
    load_weights(model, weights_in(once), "the artifact")
    assert {fact.rank for fact in small.rewrites if fact.rank} == {3}

    again = [
        {"kind": "distill", "student": {"backbone": SPEC.backbone.model_dump()}, "epochs": 1, **FINE},
        {"kind": "prune_structured", "keep": 0.8, "of": "parameters", "scope": "global", "epochs": 0},
    ]
    taught = Model.load(compressed(again, once, digits, tmp_path / "taught"))
    assert not any(fact.rank for fact in taught.rewrites)  # a student starts whole
    assert taught.parameters <= 0.8 * first.parameters
    twice = compressed([{"kind": "prune_structured", "keep": 0.7, "epochs": 0}], once, digits, tmp_path / "twice")
    smallest = Model.load(twice)
    assert smallest.rewrites[: len(small.rewrites)] == small.rewrites
    assert smallest.macs is not None
    assert smallest.macs <= 0.7 * small.macs
    assert Classifier(smallest, twice.path).classify(golden_rows(twice.path))


class Interrupted(Exception):  # noqa: N818  an end, not a fault
    """Ends a training after its first epoch."""


def test_a_broken_fine_tuning_goes_on_with_the_layers_that_were_left(
    whole: Folder, digits: Folder, tmp_path: Path
) -> None:
    chain = [Technique.choose({"kind": "prune_structured", "keep": 0.5, "epochs": 2, **FINE})]
    ends = {name: Folder.parse(str(tmp_path / name)) for name in ("broken", "whole")}

    def end(epoch: int) -> None:
        raise Interrupted

    keeper = MemoryKeeper(tmp_path / "kept")
    breaking = DoAfterEpoch(CompressWork(chain, Single(), whole, digits, ends["broken"]), 0, end)
    with pytest.raises(Interrupted):
        breaking(Single().engine(), keeper)
    again = MemoryKeeper(tmp_path / "kept")
    again.kept = keeper.kept
    CompressWork(chain, Single(), whole, digits, ends["broken"])(Single().engine(), again)
    assert [event["start"] for event in again.events if "start" in event] == ["prune_structured", "converting"]
    CompressWork(chain, Single(), whole, digits, ends["whole"])(Single().engine(), MemoryKeeper(tmp_path / "own"))
    broken, unbroken = (Model.load(folder) for folder in ends.values())
    assert broken.rewrites == unbroken.rewrites
    assert [epoch.epoch for epoch in broken.history] == [1, 2, 1, 2]
    found, wanted = (weights_in(folder) for folder in ends.values())
    for name, value in wanted.items():
        np.testing.assert_allclose(found[name], value, atol=1e-3, err_msg=name)


def test_a_share_that_cannot_be_reached_fails_the_step(whole: Folder, digits: Folder, tmp_path: Path) -> None:
    with pytest.raises(StepError) as caught:
        compressed([{"kind": "prune_structured", "keep": 0.01}], whole, digits, tmp_path / "out")
    text = str(caught.value)
    assert text.startswith("prune_structured broke its promise: share of macs that is left is 0.")
    assert text.endswith("wanted <= 0.01")


def test_a_file_of_other_weights_is_told_from_its_model(whole: Folder, digits: Folder) -> None:
    artifact, dataset = Model.load(whole), Dataset.load(digits)
    model = build(SPEC, artifact.preprocess, len(artifact.classes))
    load_weights(model, weights_in(whole), "the artifact")
    file = to_litert(model)
    rows = encoded(dataset, artifact.preprocess, "validation")
    same = faithful(file, model, rows, 0.0)
    assert same.kept, same
    assert float(same.measured.split(",")[0]) < 1e-4
    weights = weights_of(model)
    weights["stage2_block1_conv1_norm/gamma"] = weights["stage2_block1_conv1_norm/gamma"] * 1.05
    load_weights(model, weights, "others")
    assert not faithful(file, model, rows, 0.0).kept
