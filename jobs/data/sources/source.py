"""What a source is: where labelled rows come from, which files it reads, and a digest of what they hold."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Literal, Self

from pydantic import PrivateAttr

from cluster.errors import RequestError
from jobs.artifacts import RejectedRow
from jobs.data import files
from jobs.data.rows import Row
from jobs.data.sources.parts import Part, pieces, row_size
from jobs.spec import Choice
from jobs.spec import Path as Place

Modality = Literal["image", "text", "image_text"]
SINGLE_LABEL = "classification is single-label; multi-label and regression are refused"


class Source(Choice):
    """The family of sources. A member yields rows one by one: the whole set is never in memory.

    Importing a source is cheap: what reads the data is imported where it is read.
    """

    _labelled: bool = PrivateAttr(default=True)
    _trains: bool = PrivateAttr(default=True)

    def modality(self) -> Modality:
        """Say whether the rows are images, texts, or pairs of both."""
        raise NotImplementedError

    def tells_owners(self) -> bool:
        """Say whether each row comes with whose it is."""
        return False

    def image_side(self) -> int | None:
        """Return the shorter side of the images in pixels, where it is known before any is read."""
        return None

    def problems(self) -> Iterator[tuple[Place, str]]:
        """Yield (field path, what is wrong): local files that are missing or tell no modality.

        URIs are looked at when the job runs.
        """
        field: Place = ("path",) if "path" in type(self).model_fields else ()
        missing = [path for path in self.inputs() if not files.is_uri(path) and not files.exists(path)]
        yield from ((field, f"{path} does not exist") for path in missing)
        try:
            self.modality()
        except RequestError as error:
            if not missing:
                yield field, str(error)

    def inputs(self) -> list[str]:
        """Return the paths and URIs that must exist."""
        return []

    def places(self) -> list[str]:
        """Return the files and folders that hold the data: the inputs, and what those refer to."""
        return self.inputs()

    def digest(self, memo: Callable[[str], str]) -> str:
        """Return a digest of what the source holds; `memo` hashes a file or folder and remembers it."""
        self.require()
        return "\n".join(memo(path) for path in self.places())

    def rows(self) -> Iterator[Row | RejectedRow]:
        """Yield every row in a fixed order; one that cannot be read comes as a RejectedRow."""
        raise NotImplementedError

    def parts(self) -> Iterator[Part]:
        """Yield the source in pieces that other nodes can read: their rows, one after the other, are `rows()`.

        Unless a source knows better, rows are read here and sent.
        """
        for piece in pieces(self.rows(), row_size):
            yield partial(iter, piece)

    def to_score(self, labelled: bool) -> Self:
        """Return this source as scoring reads it: no split need be one to train on.

        Unless `labelled`, rows need no labels, and have the empty one. A source whose rows cannot be without a label
        still reads it.
        """
        read = self.model_copy()
        read._labelled, read._trains = labelled, False
        return read

    def located(self, root: Path) -> Self:
        """Return this source with its relative paths taken from `root`."""
        return self

    def require(self) -> None:
        """Raise RequestError naming the first input that does not exist."""
        for path in self.inputs():
            files.require(path)
