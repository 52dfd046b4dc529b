"""Debian's Prometheus on a free port of loopback, for a test: started, asked, ended."""

from __future__ import annotations

import json
import shutil
import socket
import subprocess
import time
import urllib.parse
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

MISSING = "needs Prometheus: apt-get install prometheus"
LONGEST = 40.0  # seconds until what was told must be there: Ray exports every ten


def found() -> str:
    """Return the program, or skip the test."""
    path = shutil.which("prometheus")
    if path is None:
        pytest.skip(MISSING)
    return path


class Prometheus:
    def __init__(self, address: str) -> None:
        self.address = address

    def ask(self, expression: str) -> list[dict[str, Any]]:
        """Return the series that an expression gives now."""
        query = urllib.parse.urlencode({"query": expression})
        with urllib.request.urlopen(f"{self.address}/api/v1/query?{query}", timeout=10) as answer:
            result: list[dict[str, Any]] = json.load(answer)["data"]["result"]
        return [series for series in result if series["value"][1] != "NaN"]

    def wait_for(self, expression: str) -> list[dict[str, Any]]:
        """Return what an expression gives as soon as it gives anything, empty when it never does."""
        end = time.monotonic() + LONGEST
        while time.monotonic() < end:
            if series := self.ask(expression):
                return series
            time.sleep(0.2)
        return []


@contextmanager
def running(config: Path, data: Path) -> Iterator[Prometheus]:
    """Run Prometheus with a configuration for the length of a block."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        where = f"127.0.0.1:{probe.getsockname()[1]}"
    words = [found(), f"--config.file={config}", f"--storage.tsdb.path={data}", f"--web.listen-address={where}"]
    with (data.parent / "log").open("w") as log:
        process = subprocess.Popen(words, stdout=log, stderr=log)
    try:
        _wait_until_ready(f"http://{where}", process, data.parent / "log")
        yield Prometheus(f"http://{where}")
    finally:
        process.terminate()
        process.wait(20)


def _wait_until_ready(address: str, process: subprocess.Popen[bytes], log: Path) -> None:
    end = time.monotonic() + LONGEST
    while True:
        assert process.poll() is None, log.read_text()
        assert time.monotonic() < end, log.read_text()
        try:
            urllib.request.urlopen(f"{address}/-/ready", timeout=5).close()
        except OSError:
            time.sleep(0.1)
        else:
            return
