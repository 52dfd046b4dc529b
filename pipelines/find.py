"""Finds the artifact a person means: the folder of an attempt, or the place of a step, whose record names one."""

from __future__ import annotations

from typing import TypeVar

from cluster.errors import RequestError
from cluster.folder import Folder
from jobs.artifacts import Artifact
from pipelines.store import NAME, Record

A = TypeVar("A", bound=Artifact)


def artifact_at(text: str, kind: type[A]) -> A:
    """Load the artifact in the folder `text`, or the one that the record in it names; RequestError when it is none."""
    folder = Folder.parse(text)
    if not folder.exists():
        remedy = "`espalier status` names the folders of a definition's artifacts"
        raise RequestError(text, "does not exist", f"the folder of a {kind.__name__} artifact", remedy)
    if folder.exists(NAME):
        try:
            folder = folder / Record.model_validate_json(folder.read_bytes(NAME)).attempt
        except ValueError as error:
            raise RequestError(f"{text}/{NAME}", f"is damaged ({error})") from None
    return kind.load(folder)
