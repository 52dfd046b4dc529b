"""Versions that replace each other while requests come: none fails, and each answer is of one version."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from cluster.errors import EspalierError, StepError
from cluster.folder import Folder
from cluster.resources import Resources
from cluster.work import run_remote
from jobs.artifacts import Model
from jobs.kinds.deploy import Deploy
from jobs.runtime.classifier import Classifier, golden_rows
from jobs.serving.canary import Canary, Shadow
from jobs.serving.plan import Event
from tests.jobs.serving.clients import Clients
from tests.jobs.serving.conftest import asked, white

pytestmark = pytest.mark.cluster
CANARY = Canary(shares=[0.3], seconds=0.5, requests=5, slower=50.0)


@pytest.fixture(scope="module")
def url(ray_cluster: None, model: Folder) -> Iterator[str]:
    yield deployed(model)["url"]
    from ray import serve

    serve.shutdown()


def place_of(**fields: Any) -> Any:
    from jobs.serving.application import Place

    given = {"application": "turned", "host": "127.0.0.1", "port": 0, "replicas": 1, "cpus": 0.5, "slower": 50.0}
    return Place(**{**given, **fields})


def deployed(model: Folder, tell: Any = lambda event: None, **fields: Any) -> dict[str, Any]:
    from jobs.serving.application import deploy

    facts: dict[str, Any] = run_remote(deploy, model, place_of(**fields), resources=Resources(), tell=tell)
    return facts


def offline(model: Folder) -> list[Any]:
    classifier = Classifier(Model.load(model), model.path)
    return [classifier.classify([row]) for row in golden_rows(model.path)]


def told(application: str, tell: Any) -> list[Event]:
    """Return what the replicas say was done."""
    from jobs.serving.controlling import Control

    return Control(application).plan().history


def happened() -> list[Event]:
    found: list[Event] = run_remote(told, "turned", resources=Resources(), tell=lambda event: None)
    return found


def history() -> list[tuple[str, str, str]]:
    """Return what was done with which version, and why."""
    return [(event.what, event.version, event.reason) for event in happened()]


def test_versions_are_replaced_under_load_without_a_failed_request(
    url: str, model: Folder, newer: Folder, tmp_path: Path
) -> None:
    old, new = asked(model).version, asked(newer).version
    right = {old: offline(model), new: offline(newer)}
    rows = [row for row in golden_rows(model.path) if isinstance(row, bytes)]
    assert rows == golden_rows(newer.path)
    with Clients(url, rows) as clients:
        assert deployed(newer, canary=CANARY)["outcome"] == "promoted"
        promoted = len(clients.found)
        refused = broken(newer, tmp_path)
        rolled_back(old)
    found = clients.found
    assert [one for one in found if one[0] != 200] == []
    assert all(predictions == right[version][place] for _, version, place, predictions in found)
    versions = [version for _, version, _, _ in found]
    assert versions[0] == old
    assert {old, new} == set(versions[:promoted])
    assert versions[promoted + 8] == new  # all but what was on its way
    assert versions[-1] == old
    assert refused.startswith(f"{tmp_path}/broken/model.tflite: is not a file LiteRT can run")
    assert [event[:2] for event in history()] == [
        ("deployed", old),
        ("canary", new),
        ("promoted", new),
        ("rolled back", new),
    ]
    assert history()[-1][2] == "labels of sevens"


def broken(model: Folder, tmp_path: Path) -> str:
    """Deploy a model whose file is cut, and return what is said of it."""
    shutil.copytree(model.path, tmp_path / "broken")
    content = (tmp_path / "broken" / "model.tflite").read_bytes()
    (tmp_path / "broken" / "model.tflite").write_bytes(content[:-200])
    with pytest.raises(EspalierError) as caught:
        deployed(Folder.parse(str(tmp_path / "broken")))
    return str(caught.value)


def rolled_back(to: str) -> None:
    from jobs.serving.rollout import roll_back

    heard: list[dict[str, Any]] = []
    run_remote(roll_back, "turned", "labels of sevens", resources=Resources(), tell=heard.append)
    assert heard[0]["serving"] == to


def test_a_candidate_that_says_other_labels_is_rolled_back_before_it_answers_anybody(
    url: str, model: Folder, newer: Folder
) -> None:
    rows = [row for row in golden_rows(model.path) if isinstance(row, bytes)]
    shadow = Shadow(share=1.0, seconds=0.5, requests=30, slower=50.0, differ_share=0.0)
    with Clients(url, rows) as clients, pytest.raises(StepError) as caught:
        deployed(newer, shadow=shadow, canary=CANARY)
    new, old = asked(newer).version, asked(model).version
    assert re.match(
        rf"{new}: was rolled back in the shadow: \d+ of \d+ rows got another label than the other's", str(caught.value)
    )
    assert {(status, version) for status, version, _, _ in clients.found} == {(200, old)}
    before, after = happened()[-2:]
    assert (before.what, after.what, after.version) == ("shadow", "rolled back", new)
    assert after.facts["candidate"]["differ"] > 0
    assert after.facts["candidate"]["p99_ms"] > 0


def test_a_candidate_that_fails_on_rows_nobody_tried_is_rolled_back_from_its_canary(
    url: str, model: Folder, brittle: Folder
) -> None:
    rows = [row for row in golden_rows(model.path) if isinstance(row, bytes)] + [white()]
    new, old = asked(brittle).version, asked(model).version
    with Clients(url, rows) as clients, pytest.raises(StepError) as caught:
        deployed(brittle, canary=Canary(shares=[0.3], seconds=20, requests=40, error_share=0.05, slower=50.0))
    assert re.match(rf"{new}: was rolled back at 30% of requests: \d+ of \d+ requests failed", str(caught.value))
    assert [(event.what, event.version) for event in happened()[-2:]] == [("canary", new), ("rolled back", new)]
    assert {status for status, _, _, _ in clients.found} == {200}  # what the candidate fails, the other one answers
    assert {version for _, version, _, _ in clients.found} == {old, new}
    with Clients(url, rows) as later:
        while len(later.found) < 20:
            time.sleep(0.01)
    assert {(status, version) for status, version, _, _ in later.found} == {(200, old)}


def test_a_candidate_whose_process_ends_within_its_canary_is_rolled_back(
    url: str, model: Folder, newer: Folder
) -> None:
    new, old = asked(newer).version, asked(model).version
    heard: list[dict[str, Any]] = []

    def ended(event: dict[str, Any]) -> None:
        heard.append(event)
        if "canary" in event:
            threading.Timer(1.5, lambda: os.kill(card["process"], signal.SIGKILL)).start()

    with urllib.request.urlopen(f"{url}/v1/model", timeout=30) as answer:
        card = json.load(answer)
    with pytest.raises(StepError) as caught:
        deployed(newer, ended, canary=Canary(shares=[0.3], seconds=30, requests=0))
    assert str(caught.value) == f"{new}: was rolled back at 30% of requests: 1 of 1 processes that held it ended"
    assert [(event.what, event.version) for event in happened()[-2:]] == [("canary", new), ("rolled back", new)]
    assert ask(f"{url}/v1/classify", facts_row(model))["version"] == old
    assert deployed(model)["outcome"] == "serves already"


@pytest.mark.slow  # it compares milliseconds
def test_a_slower_candidate_does_not_pass_the_gate(url: str, model: Folder, heavier: Folder) -> None:
    with pytest.raises(StepError, match=r"takes [\d.]+ ms for a golden row, wanted at most 1.5 times [\d.]+ ms"):
        deployed(heavier, slower=1.5)
    assert happened()[-1].what == "refused"
    assert ask(f"{url}/v1/classify", facts_row(model))["version"] == asked(model).version


@pytest.mark.slow  # it asks for two cores that nobody else keeps busy
def test_a_candidate_that_is_slow_only_under_load_is_rolled_back_from_its_canary(
    url: str, model: Folder, heavier: Folder
) -> None:
    rows = [row for row in golden_rows(model.path) if isinstance(row, bytes)]
    shadow = Shadow(share=0.01, seconds=0.1, requests=0, slower=100.0, differ_share=1.0)
    canary = Canary(shares=[0.5], seconds=10, requests=40, slower=1.5)
    with Clients(url, rows, 8) as clients, pytest.raises(StepError) as caught:
        deployed(heavier, shadow=shadow, canary=canary, slower=1000.0)  # the gate lets it pass
    new, old = asked(heavier).version, asked(model).version
    assert re.match(rf"{new}: was rolled back at 50% of requests: p99 is [\d.]+ ms, over 1.5 times", str(caught.value))
    assert [event.what for event in happened()[-4:]] == ["shadow", "shadowed", "canary", "rolled back"]
    assert {status for status, _, _, _ in clients.found} == {200}
    assert {version for _, version, _, _ in clients.found} == {old, new}
    right = offline(model)
    assert all(said == right[place] for _, version, place, said in clients.found if version == old)
    with Clients(url, rows) as later:
        while len(later.found) < 20:
            time.sleep(0.01)
    assert {version for _, version, _, _ in later.found} == {old}


def gated(application: str, good: Folder, changed: Folder, tell: Any) -> list[str]:
    """Try candidates in a replica of their own, and return what is said of each: a file and an answer that changed."""
    from jobs.serving.rollout import Candidate, gate

    said = []
    right = [one[0] for one in offline(good)]
    serving = asked(good)
    for candidate in (
        Candidate(serving.model_copy(update={"folder": str(changed)}), right),
        Candidate(serving, [{**one, "label": "none"} for one in right]),
    ):
        with pytest.raises(StepError) as caught:
            gate(place_of(application=application), candidate, serving)
        said.append(str(caught.value))
    return said


def test_a_candidate_is_refused_before_it_meets_a_request(url: str, model: Folder, tmp_path: Path) -> None:
    changed = tmp_path / "changed"
    shutil.copytree(model.path, changed)
    content = bytearray((changed / "model.tflite").read_bytes())
    content[len(content) // 2] ^= 1
    (changed / "model.tflite").write_bytes(content)
    said: list[str] = run_remote(
        gated, "turned", model, Folder.parse(str(changed)), resources=Resources(), tell=lambda event: None
    )
    assert "/model.tflite: has SHA-256 " in said[0]
    assert said[1].startswith(f"{asked(model).version}: golden row 0 is answered [")


def test_another_model_is_answered_for_by_its_name_and_withdrawn(url: str, model: Folder, newer: Folder) -> None:
    row, version = facts_row(model), asked(newer).version
    assert deployed(model, more={"second": str(newer)})["outcome"] == "serves already"
    said = [ask(f"{url}/v1/models/{name}/classify", row) for name in ("turned", "second")]
    assert [one["version"] for one in said] == [asked(model).version, version]
    classifier = Classifier(Model.load(newer), newer.path)
    assert said[1]["predictions"] == classifier.classify([row])
    assert deployed(model)["outcome"] == "serves already"
    with pytest.raises(urllib.error.HTTPError, match="404"):
        ask(f"{url}/v1/models/second/classify", row)
    done = [event for event in history() if event[2] == "as second"]
    assert done == [("deployed", version, "as second"), ("withdrawn", version, "as second")]


def ask(url: str, row: bytes) -> Any:
    request = urllib.request.Request(url, row, {"Content-Type": "image/png"})
    with urllib.request.urlopen(request, timeout=30) as answer:
        return json.load(answer)


def test_a_key_is_asked_for_and_seen_nowhere(
    url: str, model: Folder, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    import ray
    from ray import serve

    secret = "only whoever has this is answered"
    monkeypatch.setenv("SHOP_KEY", secret)
    fields = {"model": "small", "keys": [{"name": "shop", "secret": "${env.SHOP_KEY}"}]}
    job = Deploy.model_validate({"job": "deploy", **fields})
    facts = deployed(model, application="locked", route="/locked", keys=job._keys())
    (tmp_path / "digit.png").write_bytes(facts_row(model))
    command = [sys.executable, "-m", "pipelines", "predict", facts["url"], str(tmp_path / "digit.png")]
    monkeypatch.delenv("ESPALIER_KEY", raising=False)
    refused = subprocess.run(command, capture_output=True, text=True)
    assert (refused.returncode, "answered 401" in refused.stderr) == (3, True)
    monkeypatch.setenv("ESPALIER_KEY", secret)
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert json.loads(done.stdout)["predictions"] == facts["answer"]["predictions"]
    told = serve.context._get_global_client().get_serve_details()
    (plan,) = [one["deployments"][0]["user_config"] for one in [told["applications"]["locked"]["deployed_app_config"]]]
    assert [key["name"] for key in plan["keys"]] == ["shop"]  # and no more the one that the deployment used itself
    session = Path(ray._private.worker.global_worker.node.get_session_dir_path())
    seen = [json.dumps(facts), job.model_dump_json(), repr(told)]
    seen += [file.read_text(errors="replace") for file in (session / "logs").rglob("*") if file.is_file()]
    assert len(seen) > 10
    assert not [text for text in seen if secret in text]


def facts_row(model: Folder) -> bytes:
    row = golden_rows(model.path)[0]
    assert isinstance(row, bytes)
    return row
