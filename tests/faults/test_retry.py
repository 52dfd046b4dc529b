"""A bug that comes every time: it ends a group of workers however many restarts there may be."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from cluster.errors import StepError
from cluster.folder import Folder
from cluster.resources import Resources
from cluster.work import run_remote
from jobs.strategies import Single


@dataclass(frozen=True)
class Fails:
    """Counts its attempts in a file, and fails."""

    diary: Path

    def __call__(self, engine: Any, keeper: Any) -> None:
        with self.diary.open("a") as file:
            file.write("attempt\n")
        raise ValueError(f"row {self.attempts()} of {self!r} at {id(self):#x} is not there")

    def attempts(self) -> int:
        return len(self.diary.read_text().splitlines())


@pytest.mark.cluster
def test_an_error_that_comes_every_time_ends_unlimited_retries(ray_cluster: None, tmp_path: Path) -> None:
    from jobs.strategies.ray_train import Group, run_group

    work, events = Fails(tmp_path / "diary"), list[dict[str, Any]]()
    group = Group(work, Single(), "run", Folder.parse(str(tmp_path / "checkpoints")), "unlimited", 2)
    with pytest.raises(StepError) as caught:
        run_remote(run_group, group, resources=Resources(), tell=events.append)
    assert re.fullmatch(
        r"worker 0 of 1: raised ValueError\(.row 3 of .*\), "
        r"the same error 3 times, which another attempt would repeat",
        str(caught.value),
    )
    assert work.attempts() == 3
    assert [event["restart"] for event in events if "retry" in event] == ["1 of unlimited", "2 of unlimited"]
    tracebacks = [event["traceback"] for event in events if "traceback" in event]
    assert len(tracebacks) == 3
    assert all(re.search(r'test_retry.py", line \d+, in __call__', text) for text in tracebacks)
