"""Hugging Face data sets as they lie in a folder: Parquet files named after splits, and a card. No script is run."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import Field, model_validator
from pydantic_core import PydanticCustomError

from cluster.errors import RequestError
from jobs.artifacts import Dataset, RejectedRow
from jobs.data import files
from jobs.data.rows import BadRow, Row
from jobs.data.sources.card import NAME, embedded_classes, read_card
from jobs.data.sources.parts import Part
from jobs.data.sources.readers import group_starts, read_parquet
from jobs.data.sources.source import SINGLE_LABEL, Modality, Source

FILE = re.compile(r"(?P<split>\w+?)(-(?P<number>\d{5})-of-(?P<count>\d{5})(-[0-9a-f]+)?)?\.parquet")
UNLABELLED = -1


class HuggingFace(Source):
    """`path/data/train-00000-of-00002.parquet` …, and the columns and classes as `path/README.md` tells them.

    Of a URI the card is read when the job runs, so the definition must name the column of texts or images.
    """

    kind: Literal["huggingface"] = "huggingface"
    path: Annotated[str, Field(min_length=1, description="The data set's folder or a URI of it")]
    subset: Annotated[
        str, Field(pattern=r"^[\w.-]+(/[\w.-]+)*$", description="Folder of the Parquet files below path")
    ] = "data"
    splits: Annotated[
        dict[Literal["train", "validation", "test"], str] | None,
        Field(min_length=1, description="Which of its splits are taken as which; default: those of these names"),
    ] = None
    text: Annotated[str | None, Field(description="Column of texts; default: the card's")] = None
    image: Annotated[str | None, Field(description="Column of images; default: the card's")] = None
    label: Annotated[str | None, Field(description="Column of labels; default: the card's class_label, or label")] = (
        None
    )

    @model_validator(mode="after")
    def _fields_agree(self) -> Self:
        if self.text is not None and self.image is not None:
            raise PydanticCustomError("one_of", "needs either text or image, the name of one column")
        if self.text is None and self.image is None and files.is_uri(self.path):
            raise PydanticCustomError("one_of", "needs text or image: the card at a URI is read only when the job runs")
        if ".." in self.subset.split("/"):
            raise PydanticCustomError("subset", "leads out of the data set's folder")
        return self

    def modality(self) -> Modality:
        """Return `text` or `image`, as the fields or the card say; RequestError when neither does."""
        return self._content()[0]

    def inputs(self) -> list[str]:
        """Return the folder."""
        return [self.path]

    def located(self, root: Path) -> Self:
        """Take a relative path from `root`."""
        return self.model_copy(update={"path": files.locate(self.path, root)})

    def rows(self) -> Iterator[Row | RejectedRow]:
        """Yield every row, named `<file> row <number>`, numbers counted from 1."""
        columns = self._columns()
        for split, path in self._tables():
            yield from columns.rows(split, path)

    def parts(self) -> Iterator[Part]:
        """Yield the row groups of the files, which are read elsewhere."""
        columns = self._columns()
        for split, path in self._tables():
            for group, start in enumerate(group_starts(path)):
                yield partial(columns.rows, split, path, group, start)

    def _columns(self) -> _Columns:
        self.require()
        modality, content = self._content()
        if not self._labelled:
            return _Columns(modality, content)
        label = self._label_column()
        first = self._tables()[0][1]
        classes = read_card(self.path, self.subset).classes.get(label) or embedded_classes(first, label)
        return _Columns(modality, content, label, tuple(classes))

    def _content(self) -> tuple[Modality, str]:
        """Return the modality and the column of texts or images."""
        if self.text is not None:
            return "text", self.text
        if self.image is not None:
            return "image", self.image
        card = read_card(self.path, self.subset)
        found: list[tuple[Modality, str]] = [("image", column) for column in card.images]
        found = found or [("text", column) for column in card.texts if column == "text" or len(card.texts) == 1]
        if len(found) == 1:
            return found[0]
        known = ", ".join(card.images + card.texts)
        told = f"names the columns {known}" if known else "names no column of texts or images"
        raise RequestError(files.join(self.path, NAME), told, "one", "set text or image, the name of the column")

    def _label_column(self) -> str:
        if self.label is not None:
            return self.label
        labels = list(read_card(self.path, self.subset).classes)
        if len(labels) > 1:
            path = files.join(self.path, NAME)
            raise RequestError(path, f"names the labels {', '.join(labels)}", "one", "set label, the name of one")
        return labels[0] if labels else "label"

    def _tables(self) -> list[tuple[str, str]]:
        """Return (split, path) of every Parquet file that is taken, in the order of splits and numbers."""
        folder = files.join(self.path, self.subset)
        names = files.children(folder)[1] if files.exists(folder) else []
        found = [match for name in names if (match := FILE.fullmatch(name))]
        if not found:
            remedy = "set subset, the folder of its Parquet files; loading scripts and pickles are never read"
            raise RequestError(folder, "holds no Parquet file", "files such as train-00000-of-00001.parquet", remedy)
        theirs = sorted({match["split"] for match in found})
        wanted: Mapping[Any, str] = self.splits or {split: split for split in Dataset.splits if split in theirs}
        if missing := sorted(set(wanted.values()) - set(theirs)):
            raise RequestError(folder, f"has no split {missing[0]!r}", f"one of {', '.join(theirs)}")
        needed, which = ("train", "it is") if self._trains else ("train, validation or test", "is scored")
        if not wanted or (self._trains and "train" not in wanted):
            remedy = f"set splits: {{{'train' if self._trains else 'test'}: …}} to say which {which}"
            raise RequestError(folder, f"has the splits {', '.join(theirs)}", f"{needed} among them", remedy)
        return [
            (ours, files.join(folder, name))
            for ours in Dataset.splits
            if ours in wanted
            for name in _whole(folder, [match for match in found if match["split"] == wanted[ours]])
        ]


@dataclass(frozen=True)
class _Columns:
    """Reads rows once it is known which columns hold what."""

    modality: Modality
    content: str
    label: str | None = None
    classes: tuple[str, ...] = ()

    def rows(self, split: str, path: str, group: int | None = None, start: int = 0) -> Iterator[Row | RejectedRow]:
        """Yield the rows of a file, or of the row group after `start` rows."""
        wanted = [self.content] if self.label is None else [self.content, self.label]
        for number, record in read_parquet(path, wanted, group, start):
            name, label = f"{files.name_of(path)} row {number}", ""
            try:
                if isinstance(record, BadRow):
                    raise record
                label = "" if self.label is None else _label(name, record[self.label], self.classes)
                yield Row(name, _raw(self.modality, record[self.content]), label, split)
            except BadRow as bad:
                yield RejectedRow(row=name, reason=bad.reason, label=label)


def _raw(modality: Modality, value: Any) -> str | bytes:
    """Return a text, or the bytes of an image given as they are or as `{bytes, path}`."""
    if modality == "image" and isinstance(value, Mapping):
        value = value.get("bytes")
    if not isinstance(value, str if modality == "text" else bytes):
        found = f"has {type(value).__name__} where {modality} was wanted"
        raise BadRow(f"has no {modality}" if value is None else found)
    assert isinstance(value, str | bytes), "one of the two was wanted"
    return value


def _whole(folder: str, parts: list[re.Match[str]]) -> list[str]:
    """Return the names of a split's files in order; RequestError when one of them is missing."""
    names = sorted(part[0] for part in parts)
    counted = {int(part["number"]) for part in parts if part["count"]}
    count = max((int(part["count"]) for part in parts if part["count"]), default=0)
    if missing := sorted(set(range(count)) - counted):
        lost = f"{parts[0]['split']}-{missing[0]:05}-of-{count:05}.parquet"
        raise RequestError(folder, f"lacks {lost}", f"all {count} files of the split")
    return names


def _label(name: str, value: object, classes: tuple[str, ...]) -> str:
    if value is None or value == "" or (value == UNLABELLED and classes):
        raise BadRow("has no label")
    if not isinstance(value, str | int):
        raise RequestError(name, f"has a {type(value).__name__} as label", "a name or an integer", SINGLE_LABEL)
    if not classes or isinstance(value, str):
        return str(value)
    if not 0 <= value < len(classes):
        raise BadRow(f"has label {value}, and {len(classes)} classes are named")
    return classes[value]
