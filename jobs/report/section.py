"""What a section of the report is, and which there are: one file a section, known once it is imported."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

from jobs.artifacts import Artifact
from jobs.report.blocks import Block

Artifacts = Mapping[str, Artifact]
A = TypeVar("A", bound=Artifact)


@dataclass(frozen=True)
class Part:
    """A titled part of the page."""

    title: str
    blocks: Sequence[Block]

    @property
    def anchor(self) -> str:
        """The part's name in links."""
        return self.title.lower().replace(" ", "-")


Section = Callable[[Artifacts], Part | None]
_sections: dict[Section, int] = {}


def section(place: int) -> Callable[[Section], Section]:
    """Make a function a section: it returns what the artifacts by step name have to show, or None.

    Sections are shown in the order of their `place`.
    """

    def register(function: Section) -> Section:
        _sections[function] = place
        return function

    return register


def parts(artifacts: Artifacts) -> list[Part]:
    """Return the part of every section that has something to show, in order."""
    shown = (function(artifacts) for function in sorted(_sections, key=lambda function: _sections[function]))
    return [part for part in shown if part is not None]


def only(artifacts: Artifacts, kind: type[A]) -> dict[str, A]:
    """Return the artifacts of one type."""
    return {name: artifact for name, artifact in artifacts.items() if isinstance(artifact, kind)}
