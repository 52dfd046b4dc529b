"""Makes, from what is bundled, the files that shipped definitions read: for each, the params it is run with."""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
from PIL import Image

from jobs.data.rows import Row
from jobs.data.sources.digits import Digits
from jobs.data.sources.docstrings import Docstrings
from tests.jobs.data.making import pair_table, saved
from tests.jobs.data.records import card, write_parquet, write_records
from tests.jobs.models.making import minilm
from tests.jobs.models.modules import GUESSLANG, write_sources

EVERY = 2  # one digit in two: enough to learn from
PACKAGES = ["matplotlib", "numpy", "ray"]
SLOW = {  # run by make soak: make test runs those of what no other shows
    "augment",
    "bag",
    "bert",
    "bert_small",
    "budget",
    "cifar10",
    "cifar10_small",
    "compress",
    "deploy",
    "distill",
    "efficientnet_b0",
    "encoder",
    "federated",
    "folder",
    "fuse",
    "hub",
    "huggingface",
    "images",
    "model_parallel",
    "parameter_server",
    "resnet50",
    "resnet50_v2",
    "search",
    "strategies",
    "structured",
    "tfrecord",
}


def _digits() -> Iterator[tuple[int, int, bytes]]:
    """Yield (number, label, PNG file) of digits."""
    for number, row in enumerate(Digits().rows()):
        if number % EVERY == 0:
            assert isinstance(row, Row)
            assert isinstance(row.raw, np.ndarray)
            yield number, int(row.label), saved(Image.fromarray(row.raw))


def _texts() -> list[tuple[str, str]]:
    """Return (text, package) of docstrings."""
    rows = Docstrings(packages=PACKAGES, limit=300).rows()
    return [(str(row.raw), row.label) for row in rows if isinstance(row, Row)]


def _table(root: Path) -> dict[str, str]:
    with (root / "texts.csv").open("w", newline="") as file:
        csv.writer(file).writerows([("text", "label"), *_texts()])
    return {"path": str(root / "texts.csv")}


def _pairs(root: Path) -> dict[str, str]:
    return {"path": str(pair_table(root / "pairs.parquet"))}


def _folder(root: Path) -> dict[str, str]:
    for number, label, png in _digits():
        (root / "images" / str(label)).mkdir(parents=True, exist_ok=True)
        (root / "images" / str(label) / f"{number}.png").write_bytes(png)
    return {"path": str(root / "images")}


def _tfrecord(root: Path) -> dict[str, str]:
    examples = [{"image/encoded": png, "image/class/label": label} for _, label, png in _digits()]
    return {"path": str(write_records(root / "digits.tfrecord", examples))}


def _huggingface(root: Path) -> dict[str, str]:
    texts = _texts()
    columns = {"text": [text for text, _ in texts], "label": [PACKAGES.index(label) for _, label in texts]}
    write_parquet(root / "texts/data/train-00000-of-00001.parquet", columns)
    (root / "texts/README.md").write_text(card("string", PACKAGES))
    return {"path": str(root / "texts")}


def _hub(root: Path) -> dict[str, str]:
    return {"path": str(write_sources(root)), "module": str(GUESSLANG)}


def _split(root: Path, contents: str, rows: list[tuple[object, str]]) -> dict[str, str]:
    """Write one table to train on and one, of every fifth row, to judge on."""
    tables = {"train": [row for i, row in enumerate(rows) if i % 5], "test": rows[::5]}
    for name, part in tables.items():
        columns = {contents: [content for content, _ in part], "label": [label for _, label in part]}
        write_parquet(root / f"{name}.parquet", columns)
    return {name: str(root / f"{name}.parquet") for name in tables}


def _cifar10(root: Path) -> dict[str, str]:
    return {"epochs": "2"} | _split(root, "image", [(png, str(label)) for _, label, png in _digits()])


def _cifar10_small(root: Path) -> dict[str, str]:
    return _cifar10(root) | {"tune": "1", "cut": "1"}


def _bert(root: Path) -> dict[str, str]:
    return {"epochs": "1", "weights": str(minilm())} | _split(root, "text", list(_texts()))


# By the definition's stem; a definition that reads nothing from outside needs no entry.
MADE: dict[str, Callable[[Path], dict[str, str]]] = {
    "bert": _bert,
    "bert_small": _bert,
    "cifar10": _cifar10,
    "cifar10_small": _cifar10_small,
    "folder": _folder,
    "fusion": _pairs,
    "hub": _hub,
    "huggingface": _huggingface,
    "table": _table,
    "tfrecord": _tfrecord,
}


def params_of(definition: Path, root: Path) -> dict[str, str]:
    """Make what the definition reads below `root`, and return the params to set."""
    root.mkdir()
    return MADE[definition.stem](root) if definition.stem in MADE else {}
