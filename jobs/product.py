"""Writes a trained or compressed model as an artifact: weights, preprocessing, the served file, rows to try it on."""

from __future__ import annotations

import io
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from cluster.folder import Folder
from jobs.artifacts import Dataset, Epoch, Finding, Model, Rewrite
from jobs.convert import to_litert
from jobs.data.encode import encoded
from jobs.data.preprocess import Preprocess
from jobs.data.remote.shards import open_rows, open_texts
from jobs.data.rows import Pair
from jobs.exporting.forms import Export, Skipped, Variant
from jobs.exporting.stored import stored_layers
from jobs.fusing.record import Fused
from jobs.judging.served import runner_of
from jobs.models.model import ModelSpec, build, load_weights, write_weights
from jobs.models.rewriting.rebuilding import macs_of
from jobs.report.card import NAME as CARD
from jobs.report.card import card
from jobs.runtime.calibration import fit_temperature, held_out
from jobs.runtime.classifier import Raw, write_golden
from jobs.runtime.expectation import expectation, features_of
from jobs.runtime.expected import Expected
from jobs.runtime.measure import logits_of, size
from jobs.runtime.runner import softmax
from jobs.strategies.strategy import Strategy

SERVED = {"litert": "model.tflite", "tensorflow": "model.graph"}  # a file, and the folder of a SavedModel


def golden_of(dataset: Dataset, count: int = 4) -> list[Raw]:
    """Return the first raw rows of the validation split: what a served copy of the model is tried on."""
    images: list[bytes] = []
    texts: list[str] = []
    if dataset.holds("text"):
        texts += next(iter(open_texts(dataset.folder, dataset.shard("validation", "text"), ahead=False).batches(count)))
    if dataset.holds("image"):
        rows = open_rows(dataset.folder, dataset.shard("validation", "image"), ahead=False)
        images += [_png(pixels) for pixels in rows.gather(np.arange(min(count, len(rows))))[0]]
    if images and texts:
        return [Pair(image, text) for image, text in zip(images, texts, strict=True)]
    return [*images, *texts]


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
    rewrites: tuple[Rewrite, ...] = ()
    skipped: tuple[Skipped, ...] = ()
    variants: tuple[Variant, ...] = ()
    exports: tuple[str, ...] = ()
    fused: Fused | None = None


def write_model(
    out: Folder, preprocess_folder: Path, product: Product, history: list[Epoch], dataset: Dataset
) -> Model:
    """Write weights, preprocessing and the served file into `out`, with the facts and the file's temperature."""
    rewrites, classes = product.rewrites, len(product.classes)
    plain = build(product.spec, product.preprocess, classes, folder=preprocess_folder, rewrites=rewrites)
    load_weights(plain, product.weights, "the trained model")
    runtime = product.spec.backbone.runtime
    with out.filling() as path:
        _write_served(path / SERVED[runtime], plain, product)
        size_bytes = size(path / SERVED[runtime])["size_bytes"]
        held = encoded(dataset, product.preprocess, "validation", preprocess_folder)
        temperature, expected = _held_out(runner_of(runtime, path / SERVED[runtime]), held)
        exports = [_exported(form, plain, held, path) for form in product.exports]
        write_weights(path / "weights.npz", product.weights)
        write_golden(path, product.golden)
        for name in (*product.preprocess.files(), *product.spec.backbone.files()):
            _copy(preprocess_folder / name, path / name)
    model = Model(
        spec=product.spec.model_dump(mode="json"),
        rewrites=list(rewrites),
        classes=product.classes,
        preprocess=product.preprocess,
        chain=list(product.chain),
        history=history,
        findings=list(product.findings),
        skipped=list(product.skipped),
        stored=[] if product.file is None else [*stored_layers(product.file, [layer.name for layer in plain.layers])],
        variants=list(product.variants),
        exports=exports,
        served=SERVED[runtime],
        runtime=runtime,
        parameters=sum(int(layer.count_params()) for layer in plain.layers),
        macs=macs_of(plain) if product.spec.backbone.compressible else None,
        size_bytes=size_bytes,
        temperature=temperature,
        expected=expected,
        recipe=product.recipe,
        strategy=product.strategy.model_dump(mode="json"),
        fused=product.fused,
    )
    out.write_bytes(CARD, card(model).encode())
    return model.save(out)


def _held_out(runner: Any, rows: Any) -> tuple[float, Expected | None]:
    """Return the temperature fitted on validation rows, and what they lead one to expect of rows answered later."""
    if not len(rows):
        return 1.0, None
    chosen = held_out(len(rows))
    logits, true = logits_of(runner, rows, chosen)
    temperature = fit_temperature(logits, true)
    return temperature, expectation(softmax(logits / np.float32(temperature)), features_of(rows, chosen))


def _write_served(target: Path, plain: Any, product: Product) -> None:
    """Write what is served, or, where LiteRT cannot run it, judged and asked as a teacher only."""
    if product.spec.backbone.runtime == "litert":
        target.write_bytes(to_litert(plain) if product.file is None else product.file)
        return
    from jobs.models.saved_model.serving import write_saved_model

    write_saved_model(plain, target)


def _exported(form: str, plain: Any, held: Any, folder: Path) -> Export:
    from jobs.exporting.export import export

    return export(form, plain, held, folder)


def _copy(source: Path, target: Path) -> None:
    if source.is_dir():
        shutil.copytree(source, target)
    else:
        shutil.copyfile(source, target)
