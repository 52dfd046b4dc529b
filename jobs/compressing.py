"""What the workers of a compress step do: run the chain, each technique fine-tuned in turn, and make the file."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from cluster.errors import StepError
from cluster.folder import Folder
from jobs.artifacts import Dataset, Epoch, Finding, Model
from jobs.checkpoints import Link, read_link, write_link
from jobs.convert import to_litert
from jobs.data.encode import encoded
from jobs.fit import fit
from jobs.models.model import ModelSpec, build, load_weights, read_weights
from jobs.product import Product, golden_of, write_model
from jobs.strategies.strategy import Strategy
from jobs.techniques.technique import Context, Technique
from jobs.training import class_weights, feeds_of

Weights = dict[str, Any]


@dataclass(frozen=True)
class CompressWork:
    """Runs `techniques` over the model in `model`, fine-tuning on `data`, and leaves the artifact in `out`."""

    techniques: list[Technique]
    strategy: Strategy
    model: Folder
    data: Folder
    out: Folder

    def __call__(self, engine: Any, keeper: Any) -> None:
        """Run the chain in every worker; worker 0 writes the artifact."""
        chain = Chain(self, engine, keeper)
        for index, technique in enumerate(self.techniques):
            if technique.recipe() is not None:
                chain.tune(index, technique)
        if keeper.rank == 0:
            chain.write()


class Chain:
    """The state of a chain in one worker: weights, history and findings so far."""

    def __init__(self, work: CompressWork, engine: Any, keeper: Any) -> None:
        self.work, self.engine, self.keeper = work, engine, keeper
        self.dataset = Dataset.load(work.data)
        self.artifact = Model.load(work.model)
        if self.artifact.classes != self.dataset.classes:
            raise StepError(
                "the model and the data", f"have other classes: {self.artifact.classes}", str(self.dataset.classes)
            )
        self.folder: Path = work.model.fetch()
        self.spec = ModelSpec.model_validate(self.artifact.spec)
        subject = f"{work.model}/weights.npz"
        self.original: Weights = read_weights((self.folder / "weights.npz").read_bytes(), subject)
        self.weights = self.original
        self.history: list[Epoch] = []

    def context(self, index: int, train_steps: int = 0) -> Context:
        """Return what the technique at `index` may look at."""
        return Context(self.work.techniques[:index], self.spec.backbone.modality, train_steps)

    def built(self) -> Any:
        """Return the plain model holding the weights so far."""
        model = build(self.spec, self.artifact.preprocess, len(self.artifact.classes), folder=self.folder)
        load_weights(model, self.weights, str(self.work.model))
        return model

    def tune(self, index: int, technique: Technique) -> None:
        """Fine-tune under one technique, or take over what an earlier attempt finished."""
        name = f"technique{index:03d}"
        kept = self.keeper.product(name)
        if kept is None:
            link, weights = self._tuned(index, technique)
            kept = self.keeper.keep(name, lambda path: write_link(path, link, weights))
        link, self.weights = read_link(kept)
        self.history = link.history

    def _tuned(self, index: int, technique: Technique) -> tuple[Link, Weights]:
        recipe = technique.recipe()
        assert recipe is not None
        self.keeper.tell({"start": technique.model_dump()["kind"], "epochs": recipe.epochs})
        feeds = feeds_of(self.dataset, self.artifact.preprocess, self.folder, recipe)
        with self.engine.scope():
            training = technique.prepare(self.built(), self.context(index, recipe.epochs * feeds[0].steps))
        training.l1, training.l2 = self.spec.l1, self.spec.l2
        training.label_smoothing = recipe.label_smoothing
        training.class_weights = class_weights(recipe, self.dataset.classes, feeds[0].rows.y)
        history = fit(self.engine, training, *feeds, recipe, self.keeper, index, technique.model_dump()["kind"])
        weights = technique.finish(training)
        kept_promises(technique.promise(self.weights, weights, None))
        return Link(history=self.history + history), weights

    def write(self) -> None:
        """Make the file, check every promise on what is in it, and write the artifact."""
        context = self.context(len(self.work.techniques))
        self.keeper.tell({"start": "converting"})
        rows = encoded(self.dataset, self.artifact.preprocess, "train", self.folder)
        context.calibration = partial(calibration_rows, rows)

        def lower(converter: Any) -> None:
            for technique in self.work.techniques:
                technique.lower(converter, context)

        file = to_litert(self.built(), lower)
        checked = (technique.promise(self.original, self.weights, file) for technique in self.work.techniques)
        findings = kept_promises(finding for found in checked for finding in found)
        chain = tuple(technique.model_dump(mode="json") for technique in self.work.techniques)
        product = Product(
            self.spec, self.artifact.preprocess, self.artifact.classes, self.weights, self.work.strategy,
            golden_of(self.dataset), self.artifact.recipe, file, chain, tuple(findings),
        )  # fmt: skip
        write_model(self.work.out, self.folder, product, self.artifact.history + self.history)


def calibration_rows(rows: Any, count: int) -> Any:
    """Return up to `count` prepared rows, as the model takes them, spread evenly: shards keep their source's order."""
    x, _ = rows.gather(np.linspace(0, len(rows) - 1, min(count, len(rows))).astype(np.int64))
    return x.astype(np.float32) if x.dtype == np.uint8 else x


def kept_promises(findings: Iterable[Finding]) -> list[Finding]:
    """Return `findings`; StepError names the first promise that was broken, and its layer."""
    found = list(findings)
    for finding in found:
        if not finding.kept:
            where = f" of layer '{finding.layer}'" if finding.layer else ""
            text = f"{finding.what}{where} is {finding.measured}"
            raise StepError(f"{finding.technique} broke its promise", text, finding.promised)
    return found
