"""Paths of a source's files: one, a list of them, or a mapping from splits to them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Literal

from jobs.data import files

Paths = str | list[str]
PathsBySplit = Paths | dict[Literal["train", "validation", "test"], Paths]


def each(paths: PathsBySplit) -> Iterator[tuple[str | None, str]]:
    """Yield (split or None, path) of every file."""
    groups = paths.items() if isinstance(paths, dict) else [(None, paths)]
    for split, several in groups:
        for path in [several] if isinstance(several, str) else several:
            yield split, path


def located(paths: PathsBySplit, root: Path) -> PathsBySplit:
    """Return the paths with relative ones taken from `root`."""
    if isinstance(paths, dict):
        return {split: _located(several, root) for split, several in paths.items()}
    return _located(paths, root)


def _located(paths: Paths, root: Path) -> Paths:
    return files.locate(paths, root) if isinstance(paths, str) else [files.locate(path, root) for path in paths]
