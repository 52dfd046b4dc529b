"""Runs told to a real tracking server, which has a virtual environment of its own: beside this stack plain `mlflow`
resolves to a version of long ago."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

import tests.pipelines.toy_jobs as toys
from jobs.watching.mlflow import Tracked
from tests.jobs.watching.test_tensorboard import epoch

mlflow = pytest.importorskip("mlflow", reason="pip install mlflow-skinny")
KEPT = "ESPALIER_MLFLOW"  # a virtual environment that has mlflow; without it one is made
INSTALLING, LONGEST = 500.0, 120.0  # seconds to install, and until the server answers


def server_program(root: Path) -> Path:
    """Return the program `mlflow` of a virtual environment of its own."""
    place = Path(os.environ.get(KEPT) or root / "venv")
    if not place.exists():
        subprocess.run([sys.executable, "-m", "venv", str(place)], check=True)
        same = f"mlflow=={mlflow.__version__}"
        pip = [str(place / "bin/python"), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", same]
        subprocess.run(pip, check=True, timeout=INSTALLING)
    return place / "bin/mlflow"


@contextmanager
def serving(root: Path) -> Iterator[str]:
    """Run a tracking server for the length of a block; yield its address."""
    program = server_program(root)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = str(probe.getsockname()[1])
    words = [str(program), "server", "--host", "127.0.0.1", "--port", port, "--workers", "1"]
    words += ["--backend-store-uri", f"sqlite:///{root}/runs.db", "--artifacts-destination", str(root / "artifacts")]
    ours = ("PYTHONPATH", "VIRTUAL_ENV")
    environment = {name: value for name, value in os.environ.items() if name not in ours}
    with (root / "log").open("w") as log:
        process = subprocess.Popen(words, cwd=root, env=environment, stdout=log, stderr=log, start_new_session=True)
    try:
        end = time.monotonic() + LONGEST
        while not answers(f"http://127.0.0.1:{port}/health"):
            assert process.poll() is None, (root / "log").read_text()
            assert time.monotonic() < end, (root / "log").read_text()
            time.sleep(0.2)
        yield f"http://127.0.0.1:{port}"
    finally:
        os.killpg(process.pid, signal.SIGKILL)  # it has workers, which wait for their clients
        process.wait(30)


def answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=5):
            return True
    except OSError:
        return False


def tell_until_refused(tracked: Tracked) -> None:
    end = time.monotonic() + LONGEST
    while time.monotonic() < end:
        tracked("a", "event", epoch(1, 0.5))
        time.sleep(0.1)


@pytest.mark.slow
@pytest.mark.timeout(INSTALLING + 2 * LONGEST)
def test_a_server_has_each_step_as_a_run_and_one_that_goes_away_holds_nobody_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    pipeline = toys.pipeline(tmp_path / "diary", a={"text": "hello"}, b={"of": ["a"]})
    with serving(tmp_path) as uri:
        with Tracked(uri, "toys", "first", pipeline.steps) as tracked:
            tracked("a", "running", {"asked": "1 CPU"})
            for number, loss in ((1, 0.5), (2, 0.25)):
                tracked("a", "event", epoch(number, loss))
            tracked("a", "done", {"artifact": "/somewhere", "seconds": 2.0})
            tracked("b", "running", {})
            tracked("b", "failed", {"error": "it broke"})
        client = mlflow.MlflowClient(tracking_uri=uri)
        experiment = client.get_experiment_by_name("toys")
        runs = {run.data.tags["espalier.step"]: run for run in client.search_runs([experiment.experiment_id])}
        assert {step: run.info.status for step, run in runs.items()} == {"a": "FINISHED", "b": "FAILED"}
        assert runs["a"].data.params["text"] == "hello"
        history = client.get_metric_history(runs["a"].info.run_id, "train/train/loss")
        assert [(metric.step, metric.value) for metric in history] == [(1, 0.5), (2, 0.25)]
        left = Tracked(uri, "toys", "second", pipeline.steps)
    with left:
        left("a", "running", {})
        with pytest.raises(mlflow.exceptions.MlflowException):  # at which the run warns, and goes on
            tell_until_refused(left)
