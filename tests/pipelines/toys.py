"""Small jobs and families to write definitions with: they have fields, bounds and references, and never run."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path as FilePath
from typing import Annotated, ClassVar, Literal

import pytest
from pydantic import Field

from cluster.errors import RequestError
from jobs.artifacts import Artifact, Dataset, Model, Report
from jobs.job import Job
from jobs.spec import Choice, Path, Ref, Secret, Spec
from pipelines.load import load
from pipelines.pipeline import Pipeline


class ToyTrick(Choice):
    """A family of tricks."""


class ToyShrink(ToyTrick):
    """Has a bound."""

    kind: Literal["toy_shrink"] = "toy_shrink"
    sparsity: Annotated[float, Field(gt=0, lt=1)] = 0.5


class ToyWrap(ToyTrick):
    """Holds another member of its own family."""

    kind: Literal["toy_wrap"] = "toy_wrap"
    inner: ToyTrick
    times: int | Literal["all", "none"] = 1


class ToyOptimizer(Spec):
    """A spec nested in a job."""

    rate: Annotated[float, Field(gt=0, le=1)] = 0.1
    decay: bool = False


class ToyData(Job):
    """Makes a Dataset."""

    job: Literal["toy_data"] = "toy_data"
    produces: ClassVar[type[Artifact]] = Dataset
    path: str
    password: Secret | None = None
    columns: Annotated[list[str], Field(max_length=3)] = []


class ToyTrain(Job):
    """Makes a Model of a Dataset."""

    job: Literal["toy_train"] = "toy_train"
    produces: ClassVar[type[Artifact]] = Model
    data: Annotated[str, Ref(Dataset)]
    epochs: Annotated[int, Field(ge=1, le=1_000_000)] = 1
    optimizer: ToyOptimizer = ToyOptimizer()


class ToySmall(Job):
    """Makes a smaller Model of a Model."""

    job: Literal["toy_small"] = "toy_small"
    produces: ClassVar[type[Artifact]] = Model
    model: Annotated[str, Ref(Model)]
    tricks: Annotated[list[ToyTrick], Field(min_length=1)]

    def problems(self, steps: Mapping[str, Job]) -> Iterator[tuple[Path, str]]:
        """Object to the same model twice."""
        if isinstance(steps[self.model], ToySmall):
            yield ("model",), f"'{self.model}' is small already"


class ToyJudge(Job):
    """Makes a Report of Models."""

    job: Literal["toy_judge"] = "toy_judge"
    produces: ClassVar[type[Artifact]] = Report
    models: list[Annotated[str, Ref(Model)]]
    require: dict[str, ToyOptimizer] = {}


GOOD = """\
name: toys
steps:
  data:
    job: toy_data
    path: data/news.parquet
    password: ${env.DATA_PASSWORD}
  teacher:
    job: toy_train
    data: data
    epochs: 3
    optimizer: {rate: 1e-3}
  small:
    job: toy_small
    model: teacher
    tricks:
      - {kind: toy_shrink, sparsity: 0.7}
      - kind: toy_wrap
        inner: {kind: toy_shrink}
        times: all
  verdict:
    job: toy_judge
    models: [teacher, small]
    after: [data]
"""


def edited(*edits: tuple[str, str]) -> str:
    """Return the good definition with each old text replaced by the new one, once."""
    text = GOOD
    for old, new in edits:
        assert old in text
        text = text.replace(old, new, 1)
    return text


def write(folder: FilePath, text: str | bytes) -> FilePath:
    """Write a definition into `folder` and return its path."""
    path = folder / "news.yaml"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def read(folder: FilePath, text: str | bytes, overrides: Mapping[str, str] = {}) -> Pipeline:
    """Load the definition `text` from a file in `folder`."""
    return load(write(folder, text), overrides)


def errors(folder: FilePath, text: str | bytes, overrides: Mapping[str, str] = {}) -> list[str]:
    """Return the lines of the error that loading `text` raises, each without the folder."""
    with pytest.raises(RequestError) as caught:
        read(folder, text, overrides)
    assert caught.value.exit_code == 2
    return str(caught.value).replace(f"{folder}/", "").splitlines()
