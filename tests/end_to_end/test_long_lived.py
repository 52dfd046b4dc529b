"""A cluster that outlives its runs, and a model served in the foreground: what answers, and for how long."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from jobs.artifacts import Endpoint, Model
from pipelines.find import artifact_at

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(300)]
ROOT = Path(__file__).parent.parent.parent
DEFINITION = """
name: lasting
steps:
  data: {job: dataset, source: {kind: digits}}
  model:
    job: train
    data: data
    model: {backbone: {kind: resnet, depth: 8, width: 8}}
    epochs: 1
    learning_rate: 0.004
  small: {job: compress, model: model, data: data, techniques: [{kind: quantize, scheme: dynamic}]}
  live: {job: deploy, model: small, port: 0}
"""
CLUSTER = """
import sys
from cluster.session import connected
with connected("local", cpus=3) as session:
    print(session.address, flush=True)
    sys.stdin.read()
"""


@dataclass(frozen=True)
class Lasting:
    """A definition, its store, and the address of a cluster that goes on after each run."""

    definition: Path
    store: Path
    address: str

    def run(self, *more: str) -> list[tuple[str, str]]:
        arguments = [str(self.definition), "--store", str(self.store), "--address", self.address, "--json", *more]
        done = espalier("run", *arguments)
        assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
        told = [json.loads(line) for line in done.stdout.splitlines()]
        return [(event["step"], event["state"]) for event in told if event.get("state", "event") != "event"]

    def artifact(self, step: str) -> str:
        (place,) = (self.store / "lasting").glob(f"{step}-*")
        return str(place)


def espalier(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "pipelines", *arguments]
    return subprocess.run(command, capture_output=True, text=True, cwd=ROOT, check=False)


@pytest.fixture(scope="module")
def lasting(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lasting]:
    root = tmp_path_factory.mktemp("lasting")
    (root / "lasting.yaml").write_text(DEFINITION)
    token = {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": uuid.uuid4().hex}
    with pytest.MonkeyPatch.context() as patch:
        for name, value in token.items():
            patch.setenv(name, value)
        pipes: dict[str, Any] = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
        with subprocess.Popen([sys.executable, "-c", CLUSTER], cwd=ROOT, **pipes) as cluster:
            assert cluster.stdout is not None
            assert cluster.stdin is not None
            made = Lasting(root / "lasting.yaml", root / "runs", cluster.stdout.readline().strip())
            made.run()
            yield made
            cluster.stdin.close()
            assert cluster.wait(60) == 0


def predicted(model: str, item: Path) -> list[dict[str, Any]]:
    done = espalier("predict", model, str(item))
    assert done.returncode == 0, done.stderr
    predictions: list[dict[str, Any]] = json.loads(done.stdout)["predictions"]
    return predictions


@pytest.fixture(scope="module")
def item(lasting: Lasting, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the file of one image the model can be asked about."""
    from jobs.runtime.classifier import golden_rows

    raw = golden_rows(artifact_at(lasting.artifact("small"), Model).folder.path)[0]
    assert isinstance(raw, bytes)
    path = tmp_path_factory.mktemp("item") / "digit.png"
    path.write_bytes(raw)
    return path


def test_on_a_long_lived_cluster_the_endpoint_stays_and_a_lost_one_is_deployed_again(
    lasting: Lasting, item: Path
) -> None:
    live = artifact_at(lasting.artifact("live"), Endpoint)
    offline = predicted(lasting.artifact("small"), item)
    assert predicted(live.url, item) == offline

    steps = ["data", "model", "small", "live"]
    assert lasting.run() == [(step, "reused") for step in steps]

    withdraw = f"import ray; ray.init({lasting.address!r}); from ray import serve; serve.delete({live.application!r})"
    subprocess.run([sys.executable, "-c", withdraw], check=True, capture_output=True)
    told = lasting.run()
    assert told[:3] == [(step, "reused") for step in steps[:3]]
    assert told[3:] == [("live", "running"), ("live", "done")]
    assert predicted(artifact_at(lasting.artifact("live"), Endpoint).url, item) == offline


def test_serve_answers_until_it_is_interrupted(lasting: Lasting, item: Path) -> None:
    command = [sys.executable, "-m", "pipelines", "serve", lasting.artifact("small"), "--port", "0"]
    environment = {key: value for key, value in os.environ.items() if key != "RAY_ADDRESS"}
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=ROOT, env=environment)
    assert process.stdout is not None
    try:
        told = (re.search(r"(http://127\.0\.0\.1:\d+) answered", line) for line in process.stdout)
        url = next(found[1] for found in told if found)
        assert predicted(url, item) == predicted(lasting.artifact("small"), item)
        process.send_signal(signal.SIGINT)
        assert process.wait(60) == 0
    finally:
        process.kill()
    refused = espalier("predict", url, str(item))
    assert refused.returncode == 3
    assert refused.stderr.startswith(f"error: {url}: does not answer (")
