"""A folder of image files with one folder per class."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path, PurePosixPath
from typing import Annotated, Literal, Self

from pydantic import Field

from cluster.errors import StepError
from jobs.artifacts import Dataset, RejectedRow
from jobs.data import files
from jobs.data.rows import LARGEST_FILE, Row
from jobs.data.sources.parts import Part, pieces
from jobs.data.sources.source import Modality, Source

EXTENSIONS = (".jpg", ".jpeg", ".png", ".bmp", ".webp", ".gif")
LEFT_BY_THE_SYSTEM = {"Thumbs.db", "desktop.ini"}  # dot files are left out too; any other file is a rejected row


class Images(Source):
    """`path/<class>/**/<file>`, or `path/<split>/<class>/**/<file>` with `splits: true`.

    Without labels, every file below `path` is a row.
    """

    kind: Literal["images"] = "images"
    path: Annotated[str, Field(min_length=1, description="A folder or a URI of one")]
    splits: Annotated[bool, Field(description="The folder holds train/ and may hold validation/ and test/")] = False

    def modality(self) -> Modality:
        """Return `image`."""
        return "image"

    def inputs(self) -> list[str]:
        """Return the folder."""
        return [self.path]

    def places(self) -> list[str]:
        """Return the folder, and those that links in it lead to."""
        return [self.path, *(real for _, real in files.linked(self.path))]

    def digest(self, memo: Callable[[str], str]) -> str:
        """Return a digest of the folder, and of the names and contents of those that links in it lead to."""
        return "\n".join([super().digest(memo), *(name for name, _ in files.linked(self.path))])

    def located(self, root: Path) -> Self:
        """Take a relative path from `root`."""
        return self.model_copy(update={"path": files.locate(self.path, root)})

    def rows(self) -> Iterator[Row | RejectedRow]:
        """Yield the files' bytes, named `<class>/<file>`; StepError when a class folder is empty."""
        for part in self.parts():
            yield from part()

    def parts(self) -> Iterator[Part]:
        """Yield lists of files, which are read elsewhere."""
        self.require()
        if not self._labelled:
            yield from _class(self.path, "", "", None)
            return
        if not self.splits:
            yield from _classes(self.path, "", None)
            return
        folders, _ = files.children(self.path)
        strange = [name for name in folders if name not in Dataset.splits]
        if strange or not folders or (self._trains and "train" not in folders):
            found = f"holds the folders {', '.join(folders)}" if folders else "holds no folder"
            raise StepError(self.path, found, "train, and perhaps validation and test", "or leave splits out")
        for split in folders:
            yield from _classes(files.join(self.path, split), f"{split}/", split)


def _classes(folder: str, prefix: str, split: str | None) -> Iterator[Part]:
    classes, loose = files.children(folder)
    classes = [name for name in classes if not name.startswith(".")]
    if not classes:
        raise StepError(folder, "holds no folder", "one folder of images per class")
    outside = "lies outside the class folders"
    yield partial(iter, [RejectedRow(row=f"{prefix}{name}", reason=outside) for name in filter(_is_a_row, loose)])
    for label in classes:
        yield from _class(files.join(folder, label), f"{prefix}{label}/", label, split)


def _class(folder: str, prefix: str, label: str, split: str | None) -> Iterator[Part]:
    images = 0
    for names in pieces(filter(_is_a_row, files.below(folder)), lambda name: 0):
        images += sum(map(_is_an_image, names))
        yield partial(_rows, folder, prefix, names, label, split)
    if not images:
        found = f"the {'class' if label else 'folder'} holds no image"
        raise StepError(folder, found, "at least one", "add images or remove the folder")


def _rows(folder: str, prefix: str, names: list[str], label: str, split: str | None) -> Iterator[Row | RejectedRow]:
    for name in names:
        if not _is_an_image(name):
            yield RejectedRow(row=prefix + name, reason=f"is not one of {', '.join(EXTENSIONS)}", label=label)
            continue
        try:
            raw = files.read_at_most(files.join(folder, name), LARGEST_FILE)
        except OSError as error:
            yield RejectedRow(row=prefix + name, reason=f"cannot be read ({error.strerror or error})", label=label)
            continue
        yield Row(prefix + name, raw, label, split)


def _is_an_image(name: str) -> bool:
    return name.lower().endswith(EXTENSIONS)


def _is_a_row(name: str) -> bool:
    last = PurePosixPath(name).name
    return not last.startswith(".") and last not in LEFT_BY_THE_SYSTEM
