from __future__ import annotations

from pathlib import Path

from cluster.folder import Folder
from jobs.artifacts import Endpoint
from jobs.kinds.deploy import Deploy
from jobs.kinds.report import ReportJob


def test_where_the_page_is() -> None:
    report = ReportJob(of=["data"])
    assert report.afterword(Folder("/runs/x/report-1/a"), {}, True) == "the page is /runs/x/report-1/a/report.html"


def test_how_to_serve_again_what_ended_with_its_run() -> None:
    deploy = Deploy(model="small")
    said = deploy.afterword(Folder("/runs/live"), {"small": Folder("/my runs/small")}, True)
    assert said.endswith("to serve the model again: espalier serve '/my runs/small'")


def test_where_what_lasts_answers(tmp_path: Path) -> None:
    made = Folder.parse(str(tmp_path))
    url = "http://10.0.0.1:8000/classifier"
    Endpoint(url=url, application="classifier", model_sha256="0" * 64, request={}, answer={}).save(made)
    said = Deploy(model="small").afterword(made, {"small": Folder("/runs/small")}, False)
    assert said == f"{url} answers as long as its cluster runs"
