"""The `dataset` job: labelled texts or images from a source, checked and split, as Arrow shards."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path as FilePath
from typing import Annotated, Any, Literal, Self

from pydantic import Field, model_validator
from pydantic_core import PydanticCustomError

from cluster.errors import RequestError
from cluster.folder import Folder
from cluster.resources import Resources
from cluster.session import capacity
from cluster.work import run_remote
from jobs.artifacts import Dataset
from jobs.data import files
from jobs.data.sources import Source
from jobs.job import Inputs, Job, Output
from jobs.spec import INCIDENTAL, Path, Spec

# Ray Data takes some 6 s to start, in which one core decodes and resizes about 100 MB of photographs. Texts are
# hardly dearer to prepare than to send elsewhere and back: a million of them took 72 s on two busy CPUs, 20 s on one.
WORTH_SPREADING = 256 << 20

Side = Annotated[int, Field(ge=1, le=4_096)]


class ImageSize(Spec):
    """What every image is brought to; see `jobs/data/images.py` for how."""

    height: Side
    width: Side
    channels: Literal[1, 3] = 3


class Split(Spec):
    """Shares of the rows that are held out, each class in proportion; splits the source gives are kept instead.

    What the source gives none of is taken from its training rows.
    """

    validation: Annotated[float, Field(gt=0, lt=1)] = 0.1
    test: Annotated[float, Field(ge=0, lt=1)] = 0.1
    seed: Annotated[int, Field(ge=0, lt=2**31)] = 0

    @model_validator(mode="after")
    def _leave_some_to_train_on(self) -> Self:
        if self.validation + self.test >= 1:
            raise PydanticCustomError("shares", "validation and test leave no rows to train on")
        return self


class DatasetJob(Job):
    """Read a source, prepare its rows, split them, and record classes, rejected rows and overlaps."""

    job: Literal["dataset"] = "dataset"
    produces = Dataset

    source: Source
    image: Annotated[ImageSize | None, Field(description="Default: the images' own size, if it is one")] = None
    split: Split = Split()
    spread: Annotated[
        bool | None,
        INCIDENTAL,
        Field(description="Prepare on all nodes; default: images of 256 MiB or more, when there is more than one CPU"),
    ] = None
    max_rejected: Annotated[float, Field(ge=0, le=1, description="Share of rows that may be unusable")] = 0.01

    @model_validator(mode="after")
    def _only_images_have_a_size(self) -> Self:
        if self.image is not None and self.modality() == "text":
            raise PydanticCustomError("modality", "has an image size, but its source holds texts")
        return self

    def problems(self, steps: Mapping[str, Job]) -> Iterator[tuple[Path, str]]:
        """Yield what of the source is missing or tells no modality."""
        yield from ((("source", *field), text) for field, text in self.source.problems())

    def image_side(self) -> int | None:
        """Return the shorter side of the images when their size is set, or the source knows it."""
        return min(self.image.height, self.image.width) if self.image is not None else self.source.image_side()

    def tells_owners(self) -> bool:
        """Say whether the source tells whose each row is."""
        return self.source.tells_owners()

    def modality(self) -> str | None:
        """Return what the source holds; None when its files do not tell."""
        try:
            return self.source.modality()
        except RequestError:
            return None

    def digest(self, memo: Callable[[Any], str]) -> str:
        """Return the digest of what the source holds."""
        return self.source.digest(memo)

    def run(self, inputs: Inputs, out: Output) -> Dataset:
        """Make the data set in a worker process."""
        self.source.require()
        work = self.model_copy(update={"source": self.source.located(FilePath.cwd())})
        spread = work.is_spread()
        # When all nodes prepare, this worker takes what they made and leaves them the CPU that the step holds.
        held = Resources() if spread else self.resources()
        made: Dataset = run_remote(fill_dataset, work, out.folder, spread, resources=held, tell=out.tell, stop=out.stop)
        return made

    def is_spread(self) -> bool:
        """Say whether all nodes prepare the rows: when told so, or when that is worth the start of Ray Data."""
        if self.spread is not None:
            return self.spread
        if self.source.modality() == "text" or capacity(None).cpus < 2:
            return False
        return sum(map(files.size, self.source.places())) >= WORTH_SPREADING


def fill_dataset(job: DatasetJob, folder: Folder, spread: bool, tell: Callable[[dict[str, Any]], None]) -> Dataset:
    """Fill `folder` with the shards of `job` and return the facts; runs in a worker."""
    from jobs.data.prepare import prepare

    with folder.filling() as path:
        return prepare(job, path, tell, spread)
