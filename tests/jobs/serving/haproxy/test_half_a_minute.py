"""The long forms: clients that ask for half a minute while replicas die, and more clients than there is room for."""

from __future__ import annotations

import os
import signal
import statistics
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from cluster.folder import Folder
from cluster.resources import Resources
from cluster.work import run_remote
from jobs.runtime.classifier import golden_rows
from jobs.serving.limits import Limits
from tests.jobs.serving.haproxy.test_through import Clients, get, replicas

pytestmark = [pytest.mark.cluster, pytest.mark.slow]
SECONDS = 30.0
WAIT_S, BACK_S = 5.0, 30.0  # of the slowest hundredth, and until all replicas answer again


@contextmanager
def served(model: Folder, **fields: Any) -> Iterator[str]:
    """Serve a model for the length of a block; yield its URL."""
    from ray import serve

    from jobs.serving.application import Place, deploy

    given: dict[str, Any] = {"application": "long", "host": "127.0.0.1", "port": 0, "replicas": 1, "cpus": 0.5}
    place = Place(**given | fields)
    try:
        yield run_remote(deploy, model, place, resources=Resources(), tell=lambda event: None)["url"]
    finally:
        serve.delete("long")


def image(model: Folder) -> bytes:
    row = golden_rows(model.path)[0]
    assert isinstance(row, bytes)
    return row


def slowest_hundredth(clients: Clients) -> float:
    return sorted(clients.seconds)[int(0.99 * len(clients.seconds))]


@pytest.mark.parametrize("count", [1, 2])
def test_eight_clients_lose_nothing_to_a_killed_replica(
    ray_cluster: None, model: Folder, count: int, record_property: Callable[[str, object], None]
) -> None:
    with served(model, replicas=count) as url:
        before, begun = replicas(url, count), time.monotonic()
        with Clients(url, image(model), 8) as clients:
            time.sleep(SECONDS / 3)
            killed, at = min(before), time.monotonic()
            os.kill(killed, signal.SIGKILL)
            after = replicas(url, count)
            back = time.monotonic() - at
            time.sleep(max(0.0, SECONDS - (time.monotonic() - begun)))
        assert set(clients.statuses) == {200}, clients.statuses
        assert killed not in after
        assert back < BACK_S
        assert slowest_hundredth(clients) < WAIT_S
        found = {"answers": len(clients.seconds), "p99_s": slowest_hundredth(clients), "back_s": back}
        for name, value in found.items():
            record_property(name, value)


def resident(process: int) -> int:
    """Return the bytes a process holds in memory."""
    lines = Path(f"/proc/{process}/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmRSS"))


def test_fifty_clients_get_answers_or_are_told_to_come_again(
    ray_cluster: None, heavier: Folder, record_property: Callable[[str, object], None]
) -> None:
    with served(heavier, limits=Limits(requests=8)) as url:
        process = get(url, "/v1/model")["process"]
        with Clients(url, image(heavier), 4) as few:
            few.wait_for(100)
        before = resident(process)
        with Clients(url, image(heavier), 50) as many:
            time.sleep(SECONDS)
        grown = resident(process) - before
        assert set(many.statuses) == {200, 429}, many.statuses
        assert grown < 100 << 20
        with Clients(url, image(heavier), 4) as soon:
            time.sleep(2)
        with Clients(url, image(heavier), 4) as again:
            again.wait_for(100)
        assert set(soon.statuses) == set(again.statuses) == {200}, (soon.statuses, again.statuses)
        usual, later = statistics.median(few.seconds), statistics.median(again.seconds)
        assert later <= 3 * usual + 0.02
        found = {"statuses": dict(many.statuses), "grown": grown, "usual_s": usual, "later_s": later}
        for name, value in found.items():
            record_property(name, value)
