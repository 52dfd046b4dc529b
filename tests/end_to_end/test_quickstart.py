"""The quickstart, from nothing to an answered request: killed on the way, gone on with, reused, changed."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from jobs.artifacts import Artifact, Endpoint, Model, Report
from pipelines.find import artifact_at

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(900)]
ROOT = Path(__file__).parent.parent.parent
DEFINITION = ROOT / "pipelines/definitions/quickstart.yaml"
STEPS = ["data", "teacher", "small", "verdict", "report", "live"]
MIDDLES: dict[str, Callable[[dict[str, Any]], bool]] = {
    "data": lambda event: "rows" in event,
    "teacher": lambda event: event.get("epoch", {}).get("epoch") == 3,
    "small": lambda event: event.get("epoch", {}).get("epoch") == 3,
    "verdict": lambda event: event.get("judged") == "teacher",
    "report": lambda event: "start" in event,
    "live": lambda event: "serving" in event,
}  # what each step tells when it is under way


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


def is_copy(folder: Path) -> bool:
    """Say whether the process of a folder in /proc is a copy of the one that warm workers are copies of."""
    parent = (folder / "stat").read_text().rpartition(")")[2].split()[1]
    return b"warm_start.py\0--stem\0" in Path("/proc", parent, "cmdline").read_bytes()


class Watch(threading.Thread):
    """Notes which processes that must not load TensorFlow have it mapped, while a run goes on.

    Copies share what they were copied with: that theirs load nothing more is held by tests/jobs/kinds/test_imports.py.
    """

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self.drivers: set[int] = set()
        self.looked: set[str] = set()
        self.guilty: set[str] = set()
        self.copies: set[Path] = set()  # they may outlive what they are copies of
        self.done = threading.Event()

    def run(self) -> None:
        while not self.done.wait(0.3):
            for folder in Path("/proc").glob("[0-9]*"):
                self._look(folder)

    def _look(self, folder: Path) -> None:
        try:
            name = (folder / "cmdline").read_bytes().split(b"\0")[0].decode(errors="replace")
            driver = int(folder.name) in self.drivers
            if not driver and not any(role in name for role in ("TrainController", "ServeReplica")):
                return
            role = "driver" if driver else name.split(":")[2]
            self.looked.add(role)
            if is_copy(folder):
                self.copies.add(folder)
            elif folder not in self.copies and "libtensorflow" in (folder / "maps").read_text(errors="replace"):
                self.guilty.add(role)
        except OSError:  # the process ended meanwhile
            return


@dataclass
class Story:
    """What a store holds, what each run told of its steps, and which processes were looked at."""

    store: Path
    runs: list[list[dict[str, Any]]]
    watch: Watch


def killed(store: Path, watch: Watch, step: str, middle: Callable[[dict[str, Any]], bool]) -> list[dict[str, Any]]:
    """Run, SIGKILL the driver when `step` tells what `middle` waits for, and return what was told until then."""
    process = start(store)
    watch.drivers.add(process.pid)
    told = []
    for event in events(process):
        told.append(event)
        if event["step"] == step and event["state"] == "event" and middle(event):
            os.kill(process.pid, signal.SIGKILL)
    assert process.wait(30) == -signal.SIGKILL, told[-3:]
    return told


@pytest.fixture(scope="module")
def story(tmp_path_factory: pytest.TempPathFactory) -> Story:
    """Run the quickstart: SIGKILL the driver in the middle of each step in turn, then run to the end."""
    store = tmp_path_factory.mktemp("quickstart") / "runs"
    watch = Watch()
    watch.start()
    runs = [killed(store, watch, step, middle) for step, middle in MIDDLES.items()]
    process = start(store)
    watch.drivers.add(process.pid)
    runs.append(list(events(process)))
    watch.done.set()
    assert process.wait(60) == 0, runs[-1][-3:]
    return Story(store, runs, watch)


def artifact(store: Path, step: str) -> Artifact:
    places = list((store / "quickstart").glob(f"{step}-*"))
    assert len(places) == 1
    return artifact_at(str(places[0]), Artifact)


def test_no_finished_step_was_executed_again(story: Story) -> None:
    finished: set[str] = set()
    for told in story.runs:
        states = [(event["step"], event["state"]) for event in told if event["state"] != "event"]
        reused = {step for step, state in states if state == "reused"}
        assert finished <= reused  # one that was killed between its record and telling of it is reused as well
        assert not reused & {step for step, state in states if state != "reused"}
        finished = reused | {step for step, state in states if state == "done"}
    assert finished == set(STEPS)


def test_no_half_artifact_was_left(story: Story) -> None:
    for step in STEPS:
        folders = list((story.store / "quickstart").glob(f"{step}-*"))
        assert len(folders) == 1
        kept = {path.name for path in folders[0].iterdir()}
        assert {"record.json", "log.txt"} < kept
        assert len(kept) == 3, f"{step} keeps {kept}"


@pytest.mark.parametrize(("step", "epochs"), [("teacher", 12), ("small", 6)])
def test_a_killed_training_goes_on_where_it_was(story: Story, step: str, epochs: int) -> None:
    first, second = (told for told in story.runs if any(e["step"] == step and e["state"] == "running" for e in told))
    resumed = [event["after_epoch"] for event in second if event["step"] == step and "after_epoch" in event]
    assert len(resumed) == 1
    before = [event["epoch"]["epoch"] for event in first if event["step"] == step and "epoch" in event]
    assert resumed[0] >= len(before) - 1 >= 1  # the last one's checkpoint may not have been whole
    after = [event["epoch"]["epoch"] for event in second if event["step"] == step and "epoch" in event]
    assert after == list(range(resumed[0] + 1, epochs + 1))
    made = artifact(story.store, step)
    assert isinstance(made, Model)
    assert [epoch.epoch for epoch in made.history][-epochs:] == list(range(1, epochs + 1))


def test_the_small_model_is_judged_and_has_answered(story: Story) -> None:
    store = story.store
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


def test_driver_controller_and_replica_never_load_tensorflow(story: Story) -> None:
    watch = story.watch
    assert any("TrainController" in role for role in watch.looked), watch.looked
    assert any("ServeReplica" in role for role in watch.looked), watch.looked
    assert "driver" in watch.looked
    assert not watch.guilty


def test_again_everything_is_reused_and_nothing_starts(story: Story) -> None:
    store = story.store
    done = subprocess.run(command("run", store, "--json"), capture_output=True, text=True, cwd=ROOT, check=True)
    *states, summary = [json.loads(line) for line in done.stdout.splitlines()]
    assert [(e["step"], e["state"]) for e in states] == [(step, "reused") for step in STEPS]
    assert "step" not in summary


def test_plan_names_the_field_that_changed_and_what_follows(story: Story) -> None:
    store = story.store
    more = ["--json", "--set", "sparsity=0.6"]
    done = subprocess.run(command("plan", store, *more), capture_output=True, text=True, cwd=ROOT, check=True)
    planned = {fact["step"]: fact for fact in map(json.loads, done.stdout.splitlines())}
    states = {step: fact["state"] for step, fact in planned.items()}
    assert states == dict(zip(STEPS, ["reuse", "reuse", "run", "run", "run", "run"], strict=True))
    assert planned["small"]["because"] == ["techniques[0].sparsity: 0.5 -> 0.6"]
    assert set(planned["live"]["because"]) == {"input 'small' changed", "input 'verdict' changed"}
