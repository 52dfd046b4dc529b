"""Searches whose trainings cost nothing: a layout's worth is known."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

from cluster.folder import Folder
from jobs.artifacts import Dataset
from jobs.job import Output
from jobs.kinds.search import Search
from jobs.progress import Begun, Progress
from jobs.searching.candidates import Candidate, Key, kept, key
from jobs.searching.quest import Quest
from jobs.sweeping.gate import GateKeeper, Result
from tests.jobs.sweeping.synthetic import Synthetic, epoch_of

SPACE: dict[str, Any] = {
    "model.backbone.width": {"kind": "integer", "low": 4, "high": 12, "step": 2},
    "model.backbone.depth": {"kind": "choice", "values": [8, 14, 20]},
    "model.backbone.kernel": {"kind": "choice", "values": [3, 5]},
    "model.backbone.block": {"kind": "choice", "values": ["basic", "bottleneck", "separable"]},
}
BACKBONE = {"kind": "resnet", "depth": 20, "width": 12, "kernel": 5}
MACS = 1_000_000


def worth(values: dict[str, Any]) -> float:
    """Return a layout's accuracy: the larger the better, and bottlenecks a little worse than their size tells."""
    block = {"basic": 0.1, "bottleneck": 0.0, "separable": 0.05}[values["model.backbone.block"]]
    size = values["model.backbone.width"] / 24 + values["model.backbone.depth"] / 60
    return float(size + block + (0.05 if values["model.backbone.kernel"] == 5 else 0.0))


class Layouts(Synthetic):
    """Runs such trials."""

    def body(self, values: dict[str, Any], keeper: GateKeeper) -> Result:
        history = []
        for epoch in range(self.plan.asked.train.epochs):
            self.trouble(values, epoch)
            history.append(epoch_of(epoch + 1, worth(values)))
            keeper.progress = Progress(list(history), Begun(), {})
            keeper.hand({"validation_accuracy": worth(values), "validation_loss": 1 - worth(values)})
        return {"measured": {"accuracy": worth(values), "loss": 1 - worth(values)}}


class Known(Quest):
    """A search whose shared weights tell the truth at once."""

    def scored(self, method: Any, out: Output) -> dict[Key, float]:
        return {key(candidate.values): worth(candidate.values) for candidate in kept(self.candidates)}


def search_of(method: dict[str, Any], **fields: Any) -> Search:
    """Return a search of synthetic layouts."""
    train = {"data": "data", "model": {"backbone": BACKBONE}, "epochs": 2}
    limits = {"minimise": [], "subject_to": {"macs": MACS}}
    return Search.model_validate({"train": train, "space": SPACE, "method": method, **limits} | fields)


def quest_of(root: Path, search: Search) -> Quest:
    """Return the quest of a search whose journal lies in `root`."""
    digits = Dataset(modality="image", classes=[str(i) for i in range(10)], rows={}, image=[8, 8, 1])
    quest = search.quest({"data": digits.at(Folder(str(root / "data")))}, output(root))
    plan = replace(quest.plan, runner=Layouts)
    return Known(plan, quest.candidates, quest.costs, quest.retries)


def output(root: Path) -> Output:
    """Return where a search's work goes."""
    return Output("layouts", Folder(str(root / "out")), Folder(str(root / "kept")), lambda event: None)


def best(candidates: list[Candidate]) -> Candidate:
    """Return the best candidate within the limits."""
    return max(kept(candidates), key=lambda candidate: worth(candidate.values))
