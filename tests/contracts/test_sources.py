"""What holds for every source. A new one is under test as soon as it has an example here."""

from __future__ import annotations

import hashlib
import pickle
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from jobs.data.rows import Pair, Row
from jobs.data.sources import Source
from tests.jobs.data.making import image_folder, png
from tests.jobs.data.records import card, write_parquet, write_records

Example = tuple[dict[str, Any], Callable[[], dict[str, Any]] | None]


def _images(root: Path) -> Example:
    image_folder(root / "pets")

    def change() -> dict[str, Any]:
        (root / "pets" / "cat" / "000.png").unlink()
        return {"kind": "images", "path": str(root / "pets")}

    return {"kind": "images", "path": str(root / "pets")}, change


def _table(root: Path) -> Example:
    path = root / "t.csv"
    path.write_text("text,label\na,x\nb,y\n")

    def change() -> dict[str, Any]:
        path.write_text("text,label\na,x\nc,y\n")
        return {"kind": "table", "path": str(path), "text": "text"}

    return {"kind": "table", "path": str(path), "text": "text"}, change


def _table_of_pairs(root: Path) -> Example:
    (root / "a.png").write_bytes(png(1))
    (root / "t.csv").write_text("image,text,label\na.png,a,x\na.png,b,y\n")
    spec = {"kind": "table", "path": str(root / "t.csv"), "image": "image", "text": "text"}

    def change() -> dict[str, Any]:
        (root / "a.png").write_bytes(png(2))
        return spec

    return spec, change


def _docstrings(root: Path) -> Example:
    few = {"kind": "docstrings", "packages": ["json", "email"], "limit": 20}
    return few, lambda: few | {"packages": ["json", "http"]}


def _tfrecord(root: Path) -> Example:
    rows = [{"text": b"a", "label": 1}, {"text": b"b", "label": 2}]
    spec = {"kind": "tfrecord", "path": str(write_records(root / "t.tfrecord", rows)), "text": "text"}

    def change() -> dict[str, Any]:
        write_records(root / "t.tfrecord", rows[:1])
        return spec

    return spec, change


def _huggingface(root: Path) -> Example:
    write_parquet(root / "news/data/train-00000-of-00001.parquet", {"text": ["a", "b"], "label": [0, 1]})
    (root / "news/README.md").write_text(card("string", ["World", "Sports"]))

    def change() -> dict[str, Any]:
        (root / "news/README.md").write_text(card("string", ["World", "Business"]))
        return {"kind": "huggingface", "path": str(root / "news")}

    return {"kind": "huggingface", "path": str(root / "news")}, change


EXAMPLES: dict[str, Callable[[Path], Example]] = {
    "digits": lambda root: ({"kind": "digits"}, None),  # bundled: it changes with its package only
    "docstrings": _docstrings,
    "huggingface": _huggingface,
    "images": _images,
    "table": _table,
    "table of pairs": _table_of_pairs,
    "tfrecord": _tfrecord,
}


OURS = sorted(name for name, member in Source.members().items() if member.__module__.startswith("jobs."))


@pytest.fixture(params=sorted({*OURS, *EXAMPLES}))
def example(request: pytest.FixtureRequest, tmp_path: Path) -> Example:
    assert request.param in EXAMPLES, f"give the source {request.param} an example in {Path(__file__).name}"
    return EXAMPLES[request.param](tmp_path)


def content(path: str) -> str:
    """Hash a file, or every file of a folder with its name."""
    place = Path(path)
    found = sorted(file for file in place.rglob("*") if file.is_file()) if place.is_dir() else [place]
    return hashlib.sha256(repr([(str(file), file.read_bytes()) for file in found]).encode()).hexdigest()


def test_rows_are_labelled_named_and_of_the_modality(example: Example) -> None:
    source = Source.choose(example[0])
    rows = [row for row in source.rows() if isinstance(row, Row)]
    assert len({row.label for row in rows}) >= 2
    assert len({row.name for row in rows}) == len(rows)
    wanted: Any = {"text": str, "image": (bytes, np.ndarray), "image_text": Pair}[source.modality()]
    assert all(isinstance(row.raw, wanted) and row.label and isinstance(row.label, str) for row in rows)


def test_without_labels_the_items_are_the_same(example: Example) -> None:
    source = Source.choose(example[0])
    labelled, plain = (
        [(row.name, repr(row.raw)) for row in found.rows() if isinstance(row, Row)]
        for found in (source, source.to_score(labelled=False))
    )
    assert labelled == plain


def test_rows_come_in_the_same_order_every_time(example: Example) -> None:
    source = Source.choose(example[0])
    first, again = ([row.name if isinstance(row, Row) else row.row for row in source.rows()] for _ in range(2))
    assert first == again


def test_the_rows_of_the_parts_are_the_rows(example: Example) -> None:
    source = Source.choose(example[0])
    sent = [pickle.loads(pickle.dumps(part)) for part in source.parts()]  # noqa: S301  our own, as Ray sends them
    assert [plain(row) for part in sent for row in part()] == [plain(row) for row in source.rows()]


def plain(row: Any) -> tuple[Any, ...]:
    if not isinstance(row, Row):
        return (row.row, row.reason)
    raw = row.raw.tolist() if isinstance(row.raw, np.ndarray) else row.raw
    return (row.name, raw, row.label, row.split)


def test_the_digest_is_stable_and_follows_the_content(example: Example) -> None:
    spec, change = example
    before = Source.choose(spec).digest(content)
    assert before
    assert Source.choose(spec).digest(content) == before
    if change is not None:
        assert Source.choose(change()).digest(content) != before


def test_a_source_survives_json_and_placing(example: Example, tmp_path: Path) -> None:
    source = Source.choose(example[0])
    assert Source.choose(source.model_dump(mode="json")) == source
    assert source.located(tmp_path) == source, "the examples name absolute paths"


def test_every_input_exists(example: Example) -> None:
    for path in Source.choose(example[0]).inputs():
        assert Path(path).exists()


def test_importing_sources_is_light() -> None:
    code = (
        "import sys, jobs.data.sources;"
        "print([m for m in ('tensorflow','ray','pyarrow','numpy','PIL','sklearn','tokenizers') if m in sys.modules])"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ran.stdout.strip() == "[]"


def test_examples_are_of_sources_that_exist() -> None:
    assert {name.removesuffix(" of pairs") for name in EXAMPLES} <= set(Source.members())
