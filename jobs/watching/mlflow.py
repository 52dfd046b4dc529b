"""Runs for MLflow: one a step, in the experiment of the definition's name. Needs the extra `mlflow`."""

from __future__ import annotations

import os
import threading
from collections.abc import Mapping
from queue import SimpleQueue
from typing import Any, Self

from cluster.errors import RequestError
from jobs.job import Job
from jobs.spec import counted
from jobs.watching.metrics import EPOCH, readings

ENDS = {"done": "FINISHED", "failed": "FAILED", "stopped": "KILLED"}
LONGEST = 250  # characters of a parameter that every version of MLflow takes
PATIENCE = 30.0  # seconds a server may take, at the end of the run, for what it has not taken yet


class Tracked:
    """Follows a run and tells the server at `uri`, in a thread of its own: a server that is slow holds nobody up."""

    def __init__(self, uri: str, definition: str, run: str, jobs: Mapping[str, Job]) -> None:
        os.environ.setdefault("MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT", "true")  # ours is the run's alone
        try:
            from mlflow import MlflowClient
        except ImportError:
            remedy = "pip install 'espalier-ray[mlflow]'"
            raise RequestError("--mlflow", "needs mlflow-skinny, which is not installed", remedy=remedy) from None
        try:
            self._client = MlflowClient(tracking_uri=uri)
            found = self._client.get_experiment_by_name(definition)
            self._experiment = found.experiment_id if found else self._client.create_experiment(definition)
        except Exception as error:
            found_out = f"cannot be told ({error})"
            raise RequestError(f"--mlflow {uri}", found_out, "a tracking server or folder") from error
        self._run, self._jobs = run, jobs
        self._runs: dict[str, str] = {}
        self._told: SimpleQueue[tuple[str, str, dict[str, Any]] | None] = SimpleQueue()
        self._wrong: Exception | None = None
        self._thread = threading.Thread(target=self._work, daemon=True, name="tells MLflow")

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._told.put(None)
        self._thread.join(PATIENCE)

    def __call__(self, step: str, state: str, details: dict[str, Any]) -> None:
        """Take it to be told; raises what went wrong with the server before."""
        if self._wrong is not None:
            raise self._wrong
        self._told.put((step, state, details))

    def _work(self) -> None:
        try:
            while (told := self._told.get()) is not None:
                self._tell(*told)
        except Exception as error:  # noqa: BLE001  raised where it is heard
            self._wrong = error

    def _tell(self, step: str, state: str, details: dict[str, Any]) -> None:
        if state == "running":
            self._begin(step)
        if step not in self._runs:
            return
        run = self._runs[step]
        if state == "event":
            at = int(details["epoch"]["epoch"]) if "epoch" in details else 0
            for metric, value, tags in readings(details):
                if metric is not EPOCH:
                    name = "/".join([*tags.values(), metric.name.removeprefix("espalier_")])
                    self._client.log_metric(run, name, value, step=at)
        elif state in ENDS:
            if "artifact" in details:
                self._client.set_tag(run, "espalier.artifact", details["artifact"])
            self._client.set_terminated(run, ENDS[state])

    def _begin(self, step: str) -> None:
        tags = {"espalier.step": step, "espalier.run": self._run}
        made = self._client.create_run(self._experiment, run_name=f"{step}-{self._run}", tags=tags)
        self._runs[step] = made.info.run_id
        for name, value in sorted(_flat(counted(self._jobs[step])).items()):
            self._client.log_param(made.info.run_id, name, value[:LONGEST])


def _flat(value: Any, path: str = "") -> dict[str, str]:
    """Return the leaves of JSON values by their paths."""
    if isinstance(value, dict) and value:
        return {name: leaf for key, inner in value.items() for name, leaf in _flat(inner, f"{path}.{key}").items()}
    if isinstance(value, list) and value:
        return {name: leaf for n, inner in enumerate(value) for name, leaf in _flat(inner, f"{path}.{n}").items()}
    return {path.removeprefix("."): str(value)}
