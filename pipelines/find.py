"""Finds the artifact a person means: the folder of an attempt, or the place of a step, whose record names one."""

from __future__ import annotations

import json
from typing import TypeVar

from cluster.folder import Folder
from jobs.artifacts import Artifact
from pipelines.store import NAME

A = TypeVar("A", bound=Artifact)


def artifact_at(text: str, kind: type[A]) -> A:
    """Load the artifact in the folder `text`, or the one that the record in it names; RequestError when it is none."""
    folder = Folder.parse(text)
    if folder.exists(NAME):
        folder = folder / str(json.loads(folder.read_bytes(NAME))["attempt"])
    return kind.load(folder)
