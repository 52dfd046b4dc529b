"""The quickstart, from nothing to an answered request: killed on the way, gone on with, reused, changed."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from jobs.artifacts import Artifact, Endpoint, Model, Report
from pipelines.find import artifact_at

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(600)]
ROOT = Path(__file__).parent.parent.parent
DEFINITION = ROOT / "pipelines/definitions/quickstart.yaml"
STEPS = ["data", "teacher", "small", "verdict", "report", "live"]


def command(name: str, store: Path, *more: str) -> list[str]:
    arguments = [name, str(DEFINITION), "--store", str(store), "--set", "port=0", *more]
    return [sys.executable, "-m", "pipelines", *arguments]


def events(process: subprocess.Popen[str]) -> Iterator[dict[str, Any]]:
    assert process.stdout is not None
    for line in process.stdout:
        if line.startswith("{"):
            event = json.loads(line)
            if "step" in event:  # the last line sums the run up
                yield event


def start(store: Path, *more: str) -> subprocess.Popen[str]:
    return subprocess.Popen(command("run", store, "--json", *more), stdout=subprocess.PIPE, text=True, cwd=ROOT)


class Watch(threading.Thread):
    """Notes which processes that must not load TensorFlow have it mapped, while a run goes on."""

    def __init__(self, driver: int) -> None:
        super().__init__(daemon=True)
        self.driver = driver
        self.looked: set[str] = set()
        self.guilty: set[str] = set()
        self.done = threading.Event()

    def run(self) -> None:
        while not self.done.wait(0.3):
            for folder in Path("/proc").glob("[0-9]*"):
                self._look(folder)

    def _look(self, folder: Path) -> None:
        try:
            name = (folder / "cmdline").read_bytes().split(b"\0")[0].decode(errors="replace")
            ours = int(folder.name) == self.driver or any(n in name for n in ("TrainController", "ServeReplica"))
            if not ours:
                return
            role = "driver" if int(folder.name) == self.driver else name.split(":")[2]
            self.looked.add(role)
            if "libtensorflow" in (folder / "maps").read_text(errors="replace"):
                self.guilty.add(role)
        except OSError:  # the process ended meanwhile
            return


@pytest.fixture(scope="module")
def story(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[dict[str, Any]], Watch]:
    """Run the quickstart: SIGKILL the driver in the third epoch, run again to the end."""
    store = tmp_path_factory.mktemp("quickstart") / "runs"
    first = start(store)
    for event in events(first):
        if event["step"] == "teacher" and event.get("epoch", {}).get("epoch") == 3:
            os.kill(first.pid, signal.SIGKILL)
    assert first.wait(30) == -signal.SIGKILL
    second = start(store)
    watch = Watch(second.pid)
    watch.start()
    told = list(events(second))
    watch.done.set()
    assert second.wait(60) == 0, told[-3:]
    return store, told, watch


def artifact(store: Path, step: str) -> Artifact:
    places = list((store / "quickstart").glob(f"{step}-*"))
    assert len(places) == 1
    return artifact_at(str(places[0]), Artifact)


def test_a_killed_run_goes_on_where_it_was(story: tuple[Path, list[dict[str, Any]], Watch]) -> None:
    store, told, _ = story
    states = [(e["step"], e["state"]) for e in told if e["state"] != "event"]
    assert ("data", "reused") in states
    epochs = [e["epoch"]["epoch"] for e in told if e["step"] == "teacher" and "epoch" in e]
    resumed = [e["after_epoch"] for e in told if "after_epoch" in e]
    assert resumed
    assert resumed[0] >= 2
    assert epochs == list(range(resumed[0] + 1, 13))
    teacher = artifact(store, "teacher")
    assert isinstance(teacher, Model)
    assert [epoch.epoch for epoch in teacher.history] == list(range(1, 13))
    for step in STEPS:
        kept = {path.name for path in next((store / "quickstart").glob(f"{step}-*")).iterdir()}
        assert len(kept - {"record.json", "log.txt"}) == 1, f"{step} keeps {kept}"


def test_the_small_model_is_judged_and_has_answered(story: tuple[Path, list[dict[str, Any]], Watch]) -> None:
    store, _, _ = story
    verdict, live, report = (artifact(store, step) for step in ("verdict", "live", "report"))
    assert isinstance(verdict, Report)
    teacher, small = verdict.evaluations["teacher"], verdict.evaluations["small"]
    assert small["accuracy"] >= 0.96
    assert teacher["accuracy"] - small["accuracy"] <= 0.01
    assert small["size_bytes"] <= 0.3 * teacher["size_bytes"]
    assert isinstance(live, Endpoint)
    assert live.answer["predictions"][0]["label"] in "0123456789"
    assert isinstance(report, Report)
    page = (report.folder.path / report.page).read_text()
    assert f"{small['accuracy'] * 100:.2f}" in page or f"{small['accuracy']:.4f}" in page


def test_driver_controller_and_replica_never_load_tensorflow(
    story: tuple[Path, list[dict[str, Any]], Watch],
) -> None:
    _, _, watch = story
    assert any("TrainController" in role for role in watch.looked), watch.looked
    assert any("ServeReplica" in role for role in watch.looked), watch.looked
    assert "driver" in watch.looked
    assert not watch.guilty


def test_again_everything_is_reused_and_nothing_starts(story: tuple[Path, list[dict[str, Any]], Watch]) -> None:
    store, _, _ = story
    done = subprocess.run(command("run", store, "--json"), capture_output=True, text=True, cwd=ROOT, check=True)
    *states, summary = [json.loads(line) for line in done.stdout.splitlines()]
    assert [(e["step"], e["state"]) for e in states] == [(step, "reused") for step in STEPS]
    assert "step" not in summary


def test_plan_names_the_field_that_changed_and_what_follows(story: tuple[Path, list[dict[str, Any]], Watch]) -> None:
    store, _, _ = story
    more = ["--json", "--set", "sparsity=0.6"]
    done = subprocess.run(command("plan", store, *more), capture_output=True, text=True, cwd=ROOT, check=True)
    planned = {fact["step"]: fact for fact in map(json.loads, done.stdout.splitlines())}
    states = {step: fact["state"] for step, fact in planned.items()}
    assert states == dict(zip(STEPS, ["reuse", "reuse", "run", "run", "run", "run"], strict=True))
    assert planned["small"]["because"] == ["techniques[0].sparsity: 0.5 -> 0.6"]
    assert set(planned["live"]["because"]) == {"input 'small' changed", "input 'verdict' changed"}
