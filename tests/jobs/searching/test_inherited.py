"""Shared weights: trained, interrupted, and scored by each candidate's own part of them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from cluster.folder import Folder
from jobs.artifacts import Dataset, Epoch
from jobs.searching.candidates import kept
from jobs.searching.inherited import SCORES, SupernetWork
from jobs.strategies import Single
from tests.jobs.searching.synthetic import output, search_of
from tests.rig import MemoryKeeper, epochs_of

pytestmark = pytest.mark.training

SPACE = {
    "model.backbone.width": {"kind": "choice", "values": [4, 12]},
    "model.backbone.kernel": {"kind": "choice", "values": [3, 5]},
}
TRAIN = {
    "data": "data", "model": {"backbone": {"kind": "resnet", "depth": 8, "width": 12, "kernel": 5}},
    "learning_rate": 0.01,
}  # fmt: skip


class Interrupted(MemoryKeeper):
    """Ends the training after its second epoch, once."""

    def epoch_done(self, phase: int, history: list[Epoch], arrays: dict[str, Any]) -> None:
        super().epoch_done(phase, history, arrays)
        self.tell({"epoch": history[-1].model_dump()})
        if len(history) == 2 and len(epochs_of(self.events)) == 2:
            raise InterruptedError


def scores_of(digits: Folder, root: Path, keeper: MemoryKeeper) -> list[dict[str, Any]]:
    search = search_of({"kind": "supernet", "epochs": 6}, space=SPACE, train=TRAIN, subject_to={"macs": 1_000_000})
    quest = search.quest({"data": Dataset.load(digits)}, output(root))
    assert len(kept(quest.candidates)) == 3  # the one that the others are parts of is too large
    recipe = quest.plan.asked.train.recipe()
    work = SupernetWork(
        search.method, quest.candidates, quest.costs, quest.plan.space, quest.plan.goals, recipe, digits,  # type: ignore[arg-type]
        Folder(str(root / "scores")),
    )  # fmt: skip
    work(Single().engine(), keeper)
    found: list[dict[str, Any]] = json.loads(work.out.read_bytes(SCORES))
    return found


def test_shared_weights_score_the_candidates_within_limits_the_same_after_an_interruption(
    digits: Folder, tmp_path: Path
) -> None:
    unbroken = scores_of(digits, tmp_path / "unbroken", MemoryKeeper(tmp_path / "a"))
    assert [row["values"]["model.backbone.width"] for row in unbroken] == [4, 4, 12]
    by_width = {row["values"]["model.backbone.width"]: row["accuracy"] for row in unbroken}
    assert by_width[12] > 0.9
    keeper = Interrupted(tmp_path / "b")
    with pytest.raises(InterruptedError):
        scores_of(digits, tmp_path / "broken", keeper)
    again = scores_of(digits, tmp_path / "broken", keeper)
    assert epochs_of(keeper.events) == [1, 2, 3, 4, 5, 6]
    assert [row["accuracy"] for row in again] == pytest.approx([row["accuracy"] for row in unbroken], abs=0.02)
