"""What the workers of a compress step do: run the chain, each technique fine-tuned in turn, and make the file."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from cluster.errors import FinalError
from cluster.folder import Folder
from jobs.artifacts import Dataset, Finding, Model, Rewrite
from jobs.checkpoints import Link, read_link, write_link
from jobs.convert import to_litert
from jobs.data.encode import encoded
from jobs.data.preprocess import Preprocess
from jobs.exporting.forms import Variant
from jobs.exporting.variants import chosen, shaping_of
from jobs.fit import fit
from jobs.judging.faithful import faithful
from jobs.models.model import ModelSpec, build, build_to_train, load_weights, read_weights
from jobs.models.weights.wholes import uncut
from jobs.product import Product, golden_of, write_model
from jobs.runtime.inputs import as_read
from jobs.strategies.strategy import Strategy
from jobs.teaching.answers import ask, once
from jobs.teaching.features import with_features
from jobs.techniques.technique import Context, Teaches, Technique
from jobs.training import class_weights, feeds_of, preprocessing

Weights = dict[str, Any]


@dataclass(frozen=True)
class CompressWork:
    """Runs `techniques` over the model in `model`, fine-tuning on `data`, and leaves the artifact in `out`."""

    techniques: list[Technique]
    strategy: Strategy
    model: Folder
    data: Folder
    out: Folder
    choose: str | None = None  # among variants of the file
    exports: tuple[str, ...] = ()

    def __call__(self, engine: Any, keeper: Any) -> None:
        """Run the chain in every worker; worker 0 writes the artifact."""
        chain = Chain(self, engine, keeper)
        for index, technique in enumerate(self.techniques):
            if technique.reshapes:
                chain.reshape(index, technique)
            if technique.recipe() is not None:
                chain.tune(index, technique)
        if keeper.rank == 0:
            chain.write()


@dataclass(frozen=True)
class Held:
    """A model as it is between two techniques; without weights it is one that has learnt nothing yet."""

    spec: ModelSpec
    preprocess: Preprocess
    folder: Path  # of the preprocessing's files
    weights: Weights
    rewrites: Sequence[Rewrite] = ()

    def built(self, classes: int, seed: int = 0) -> Any:
        """Return the plain Keras model."""
        if not self.weights:
            return build_to_train(self.spec, self.preprocess, classes, seed, self.folder)
        model = build(self.spec, self.preprocess, classes, folder=self.folder, rewrites=self.rewrites)
        load_weights(model, self.weights, "the chain")
        return model


class Chain:
    """The state of a chain in one worker: the model, history and findings so far."""

    def __init__(self, work: CompressWork, engine: Any, keeper: Any) -> None:
        self.work, self.engine, self.keeper = work, engine, keeper
        self.dataset = Dataset.load(work.data)
        self.artifact = Model.load(work.model)
        self.classes = self.artifact.classes
        if self.classes != self.dataset.classes:
            raise FinalError("the model and the data", f"have other classes: {self.classes}", str(self.dataset.classes))
        folder: Path = work.model.fetch()
        spec = ModelSpec.model_validate(self.artifact.spec)
        weights = read_weights((folder / "weights.npz").read_bytes(), f"{work.model}/weights.npz")
        self.first = self.held = Held(spec, self.artifact.preprocess, folder, weights, self.artifact.rewrites)
        self.link = Link(history=[])

    def context(self, index: int, train_steps: int = 0) -> Context:
        """Return what the technique at `index` may look at."""
        return Context(self.work.techniques[:index], self.held.spec.backbone.modality, train_steps)

    def reshape(self, index: int, technique: Technique) -> None:
        """Change the layers as worker 0 finds them to be changed, once, or take over what an earlier attempt did."""
        name = f"shaped{index + 1:03d}"
        kept = self.keeper.product(name)
        if kept is None:
            kept = self.keeper.keep(name, lambda path: write_link(path, *self._reshaped(index, technique)))
        self.link, weights = read_link(kept)
        self.held = replace(self.held, weights=weights, rewrites=self.link.rewrites)

    def _reshaped(self, index: int, technique: Technique) -> tuple[Link, Weights]:
        self.keeper.tell({"start": f"changing layers: {technique.model_dump()['kind']}"})
        context, held = self.context(index), self.held
        context.labelled = lambda count: labelled_rows(self._rows("train"), count)
        made = technique.reshape(held.built(len(self.classes)), context)
        rewrites = [*held.rewrites, *made.rewrites]
        findings = self.link.findings + kept_promises(made.findings)
        return Link(history=self.link.history, findings=findings, rewrites=rewrites), dict(made.weights)

    def _rows(self, split: str) -> Any:
        """Return all rows of a split as the model so far takes them."""
        return encoded(self.dataset, self.held.preprocess, split, self.held.folder)

    def tune(self, index: int, technique: Technique) -> None:
        """Fine-tune under one technique, or take over what an earlier attempt finished."""
        name, teacher = f"tuned{index + 1:03d}", self.held
        kept = self.keeper.product(name)
        if isinstance(technique, Teaches):
            spec = technique.learner()
            folder, preprocess = preprocessing(spec, self.dataset, self.keeper, f"student{index + 1:03d}")
            self.held = Held(spec, preprocess, folder, {})
        if kept is None:
            link, weights = self._tuned(index, technique, teacher)
            kept = self.keeper.keep(name, lambda path: write_link(path, link, weights))
        self.link, weights = read_link(kept)
        if isinstance(technique, Teaches):
            self.held = replace(self.held, spec=self.held.spec.resolved(self.held.folder))
        self.held = replace(self.held, weights=weights)

    def _tuned(self, index: int, technique: Technique, teacher: Held) -> tuple[Link, Weights]:
        from jobs.optimizers import at_hand, precision

        technique = at_hand(technique)
        recipe, kind = technique.recipe(), str(technique.model_dump()["kind"])
        assert recipe is not None
        train, validation = feeds_of(self.dataset, self.held.preprocess, self.held.folder, recipe, self.engine.held)
        answers = self._answers(index, technique, teacher) if isinstance(technique, Teaches) else {}
        train.teacher = answers.get("train", train.teacher)
        with self.engine.scope(), uncut(not technique.takes_whole()), precision(recipe.precision):
            model = self.held.built(len(self.classes), recipe.seed)
            context = self.context(index, recipe.epochs * train.steps)
            context.calibration = partial(calibration_rows, train.rows)
            context.taught = train.teacher.shape[-1]
            training = technique.prepare(model, context)
        training.scales_loss = recipe.precision == "mixed_float16"
        training.l1, training.l2 = self.held.spec.l1, self.held.spec.l2
        training.label_smoothing = recipe.label_smoothing
        training.class_weights = class_weights(recipe, self.classes, train.rows.y)
        if isinstance(technique, Teaches):
            self._warn_of_size(teacher, model)
        self.keeper.tell({"start": kind, "epochs": recipe.epochs})
        history = fit(self.engine, training, train, validation, recipe, self.keeper, index, kind)
        findings = self.link.findings
        if isinstance(technique, Teaches):
            found = self.engine.predict(training.model, validation)
            findings = findings + kept_promises(technique.judged(answers["validation"], found, len(self.classes)))
        weights = technique.finish(training)
        kept_promises(technique.promise(teacher.weights, weights, None))
        history = self.link.history + history
        return Link(history=history, findings=findings, rewrites=list(self.held.rewrites)), weights

    def _warn_of_size(self, teacher: Held, student: Any) -> None:
        """Tell of a student that is no smaller than its teacher: it compresses nothing."""
        taught, learns = sum(int(value.size) for value in teacher.weights.values()), int(student.count_params())
        if learns >= taught:
            text = f"the student has {learns:,} weights, its teacher {taught:,}: nothing becomes smaller by it"
            self.keeper.tell({"warning": text})

    def _answers(self, index: int, technique: Teaches, teacher: Held) -> dict[str, Any]:
        """Return what the teacher says of every row of the training and validation splits, by split.

        It is asked once: what was kept serves every attempt, and every chain with this teacher. Where workers read
        rows of their own, nothing of these is kept: each asks again.
        """
        recipe, whole = technique.recipe(), technique.matches_features()
        assert recipe is not None, "what teaches trains"

        def find() -> dict[str, Any]:
            self.keeper.tell({"start": "asking the teacher"})
            with self.engine.scope():
                model = teacher.built(len(self.classes))
                model = with_features(model) if whole else model
            return ask(self.engine, model, self.dataset, teacher.preprocess, teacher.folder, recipe.batch_size)

        if self.work.strategy.own_rows:
            return find()
        return once(self.keeper, f"{'features' if whole else 'answers'}{index:03d}", find)

    def write(self) -> None:
        """Make the file, check every promise on what is in it, and write the artifact."""
        context = self.context(len(self.work.techniques))
        self.keeper.tell({"start": "converting"})
        data = self.engine.held(self.dataset, "train")
        rows = encoded(data, self.held.preprocess, "train", self.held.folder)
        context.calibration = partial(calibration_rows, rows)
        self._warn_of_unseen(rows)
        held = self.held
        model = held.built(len(self.classes))
        techniques: Sequence[Technique] = self.work.techniques
        variants: list[Variant] = []
        if self.work.choose is None:
            file = lowered(model, techniques, context)
        else:
            shaping = shaping_of(techniques)
            files = {name: lowered(model, shapers, context) for name, shapers in shaping.items()}
            tried = encoded(self.engine.held(self.dataset, "validation"), held.preprocess, "validation", held.folder)
            name, variants = chosen(self.work.choose, files, tried)
            techniques, file = shaping[name], files[name]
        checked = (technique.promise(self.first.weights, held.weights, file) for technique in techniques)
        findings = self.link.findings + kept_promises(finding for found in checked for finding in found)
        skipped = {skip: None for technique in techniques for skip in technique.skips(model, file)}
        drift = sum(technique.drift() for technique in techniques)
        findings += kept_promises([faithful(file, model, self._rows("validation"), drift)])
        chain = tuple(technique.model_dump(mode="json") for technique in self.work.techniques)
        product = Product(
            held.spec, held.preprocess, self.classes, held.weights, self.work.strategy,
            golden_of(self.dataset), self.artifact.recipe, file, chain, tuple(findings), tuple(held.rewrites),
            tuple(skipped), tuple(variants), self.work.exports,
        )  # fmt: skip
        write_model(self.work.out, held.folder, product, self.artifact.history + self.link.history, self.dataset)

    def _warn_of_unseen(self, rows: Any) -> None:
        """Tell which classes no calibration row is of: ranges may be too narrow for them."""
        for technique in self.work.techniques:
            if count := technique.calibrates():
                seen = set(rows.gather(_spread(len(rows), count))[1].tolist())
                missing = [name for index, name in enumerate(self.classes) if index not in seen]
                if missing:
                    text = f"none of the {min(count, len(rows))} calibration rows is of {', '.join(missing)}"
                    self.keeper.tell({"warning": f"{text}: ranges may be too narrow; raise calibration"})


def lowered(model: Any, techniques: Sequence[Technique], context: Context) -> bytes:
    """Return the LiteRT file of the plain `model` as `techniques` shape it."""

    def lower(converter: Any) -> None:
        for technique in techniques:
            technique.lower(converter, context)

    file = to_litert(model, lower)
    for technique in techniques:
        file = technique.rework(file, context)
    return file


def _spread(rows: int, count: int) -> Any:
    return np.linspace(0, rows - 1, min(count, rows)).astype(np.int64)


def calibration_rows(rows: Any, count: int) -> Any:
    """Return up to `count` prepared rows, as the model takes them, spread evenly: shards keep their source's order."""
    return labelled_rows(rows, count)[0]


def labelled_rows(rows: Any, count: int) -> tuple[Any, Any]:
    """Return the same rows with their classes."""
    x, y = rows.gather(_spread(len(rows), count))
    return as_read(x), y


def kept_promises(findings: Iterable[Finding]) -> list[Finding]:
    """Return `findings`; FinalError names the first promise that was broken, and its layer."""
    found = list(findings)
    for finding in found:
        if not finding.kept:
            where = f" of layer '{finding.layer}'" if finding.layer else ""
            text = f"{finding.what}{where} is {finding.measured}"
            raise FinalError(f"{finding.technique} broke its promise", text, finding.promised)
    return found
