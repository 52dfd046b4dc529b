"""What the workers of a train step do: prepare rows, build the model, fit it, and leave a Model artifact."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from cluster.errors import FinalError
from cluster.folder import Folder
from cluster.resources import Resources
from cluster.work import Channel, run_remote
from jobs.artifacts import Dataset, Epoch
from jobs.checkpoints import Link, read_link, write_link
from jobs.data.encode import encoded
from jobs.data.feed import Feed
from jobs.data.preprocess import ImageAndText, Preprocess, WordPieces
from jobs.data.text import special_tokens
from jobs.fit import HEAD_ALONE, Training, best_epoch, fit
from jobs.models.model import (
    ModelSpec,
    build_to_train,
    dividing_rule,
    frozen_backbone,
    in_head,
    load_weights,
    shapes_of,
    weights_of,
)  # fmt: skip
from jobs.product import Product, golden_of, write_model
from jobs.recipe import Recipe, TrainRecipe, unknown_classes
from jobs.spec import Spec
from jobs.strategies.strategy import Strategy

Held = Callable[[Dataset, str], Dataset]


class Prepared(Spec):
    """A preprocessing kept beside the files it needs."""

    preprocess: Preprocess


@dataclass(frozen=True)
class TrainWork:
    """Trains `model` on the data set in `data` and leaves the artifact in `out`; picklable."""

    model: ModelSpec
    recipe: TrainRecipe
    strategy: Strategy
    data: Folder
    out: Folder

    def __call__(self, engine: Any, keeper: Any) -> None:
        """Train in every worker; worker 0 writes the artifact."""
        from jobs.optimizers import precision  # it imports TensorFlow, which the driver never does

        dataset = Dataset.load(self.data)
        folder, preprocess = preprocessing(self.model, dataset, keeper, "preprocess")
        recipe = self._resolved()
        with engine.scope(), precision(recipe.precision):
            model = build_to_train(self.model, preprocess, len(dataset.classes), recipe.seed, folder)
        if wrong := self.strategy.too_whole(dividing_rule(self.model), shapes_of(model)):
            raise FinalError("strategy", wrong, remedy="take a strategy that holds the model whole")
        stage = Stage(self.model, dataset, preprocess, folder, engine, keeper)
        history = stage.head_alone(model, recipe.head_recipe()) if recipe.frozen_epochs else []
        history = history + stage.train(model, recipe, 0, "train")
        weights = weights_of(model)
        if keeper.rank == 0:
            self.finish(stage, recipe, weights, history)

    def finish(self, stage: Stage, recipe: TrainRecipe, weights: dict[str, Any], history: list[Epoch]) -> None:
        """Write the artifact, in worker 0, or beside it, where the whole model may be too large for a worker."""
        tell = stage.keeper.tell
        tell({"start": "converting"})
        spec, dataset = self.model.resolved(stage.folder), stage.dataset
        golden, facts = golden_of(dataset), recipe.model_dump(mode="json")
        product = Product(spec, stage.preprocess, dataset.classes, weights, self.strategy, golden, facts)
        made = (self.out, stage.folder, product, history, dataset)
        if self.strategy.divides_models:
            run_remote(_write, *made, resources=Resources(), tell=tell, ends=True)
        else:
            write_model(*made)

    def _resolved(self) -> TrainRecipe:
        """Return the recipe with the precision of the devices at hand, in which the strategy can train."""
        from jobs.optimizers import at_hand

        recipe: TrainRecipe = at_hand(self.recipe)
        trains = recipe.precision in self.strategy.precisions
        return recipe if trains else recipe.model_copy(update={"precision": "float32"})


def _write(*made: Any, tell: Channel) -> None:
    write_model(*made)


@dataclass(frozen=True)
class Stage:
    """What the stages of one training share, in one worker."""

    spec: ModelSpec
    dataset: Dataset
    preprocess: Preprocess
    folder: Path
    engine: Any
    keeper: Any

    def train(self, model: Any, recipe: TrainRecipe, phase: int, name: str) -> list[Epoch]:
        """Fit `model` as `recipe` says and return the history."""
        from jobs.optimizers import train_optimizer_of

        feeds = feeds_of(self.dataset, self.preprocess, self.folder, recipe, self.engine.held)
        weights = class_weights(recipe, self.dataset.classes, feeds[0].rows.y)
        with self.engine.scope():
            optimizer = train_optimizer_of(recipe, recipe.epochs * feeds[0].steps, in_head)
        training = Training(
            model, optimizer, recipe.seed, self.spec.l1, self.spec.l2, recipe.label_smoothing, weights,
            scales_loss=recipe.precision == "mixed_float16",
        )  # fmt: skip
        self.keeper.tell({"start": f"{name}ing" if name == "train" else name, "epochs": recipe.epochs})
        history = fit(self.engine, training, *feeds, recipe, self.keeper, phase, name)
        if len(history) < recipe.epochs and recipe.early_stopping:
            best = best_epoch(history, recipe.early_stopping.metric)
            self.keeper.tell({"stopped early": f"after epoch {len(history)}, in the weights of epoch {best}"})
        return history

    def head_alone(self, model: Any, recipe: TrainRecipe) -> list[Epoch]:
        """Train the head with the backbone frozen, or take over what an earlier attempt finished."""
        kept = self.keeper.product("head")
        if kept is None:
            with frozen_backbone(model):
                history = self.train(model, recipe, 1, HEAD_ALONE)
            weights = weights_of(model)
            kept = self.keeper.keep("head", lambda path: write_link(path, Link(history=history), weights))
        link, weights = read_link(kept)
        load_weights(model, weights, str(kept))
        return link.history


def class_weights(recipe: Recipe, classes: list[str], labels: Any) -> list[float] | None:
    """Return the weight of each class in the loss: as given, 1 where not; balanced: rows / (classes · its rows)."""
    if recipe.class_weights is None:
        return None
    for name in unknown_classes(recipe, classes):
        raise FinalError(f"class_weights.{name}", "is no class of the data", ", ".join(classes))
    if isinstance(recipe.class_weights, dict):
        return [recipe.class_weights.get(name, 1.0) for name in classes]
    counts = np.bincount(labels, minlength=len(classes))
    return [len(labels) / (len(classes) * max(1, int(count))) for count in counts]


def preprocessing(model: ModelSpec, dataset: Dataset, keeper: Any, name: str) -> tuple[Path, Preprocess]:
    """Fit the preprocessing once, in worker 0, and return it with the local folder of its files in every worker.

    It is kept as the product `name`.
    """

    def fill(path: Path) -> None:
        prepared = Prepared(preprocess=model.backbone.preprocess(dataset, path))
        (path / "preprocess.json").write_text(prepared.model_dump_json())

    folder = keeper.product(name) or keeper.keep(name, fill)
    path: Path = folder.fetch()
    return path, Prepared.model_validate_json((path / "preprocess.json").read_text()).preprocess


def whole(dataset: Dataset, split: str) -> Dataset:
    """Return `dataset`: all rows of a split are read here."""
    return dataset


def feeds_of(
    dataset: Dataset, preprocess: Preprocess, folder: Path, recipe: Recipe, held: Held = whole
) -> tuple[Feed, Feed]:
    """Return the feeds of the training split (shuffled, augmented) and of the validation split (in order, as it is).

    `held` tells the data set whose rows of a split this process reads.
    """
    train, validation = (encoded(held(dataset, split), preprocess, split, folder) for split in ("train", "validation"))
    text = preprocess.text if isinstance(preprocess, ImageAndText) else preprocess
    special = special_tokens(folder / text.tokenizer) if isinstance(text, WordPieces) else None
    feed = Feed(train, recipe.batch_size, recipe.seed, augment=recipe.augment, special=special)
    return feed, Feed(validation, max(recipe.batch_size, 256), None)
