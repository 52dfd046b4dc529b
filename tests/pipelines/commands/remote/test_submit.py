from __future__ import annotations

import re
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from cluster.submit.server import Server
from tests.head import Head
from tests.pipelines.commands.conftest import Espalier
from tests.pipelines.toy_jobs import executions, noted

pytestmark = pytest.mark.cluster
Toys = Callable[..., Path]
ROOT = Path(__file__).parents[4]
WAIT_S = 60.0


def submitted(out: str) -> str:
    (found,) = re.findall(r"submitted (toys-[0-9a-f]{10}-[0-9]+): ", out)
    return str(found)


def until(said: Callable[[], bool]) -> None:
    end = time.monotonic() + WAIT_S
    while not said():
        assert time.monotonic() < end
        time.sleep(0.1)


def test_a_definition_runs_as_a_job_and_is_followed(
    client: Head, espalier: Espalier, toys: Toys, diary: Path, tmp_path: Path
) -> None:
    path = toys(a={}, b={"of": ["a"]})
    said = espalier("submit", path, "--address", client.url)
    assert said.code == 0, said.err
    identity = submitted(said.out)
    assert "a  running on 1 CPU" in said.lines
    assert "b  rows 1,000" in said.lines
    assert said.lines[-1] == f"{identity} succeeded"
    assert noted(diary) == ["begin a", "end a", "begin b", "end b"]
    assert len(list((tmp_path / "runs/toys").glob("*/record.json"))) == 2

    assert identity in espalier("jobs", "list", "--address", client.url).out
    assert "b  rows 1,000" in espalier("jobs", "logs", identity, "--address", client.url).lines


def test_a_cancelled_job_goes_on_when_it_is_submitted_again(
    client: Head, espalier: Espalier, toys: Toys, diary: Path, tmp_path: Path
) -> None:
    gate = tmp_path / "runs" / "gate"  # not part of the package
    path = toys(a={}, b={"of": ["a"], "gate": str(gate)})
    first = submitted(espalier("submit", path, "--address", client.url, "--no-wait").out)
    until(lambda: executions(diary, "b") == 1)
    assert espalier("jobs", "status", first, "--address", client.url).lines[0].startswith(f"{first} running, ")
    found = espalier("submit", path, "--address", client.url, "--no-wait")
    assert found.lines[0] == f"found {first}, RUNNING"

    assert espalier("jobs", "cancel", first, "--address", client.url).lines == [f"{first} stopped"]
    assert "kept: a; run again to go on from there" in Server(client.url).log(first)
    assert [path.name for path in (tmp_path / "runs/toys").glob("b-*/checkpoints/*")] == ["checkpoint.txt"]
    named = espalier("submit", path, "--address", client.url, "--submission-id", first)
    assert (named.code, named.lines[0]) == (130, f"found {first}, STOPPED")

    gate.touch()
    said = espalier("submit", path, "--address", client.url)
    assert (said.code, submitted(said.out)) == (0, f"{first[:-1]}2")
    assert (executions(diary, "a"), executions(diary, "b")) == (1, 2)


def test_a_driver_that_died_goes_on_when_it_is_submitted_again(
    client: Head, espalier: Espalier, toys: Toys, diary: Path
) -> None:
    path = toys(a={}, b={"of": ["a"], "wrong": "die", "times": 1})
    said = espalier("submit", path, "--address", client.url)
    identity = submitted(said.out)
    assert said.code == 3
    assert said.err.startswith(f"error: job {identity} failed (")
    assert said.err.endswith(
        f"\nits log: espalier jobs logs {identity} --address {client.url}\n"
        "submit it again to go on from what it finished\n"
    )
    assert espalier("submit", path, "--address", client.url).code == 0
    assert (executions(diary, "a"), executions(diary, "b")) == (1, 2)


def test_rays_own_command_runs_a_definition_too(client: Head, toys: Toys, tmp_path: Path, diary: Path) -> None:
    path = toys(a={})
    run = ["python", "-m", "pipelines", "run", str(path)]
    ray = [sys.executable, "-m", "ray.scripts.scripts", "job", "submit", "--address", client.url]
    ray += ["--working-dir", str(tmp_path), "--runtime-env-json", '{"env_vars": {"TF_USE_LEGACY_KERAS": "1"}}', "--"]
    options = {"env": client.environment, "capture_output": True, "text": True, "timeout": 120}
    done = subprocess.run([*ray, *run, "--store", str(tmp_path / "runs")], check=False, **options)  # type: ignore[call-overload]
    assert done.returncode == 0, done.stdout + done.stderr
    assert "a  done" in done.stdout
    assert executions(diary) == 1


def test_an_unreachable_store_ends_the_job(client: Head, espalier: Espalier, toys: Toys, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    said = espalier("submit", toys(a={}), "--address", client.url, "--store", str(tmp_path / "file/runs"))
    assert said.code == 2
    assert f"error: {tmp_path}/file/runs: is not writable (Not a directory); name a folder you may write to" in (
        said.lines
    )
