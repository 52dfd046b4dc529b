from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from cluster.environment import ALLOCATION, training_variables
from cluster.folder import Folder
from cluster.resources import Resources
from cluster.work import run_remote
from jobs.strategies import Single


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


def test_what_the_user_has_set_wins(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MALLOC_ARENA_MAX", "8")
    assert training_variables()["MALLOC_ARENA_MAX"] == "8"
