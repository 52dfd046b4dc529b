"""What `submit` and `jobs cancel` say before, and beside, what a cluster does."""

from __future__ import annotations

from pathlib import Path

import pytest

from cluster.errors import RequestError
from cluster.submit.server import Job
from pipelines.commands.remote import jobs
from pipelines.commands.remote.submit import _lasting
from tests.pipelines.commands.conftest import Define, Espalier

FAR = "http://ray.example.org:8265"


def test_a_store_that_counts_from_here_is_refused_for_a_cluster_elsewhere(espalier: Espalier, define: Define) -> None:
    path = define(a={})
    for more in ([], ["--store", "kept/runs"]):
        said = espalier("submit", path, "--address", FAR, *more)
        store = more[-1] if more else "runs"
        assert said.code == 2
        assert said.err.splitlines()[-1] == (
            f"error: --store {store}: is a folder of this machine, and the cluster {FAR} is another, wanted a whole "
            "path that all its nodes mount, or a URI; name it with --store or ESPALIER_STORE, e.g. s3://bucket/runs"
        )


@pytest.mark.parametrize("url", ["http://127.0.0.1:8265", "http://localhost:8265", "http://[::1]:8265"])
def test_a_cluster_on_loopback_is_taken_to_be_here(url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert _lasting("runs", url) == str(tmp_path / "runs")


def test_whole_paths_and_uris_go_anywhere() -> None:
    assert _lasting("/mnt/runs", FAR) == "/mnt/runs"
    assert _lasting("s3://bucket/runs", FAR) == "s3://bucket/runs"
    with pytest.raises(RequestError, match="is a folder of this machine"):
        _lasting("runs", "http://10.0.0.1:8265")


class Deaf:
    """A cluster one of whose jobs does not end."""

    url = FAR

    def job(self, identity: str) -> Job:
        return Job(identity, "RUNNING", "")

    def stop(self, identity: str) -> bool:
        return True


def test_a_job_that_does_not_end_is_no_success(espalier: Espalier, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jobs, "reached", lambda address: Deaf())
    monkeypatch.setattr(jobs, "CANCEL_S", 0.5)
    said = espalier("jobs", "cancel", "toys-1", "--address", FAR)
    assert (said.code, said.out) == (4, "")
    assert said.err.splitlines()[-1] == (
        "error: job toys-1: was told to end, and still is running after 0.5 s; cancel it again, or see why: "
        f"espalier jobs logs toys-1 --address {FAR}"
    )
