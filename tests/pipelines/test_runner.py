from __future__ import annotations

import json
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from cluster.errors import ClusterError, RequestError, StepError
from cluster.folder import Folder
from cluster.resources import Resources
from jobs.artifacts import Artifact
from pipelines.plan import plan
from pipelines.runner import Outcome, Runner
from pipelines.store import Store
from tests.pipelines.toy_jobs import MEETINGS, executions, noted, pipeline, write

MADE = {"versions": {"python": "3"}, "commit": "c0ffee"}


class Toys:
    """Runs toy pipelines on a store of their own, and keeps what the runner says."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.diary = root / "diary"
        self.store = Store(Folder.parse(str(root / "runs")))
        self.told: list[tuple[str, str, dict[str, Any]]] = []
        self.on: Callable[[str, str], None] = lambda step, state: None
        self.stop = threading.Event()

    def listen(self, step: str, state: str, details: dict[str, Any]) -> None:
        self.told.append((step, state, details))
        self.on(step, state)

    def run(self, cpus: float = 2, fresh: tuple[str, ...] = (), **steps: dict[str, Any]) -> Outcome:
        self.told.clear()
        toys = pipeline(self.diary, **steps)
        planned = plan(toys, self.store, fresh)
        return Runner(toys, planned, Resources(cpus), self.listen, MADE, self.stop).run()

    def events(self, step: str) -> list[dict[str, Any]]:
        return [details for name, state, details in self.told if (name, state) == (step, "event")]

    def states(self, step: str) -> list[str]:
        return [state for name, state, _ in self.told if name == step and state != "event"]

    def log(self, step: str) -> list[dict[str, Any]]:
        (place,) = [place for place in self.store.places("toys") if place.step == step]
        return [json.loads(line) for line in place.log_path.read_text().splitlines()]


@pytest.fixture
def toys(tmp_path: Path) -> Toys:
    return Toys(tmp_path)


def text(artifact: Artifact) -> str:
    return artifact.folder.read_bytes("out.txt").decode()


def most_at_once(diary: Path) -> int:
    running = most = 0
    for line in noted(diary):
        running += 1 if line.startswith("begin") else -1
        most = max(most, running)
    return most


def test_a_step_gets_its_inputs_and_runs_after_them(toys: Toys) -> None:
    outcome = toys.run(c={"of": ["a", "b"]}, a={}, b={"of": ["a"]})
    assert outcome.done
    assert outcome.states == {"a": "done", "b": "done", "c": "done"}
    assert text(outcome.artifacts["c"]) == "aabc"
    assert noted(toys.diary) == ["begin a", "end a", "begin b", "end b", "begin c", "end c"]
    assert toys.states("a") == ["running", "done"]


def test_steps_that_do_not_depend_on_one_another_run_side_by_side(toys: Toys) -> None:
    MEETINGS["pairs"] = threading.Barrier(2)
    steps: dict[str, Any] = {name: {"meet": "pairs"} for name in "abcdef"}
    assert toys.run(2, **steps).done
    assert most_at_once(toys.diary) == 2


def test_what_a_step_keeps_leaves_room_for_what_does_not_depend_on_it(toys: Toys) -> None:
    assert toys.run(2, live={"holds": 1}, small={}, large={"cpus": 2}).done
    lines = noted(toys.diary)
    assert lines.index("end large") < lines.index("begin live")


def test_a_step_that_failed_keeps_no_other_waiting(toys: Toys) -> None:
    outcome = toys.run(2, bad={"wrong": "step"}, large={"of": ["bad"], "cpus": 2}, live={"holds": 1})
    assert outcome.states == {"bad": "failed", "large": "skipped", "live": "done"}


def test_no_more_steps_run_at_once_than_there_is_room_for(toys: Toys) -> None:
    assert toys.run(2, a={"cpus": 2}, b={"cpus": 1.5}, c={"cpus": 1}, d={"cpus": 2}).done
    assert most_at_once(toys.diary) == 1


def test_fractions_of_a_cpu_come_back_whole(toys: Toys) -> None:
    third = {"cpus": 0.1}
    assert toys.run(0.3, a=third, b=third, c=third, d={"cpus": 0.3, "of": ["a", "b", "c"]}).done


def test_a_failure_stops_only_what_depends_on_it(toys: Toys) -> None:
    below: dict[str, Any] = {"below": {"of": ["bad"]}, "last": {"of": ["below"]}}
    outcome = toys.run(bad={"wrong": "step"}, **below, good={}, more={"of": ["good"]})
    assert not outcome.done
    assert outcome.states == {"bad": "failed", "good": "done", "more": "done", "below": "skipped", "last": "skipped"}
    assert {name: str(error) for name, error in outcome.errors.items()} == {"bad": "the toy: broke at execution 1"}
    assert toys.told[-1] == ("last", "skipped", {"because": "because 'bad' failed"})
    assert sorted(outcome.artifacts) == ["good", "more"]


def test_the_next_run_repeats_what_failed_and_nothing_else(toys: Toys) -> None:
    steps: dict[str, Any] = {"good": {}, "bad": {"wrong": "step", "times": 1, "of": ["good"]}}
    assert not toys.run(**steps).done
    assert toys.run(**steps).states == {"good": "reused", "bad": "done"}
    assert (executions(toys.diary, "good"), executions(toys.diary, "bad")) == (1, 2)
    assert toys.run(**steps).states == {"good": "reused", "bad": "reused"}
    assert executions(toys.diary) == 3


def test_a_failed_attempt_leaves_its_checkpoints_and_log_and_nothing_else(toys: Toys) -> None:
    toys.run(bad={"wrong": "bug"})
    (place,) = toys.store.places("toys")
    assert place.folder.names() == ["checkpoints", "log.txt"]


@pytest.mark.parametrize(("wrong", "kind"), [("step", StepError), ("disk", OSError), ("bug", KeyError)])
def test_an_attempt_that_fails_is_followed_by_another(toys: Toys, wrong: str, kind: type[Exception]) -> None:
    assert toys.run(a={"wrong": wrong, "times": 2, "retries": 2}).done
    assert executions(toys.diary) == 3
    assert [event["warning"].partition(" failed: ")[0] for event in toys.events("a") if "warning" in event] == [
        "attempt 1 of 3",
        "attempt 2 of 3",
    ]
    outcome = toys.run(b={"wrong": wrong, "retries": 1})
    assert executions(toys.diary, "b") == 2
    assert type(outcome.errors["b"]) is kind


@pytest.mark.parametrize("retries", [2, "unlimited"])  # which the same error three times ends
def test_the_last_attempts_error_is_the_steps(toys: Toys, retries: int | str) -> None:
    outcome = toys.run(a={"wrong": "step", "retries": retries})
    assert str(outcome.errors["a"]) == "the toy: broke at execution 3"
    assert isinstance(outcome.errors["a"], StepError)


def test_a_wrong_request_is_not_tried_again(toys: Toys) -> None:
    outcome = toys.run(a={"wrong": "request", "retries": 5})
    assert isinstance(outcome.errors["a"], RequestError)
    assert executions(toys.diary) == 1


def test_an_attempt_that_takes_too_long_is_stopped(toys: Toys) -> None:
    outcome = toys.run(slow={"gate": "/never", "timeout": 0.05, "retries": 1}, other={})
    assert outcome.states == {"slow": "failed", "other": "done"}
    assert str(outcome.errors["slow"]) == "step 'slow': took longer than its timeout of 0.05 s; raise its timeout"
    assert isinstance(outcome.errors["slow"], StepError)
    assert executions(toys.diary, "slow") == 2


def test_stop_ends_what_runs_and_starts_nothing_more(toys: Toys) -> None:
    toys.on = lambda step, state: toys.stop.set() if (step, state) == ("slow", "event") else None
    outcome = toys.run(first={}, slow={"gate": "/never", "of": ["first"], "retries": 3}, last={"of": ["slow"]})
    assert outcome.states == {"first": "done", "slow": "stopped", "last": "skipped"}
    assert toys.told[-1] == ("last", "skipped", {"because": "because the run was stopped"})
    assert executions(toys.diary) == 2
    assert not list(toys.root.rglob("lease*"))


def test_a_step_that_ends_all_the_same_when_stopped_is_done(toys: Toys) -> None:
    gate = toys.root / "gate"

    def stop(step: str, state: str) -> None:
        if state == "event":
            toys.stop.set()
            gate.touch()

    toys.on = stop
    assert toys.run(only={"gate": str(gate), "deaf": True}).done


def test_a_run_that_is_stopped_before_it_begins_starts_nothing(toys: Toys) -> None:
    toys.stop.set()
    assert toys.run(a={}).states == {"a": "skipped"}
    assert noted(toys.diary) == []


def test_fresh_makes_a_step_and_what_depends_on_it_again(toys: Toys) -> None:
    steps: dict[str, Any] = {"a": {}, "b": {"of": ["a"]}, "c": {"of": ["b"]}, "beside": {"of": ["a"]}}
    toys.run(**steps)
    outcome = toys.run(fresh=("b",), **steps)
    assert outcome.states == {"a": "reused", "beside": "reused", "b": "done", "c": "done"}
    assert [executions(toys.diary, name) for name in steps] == [1, 2, 2, 1]
    places = list(toys.store.places("toys"))
    assert [len(place.attempts()) for place in places] == [1, 1, 1, 1]


def test_fresh_does_not_go_on_from_checkpoints(toys: Toys) -> None:
    toys.run(a={"wrong": "step", "times": 1})
    (place,) = toys.store.places("toys")
    place.checkpoints.write_bytes("old.txt", b"old")
    seen: list[bool] = []
    toys.on = lambda step, state: seen.append(place.checkpoints.exists("old.txt")) if state == "event" else None
    assert toys.run(fresh=("a",), a={}).done
    assert seen == [False]


def test_a_damaged_artifact_is_made_again(toys: Toys) -> None:
    made = toys.run(a={}, b={"of": ["a"]}).artifacts["a"].folder
    (made.path / "out.txt").write_text("b")
    outcome = toys.run(a={}, b={"of": ["a"]})
    assert outcome.states == {"b": "reused", "a": "done"}
    assert text(outcome.artifacts["a"]) == "a"
    assert executions(toys.diary, "a") == 2
    assert not made.exists()


def test_what_another_run_made_since_the_plan_is_reused(toys: Toys) -> None:
    def other_run(step: str, state: str) -> None:
        if (step, state) == ("a", "done"):
            toys.on = lambda step, state: None
            other = Toys(toys.root)
            assert other.run(a={}, b={"of": ["a"]}).states == {"a": "reused", "b": "done"}

    toys.on = other_run
    assert toys.run(a={}, b={"of": ["a"]}).states == {"a": "done", "b": "reused"}
    assert executions(toys.diary, "b") == 1


def test_of_two_runs_at_once_one_works_and_the_other_reuses(toys: Toys) -> None:
    gate = toys.root / "gate"
    path = write(toys.root / "toys.yaml", toys.diary, a={"gate": str(gate)}, b={"of": ["a"]})
    command = [sys.executable, "-m", "tests.pipelines.offline", "run", str(path), "--store", str(toys.store.root)]
    with subprocess.Popen([*command, "--json"], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert json.loads(process.stdout.readline())["state"] == "running"
        toys.on = lambda step, state: gate.touch() if (step, state) == ("a", "event") else None
        outcome = toys.run(a={"gate": str(gate)}, b={"of": ["a"]})
        assert toys.events("a")[0]["waiting"].startswith(f"process {process.pid} on ")
        assert toys.events("a")[0]["waiting"].endswith(" works here; waiting until it is done")
        process.stdout.read()
    assert process.returncode == 0
    assert outcome.done
    assert outcome.states["a"] == "reused"
    assert (executions(toys.diary, "a"), executions(toys.diary, "b")) == (1, 1)


def test_the_log_holds_what_happened_attempt_after_attempt(toys: Toys) -> None:
    outcome = toys.run(a={"wrong": "step", "times": 1, "retries": 1})
    log = toys.log("a")
    assert all(entry.pop("at").endswith("+00:00") for entry in log)
    assert log.pop(2).pop("traceback").startswith("Traceback (most recent call last):\n")
    assert log == [
        {"start": "a", "because": ["never run"]},
        {"rows": 1000},
        {"warning": "attempt 1 of 2 failed: the toy: broke at execution 1"},
        {"rows": 1000},
        {"done": "a", "artifact": str(outcome.artifacts["a"].folder)},
    ]


def test_the_log_of_an_error_that_is_not_ours_names_its_type(toys: Toys) -> None:
    outcome = toys.run(a={"wrong": "bug"})
    assert toys.log("a")[-1]["error"] == "KeyError: 'toy'"
    assert "in _go_wrong" in toys.log("a")[-1]["traceback"]
    assert toys.told[-1] == ("a", "failed", {"error": "KeyError: 'toy'"})
    assert isinstance(outcome.errors["a"], KeyError)


def test_half_a_line_that_a_killed_run_left_does_not_spoil_the_next(toys: Toys) -> None:
    toys.run(a={"wrong": "step", "times": 1})
    (place,) = toys.store.places("toys")
    with place.log_path.open("a") as file:
        file.write('{"at": "2026-')
    assert toys.run(a={}).done
    assert '\n{"at": "2026-\n{"at": ' in place.log_path.read_text()


def test_a_record_tells_versions_and_commit(toys: Toys) -> None:
    toys.run(a={})
    (place,) = toys.store.places("toys")
    record = place.record()
    assert record is not None
    assert (record.type, record.made.versions, record.made.commit) == ("Report", {"python": "3"}, "c0ffee")
    assert sorted(record.manifest) == ["artifact.json", "out.txt"]


def test_cluster_errors_pass_through(toys: Toys) -> None:
    assert isinstance(toys.run(a={"wrong": "cluster"}).errors["a"], ClusterError)
