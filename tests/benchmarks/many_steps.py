"""A process that runs many trivial steps on a cluster of its own, once it is warm, and prints what they took.

`python -m tests.benchmarks.many_steps FOLDER STEPS`; printed is JSON: milliseconds of each step, and the most memory
the process held, in megabytes.
"""

from __future__ import annotations

import json
import resource
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar, Literal

from cluster.folder import Folder
from cluster.resources import Resources
from cluster.session import connected
from cluster.work import run_remote
from jobs.artifacts import Artifact, Report
from jobs.job import Inputs, Job, Output
from jobs.provenance import provenance
from pipelines.pipeline import Pipeline
from pipelines.plan import plan
from pipelines.runner import Runner
from pipelines.store import Store

CPUS = 2
WARM = 20  # steps before those that are measured


class Trivial(Job):
    """Has a worker of the cluster do nothing."""

    job: Literal["trivial"] = "trivial"
    produces: ClassVar[type[Artifact]] = Report

    number: int

    def run(self, inputs: Inputs, out: Output) -> Report:
        """Call a function that returns at once."""
        run_remote(nothing, resources=self.resources(), tell=out.tell, stop=out.stop)
        return Report(title=out.step)


def nothing(tell: Callable[[dict[str, Any]], None]) -> None:
    """Do nothing."""


def ran(root: Path, name: str, steps: int) -> float:
    """Run so many steps, and return the milliseconds of each."""
    made = {f"s{number}": {"job": "trivial", "number": number} for number in range(steps)}
    began = time.perf_counter()
    pipeline = Pipeline.model_validate({"name": name, "steps": made})
    planned = plan(pipeline, Store(Folder(str(root))))
    outcome = Runner(pipeline, planned, Resources(CPUS), lambda *told: None, provenance()).run()
    assert outcome.done, outcome.errors
    return (time.perf_counter() - began) * 1000 / steps


def main() -> None:
    """Warm up, measure, print."""
    root, steps = Path(sys.argv[1]), int(sys.argv[2])
    with connected("local", cpus=CPUS):
        ran(root, "warm", WARM)
        found = ran(root, "steps", steps)
    print(json.dumps({"ms": found, "mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e6}))


if __name__ == "__main__":
    main()
