"""Jobs that run in the driver: each writes a file, notes in a diary when it begins and ends, and goes wrong as told."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

import yaml

from cluster.errors import ClusterError, RequestError, StepError
from cluster.folder import Folder
from cluster.resources import Resources
from cluster.work import Stopped, run_remote
from jobs.artifacts import Artifact, Report
from jobs.job import Inputs, Job, Output
from jobs.spec import INCIDENTAL, Ref
from pipelines.pipeline import Pipeline

MEETINGS: dict[str, threading.Barrier] = {}
TOGETHER = 10.0  # seconds a job waits for the other that should run beside it


class ToyWork(Job):
    """Writes its text and its inputs' texts to `out.txt`; only `of` and `text` count for identity."""

    job: Literal["toy_work"] = "toy_work"
    produces: ClassVar[type[Artifact]] = Report

    of: list[Annotated[str, Ref(Artifact)]] = []
    text: str = ""
    diary: Annotated[str, INCIDENTAL]
    cpus: Annotated[float, INCIDENTAL] = 1.0
    holds: Annotated[float, INCIDENTAL] = 0.0
    meet: Annotated[str, INCIDENTAL] = ""
    gate: Annotated[str, INCIDENTAL] = ""
    deaf: Annotated[bool, INCIDENTAL] = False
    speaks: Annotated[bool, INCIDENTAL] = False
    wrong: Annotated[str, INCIDENTAL] = ""
    times: Annotated[int, INCIDENTAL] = 1_000

    def resources(self) -> Resources:
        """Return what the definition says."""
        return Resources(cpus=self.cpus)

    def keeps(self) -> Resources:
        """Return what the definition says."""
        return Resources(cpus=self.holds)

    def afterword(self, made: Folder, inputs: Mapping[str, Folder], ended: bool) -> str:
        """Say where the files are."""
        return f"ended {ended}, {made}/out.txt of {', '.join(map(str, inputs.values()))}" if self.speaks else ""

    def run(self, inputs: Inputs, out: Output) -> Report:
        """Write the file, and fail the first `times` times when something is to go wrong."""
        note(self.diary, f"begin {out.step}")
        out.checkpoints.write_bytes("checkpoint.txt", b"half way")
        texts = [inputs[name].folder.read_bytes("out.txt").decode() for name in self.of]
        out.tell({"rows": 1_000})
        if self.meet:
            MEETINGS[self.meet].wait(TOGETHER)
        if self.gate:
            self._wait(out)
        if executions(self.diary, out.step) <= self.times:
            self._go_wrong(out.step)
        out.folder.write_bytes("out.txt", "".join([*texts, self.text or out.step]).encode())
        note(self.diary, f"end {out.step}")
        return Report(title=out.step)

    def _wait(self, out: Output) -> None:
        while not Path(self.gate).exists():
            if out.stop.wait(0.01) and not self.deaf:
                raise Stopped(f"toy of {out.step}", "was stopped")

    def _go_wrong(self, step: str) -> None:
        if self.wrong == "die":
            os.kill(os.getpid(), signal.SIGKILL)
        number = executions(self.diary, step)
        errors = {
            "step": StepError("the toy", f"broke at execution {number}"),
            "request": RequestError("the toy", "was asked for the impossible"),
            "cluster": ClusterError("the toy", "finds no cluster"),
            "bug": KeyError("toy"),
            "disk": OSError(28, "No space left on device"),
        }
        if self.wrong:
            raise errors[self.wrong]


class ToyRemote(Job):
    """Waits in a worker process of the cluster until its gate is there."""

    job: Literal["toy_remote"] = "toy_remote"
    produces: ClassVar[type[Artifact]] = Report

    gate: Annotated[str, INCIDENTAL]

    def run(self, inputs: Inputs, out: Output) -> Report:
        """Wait in the worker."""
        run_remote(wait_for, self.gate, resources=self.resources(), tell=out.tell, stop=out.stop)
        return Report(title=out.step)


def wait_for(gate: str, tell: Callable[[dict[str, Any]], None]) -> None:
    """Tell who waits, and wait until the file `gate` is there."""
    tell({"worker": str(os.getpid())})
    pause = threading.Event()
    while not Path(gate).exists():
        pause.wait(0.01)


def note(diary: str, line: str) -> None:
    """Append a line, whole, from whatever thread or process."""
    descriptor = os.open(diary, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    os.write(descriptor, f"{line}\n".encode())
    os.close(descriptor)


def noted(diary: Path | str) -> list[str]:
    """Return the diary's lines."""
    return Path(diary).read_text().splitlines() if Path(diary).exists() else []


def executions(diary: Path | str, step: str = "") -> int:
    """Return how often `step`, or any step, has begun."""
    return sum(line.startswith("begin") and (not step or line == f"begin {step}") for line in noted(diary))


def definition(diary: Path, **steps: dict[str, Any]) -> dict[str, Any]:
    """Return a definition of toy steps that note in `diary`."""
    return {"name": "toys", "steps": {name: {"job": "toy_work", "diary": str(diary), **f} for name, f in steps.items()}}


def pipeline(diary: Path, **steps: dict[str, Any]) -> Pipeline:
    """Return a pipeline of toy steps."""
    return Pipeline.model_validate(definition(diary, **steps))


def write(path: Path, diary: Path, **steps: dict[str, Any]) -> Path:
    """Write a definition of toy steps, and return its path."""
    path.write_text(yaml.safe_dump(definition(diary, **steps), sort_keys=False))
    return path
