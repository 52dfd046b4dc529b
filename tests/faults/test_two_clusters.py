"""A training on one cluster while another runs on the same machine."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from cluster.folder import Folder
from cluster.resources import Resources
from cluster.work import run_remote
from jobs.strategies import Single

pytestmark = pytest.mark.cluster
OTHER = """
import sys, ray
ray.init(address="local", num_cpus=1, include_dashboard=True, dashboard_host="127.0.0.1", log_to_driver=False)
print("started", flush=True)
sys.stdin.read()
"""


@dataclass(frozen=True)
class Lasts:
    """Work that lasts longer than Ray Train takes, twice over, to see whether its controller lives."""

    seconds: float

    def __call__(self, engine: Any, keeper: Any) -> None:
        time.sleep(self.seconds)
        keeper.tell({"ended": os.getpid()})


@pytest.fixture
def another_cluster(ray_cluster: None, tmp_path: Path) -> Iterator[None]:
    environment = {name: value for name, value in os.environ.items() if name != "RAY_ADDRESS"}
    with subprocess.Popen(
        [sys.executable, "-c", OTHER], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "started\n"
        yield
        process.communicate("", timeout=60)


def test_a_training_lives_on_when_another_cluster_is_started(another_cluster: None, tmp_path: Path) -> None:
    from jobs.strategies.ray_train import Group, run_group

    group = Group(Lasts(8.0), Single(), "run", Folder.parse(str(tmp_path)), retries=0, keep=1)
    events: list[dict[str, Any]] = []
    run_remote(run_group, group, resources=Resources(), tell=events.append)
    assert [list(event) for event in events] == [["ended"]]
