from __future__ import annotations

import json
import socket
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from cluster import ports
from cluster.environment import ALLOCATION, training_variables
from cluster.folder import Folder
from cluster.resources import Resources
from cluster.work import run_remote
from jobs.strategies import Single, Strategy


@dataclass(frozen=True)
class Tells:
    """Tells the environment that its process was started with."""

    def __call__(self, engine: Any, keeper: Any) -> None:
        started_with = Path("/proc/self/environ").read_bytes().decode().split("\0")
        keeper.tell({"environment": dict(line.split("=", 1) for line in started_with if line)})


@pytest.mark.cluster
def test_a_worker_is_started_with_the_allocator_set_for_training(ray_cluster: None, tmp_path: Path) -> None:
    from jobs.strategies.ray_train import Group, run_group

    group = Group(Tells(), Single(), "run", Folder.parse(str(tmp_path)), retries=0, keep=1)
    events: list[dict[str, Any]] = []
    run_remote(run_group, group, resources=Resources(), tell=events.append)
    (event,) = events
    assert ALLOCATION.keys() <= event["environment"].keys()
    assert training_variables().items() <= event["environment"].items()


class Here:
    """A group of one worker, which is this process; it notes the variables it is given."""

    def __init__(self) -> None:
        self.variables: dict[str, str] = {}

    def __len__(self) -> int:
        return 1

    def execute(self, function: Any) -> list[Any]:
        return [function()]

    def execute_single_async(self, rank: int, function: Any, variables: dict[str, str]) -> None:
        self.variables = variables


def test_a_worker_holds_its_port_until_its_engine_is_about_to_listen_there(monkeypatch: pytest.MonkeyPatch) -> None:
    import ray

    from jobs.strategies.ray_train import TensorFlowCluster

    monkeypatch.setattr(ray, "get", list)
    group, cluster = Here(), TensorFlowCluster(Strategy.choose({"kind": "data_parallel"}))
    cluster.backend_cls().on_start(group, cluster)
    (address,) = json.loads(group.variables["TF_CONFIG"])["cluster"]["worker"]
    port = int(address.rpartition(":")[2])
    with socket.socket() as other, pytest.raises(OSError, match="Address already in use"):
        other.bind(("", port))
    ports.release()  # which engines do
    with socket.socket() as other:
        other.bind(("", port))


def test_what_the_user_has_set_wins(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MALLOC_ARENA_MAX", "8")
    assert training_variables()["MALLOC_ARENA_MAX"] == "8"
