"""The machine of the head is lost amid a run: who follows it, and who drives it, end soon and say what to do."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from tests.head import Head, head_node
from tests.pipelines.commands.conftest import Espalier
from tests.pipelines.commands.remote.test_submit import ROOT, submitted, until
from tests.pipelines.toy_jobs import executions

Toys = Callable[..., Path]
SOON = 90.0  # seconds until a run must have ended; Ray looks for its head for a minute
pytestmark = [pytest.mark.slow, pytest.mark.cluster]


def test_who_follows_a_job_is_told_and_what_it_finished_stays(
    espalier: Espalier, toys: Toys, diary: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    gate = tmp_path / "runs/gate"
    path = toys(a={}, b={"of": ["a"], "gate": str(gate)})
    with head_node() as head:
        monkeypatch.setenv("RAY_AUTH_TOKEN_PATH", str(head.token))
        started = espalier("submit", path, "--address", head.url, "--no-wait")
        assert started.code == 0, started.err
        identity = submitted(started.out)
        until(lambda: executions(diary, "b") == 1)
        threading.Timer(2.0, head.kill).start()
        said = espalier("jobs", "logs", "-f", identity, "--address", head.url)
    assert said.code == 4
    assert said.err.startswith(f"error: job {identity}: cannot be followed any more (cluster {head.url}: does not ")
    assert said.err.endswith("; what it finished is in its store: once the cluster answers, submit it again to go on\n")
    gate.touch()
    with head_node() as another:
        monkeypatch.setenv("RAY_AUTH_TOKEN_PATH", str(another.token))
        again = espalier("submit", path, "--address", another.url)
    assert again.code == 0, again.err
    assert (executions(diary, "a"), executions(diary, "b")) == (1, 2)


def test_a_run_that_is_driven_from_elsewhere_ends_and_can_go_on(tmp_path: Path, toys: Toys, diary: Path) -> None:
    path, gate = tmp_path / toys(a={}), tmp_path / "gate"
    written = yaml.safe_load(path.read_text())
    written["steps"]["b"] = {"job": "toy_remote", "gate": str(gate), "after": ["a"]}
    path.write_text(yaml.safe_dump(written, sort_keys=False))
    command = [sys.executable, "-m", "tests.pipelines.offline", "--cluster", "run", str(path), "--address"]

    def run(head: Head) -> subprocess.Popen[str]:
        environment = {**head.environment, "PYTHONPATH": str(ROOT)}
        pipe = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}
        return subprocess.Popen([*command, head.address], env=environment, cwd=tmp_path, **pipe)  # type: ignore[call-overload,no-any-return]

    with head_node() as head:
        lost = run(head)
        assert lost.stdout is not None
        assert any("worker" in line for line in iter(lost.stdout.readline, ""))
        head.kill()
        said, _ = lost.communicate(timeout=SOON)
    assert lost.returncode == 4, said
    assert said.splitlines()[-1] == (
        f"error: cluster {head.address}: does not answer any more; what is finished is in the store: once the cluster "
        "answers, run again to go on"
    )
    gate.touch()
    with head_node() as another:
        again = run(another)
        said, _ = again.communicate(timeout=SOON)
    assert again.returncode == 0, said
    assert executions(diary, "a") == 1
    assert "1 run, 1 reused in" in said
