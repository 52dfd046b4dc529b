"""A model behind HAProxy, on the tests' cluster: what listens, what slow clients get, what a killed process costs."""

from __future__ import annotations

import http.client
import json
import os
import signal
import socket
import stat
import threading
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from cluster.folder import Folder
from cluster.resources import Resources
from cluster.work import run_remote
from jobs.runtime.classifier import golden_rows
from jobs.serving.haproxy.front import BINARY, proxy_in_use
from tests.jobs.serving.clients import Asking

pytestmark = pytest.mark.cluster
PATIENCE = 60  # seconds until a killed replica must be back, far over what it takes
BACK_S = 5.0  # until a killed HAProxy is back, and of the slowest request meanwhile
BROKEN = ("ConnectionRefusedError", "ConnectionResetError", "BrokenPipeError", "RemoteDisconnected", "IncompleteRead")


@pytest.fixture(scope="module")
def served(ray_cluster: None, model: Folder) -> Iterator[str]:
    """Serve the model with two replicas; yield its URL."""
    from jobs.serving.application import Place, deploy

    place = Place(application="behind", host="127.0.0.1", port=0, replicas=2, cpus=0.5)
    yield run_remote(deploy, model, place, resources=Resources(), tell=lambda event: None)["url"]
    from ray import serve

    serve.delete("behind")


def processes() -> dict[int, str]:
    """Return the HAProxy processes of the tests' cluster, by their configurations' files."""
    folder, found = Path(os.environ[BINARY]).parent, {}
    for place in Path("/proc").iterdir():
        if place.name.isdecimal():
            try:
                words = (place / "cmdline").read_bytes().split(b"\0")
            except OSError:
                continue
            files = [
                word.decode() for word in words if word.startswith(str(folder).encode()) and word.endswith(b".cfg")
            ]
            if files and words[0].endswith(b"/haproxy"):
                found[int(place.name)] = files[0]
    return found


def listening(pid: int) -> set[str]:
    """Return the addresses a process listens on, IPv4 as in /proc: 0100007F is 127.0.0.1."""
    inodes = set()
    for handle in Path(f"/proc/{pid}/fd").iterdir():
        try:
            inodes.add(str(handle.readlink()))
        except OSError:
            continue
    lines = [
        line.split() for name in ("tcp", "tcp6") for line in Path(f"/proc/net/{name}").read_text().splitlines()[1:]
    ]
    return {line[1].split(":")[0] for line in lines if line[3] == "0A" and f"socket:[{line[9]}]" in inodes}


class Clients(Asking):
    """Clients that ask for one image's class again and again, each over one connection, until they are stopped."""

    def __init__(self, url: str, image: bytes, count: int) -> None:
        super().__init__([threading.Thread(target=self._ask) for _ in range(count)])
        self.statuses: Counter[int | str] = Counter()
        self.seconds: list[float] = []
        self._place, self._image = urlsplit(url), image

    def _ask(self) -> None:
        connection = http.client.HTTPConnection(self._place.hostname or "", self._place.port, timeout=30)
        while not self.over.is_set():
            begun = time.monotonic()
            try:
                connection.request(
                    "POST", f"{self._place.path}/v1/classify", self._image, {"Content-Type": "image/png"}
                )
                answer = connection.getresponse()
                answer.read()
                self.statuses[answer.status] += 1
                self.seconds.append(time.monotonic() - begun)
            except (OSError, http.client.HTTPException) as error:
                self.statuses[type(error).__name__] += 1
                connection.close()
                time.sleep(0.02)  # where nobody listens, that is told at once

    def wait_for(self, more: int) -> None:
        """Wait until so many more requests were answered."""
        wanted, until = self.statuses.total() + more, time.monotonic() + PATIENCE
        while self.statuses.total() < wanted:
            assert time.monotonic() < until, self.statuses
            time.sleep(0.05)


