"""What the workers of a train step do: prepare rows, build the model, fit it, and leave a Model artifact."""

from __future__ import annotations

import io
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from cluster.folder import Folder
from jobs.artifacts import Dataset, Epoch, Finding, Model
from jobs.convert import to_litert
from jobs.data.encode import encoded
from jobs.data.feed import Feed
from jobs.data.preprocess import Preprocess
from jobs.data.shards import read, read_texts
from jobs.fit import Recipe, Training, fit, optimizer_of
from jobs.models.model import ModelSpec, build, build_to_train, weights_of, write_weights
from jobs.runtime.classifier import Raw, write_golden
from jobs.spec import Spec
from jobs.strategies.strategy import Strategy

SERVED = "model.tflite"


class Prepared(Spec):
    """A preprocessing kept beside the files it needs."""

    preprocess: Preprocess


@dataclass(frozen=True)
class TrainWork:
    """Trains `model` on the data set in `data` and leaves the artifact in `out`; picklable."""

    model: ModelSpec
    recipe: Recipe
    strategy: Strategy
    data: Folder
    out: Folder

    def __call__(self, engine: Any, keeper: Any) -> None:
        """Train in every worker; worker 0 writes the artifact."""
        dataset = Dataset.load(self.data)
        folder, preprocess = _preprocessing(self.model, dataset, keeper)
        feeds = feeds_of(dataset, preprocess, folder, self.recipe)
        with engine.scope():
            model = build_to_train(self.model, preprocess, len(dataset.classes), self.recipe.seed)
            optimizer = optimizer_of(self.recipe, self.recipe.epochs * feeds[0].steps)
        training = Training(model, optimizer, self.recipe.seed, self.model.l1, self.model.l2)
        keeper.tell({"start": "training", "epochs": self.recipe.epochs})
        history = fit(engine, training, *feeds, self.recipe, keeper, phase=0, name="train")
        weights = weights_of(model)
        if keeper.rank == 0:
            keeper.tell({"start": "converting"})
            golden, recipe = golden_of(dataset), self.recipe.model_dump(mode="json")
            product = Product(self.model, preprocess, dataset.classes, weights, self.strategy, golden, recipe)
            write_model(self.out, folder, product, history)


def _preprocessing(model: ModelSpec, dataset: Dataset, keeper: Any) -> tuple[Path, Preprocess]:
    """Fit the preprocessing once, in worker 0, and return it with the local folder of its files in every worker."""

    def fill(path: Path) -> None:
        prepared = Prepared(preprocess=model.backbone.preprocess(dataset, path))
        (path / "preprocess.json").write_text(prepared.model_dump_json())

    folder = keeper.product("preprocess") or keeper.keep("preprocess", fill)
    path: Path = folder.fetch()
    return path, Prepared.model_validate_json((path / "preprocess.json").read_text()).preprocess


def feeds_of(dataset: Dataset, preprocess: Preprocess, folder: Path, recipe: Recipe) -> tuple[Feed, Feed]:
    """Return the feeds of the training split (shuffled by the recipe's seed) and of the validation split (in order)."""
    train = encoded(dataset, preprocess, "train", folder)
    validation = encoded(dataset, preprocess, "validation", folder)
    return Feed(train, recipe.batch_size, recipe.seed), Feed(validation, max(recipe.batch_size, 256), None)


def golden_of(dataset: Dataset, count: int = 4) -> list[Raw]:
    """Return the first raw rows of the validation split: what a served copy of the model is tried on."""
    shard = dataset.folder.fetch() / "validation.arrow"
    if dataset.modality == "text":
        return list(next(iter(read_texts(shard).batches(count))))
    x, _ = read(shard).gather(np.arange(min(count, dataset.rows["validation"])))
    return [_png(pixels) for pixels in x]


def _png(pixels: Any) -> bytes:
    file = io.BytesIO()
    Image.fromarray(pixels[:, :, 0] if pixels.shape[-1] == 1 else pixels).save(file, "PNG")
    return file.getvalue()


@dataclass(frozen=True)
class Product:
    """A trained model as plain values, and how its file is made."""

    spec: ModelSpec
    preprocess: Preprocess
    classes: list[str]
    weights: dict[str, Any]
    strategy: Strategy
    golden: list[Raw]
    recipe: dict[str, Any]
    file: bytes | None = None
    chain: tuple[dict[str, Any], ...] = ()
    findings: tuple[Finding, ...] = ()


def write_model(out: Folder, preprocess_folder: Path, product: Product, history: list[Epoch]) -> Model:
    """Write weights, preprocessing and the served file into `out`, with the facts."""
    plain = build(product.spec, product.preprocess, len(product.classes))
    for variable in plain.weights:
        variable.assign(product.weights[variable.name.split(":")[0]])
    served = to_litert(plain) if product.file is None else product.file
    with out.filling() as path:
        write_weights(path / "weights.npz", product.weights)
        (path / SERVED).write_bytes(served)
        write_golden(path, product.golden)
        for name in product.preprocess.files():
            (path / name).write_bytes((preprocess_folder / name).read_bytes())
    return Model(
        spec=product.spec.model_dump(mode="json"),
        classes=product.classes,
        preprocess=product.preprocess,
        chain=list(product.chain),
        history=history,
        findings=list(product.findings),
        served=SERVED,
        parameters=int(plain.count_params()),
        size_bytes=len(served),
        recipe=product.recipe,
        strategy=product.strategy.model_dump(mode="json"),
    ).save(out)
