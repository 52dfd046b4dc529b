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
            record = Record.model_validate_json(folder.read_bytes(NAME))
        except ValueError as error:
            raise RequestError(f"{text}/{NAME}", f"is damaged ({error})") from None
        folder = folder / record.attempt
        _check(folder, record)
    return kind.load(folder)


def _check(folder: Folder, record: Record) -> None:
    """Raise RequestError naming the first file that is not as the record says."""
    for name, wanted in record.manifest.items():
        if not folder.exists(name) or folder.sha256(name) != wanted.sha256:
            raise RequestError(
                f"{folder}/{name}", "is missing or damaged", remedy="run the definition to make it again"
            )
