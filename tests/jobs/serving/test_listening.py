"""Where an application answers when Serve runs already: where it was asked to, and behind a key if others reach it."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from ray import serve

from cluster.errors import StepError
from jobs.kinds.deploy import Deploy
from jobs.serving.application import Place
from jobs.serving.controlling import Control
from jobs.serving.keys import new_key


@pytest.fixture
def running(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """Stand for a Serve that runs and does not listen to what it is told again; return its address, to be set."""
    at: dict[str, Any] = {"host": "127.0.0.1", "port": 8000}
    client = SimpleNamespace(http_config=SimpleNamespace(**at))
    monkeypatch.setattr(serve.context, "_check_cached_client_alive", lambda: None)
    monkeypatch.setattr(serve.context, "_get_global_client", lambda: SimpleNamespace(http_config=SimpleNamespace(**at)))
    monkeypatch.setattr(serve, "start", lambda **options: client)
    monkeypatch.setattr(serve, "status", lambda: SimpleNamespace(proxies={"node": "HEALTHY"}))
    return at


def place_of(**fields: Any) -> Place:
    given = {"application": "shop", "host": "127.0.0.1", "port": 8000, "replicas": 1, "cpus": 1.0}
    return Place(**{**given, **fields})


def refused(place: Place) -> str:
    with pytest.raises(StepError) as caught:
        Control("shop").listening(place)
    return str(caught.value)


def test_it_answers_where_serve_runs(running: dict[str, Any]) -> None:
    assert Control("shop").listening(place_of()) == "http://127.0.0.1:8000"
    assert Control("shop").listening(place_of(port=0, host="localhost", route="/a")) == "http://127.0.0.1:8000/a"
    running["port"] = 9000
    assert Control("shop").listening(place_of(insists=["host"])) == "http://127.0.0.1:9000"


def test_without_a_key_it_answers_on_loopback_only(running: dict[str, Any]) -> None:
    open_door = "shop: would answer at 0.0.0.0, which other machines reach, without a key; give it keys, or a cluster "
    running["host"] = "0.0.0.0"
    assert refused(place_of(insists=[])).startswith(open_door)
    assert refused(place_of(host="0.0.0.0")).startswith(open_door)
    _, key = new_key("buyers")
    assert Control("shop").listening(place_of(keys=[key], insists=[])) == "http://0.0.0.0:8000"


def test_what_was_asked_for_is_not_ignored(running: dict[str, Any]) -> None:
    found = (
        "shop: finds this cluster's Serve at 127.0.0.1:8000, wanted {}; leave {} out to answer there, or end that Serve"
    )
    assert refused(place_of(port=8080)) == found.format("port 8080", "port")
    _, key = new_key("buyers")
    assert refused(place_of(host="10.0.0.1", keys=[key])) == found.format("host 10.0.0.1", "host")


def test_a_definition_insists_on_what_it_says() -> None:
    assert Deploy(model="small").place({}, "shop").insists == []
    job = Deploy.model_validate({"job": "deploy", "model": "small", "port": 8000})
    assert job.place({}, "shop").insists == ["port"]
