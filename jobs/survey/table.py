"""A table: which columns hold texts, images and labels, rows by class, and how long texts are."""

from __future__ import annotations

import itertools
import statistics
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cluster.errors import RequestError
from jobs.data.rows import BadRow
from jobs.data.sources.images import EXTENSIONS
from jobs.data.sources.table import FORMATS
from jobs.survey.findings import Rows
from jobs.survey.images import look_at

LOOKED_AT = 1_000  # rows by which columns are told apart
SAMPLED = 100  # images that are opened
LABELS = ("label", "class", "category", "target", "y")
MOST_CLASSES = 0.5  # of the rows; a column with more different values is no label
LENGTHS = (16, 32, 64, 128, 256)  # words


@dataclass(frozen=True)
class Columns:
    """The names of columns; empty where the table has none such."""

    label: str
    text: str
    image: str


@dataclass(frozen=True)
class Table(Rows):
    """Rows by class, which columns hold what, the length of texts in words, and what images are to have."""

    path: Path
    columns: Columns
    length: int
    height: int
    width: int
    channels: int


def find_table(path: Path) -> Path:
    """Return the table at a path, or the only one in a folder; RequestError when there is none, or several."""
    if path.is_file():
        return path
    found = [one for one in sorted(path.iterdir()) if one.suffix.lower() in FORMATS]
    if len(found) != 1:
        text = f"holds {len(found)} tables" if found else "holds no table"
        raise RequestError(str(path), text, f"one of {', '.join(FORMATS)}", "name the file itself")
    return found[0]


def look_at_table(path: Path, *, with_images: bool, asked: Columns) -> Table:
    """Return what a table holds; columns that are not `asked` for by name are found by their values."""
    records = [record for _, record in _records(path) if not isinstance(record, BadRow)]
    if not records:
        raise RequestError(str(path), "holds no row")
    columns = _columns(path, records[:LOOKED_AT], asked, with_images)
    counts = Counter(str(record[columns.label]) for record in records if record.get(columns.label) not in (None, ""))
    if len(counts) < 2:
        raise RequestError(str(path), f"has {len(counts)} classes in '{columns.label}'", "two or more", "see --label")
    words = [len(str(record.get(columns.text) or "").split()) for record in records[:LOOKED_AT]]
    height, width, channels = _sizes(path, records, columns.image) if columns.image else (0, 0, 0)
    return Table(dict(sorted(counts.items())), path, columns, _length(words), height, width, channels)


def _records(path: Path) -> Any:
    from jobs.data.sources.readers import READERS

    kind = FORMATS.get(path.suffix.lower())
    if kind is None:
        raise RequestError(str(path), "is no table", f"one of {', '.join(FORMATS)}")
    if kind != "parquet":
        return READERS[kind](str(path), [])
    import pyarrow.parquet

    return READERS[kind](str(path), pyarrow.parquet.read_schema(path).names)


def _columns(path: Path, records: list[Mapping[str, Any]], asked: Columns, with_images: bool) -> Columns:
    names = list(records[0])
    if unknown := [name for name in (asked.label, asked.text, asked.image) if name and name not in names]:
        raise RequestError(str(path), f"has no column '{unknown[0]}'", f"one of {', '.join(names)}")
    image = asked.image or (_first(names, records, _is_an_image) if with_images else "")
    label = asked.label or _label([name for name in names if name not in (image, asked.text)], records)
    texts = [name for name in names if name not in (image, label)]
    text = asked.text or max(texts, key=lambda name: _mean_length(records, name), default="")
    for what, name in (("labels", label), ("texts", text), *((("images", image),) if with_images else ())):
        if not name:
            option = what.removesuffix("s")
            raise RequestError(str(path), f"has no column of {what}", f"one of {', '.join(names)}", f"see --{option}")
    return Columns(label, text, image)


def _first(names: list[str], records: list[Mapping[str, Any]], fits: Any) -> str:
    return next((name for name in names if all(fits(record.get(name)) for record in records)), "")


def _is_an_image(value: object) -> bool:
    if isinstance(value, Mapping):
        value = value.get("bytes") or value.get("path")
    return isinstance(value, bytes) or (isinstance(value, str) and value.lower().endswith(EXTENSIONS))


def _label(names: list[str], records: list[Mapping[str, Any]]) -> str:
    """Return the column that is called like labels, else the one with the fewest different values."""
    named = [name for name in names if name.lower() in LABELS]
    if named:
        return named[0]
    different = {name: len({str(record.get(name)) for record in records}) for name in names}
    fitting = [name for name in names if 2 <= different[name] <= MOST_CLASSES * len(records)]
    return min(fitting, key=lambda name: different[name], default="")


def _mean_length(records: list[Mapping[str, Any]], name: str) -> float:
    return statistics.fmean(len(value) if isinstance(value := record.get(name), str) else 0 for record in records)


def _length(words: list[int]) -> int:
    """Return a length that nine texts of ten fit into; a word is about 1.3 tokens."""
    wanted = 1.3 * sorted(words)[int(0.9 * (len(words) - 1))]
    return next((length for length in LENGTHS if length >= wanted), LENGTHS[-1])


def _sizes(path: Path, records: list[Mapping[str, Any]], column: str) -> tuple[int, int, int]:
    values = (record.get(column) for record in itertools.islice(records, 0, None, max(1, len(records) // SAMPLED)))
    height, width, channels, _ = look_at(_opened(path, value) for value in values)
    return height, width, channels


def _opened(path: Path, value: Any) -> Path | bytes:
    if isinstance(value, Mapping):
        value = value.get("bytes") or value.get("path")
    return value if isinstance(value, bytes) else path.parent / str(value)
