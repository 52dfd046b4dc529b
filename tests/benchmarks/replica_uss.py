"""`replica_uss`: the memory that is a Serve replica's own."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from jobs.artifacts import Model
from jobs.runtime.classifier import golden_rows
from jobs.serving.application import ask
from tests.benchmarks.finished import artifact, finished
from tests.benchmarks.harness import Benchmark, Broken
from tests.benchmarks.processes import ended, start

REQUESTS = 200  # before memory is read, so that what a first request allocates counts


class ReplicaUss(Benchmark):
    """Unique set size (USS) of the process that answers, once it has answered."""

    id = "replica_uss"
    name = "memory of a replica's own (USS) that serves the digits model"
    unit = "MB"
    better = "lower"
    limit = 200.0
    pairs = 3

    def prepare(self, work: Path) -> None:
        """Make the model."""
        self.model = artifact(finished(work).store, "finished", "small", Model)
        self.found: list[str] = []

    def ours(self) -> float:
        """Serve the model on a free port, ask it, and return its replica's megabytes (10^6 bytes)."""
        process = start("-m", "pipelines", "serve", str(self.model.folder), "--port", "0")
        try:
            url = served_at(process)
            replica = self._answered(url)
            memory = Path(f"/proc/{replica}/smaps_rollup").read_text()
            if re.search("tensorflow", Path(f"/proc/{replica}/maps").read_text()):
                self.found.append("the replica has loaded TensorFlow")
        finally:
            process.send_signal(signal.SIGINT)
            ended(process, 0)
        return unique(memory) / 1e6

    def _answered(self, url: str) -> int:
        """Ask every golden row in turn, note answers of another file, and return the replica's process."""
        rows = golden_rows(self.model.folder.path)
        for number in range(REQUESTS):
            ask(url, rows[number % len(rows)])
        with urllib.request.urlopen(f"{url}/v1/model", timeout=30) as response:
            card: dict[str, Any] = json.load(response)
        served = self.model.folder.sha256(self.model.served)
        if card["sha256"] != served:
            self.found.append(f"the replica serves {card['sha256']}, not {served}")
        return int(card["process"])

    def faults(self) -> Iterator[str]:
        """Yield what was found of the replicas; that the first answer is right was checked when they were deployed."""
        yield from self.found


def served_at(process: subprocess.Popen[str]) -> str:
    """Return the address that the served model answered at; Broken when it never did."""
    assert process.stdout is not None
    for line in process.stdout:
        if found := re.search(r"(http://\S+) answered a real request", line):
            return found[1]
    raise Broken("`espalier serve` ended before it answered")


def unique(rollup: str) -> int:
    """Return the bytes that are this process's alone, from the text of /proc/<pid>/smaps_rollup."""
    return 1024 * sum(int(size) for size in re.findall(r"^Private_\w+:\s+(\d+) kB", rollup, re.MULTILINE))