def get(url: str, path: str, seconds: float = 30.0) -> Any:
    place = urlsplit(url)
    connection = http.client.HTTPConnection(place.hostname or "", place.port, timeout=seconds)
    connection.request("GET", place.path + path)
    answer = connection.getresponse()
    assert answer.status == 200, answer.read()
    return json.load(answer)


def replicas(url: str, count: int) -> set[int]:
    """Wait until so many replicas answer; return their processes."""
    until, seen = time.monotonic() + PATIENCE, set[int]()
    while len(seen) < count:
        assert time.monotonic() < until, seen
        latest = [get(url, "/v1/model")["process"] for _ in range(16)]
        seen = {pid for pid in latest if Path(f"/proc/{pid}").exists()}
    return seen


def test_haproxy_stands_before_the_replicas_and_nothing_of_it_is_open(served: str) -> None:
    assert proxy_in_use() == "HAProxy"
    assert len(replicas(served, 2)) == 2
    running = processes()
    assert running
    for pid, configuration in running.items():
        assert listening(pid) <= {"0100007F"}
        admin = Path(configuration).with_name("admin.sock")
        assert stat.S_IMODE(admin.stat().st_mode) == 0o600
        assert stat.S_IMODE(admin.parent.stat().st_mode) == stat.S_IMODE(admin.parent.parent.stat().st_mode) == 0o700


def test_a_request_goes_past_serves_own_work(served: str) -> None:
    place = urlsplit(served)
    connection = http.client.HTTPConnection(place.hostname or "", place.port, timeout=30)
    connection.request("GET", "/v1/model", headers={"X-Request-Id": "order-7"})
    answer = connection.getresponse()
    answer.read()
    assert answer.headers.get_all("x-request-id") == ["order-7"]  # Serve would say it a second time


def test_a_client_that_is_too_slow_is_told_so(served: str) -> None:
    place = urlsplit(served)
    head = f"POST {place.path}/v1/classify HTTP/1.1\r\nHost: a\r\nContent-Type: image/png\r\n"
    starts = [head, f"{head}Content-Length: 1000\r\n\r\nx"]  # headers that never end, and a body that does not
    clients = [socket.create_connection((place.hostname or "", place.port or 0), timeout=30) for _ in starts]
    for client, start in zip(clients, starts, strict=True):
        client.sendall(start.encode())
    for client in clients:
        with client:
            assert client.makefile("rb").readline().startswith(b"HTTP/1.1 408 ")


def test_a_killed_replica_costs_no_request(served: str, model: Folder) -> None:
    image = golden_rows(model.path)[0]
    assert isinstance(image, bytes)
    before = replicas(served, 2)
    with Clients(served, image, 6) as clients:
        clients.wait_for(100)
        killed = min(before)
        os.kill(killed, signal.SIGKILL)
        clients.wait_for(300)
        after = replicas(served, 2)
        clients.wait_for(100)
    assert set(clients.statuses) == {200}, clients.statuses
    assert killed not in after


@pytest.mark.parametrize("within", [PATIENCE, pytest.param(BACK_S, marks=pytest.mark.slow)])  # on a quiet machine
def test_haproxy_is_back_after_it_was_killed(served: str, model: Folder, within: float) -> None:
    image = golden_rows(model.path)[0]
    assert isinstance(image, bytes)
    killed = set(processes())
    assert killed
    with Clients(served, image, 4) as clients:
        clients.wait_for(50)
        clients.seconds.clear()
        begun = time.monotonic()
        for pid in killed:
            os.kill(pid, signal.SIGKILL)
        answered(served, begun + within)
        clients.wait_for(200)
        ended = time.monotonic()
    assert time.monotonic() - ended < within
    assert set(clients.statuses) <= {200, *BROKEN}, clients.statuses
    assert max(clients.seconds) < within
    assert not killed & set(processes())


def answered(url: str, until: float) -> None:
    """Wait until the model is answered for; it fails when that takes longer."""
    while True:
        assert time.monotonic() < until, "nobody answers"
        try:
            assert get(url, "/v1/model", until - time.monotonic())["model"] == "behind"
            return
        except (OSError, http.client.HTTPException):
            time.sleep(0.05)
