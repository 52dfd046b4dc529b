"""A real Serve application on loopback: what it answers, what it refuses, what its replica holds."""

from __future__ import annotations

import http.client
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import numpy as np
import pytest

from cluster.errors import StepError
from cluster.folder import Folder
from cluster.resources import Resources
from cluster.work import run_remote
from jobs.artifacts import Endpoint, Model
from jobs.kinds.deploy import Deploy
from jobs.runtime.classifier import Classifier, golden_rows
from tests.jobs.serving.conftest import app_of, asked, free_port
from tests.jobs.serving.conftest import ask as ask_app

pytestmark = pytest.mark.cluster


@pytest.fixture(scope="module")
def facts(ray_cluster: None, model: Folder) -> Iterator[dict[str, Any]]:
    from jobs.serving.application import Place, deploy

    grpc_port = free_port()
    place = Place(application="tried", host="127.0.0.1", port=0, replicas=1, cpus=0.5, grpc_port=grpc_port)
    made = run_remote(deploy, model, place, resources=Resources(), tell=lambda event: None)
    yield {**made, "grpc_port": grpc_port}
    from ray import serve

    serve.shutdown()


def ask(url: str, method: str, path: str, body: bytes | None = None, kind: str = "") -> tuple[int, Any]:
    parts = urlsplit(url)
    connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=30)
    connection.request(method, parts.path + path, body, {"Content-Type": kind} if kind else {})
    answer = connection.getresponse()
    text = answer.read()
    return answer.status, json.loads(text) if text.startswith(b"{") else text


def test_the_endpoint_answers_what_the_file_answers_offline(facts: dict[str, Any], model: Folder) -> None:
    assert facts["url"].startswith("http://127.0.0.1:")
    rows = golden_rows(model.path)
    offline = Classifier(Model.load(model), model.path).classify(rows)
    for row, wanted in zip(rows, offline, strict=True):
        assert isinstance(row, bytes)
        status, answer = ask(facts["url"], "POST", "/v1/classify", row, "image/png")
        assert (status, answer["predictions"]) == (200, [wanted])
        assert answer["version"] == asked(model).version


@pytest.mark.parametrize(
    ("method", "path", "body", "kind", "status"),
    [
        ("GET", "/health", None, "", 200),
        ("GET", "/v1/model", None, "", 200),
        ("GET", "/v1/classify", None, "", 405),
        ("GET", "/../../etc/passwd", None, "", 404),
        ("POST", "/v1/classify", b"not an image", "image/png", 422),
        ("POST", "/v1/classify", b"", "image/png", 422),
        ("POST", "/v1/classify", b'{"text": "seven"}', "application/json", 422),
        ("POST", "/v1/classify", b"[" * 100_000, "application/json", 400),
        ("POST", "/v1/classify", b"<svg/>", "image/svg+xml", 415),
        ("POST", "/v1/classify", b"x" * (9 << 20), "image/png", 413),
    ],
)
def test_every_request_gets_a_status_that_says_what_is_wrong(
    facts: dict[str, Any], method: str, path: str, body: bytes | None, kind: str, status: int
) -> None:
    assert ask(facts["url"], method, path, body, kind)[0] == status


def test_tritonclient_asks_the_endpoint_over_http_and_grpc(facts: dict[str, Any], model: Folder) -> None:
    import tritonclient.grpc
    import tritonclient.http

    rows = [row for row in golden_rows(model.path) if isinstance(row, bytes)]
    labels = [one["label"].encode() for one in Classifier(Model.load(model), model.path).classify([*rows])]
    images = np.array(rows, np.object_)
    addresses = {tritonclient.http: urlsplit(facts["url"]).netloc, tritonclient.grpc: f"127.0.0.1:{facts['grpc_port']}"}
    for triton, address in addresses.items():
        client = triton.InferenceServerClient(address)
        given = triton.InferInput("image", list(images.shape), "BYTES")
        given.set_data_from_numpy(images)
        assert client.is_model_ready("tried")
        assert client.infer("tried", [given]).as_numpy("label").tolist() == labels
        client.close()


def test_the_replica_holds_no_tensorflow(facts: dict[str, Any]) -> None:
    _, card = ask(facts["url"], "GET", "/v1/model")
    maps = Path(f"/proc/{card['process']}/maps").read_text()
    assert "libtensorflow" not in maps
    assert "litert" in maps


