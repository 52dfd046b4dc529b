"""Writes the report: loads the artifacts, asks every section, fills the template. Runs in a worker."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined

import jobs.report.sections  # noqa: F401  sections register by being imported
from cluster.folder import Folder
from jobs.artifacts import Artifact
from jobs.kinds.report import PAGE
from jobs.report.section import Artifacts, parts

TEMPLATE = "page.html.jinja"


def write_page(title: str, folders: Mapping[str, Folder], out: Folder, tell: Callable[[dict[str, Any]], None]) -> None:
    """Write the page about the artifacts in `folders`, by step name, into `out`."""
    artifacts = {name: Artifact.load(folder) for name, folder in folders.items()}
    tell({"start": "writing the page", "artifacts": len(artifacts)})
    page = rendered(title, artifacts)
    with out.filling() as path:
        # Names of files that are not UTF-8 hold surrogates, which have no encoding.
        (path / PAGE).write_bytes(page.encode("utf-8", "xmlcharrefreplace"))


def rendered(title: str, artifacts: Artifacts) -> str:
    """Return the whole page as HTML, everything in it escaped."""
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template(TEMPLATE).render(title=title, steps=list(artifacts), parts=parts(artifacts))
