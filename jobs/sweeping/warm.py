"""Training one trial after another in one process: what does not change is built and traced once.

Dropout before the logits, the L1 and L2 penalties and the learning rate are dials: variables beside the model, which
a trial sets. A model with other values of them is not built or traced again. TensorFlow is imported here.
"""

from __future__ import annotations

import json
from collections import OrderedDict
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import tensorflow as tf

from cluster.folder import Folder
from jobs.artifacts import Dataset, Epoch
from jobs.fit import HEAD_ALONE, Training, fit
from jobs.kinds.train import Train
from jobs.models.layers import Dial
from jobs.models.model import HEAD_DROPOUT, build_to_train, frozen_backbone, in_head, weights_of
from jobs.optimizers import precision, precision_of, rates_of, restart_averages, train_optimizer_of
from jobs.product import Product, golden_of, write_model
from jobs.recipe import TrainRecipe
from jobs.sweeping.gate import GateKeeper
from jobs.training import class_weights, feeds_of, preprocessing

KEPT = 2  # models that stay built, with their traces, in one process
SOMETHING = 0.5  # a rate of dropout that has a layer


@dataclass
class Phase:
    """A training of a kit's model, of the head alone or of all of it, and the dials on its rates."""

    training: Training
    peaks: list[Any]
    first: dict[str, Any]  # the model's weights and its optimizer's state before the first train step of a trial


@dataclass
class Kit:
    """A model that is built and traced, and the dials on it."""

    model: Any
    head: Phase | None
    whole: Phase
    feeds: tuple[Any, Any]
    folder: Path
    preprocess: Any
    dropout: Dial
    penalties: list[Any]


@dataclass
class Warm:
    """What a trial's process holds from one trial to the next."""

    engine: Any
    dataset: Dataset
    kits: OrderedDict[str, Kit] = field(default_factory=OrderedDict)

    def train(self, asked: Train, keeper: GateKeeper) -> tuple[Kit, list[Epoch]]:
        """Train as `asked`; return the model and its history."""
        recipe = asked.recipe()
        chosen = precision_of(recipe, tf.config.list_physical_devices("GPU"))
        recipe = recipe.model_copy(update={"precision": chosen})
        kit = self._kit(asked, recipe, keeper)
        _turn(kit, asked, recipe)
        history = self._head_alone(kit, recipe, keeper)
        return kit, history + fit(self.engine, kit.whole.training, *kit.feeds, recipe, keeper, 0, "train")

    def _head_alone(self, kit: Kit, recipe: TrainRecipe, keeper: GateKeeper) -> list[Epoch]:
        """Bring the model to where the training of all of it begins: with frozen epochs, train the head."""
        whole, head = kit.whole, kit.head
        self.engine.restore(whole.training, whole.first)
        if head is None:
            return []
        self.engine.restore(head.training, head.first)
        with frozen_backbone(kit.model):
            history = fit(self.engine, head.training, *kit.feeds, recipe.head_recipe(), keeper, 1, HEAD_ALONE)
        restart_averages(whole.training.optimizer, kit.model.trainable_variables)
        return history

    def write(self, kit: Kit, asked: Train, history: list[Epoch], out: Folder) -> None:
        """Write the model that was trained last, as an artifact."""
        golden, facts = golden_of(self.dataset), asked.recipe().model_dump(mode="json")
        spec, weights = asked.model.resolved(kit.folder), weights_of(kit.model)
        product = Product(spec, kit.preprocess, self.dataset.classes, weights, asked.strategy, golden, facts)
        write_model(out, kit.folder, product, history, self.dataset)

    def forget(self) -> None:
        """Drop every model: a trial that failed may have left anything behind."""
        self.kits.clear()
        tf.keras.backend.clear_session()

    def _kit(self, asked: Train, recipe: TrainRecipe, keeper: GateKeeper) -> Kit:
        key = _undialled(asked, recipe)
        if key not in self.kits:
            while len(self.kits) >= KEPT:
                self.kits.popitem(last=False)
            self.kits[key] = self._built(asked, recipe, keeper)
        self.kits.move_to_end(key)
        return self.kits[key]

    def _built(self, asked: Train, recipe: TrainRecipe, keeper: GateKeeper) -> Kit:
        folder, preprocess = preprocessing(asked.model, self.dataset, keeper, _name(asked))
        spec = asked.model.model_copy(update={"dropout": SOMETHING})
        with self.engine.scope(), precision(recipe.precision):
            model = build_to_train(spec, preprocess, len(self.dataset.classes), recipe.seed, folder)
        feeds = feeds_of(self.dataset, preprocess, folder, recipe, self.engine.held)
        weights = class_weights(recipe, self.dataset.classes, feeds[0].rows.y)
        with self.engine.scope():
            dropout, penalties = Dial(0.0), [tf.Variable(0.0, trainable=False) for _ in range(2)]
        model.get_layer(HEAD_DROPOUT).rate = dropout
        steps = feeds[0].steps
        whole, head = self._phase(model, recipe, steps, penalties, weights), None
        if recipe.frozen_epochs:
            with frozen_backbone(model):
                head = self._phase(model, recipe.head_recipe(), steps, penalties, weights)
        return Kit(model, head, whole, feeds, folder, preprocess, dropout, penalties)

    def _phase(
        self, model: Any, recipe: TrainRecipe, steps: int, penalties: list[Any], weights: list[float] | None
    ) -> Phase:
        """Make a training of what can be trained of `model` now."""
        with self.engine.scope():
            optimizer = train_optimizer_of(recipe, recipe.epochs * steps, in_head)
            peaks = [tf.Variable(rate.peak, trainable=False) for rate in rates_of(optimizer)]
        for rate, peak in zip(rates_of(optimizer), peaks, strict=True):
            rate.peak = peak
        training = Training(
            model, optimizer, recipe.seed, penalties[0], penalties[1], recipe.label_smoothing, weights,
            scales_loss=recipe.precision == "mixed_float16",
        )  # fmt: skip
        with self.engine.scope():
            training.build()
        return Phase(training, peaks, self.engine.read(training))


def _turn(kit: Kit, asked: Train, recipe: TrainRecipe) -> None:
    """Set the dials as a trial asks."""
    kit.dropout.turn(asked.model.dropout)
    for penalty, value in zip(kit.penalties, (asked.model.l1, asked.model.l2), strict=True):
        penalty.assign(value)
    scaled = [recipe.learning_rate, recipe.backbone_learning_rate or 0.0]
    for phase in filter(None, (kit.head, kit.whole)):
        for peak, rate in zip(phase.peaks, scaled, strict=False):
            peak.assign(rate * recipe.rate_scale())


def _undialled(asked: Train, recipe: TrainRecipe) -> str:
    """Return what a model is built and traced for: everything but the dials."""
    fields = recipe.model_dump(mode="json") | {"learning_rate": None}
    if recipe.backbone_learning_rate is not None:
        fields["backbone_learning_rate"] = True
    model = asked.model.model_dump(mode="json") | dict.fromkeys(("dropout", "l1", "l2"))
    return json.dumps([model, fields], sort_keys=True)


def _name(asked: Train) -> str:
    """Return the name of a preprocessing that trials with this backbone share."""
    import hashlib

    text = asked.model.backbone.model_dump_json()
    return f"preprocess-{hashlib.sha256(text.encode()).hexdigest()[:16]}"
