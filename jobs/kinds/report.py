"""The `report` job: one self-contained HTML page about any artifacts."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Annotated, Any, Literal

from pydantic import Field

from cluster.folder import Folder
from cluster.work import run_remote
from jobs.artifacts import Artifact, Report
from jobs.data import files
from jobs.job import Inputs, Job, Output
from jobs.spec import Path, Ref

PAGE = "report.html"


class ReportJob(Job):
    """Write a page with a section for everything the artifacts in `of` have to show. It loads nothing."""

    job: Literal["report"] = "report"
    produces = Report

    title: Annotated[str, Field(min_length=1, max_length=200)] = "Report"
    of: Annotated[list[Annotated[str, Ref(Artifact)]], Field(min_length=1, max_length=256)]
    benches: Annotated[
        list[str], Field(max_length=64, description="Folders that espalier bench-strategy wrote, shown too")
    ] = []

    def problems(self, steps: Mapping[str, Job]) -> Iterator[tuple[Path, str]]:
        """Find the folders that are not there."""
        for index, folder in enumerate(self.benches):
            if not files.is_uri(folder) and not files.exists(folder):
                yield ("benches", index), f"{folder} does not exist"

    def digest(self, memo: Callable[[Any], str]) -> str:
        """Return the digest of the folders no step makes."""
        return "\n".join(memo(folder) for folder in self.benches)

    def run(self, inputs: Inputs, out: Output) -> Report:
        """Write the page in a worker process."""
        from jobs.report.page import write_page

        folders = {name: inputs[name].folder for name in self.of}
        folders |= {folder: Folder.parse(folder) for folder in self.benches}
        run_remote(
            write_page, self.title, folders, out.folder, resources=self.resources(), tell=out.tell, stop=out.stop
        )
        return Report(title=self.title, page=PAGE)

    def afterword(self, made: Folder, inputs: Mapping[str, Folder], ended: bool) -> str:
        """Say where the page is."""
        return f"the page is {made}/{PAGE}"
