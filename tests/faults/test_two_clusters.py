"""A training on one cluster while another, with a dashboard, is started on the same machine."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from cluster.folder import Folder
from cluster.resources import Resources
from cluster.work import run_remote
from jobs.strategies import Single

OTHER = """
import sys, ray
ray.init(address="local", num_cpus=1, include_dashboard=True, dashboard_host="127.0.0.1", log_to_driver=False)
print("started", flush=True)
sys.stdin.read()
"""
WATCHED = 6.0  # seconds: Ray Train looks every second whether a training's controller lives


@dataclass(frozen=True)
class Waits:
    """Work that says when it begins, and lasts until some time after the file `until` is there."""

    until: Path

    def __call__(self, engine: Any, keeper: Any) -> None:
        keeper.tell({"began": True})
        while not self.until.exists():
            time.sleep(0.1)
        time.sleep(WATCHED)
        keeper.tell({"ended": True})


@contextmanager
def another_cluster() -> Iterator[None]:
    environment = {name: value for name, value in os.environ.items() if name != "RAY_ADDRESS"}
    with subprocess.Popen(
        [sys.executable, "-c", OTHER], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "started\n"
        yield
        process.communicate("", timeout=60)


@pytest.mark.cluster
def test_a_training_lives_on_when_another_cluster_is_started(ray_cluster: None, tmp_path: Path) -> None:
    from jobs.strategies.ray_train import Group, run_group

    events: list[str] = []
    group = Group(Waits(tmp_path / "there"), Single(), "run", Folder.parse(str(tmp_path)), retries=0, keep=1)
    with ExitStack() as stack:

        def heard(event: dict[str, Any]) -> None:
            events.extend(event)
            if "began" in event:
                stack.enter_context(another_cluster())
                (tmp_path / "there").touch()

        run_remote(run_group, group, resources=Resources(), tell=heard)
    assert events == ["began", "ended"]
