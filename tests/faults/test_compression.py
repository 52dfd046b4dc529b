"""A worker is killed while a technique fine-tunes: the chain goes on, and what comes out keeps its promises."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from cluster.folder import Folder
from cluster.resources import Resources
from cluster.work import run_remote
from jobs.artifacts import Model
from jobs.compressing import CompressWork
from jobs.models.backbone import Backbone
from jobs.models.model import ModelSpec
from jobs.recipe import Recipe, TrainRecipe
from jobs.runtime.classifier import Classifier, golden_rows
from jobs.strategies import Single, Strategy
from jobs.techniques import Technique
from jobs.techniques.legality import refusals
from jobs.training import TrainWork
from tests.contracts.test_compression import TECHNIQUES, chosen_for
from tests.contracts.test_strategies import EXAMPLES
from tests.rig import TINY, DoAfterEpoch, KillOnce, MemoryKeeper

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(600)]

EPOCHS = 2
RESNET = Backbone.choose(TINY)


def fine_tuned(kind: str) -> Technique | None:
    """Return the first example of a technique that trains, with so many epochs; None where none does."""
    for fields in TECHNIQUES[kind]:
        if chosen_for(fields, "image").recipe() is not None:
            return chosen_for(fields | {"epochs": EPOCHS}, "image")
    return None


def test_every_technique_that_trains_is_killed_below() -> None:
    trains = {kind for kind in TECHNIQUES if issubclass(Technique.members()[kind], Recipe)}
    assert {technique for technique, _ in CASES} == trains


STRATEGIES = {kind: Strategy.choose({"kind": kind} | fields) for kind, fields in EXAMPLES.items()}
QUICK = ("quantize", "single")  # make test kills this one
CASES = [
    (technique, strategy)
    for technique in sorted(TECHNIQUES)
    for strategy in sorted(STRATEGIES)
    if (chosen := fine_tuned(technique)) and not [*refusals(chosen, [], RESNET, STRATEGIES[strategy])]
]


@pytest.fixture(scope="module")
def whole(digits: Folder, tmp_path_factory: pytest.TempPathFactory) -> Folder:
    root = tmp_path_factory.mktemp("whole")
    out = Folder.parse(str(root / "model"))
    spec = ModelSpec.model_validate({"backbone": TINY})
    recipe = TrainRecipe(epochs=2, batch_size=64, learning_rate=0.01)
    TrainWork(spec, recipe, Single(), digits, out)(Single().engine(), MemoryKeeper(root))
    return out


@pytest.mark.parametrize(
    ("technique", "strategy"),
    [pytest.param(*case, marks=[] if case == QUICK else [pytest.mark.slow]) for case in CASES],
)
def test_a_chain_goes_on_after_a_worker_was_killed(
    technique: str, strategy: str, whole: Folder, digits: Folder, ray_cluster: None, tmp_path: Path
) -> None:
    from jobs.strategies.ray_train import Group, run_group

    chosen, driven = fine_tuned(technique), STRATEGIES[strategy]
    assert chosen is not None, "only such are cases"
    out = Folder.parse(str(tmp_path / "out"))
    events: list[dict[str, Any]] = []
    work = CompressWork([chosen], driven, whole, digits, out)
    kill = KillOnce(rank=0, epoch=1, marker=tmp_path / "killed")
    acting = DoAfterEpoch(work, 0, kill)
    group = Group(acting, driven, "chain", Folder.parse(str(tmp_path / "kept")), 2, 2)
    run_remote(run_group, group, resources=Resources(), tell=events.append, ends=True, warm=True)
    assert kill.marker.exists()
    assert [event["after_epoch"] for event in events if "resume" in event] == [1]
    made = Model.load(out)
    assert [epoch.epoch for epoch in made.history if epoch.phase == technique] == [1, 2]
    assert all(finding.kept for finding in made.findings)
    assert bool(made.rewrites) == chosen.reshapes
    assert Classifier(made, out.path).classify(golden_rows(out.path))
