"""Tables of labelled texts, images, or pairs of both: CSV, JSON Lines, Parquet."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from functools import partial
from pathlib import Path, PurePosixPath
from typing import Annotated, Any, Literal, Self

from pydantic import Field, model_validator
from pydantic_core import PydanticCustomError

from cluster.errors import RequestError
from jobs.artifacts import Dataset, RejectedRow
from jobs.data import files
from jobs.data.rows import LARGEST_FILE, BadRow, Pair, Row
from jobs.data.sources import paths
from jobs.data.sources.parts import Part, pieces
from jobs.data.sources.readers import Record
from jobs.data.sources.source import SINGLE_LABEL, Modality, Source

Format = Literal["csv", "jsonl", "parquet"]
FORMATS: dict[str, Format] = {
    ".csv": "csv",
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".json": "jsonl",
    ".parquet": "parquet",
    ".pq": "parquet",
}


class Table(Source):
    """A column of texts, of images (bytes, or paths relative to `folder`), or both, and a column of labels.

    Splits are given by a `split` column or by a mapping of paths (`{train: …, test: …}`), or not at all.
    """

    kind: Literal["table"] = "table"
    path: Annotated[
        paths.PathsBySplit,
        Field(description="A file or URI, a list of them, or a mapping from splits to them"),
    ]
    format: Annotated[Format | None, Field(description="Default: what the file's extension says")] = None
    text: Annotated[str | None, Field(description="Column of texts")] = None
    image: Annotated[str | None, Field(description="Column of image files' bytes or paths")] = None
    label: Annotated[str, Field(description="Column of labels")] = "label"
    split: Annotated[str | None, Field(description="Column of split names: train, validation, test")] = None
    folder: Annotated[str | None, Field(description="Folder of image paths; default: the table's own")] = None
    client: Annotated[str | None, Field(description="Column that says whose a row is, such as a hospital")] = None

    @model_validator(mode="after")
    def _fields_agree(self) -> Self:
        if self.text is None and self.image is None:
            raise PydanticCustomError("one_of", "needs text, image or both, the names of columns")
        if self.split is not None and isinstance(self.path, dict):
            raise PydanticCustomError("one_of", "gives splits twice: by the mapping of paths and by a split column")
        for _, path in paths.each(self.path):
            if self.format is None and PurePosixPath(files.name_of(path)).suffix.lower() not in FORMATS:
                known = ", ".join(FORMATS)
                context = {"path": path, "known": known}
                raise PydanticCustomError("format", "{path} has none of the extensions {known}; set format", context)
        return self

    def modality(self) -> Modality:
        """Return `text`, `image` or `image_text`, as the columns say."""
        if self.image is None:
            return "text"
        return "image" if self.text is None else "image_text"

    def tells_owners(self) -> bool:
        """Say whether there is a column of owners."""
        return self.client is not None

    def inputs(self) -> list[str]:
        """Return the tables, and the folder of the images when it is set."""
        return [path for _, path in paths.each(self.path)] + ([self.folder] if self.folder else [])

    def located(self, root: Path) -> Self:
        """Take relative paths from `root`."""
        folder = files.locate(self.folder, root) if self.folder else None
        return self.model_copy(update={"path": paths.located(self.path, root), "folder": folder})

    def places(self) -> list[str]:
        """Return the tables and the folders of the image files they name."""
        named = {files.parent(path) for _, path in paths.each(self.path) if self._holds_paths(path)}
        return [*self.inputs(), *sorted(named)]

    def rows(self) -> Iterator[Row | RejectedRow]:
        """Yield every row, named `<file> row <number>`, numbers counted from 1."""
        from jobs.data.sources.readers import READERS

        self.require()
        for split, path in paths.each(self.path):
            yield from self._rows(split, path, READERS[self._format(path)](path, self._columns()))

    def parts(self) -> Iterator[Part]:
        """Yield the row groups of Parquet, which are read elsewhere, and records of other tables."""
        from jobs.data.sources.readers import READERS, group_starts

        self.require()
        for split, path in paths.each(self.path):
            if self._format(path) == "parquet":
                for group, start in enumerate(group_starts(path)):
                    yield partial(self._group, split, path, group, start)
            else:
                for records in pieces(READERS[self._format(path)](path, self._columns()), _size):
                    yield partial(self._rows, split, path, records)

    def _columns(self) -> list[str]:
        label = self.label if self._labelled else None
        client = self.client if self._labelled else None
        return [column for column in (self.text, self.image, label, self.split, client) if column]

    def _group(self, split: str | None, path: str, group: int, start: int) -> Iterator[Row | RejectedRow]:
        from jobs.data.sources.readers import read_parquet

        return self._rows(split, path, read_parquet(path, self._columns(), group, start))

    def _rows(self, split: str | None, path: str, records: Iterable[Record]) -> Iterator[Row | RejectedRow]:
        for number, record in records:
            name, label = f"{files.name_of(path)} row {number}", ""
            try:
                if isinstance(record, BadRow):
                    raise record
                label = _label(name, record.get(self.label)) if self._labelled else ""
                yield self._row(name, record, label, split, path)
            except BadRow as bad:
                yield RejectedRow(row=name, reason=bad.reason, label=label)

    def _row(self, name: str, record: Mapping[str, Any], label: str, split: str | None, path: str) -> Row:
        if self.split is not None:
            split = record.get(self.split)
            if split not in Dataset.splits:
                raise RequestError(name, f"has split {split!r}", ", ".join(Dataset.splits))
        owner = _owner(record.get(self.client)) if self.client is not None and self._labelled else None
        if self.image is None:
            return Row(name, self._text(record), label, split, owner)
        image = self._image(record.get(self.image), path)
        return Row(name, image if self.text is None else Pair(image, self._text(record)), label, split, owner)

    def _text(self, record: Mapping[str, Any]) -> str:
        assert self.text is not None, "asked of tables with a column of texts"
        text = record.get(self.text)
        if not isinstance(text, str):
            raise BadRow("has no text" if text is None else f"has {type(text).__name__} where a text was wanted")
        return text

    def _image(self, value: Any, table: str) -> bytes:
        """Return the bytes of an image given as bytes, a path, or `{bytes, path}`."""
        if isinstance(value, Mapping):
            value = value.get("bytes") or value.get("path")
        if isinstance(value, bytes):
            return value
        if not isinstance(value, str) or not value:
            raise BadRow("has no image")
        folder = self.folder or (files.parent(table) if self._holds_paths(table) else None)
        if folder is None:
            raise BadRow("holds the path of an image, and no folder is set")
        if value.startswith("/") or files.is_uri(value) or ".." in PurePosixPath(value).parts:
            raise BadRow(f"names {value!r}, which is not below the folder of the images")
        try:
            return files.read_at_most(files.join(folder, value), LARGEST_FILE)
        except (OSError, ValueError) as error:  # the latter of what is no path, such as one with a NUL in it
            reason = (isinstance(error, OSError) and error.strerror) or error
            raise BadRow(f"names {value!r}, which cannot be read ({reason})") from None

    def _holds_paths(self, table: str) -> bool:
        """Say whether images lie beside `table`: text formats cannot hold bytes; of Parquet, `folder` must tell."""
        return self.image is not None and self.folder is None and self._format(table) != "parquet"

    def _format(self, path: str) -> Format:
        return self.format or FORMATS[PurePosixPath(files.name_of(path)).suffix.lower()]


def _size(record: Record) -> int:
    """Return about how many characters a record holds."""
    _, fields = record
    return 0 if isinstance(fields, BadRow) else sum(len(value) for value in fields.values() if isinstance(value, str))


def _owner(value: object) -> str:
    if value is None or value == "" or not isinstance(value, str | int):
        raise BadRow("has no client" if value in (None, "") else f"has a {type(value).__name__} as client")
    return str(value)


def _label(name: str, value: object) -> str:
    if value is None or value == "":
        raise BadRow("has no label")
    if not isinstance(value, str | int):
        raise RequestError(name, f"has a {type(value).__name__} as label", "a name or an integer", SINGLE_LABEL)
    return str(value)