def test_predict_asks_the_endpoint_or_the_artifact(facts: dict[str, Any], model: Folder, tmp_path: Path) -> None:
    row = golden_rows(model.path)[0]
    assert isinstance(row, bytes)
    (tmp_path / "digit.png").write_bytes(row)
    answers = []
    for where in (facts["url"], str(model)):
        command = [sys.executable, "-m", "pipelines", "predict", where, str(tmp_path / "digit.png")]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        answers.append(json.loads(done.stdout)["predictions"])
    assert answers[0] == answers[1]


def test_an_endpoint_that_is_gone_is_not_reused(facts: dict[str, Any], tmp_path: Path) -> None:
    job = Deploy(model="model")
    made = Folder.parse(str(tmp_path))
    facts = {name: fact for name, fact in facts.items() if name != "grpc_port"}
    Endpoint.model_validate(facts).save(made)
    assert job.gone(made) == ""
    Endpoint.model_validate({**facts, "answer": {**facts["answer"], "version": "0" * 12}}).save(made)
    assert job.gone(made).endswith(", not 000000000000")
    Endpoint.model_validate({**facts, "url": "http://127.0.0.1:9/tried"}).save(made)
    assert job.gone(made) == "nothing answers at http://127.0.0.1:9/tried"


def test_a_file_that_changed_is_not_served(model: Folder) -> None:
    changed = asked(model).model_copy(update={"sha256": "0" * 64})
    with pytest.raises(StepError, match=r"model\.tflite: has SHA-256 [0-9a-f]{12}…, wanted 000000000000…"):
        app_of(changed)
    changed = asked(model).model_copy(update={"files": {"artifact.json": "0" * 64}})
    with pytest.raises(StepError, match=r"artifact\.json: has SHA-256 [0-9a-f]{12}…, wanted 000000000000…"):
        app_of(changed)


def test_a_version_that_is_not_sure_enough_gives_no_label(model: Folder) -> None:
    app = app_of(asked(model).model_copy(update={"reject_below": 1.0}))
    assert ask_app(app, "GET", "/v1/models/digits").json["reject_below"] == 1.0
    for row in golden_rows(model.path):
        assert isinstance(row, bytes)
        (answer,) = ask_app(app, "POST", "/v1/classify", row, "image/png").json["predictions"]
        assert (answer["label"], answer["rejected"]) == (None, True)


def test_another_application_does_not_take_the_route_of_one_that_runs(facts: dict[str, Any], model: Folder) -> None:
    from jobs.serving.application import Place, deploy

    place = Place(application="late", host="127.0.0.1", port=0, replicas=1, cpus=0.5)
    with pytest.raises(StepError) as refused:
        run_remote(deploy, model, place, resources=Resources(), tell=lambda event: None)
    assert str(refused.value) == (
        "late: finds 'tried' at its route /; give it a route of its own, or the application's name to replace what "
        "that serves"
    )
    assert ask(facts["url"], "GET", "/health", b"")[0] == 200


def test_a_port_that_serve_does_not_listen_on_is_not_ignored(facts: dict[str, Any], model: Folder) -> None:
    from jobs.serving.application import Place, deploy

    at, port = urlsplit(facts["url"]).netloc, free_port()
    place = Place(application="tried", host="127.0.0.1", port=port, replicas=1, cpus=0.5)
    with pytest.raises(StepError, match=f"finds this cluster's Serve at {at}, wanted port {port}; "):
        run_remote(deploy, model, place, resources=Resources(), tell=lambda event: None)
    assert ask(facts["url"], "GET", "/health", b"")[0] == 200


def test_replicas_run_on_nodes_with_the_labels_asked_for(facts: dict[str, Any], model: Folder, newer: Folder) -> None:
    import ray
    from ray import serve

    from jobs.serving.application import Place, deploy

    labels = {"ray.io/node-id": ray.get_runtime_context().get_node_id()}
    place = Place(
        application="placed",
        host="127.0.0.1",
        port=0,
        replicas=1,
        cpus=0.25,
        route="/placed",
        labels=labels,
        slower=50.0,
    )
    try:
        for folder, outcome in ((model, "deployed"), (newer, "promoted")):
            made = run_remote(deploy, folder, place, resources=Resources(), tell=lambda event: None)
            assert made["outcome"] == outcome
        told: Any = serve.context._get_global_client().get_serve_details()["applications"]["placed"]
    finally:
        serve.delete("placed")
    (deployment,) = told["deployed_app_config"]["deployments"]
    assert deployment["ray_actor_options"]["label_selector"] == labels
