"""Replicas by how much is asked: what a definition may say, what Ray Serve is told, and that none is one again."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import numpy as np
import pytest
import tritonclient.grpc as triton

from cluster.folder import Folder
from cluster.resources import Resources
from cluster.work import run_remote
from jobs.artifacts import Model
from jobs.kinds.deploy import Deploy
from jobs.runtime.classifier import Classifier, golden_rows
from jobs.serving.scale import Scale
from tests.jobs.serving.conftest import free_port
from tests.jobs.serving.haproxy.test_through import Clients
from tests.jobs.serving.test_rpc import inputs_of

PATIENCE = 60.0


def test_a_definition_says_between_how_many() -> None:
    scale = {"least": 2, "most": 8, "ongoing": 4.0}
    job = Deploy.model_validate({"job": "deploy", "model": "small", "scale": scale})
    assert list(job.problems({})) == [(("scale",), "1 replicas at first are not from 2 to 8: set replicas")]
    job = Deploy.model_validate({"job": "deploy", "model": "small", "scale": scale, "replicas": 3})
    assert list(job.problems({})) == []


def test_ray_serve_takes_what_it_is_told() -> None:
    from ray.serve.config import AutoscalingConfig

    written = Scale(least=0, most=3, ongoing=5.0).written(1)
    made = AutoscalingConfig(**written)
    assert (made.min_replicas, made.initial_replicas, made.max_replicas) == (0, 1, 3)
    assert made.get_target_ongoing_requests() == 5.0


@pytest.mark.slow
@pytest.mark.cluster
def test_without_requests_no_replica_is_left_and_the_next_one_is_answered(ray_cluster: None, model: Folder) -> None:
    from ray import serve

    from jobs.serving.application import Place, ask, deploy

    def replicas() -> int:
        deployments: Any = serve.status().applications["asleep"].deployments
        return sum(deployments["classifier"].replica_states.values())

    scale = Scale(least=0, most=1, down_s=1.0)
    place = Place(application="asleep", host="127.0.0.1", port=0, replicas=1, cpus=0.5, scale=scale)
    told: list[dict[str, Any]] = []
    try:
        url = run_remote(deploy, model, place, resources=Resources(), tell=told.append)["url"]
        assert {"proxy": "HAProxy"} in told
        until = time.monotonic() + PATIENCE
        while replicas():
            assert time.monotonic() < until, "a replica is left"
            time.sleep(0.2)
        item = golden_rows(model.path)[0]
        answer = ask(url, item, timeout=PATIENCE)
        assert answer["predictions"] == Classifier(Model.load(model), model.path).classify([item])
    finally:
        serve.delete("asleep")


@contextmanager
def one_of_two(heavier: Folder, **fields: Any) -> Iterator[tuple[str, Any]]:
    """Serve a heavy model by one replica that may become two; yield the address and what counts those that run."""
    from ray import serve

    from jobs.serving.application import Place, deploy

    def replicas() -> int:
        found: Any = serve.status().applications["asked"].deployments["classifier"].replica_states
        return int(found.get("RUNNING", 0))

    scale = Scale(least=1, most=2, ongoing=1.0, up_s=0.5)
    place = Place(application="asked", host="127.0.0.1", port=0, replicas=1, cpus=0.5, scale=scale, **fields)
    try:
        url = run_remote(deploy, heavier, place, resources=Resources(), tell=lambda event: None)["url"]
        assert replicas() == 1
        yield url, replicas
    finally:
        serve.delete("asked")


def wait_for_two(replicas: Any) -> None:
    until = time.monotonic() + PATIENCE
    while replicas() < 2:
        assert time.monotonic() < until, "no replica was added"
        time.sleep(0.2)


@pytest.mark.slow
@pytest.mark.cluster
def test_replicas_are_added_for_requests_that_go_past_serves_own_work(ray_cluster: None, heavier: Folder) -> None:
    image = golden_rows(heavier.path)[0]
    assert isinstance(image, bytes)
    with one_of_two(heavier) as (url, replicas), Clients(url, image, 6) as clients:
        wait_for_two(replicas)
    assert set(clients.statuses) == {200}


@pytest.mark.slow
@pytest.mark.cluster
def test_replicas_are_added_for_calls_over_grpc(ray_cluster: None, heavier: Folder) -> None:
    port, image, done = free_port(), np.array([golden_rows(heavier.path)[0]], np.object_), threading.Event()

    def call() -> int:
        answered = 0
        with triton.InferenceServerClient(f"127.0.0.1:{port}") as client:
            while not done.is_set():
                client.infer("asked", inputs_of(image, "BYTES"))
                answered += 1
        return answered

    with one_of_two(heavier, grpc_port=port) as (_, replicas), ThreadPoolExecutor(6) as pool:
        calls = [pool.submit(call) for _ in range(6)]
        try:
            wait_for_two(replicas)
        finally:
            done.set()
        assert all(each.result() for each in calls)
