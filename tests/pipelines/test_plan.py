from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from cluster.errors import ClusterError, RequestError
from cluster.folder import Folder
from cluster.resources import Resources
from cluster.session import cpus_here
from pipelines.plan import Planned, check_capacity, plan
from pipelines.runner import Runner
from pipelines.store import Store
from tests.pipelines.toy_jobs import noted, pipeline


class Plans:
    """Plans and runs toy pipelines on a store of their own."""

    def __init__(self, root: Path) -> None:
        self.diary = root / "diary"
        self.store = Store(Folder.parse(str(root / "runs")))

    def __call__(self, fresh: tuple[str, ...] = (), **steps: dict[str, Any]) -> dict[str, Planned]:
        return plan(pipeline(self.diary, **steps), self.store, fresh)

    def reasons(self, fresh: tuple[str, ...] = (), **steps: dict[str, Any]) -> dict[str, list[str]]:
        return {name: step.reasons for name, step in self(fresh, **steps).items()}

    def run(self, **steps: dict[str, Any]) -> None:
        toys = pipeline(self.diary, **steps)
        made = {"versions": {}, "commit": ""}
        Runner(toys, plan(toys, self.store), Resources(2), lambda *told: None, made).run()


@pytest.fixture
def plans(tmp_path: Path) -> Plans:
    return Plans(tmp_path)


def test_what_never_ran_says_so_and_nothing_is_made(plans: Plans) -> None:
    assert plans.reasons(a={}, b={"of": ["a"]}) == {"a": ["never run"], "b": ["never run"]}
    assert not plans.store.root.exists()
    assert noted(plans.diary) == []


def test_what_is_done_is_reused(plans: Plans) -> None:
    plans.run(a={}, b={"of": ["a"]})
    planned = plans(a={}, b={"of": ["a"]})
    assert [step.reused for step in planned.values()] == [True, True]
    assert [step.reasons for step in planned.values()] == [[], []]


def test_steps_come_in_the_order_they_can_run(plans: Plans) -> None:
    assert list(plans(c={"of": ["b"]}, b={"of": ["a"]}, a={})) == ["a", "b", "c"]


def test_a_changed_field_is_named_and_what_follows_names_its_input(plans: Plans) -> None:
    plans.run(a={}, b={"of": ["a"], "text": "old"}, c={"of": ["b"]}, beside={"of": ["a"]})
    assert plans.reasons(a={}, b={"of": ["a"], "text": "new"}, c={"of": ["b"]}, beside={"of": ["a"]}) == {
        "a": [],
        "b": ["text: old -> new"],
        "c": ["input 'b' changed"],
        "beside": [],
    }


def test_changing_back_reuses_what_was_made_before(plans: Plans) -> None:
    plans.run(a={"text": "one"})
    plans.run(a={"text": "two"})
    assert plans.reasons(a={"text": "one"}) == {"a": []}
    assert plans.reasons(a={"text": "three"}) == {"a": ["text: two -> three"]}


def test_what_does_not_count_changes_nothing(plans: Plans) -> None:
    plans.run(a={})
    assert plans.reasons(a={"cpus": 2, "retries": 3, "timeout": 9}) == {"a": []}


def test_fresh_names_the_step_that_was_asked_for(plans: Plans) -> None:
    steps: dict[str, Any] = {"a": {}, "b": {"of": ["a"]}, "c": {"of": ["b"]}}
    plans.run(**steps)
    assert plans.reasons(("b",), **steps) == {
        "a": [],
        "b": ["asked for with --fresh"],
        "c": ["input 'b' is made afresh"],
    }


def test_fresh_refuses_what_is_no_step(plans: Plans) -> None:
    with pytest.raises(RequestError, match=r"^toys: has no step 'teecher', did you mean 'teacher'\?$"):
        plans(("teecher",), teacher={}, data={})
    with pytest.raises(RequestError, match=r"^toys: has no step 'x' \(known: teacher, data\)$"):
        plans(("x",), teacher={}, data={})


