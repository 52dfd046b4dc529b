"""The servers that are compared: a model behind `espalier serve`, and a skilled user's, each in its own process."""

from __future__ import annotations

import json
import signal
import socket
import subprocess
import tempfile
import time
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from jobs.artifacts import Model
from tests.benchmarks.harness import Broken
from tests.benchmarks.processes import start
from tests.benchmarks.replica_uss import served_at
from tests.benchmarks.serving.load import Asked

STARTING = 120.0  # seconds a server may take
ENDING = 30.0
# What the variables of a cluster started for us would do to another's.
PLAIN = {"RAY_SERVE_ENABLE_HA_PROXY": "0", "RAY_SERVE_THROUGHPUT_OPTIMIZED": "0"}


@contextmanager
def espalier(model: Model) -> Iterator[str]:
    """Serve the model with `espalier serve`, one replica; yield its URL."""
    process = start("-m", "pipelines", "serve", str(model.folder), "--port", "0")
    try:
        yield served_at(process)
    finally:
        _end(process, signal.SIGINT)


@contextmanager
def reference(module: str, settings: Mapping[str, Any]) -> Iterator[str]:
    """Run a reference that writes its address into a file once it answers; yield the address."""
    with tempfile.TemporaryDirectory() as folder, socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = int(probe.getsockname()[1])
        probe.close()
        address = Path(folder) / "address"
        given = json.dumps({**settings, "address": str(address), "port": port})
        process = start("-m", f"tests.benchmarks.references.{module}", given, environment=PLAIN)
        try:
            until = time.monotonic() + STARTING
            while not address.exists() or not _answers(address.read_text()):
                if process.poll() is not None or time.monotonic() > until:
                    process.kill()
                    raise Broken(f"{module} does not start: {(process.communicate()[1] or '')[-2000:]}")
                time.sleep(0.1)
            yield address.read_text()
        finally:
            _end(process, signal.SIGTERM)


def settings_of(model: Model) -> dict[str, Any]:
    """Return what a reference needs of a model: its file, its classes, and its temperature."""
    path = model.folder.fetch()
    return {"file": str(path / model.served), "classes": model.classes, "temperature": model.temperature}


def answer(asked: Asked) -> dict[str, Any]:
    """Ask once; return the JSON of the answer."""
    request = urllib.request.Request(asked.url, asked.body or None, asked.headers)
    with urllib.request.urlopen(request, timeout=60) as response:
        found: dict[str, Any] = json.load(response)
        return found


def _answers(address: str) -> bool:
    if not address:
        return False
    with socket.socket() as probe:
        host, port = address.removeprefix("http://").split(":")
        return probe.connect_ex((host, int(port))) == 0


def _end(process: subprocess.Popen[str], how: int) -> None:
    process.send_signal(how)
    try:
        process.communicate(timeout=ENDING)
    except subprocess.TimeoutExpired:
        process.kill()
        process.communicate()
