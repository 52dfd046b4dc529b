"""`submit`: from `espalier submit` to the first step running, against the barest job of Ray's own command."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

from tests.benchmarks.harness import Benchmark, Broken
from tests.benchmarks.processes import ROOT
from tests.head import head_node

DEFINITION = "name: digits\nsteps:\n  data: {job: dataset, source: {kind: digits}}\n"
RUNNING = "data  running"
BARE = 'python -c "import ray; ray.init()"'
LONGEST = 120.0  # seconds


class Submit(Benchmark):
    """On a cluster of this machine that has run such a job before; the package is there already."""

    id = "submit"
    name = "espalier submit to the first step running, against ray job submit of ray.init() to its end"
    unit = "s"
    better = "lower"
    target = 1.5

    def prepare(self, work: Path) -> None:
        """Start a cluster that lasts until the figures are there, and run each side once."""
        self.folder = Path(tempfile.mkdtemp(dir=work))
        (self.folder / "digits.yaml").write_text(DEFINITION)
        (self.folder / ".rayignore").write_text("store*\n")
        self.wrong: list[str] = []
        self._cluster = ExitStack()
        self.head = self._cluster.enter_context(head_node())
        self.environment = {**self.head.environment, "PYTHONPATH": str(ROOT)}
        self.ours()
        self.reference()

    def ours(self) -> float:
        """Return the seconds from the command's start to the line that says that the step runs."""
        store = tempfile.mkdtemp(prefix="store", dir=self.folder)
        command = [sys.executable, "-m", "pipelines", "submit", "digits.yaml", "--store", store]
        began = time.perf_counter()
        with subprocess.Popen(
            [*command, "--address", self.head.url],
            cwd=self.folder, env=self.environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        ) as process:  # fmt: skip
            assert process.stdout is not None
            seconds = next((time.perf_counter() - began for line in process.stdout if line.startswith(RUNNING)), None)
            rest = process.stdout.read()
        if seconds is None:
            raise Broken(f"the step never ran: {rest[-500:]}")
        if process.returncode:
            self.wrong.append(f"the job ended with {process.returncode}: {rest[-500:]}")
        return seconds

    def reference(self) -> float:
        """Return the seconds of Ray's command to its end."""
        ray = str(Path(sys.executable).parent / "ray")
        began = time.perf_counter()
        done = subprocess.run(
            [ray, "job", "submit", "--address", self.head.url, "--", *("sh", "-c", BARE)],
            cwd=self.folder, env={**os.environ, **self.environment}, capture_output=True, text=True, timeout=LONGEST,
            check=False,
        )  # fmt: skip
        if done.returncode:
            raise Broken((done.stdout + done.stderr)[-500:])
        return time.perf_counter() - began

    def faults(self) -> Iterator[str]:
        """Yield jobs that did not end well; end the cluster."""
        self._cluster.close()
        yield from self.wrong
