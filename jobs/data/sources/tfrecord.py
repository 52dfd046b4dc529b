"""TFRecord files of tf.train.Example, read without TensorFlow."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import partial
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator
from pydantic_core import PydanticCustomError

from cluster.errors import RequestError
from jobs.artifacts import RejectedRow
from jobs.data import files
from jobs.data.rows import BadRow, Row
from jobs.data.sources import paths
from jobs.data.sources.example import Values, feature_names, parse_example
from jobs.data.sources.framing import Compression, Frame, checked, read_frames
from jobs.data.sources.parts import Part, pieces
from jobs.data.sources.readers import check_names
from jobs.data.sources.source import SINGLE_LABEL, Modality, Source


class TFRecord(Source):
    """A feature of texts (UTF-8), or of images (a file's bytes), and a feature of labels (bytes or integers).

    Splits are given by a mapping of paths (`{train: …, test: …}`), or not at all.
    """

    kind: Literal["tfrecord"] = "tfrecord"
    path: Annotated[
        paths.PathsBySplit,
        Field(description="A file or URI, a list of them, or a mapping from splits to them"),
    ]
    text: Annotated[str | None, Field(description="Feature of texts")] = None
    image: Annotated[str | None, Field(description="Feature of image files' bytes")] = None
    label: Annotated[str, Field(description="Feature of labels")] = "label"
    compression: Annotated[Compression | None, Field(description="How the files as a whole are compressed")] = None

    @model_validator(mode="after")
    def _holds_one_modality(self) -> Self:
        if (self.text is None) == (self.image is None):
            raise PydanticCustomError("one_of", "needs either text or image, the name of one feature")
        return self

    def modality(self) -> Modality:
        """Return `text` or `image`, as the feature says."""
        return "text" if self.text is not None else "image"

    def inputs(self) -> list[str]:
        """Return the files."""
        return [path for _, path in paths.each(self.path)]

    def located(self, root: Path) -> Self:
        """Take relative paths from `root`."""
        return self.model_copy(update={"path": paths.located(self.path, root)})

    def rows(self) -> Iterator[Row | RejectedRow]:
        """Yield every row, named `<file> row <number>`, numbers counted from 1; RequestError when framing is lost."""
        self.require()
        for split, path in paths.each(self.path):
            yield from self._rows(split, path, read_frames(path, self.compression))

    def parts(self) -> Iterator[Part]:
        """Yield records as they lie in the file, which are checked and parsed elsewhere."""
        self.require()
        for split, path in paths.each(self.path):
            for frames in pieces(read_frames(path, self.compression), lambda frame: len(frame[1])):
                yield partial(self._rows, split, path, frames)

    def _rows(self, split: str | None, path: str, frames: Iterable[Frame]) -> Iterator[Row | RejectedRow]:
        content = self.text or self.image
        assert content is not None, "validated when the source was made"
        wanted = [content, self.label] if self._labelled else [content]
        for number, data, stored in frames:
            name, label = f"{files.name_of(path)} row {number}", ""
            try:
                record = checked(data, stored)
                if number == 1:
                    check_names(path, wanted, feature_names(record), "feature")
                found = parse_example(record, wanted)
                label = _label(name, found.get(self.label, [])) if self._labelled else ""
                yield Row(name, self._raw(found.get(content, [])), label, split)
            except BadRow as bad:
                yield RejectedRow(row=name, reason=bad.reason, label=label)

    def _raw(self, values: Values) -> str | bytes:
        what = self.modality()
        if len(values) != 1:
            raise BadRow(f"has {len(values)} {what}s" if values else f"has no {what}")
        if not isinstance(values[0], bytes):
            raise BadRow(f"has {type(values[0]).__name__} where {what} bytes were wanted")
        # What is not UTF-8 is refused where texts are prepared, as that of every source.
        return values[0] if self.text is None else values[0].decode("utf-8", "surrogateescape")


def _label(name: str, values: Values) -> str:
    if not values or values[0] == b"":
        raise BadRow("has no label")
    found = f"{len(values)} labels" if len(values) > 1 else "a float as label"
    if len(values) > 1 or isinstance(values[0], float):
        raise RequestError(name, f"has {found}", "a name or an integer", SINGLE_LABEL)
    if isinstance(values[0], int):
        return str(values[0])
    try:
        return values[0].decode()
    except UnicodeDecodeError:
        raise BadRow("has a label that is not valid UTF-8") from None