@pytest.mark.parametrize(
    ("damage", "told"),
    [
        (b"", "out.txt is 0 bytes, wanted 5"),
        (b"he", "out.txt is 2 bytes, wanted 5"),
        (None, "out.txt is missing"),
    ],
)
def test_a_damaged_file_is_named(plans: Plans, damage: bytes | None, told: str) -> None:
    plans.run(a={"text": "hello"})
    (place,) = plans.store.places("toys")
    file = place.folder.path / place.attempts()[0] / "out.txt"
    file.unlink() if damage is None else file.write_bytes(damage)
    assert plans.reasons(a={"text": "hello"}) == {"a": [f"its artifact is damaged: {told}"]}


def test_one_changed_byte_is_found(plans: Plans) -> None:
    plans.run(a={"text": "hello"})
    (place,) = plans.store.places("toys")
    (place.folder.path / place.attempts()[0] / "out.txt").write_text("hellp")
    ((reason,),) = plans.reasons(a={"text": "hello"}).values()
    assert reason.startswith("its artifact is damaged: out.txt has SHA-256 ")


def test_what_failed_before_is_not_never_run(plans: Plans) -> None:
    plans.run(a={"wrong": "step"})
    assert plans.reasons(a={}) == {"a": ["it was begun and not finished"]}
    plans.run(a={})
    plans.run(a={"text": "new", "wrong": "step"})
    assert plans.reasons(a={"text": "new"}) == {"a": ['text: "" -> new', "it was begun and not finished"]}


def test_what_is_reused_asks_for_nothing(plans: Plans) -> None:
    plans.run(a={})
    check_capacity(plans(a={"cpus": 5}), Resources(2))


def test_what_is_kept_counts_for_what_comes_after(plans: Plans) -> None:
    with pytest.raises(
        ClusterError, match=r"^step .b. needs 2 CPU beside the 1 CPU that .a. keeps, the cluster can hold 2 CPU;"
    ):
        check_capacity(plans(a={"holds": 1}, b={"of": ["a"], "cpus": 2}), Resources(2))
    with pytest.raises(ClusterError, match=r"^step .a. needs 2 CPU beside the 1 CPU that .b. keeps"):
        check_capacity(plans(a={"holds": 2, "cpus": 2}, b={"holds": 1}), Resources(2))
    check_capacity(plans(a={"holds": 1}, b={"cpus": 2}), Resources(2))


def test_a_step_that_can_never_fit_is_refused(plans: Plans) -> None:
    with pytest.raises(ClusterError) as caught:
        check_capacity(plans(a={}, x={"cpus": 5}), Resources(2))
    assert str(caught.value) == (
        "step 'x' needs 5 CPU, the cluster can hold 2 CPU; ask for less, or use a larger cluster"
    )
    with pytest.raises(ClusterError, match="needs 1 CPU, the cluster can hold 0 CPU, 4 GPU"):
        check_capacity(plans(a={}), Resources(0, 4))


@pytest.mark.parametrize("command", ["plan", "run"])
def test_too_many_workers_are_refused_at_once_and_nothing_is_started(tmp_path: Path, command: str) -> None:
    workers = cpus_here() + 3
    path = tmp_path / "many.yaml"
    path.write_text(
        "name: many\n"
        "steps:\n"
        "  data: {job: dataset, source: {kind: digits}}\n"
        "  x:\n"
        "    job: train\n"
        "    data: data\n"
        "    model: {backbone: {kind: resnet}}\n"
        f"    batch_size: {workers}\n"
        f"    strategy: {{kind: data_parallel, workers: {workers}}}\n"
    )
    done = subprocess.run(
        [
            sys.executable,
            "-m",
            "tests.pipelines.offline",
            "--modules",
            command,
            str(path),
            "--store",
            str(tmp_path / "runs"),
        ],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == 4
    assert done.stderr == (
        f"error: step 'x' needs {workers} CPU, the cluster can hold {cpus_here()} CPU; "
        "ask for less, or use a larger cluster\n"
    )
    assert not {"ray", "tensorflow", "pyarrow", "numpy"} & set(done.stdout.splitlines()[-1].split())
