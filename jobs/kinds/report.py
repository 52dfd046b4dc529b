"""The `report` job: one self-contained HTML page about any artifacts."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Literal

from pydantic import Field

from cluster.folder import Folder
from cluster.work import run_remote
from jobs.artifacts import Artifact, Report
from jobs.job import Inputs, Job, Output
from jobs.spec import Ref

PAGE = "report.html"


class ReportJob(Job):
    """Write a page with a section for everything the artifacts in `of` have to show. It loads nothing."""

    job: Literal["report"] = "report"
    produces = Report

    title: Annotated[str, Field(min_length=1, max_length=200)] = "Report"
    of: Annotated[list[Annotated[str, Ref(Artifact)]], Field(min_length=1, max_length=256)]

    def run(self, inputs: Inputs, out: Output) -> Report:
        """Write the page in a worker process."""
        from jobs.report.page import write_page

        folders = {name: inputs[name].folder for name in self.of}
        run_remote(
            write_page, self.title, folders, out.folder, resources=self.resources(), tell=out.tell, stop=out.stop
        )
        return Report(title=self.title, page=PAGE)

    def afterword(self, made: Folder, inputs: Mapping[str, Folder], ended: bool) -> str:
        """Say where the page is."""
        return f"the page is {made}/{PAGE}"
