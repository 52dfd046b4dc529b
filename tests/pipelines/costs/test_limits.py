from __future__ import annotations

import threading
from pathlib import Path

import yaml

from pipelines.costs.limits import Limits
from tests.pipelines.commands.conftest import Define, Espalier, define, diary, espalier  # noqa: F401  fixtures
from tests.pipelines.toy_jobs import noted


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def test_money_is_spent_by_what_runs_as_long_as_it_runs() -> None:
    clock, stop = Clock(), threading.Event()
    limits = Limits(lambda *told: None, stop, {"a": 1.0, "b": 3.0, "c": None}, None, 4.0, clock)
    clock.now = 1000
    limits("a", "running", {})
    limits("c", "running", {})
    clock.now += 3600
    limits("b", "running", {})
    limits("a", "event", {"rows": 1})
    clock.now += 1800
    assert limits.spent == 1 + 0.5 + 1.5
    limits("b", "done", {})
    limits.look()
    assert not stop.is_set()
    clock.now += 3600
    limits.look()
    assert stop.is_set()
    assert str(limits.error("toy")) == (
        "run of 'toy': was stopped when its max_cost of 4 was spent; run it again to go on"
    )


def with_line(path: Path, **lines: object) -> Path:
    path.write_text(yaml.safe_dump({**yaml.safe_load(path.read_text()), **lines}, sort_keys=False))
    return path


def test_a_run_out_of_time_stops_cleanly_and_goes_on_later(
    espalier: Espalier,  # noqa: F811
    define: Define,  # noqa: F811
    diary: Path,  # noqa: F811
    tmp_path: Path,
) -> None:
    gate = tmp_path / "gate"
    path = with_line(define(a={}, b={"of": ["a"], "gate": str(gate)}, c={"of": ["b"]}), timeout=1.5)
    said = espalier("run", path)
    assert said.code == 3
    assert said.err.splitlines()[-1] == (
        "error: run of 'toys': was stopped after its timeout of 1.5 s; run it again to go on"
    )
    assert said.lines[-1] == "kept: a; run again to go on from there"
    assert "c  skipped because the run was stopped" in said.lines
    gate.touch()
    again = espalier("run", path)
    assert again.code == 0
    assert noted(diary).count("begin a") == 1


def test_a_run_out_of_money_stops_and_what_failed_is_still_told(
    espalier: Espalier,  # noqa: F811
    define: Define,  # noqa: F811
    tmp_path: Path,
) -> None:
    steps = {"a": {"wrong": "step"}, "b": {"gate": str(tmp_path / "gate"), "cpus": 1}}
    path = with_line(define(**steps), prices={"CPU": 3600.0}, max_cost=1.0)
    said = espalier("run", path)
    assert said.code == 3
    assert "error: run of 'toys': was stopped when its max_cost of 1 was spent; run it again to go on" in said.err
    assert "error: step 'a' failed: the toy: broke at execution 1" in said.err
    assert "step 'b' failed" not in said.err


def test_the_plan_tells_costs_and_the_time_it_took(espalier: Espalier, define: Define) -> None:  # noqa: F811
    espalier("run", define(a={}, b={"of": ["a"]}))
    path = with_line(define(a={}, b={"of": ["a"], "text": "new", "cpus": 0.5}), prices={"CPU": 2.0})
    said = espalier("plan", path)
    assert said.code == 0
    assert said.lines[2].startswith("b: about 1.00 an hour, took ")
    assert said.lines[2].endswith(" s when it was last made, then about 0.00 in all")
    as_json = espalier("plan", path, "--json")
    assert '"per_hour": 1.0' in as_json.lines[1]
    assert "per_hour" not in as_json.lines[0]


def test_a_step_without_a_price_is_refused_where_money_is_limited(
    espalier: Espalier,  # noqa: F811
    define: Define,  # noqa: F811
    diary: Path,  # noqa: F811
) -> None:
    path = with_line(define(a={}, b={"of": ["a"]}), prices={"GPU": 1.0})
    assert espalier("run", path).code == 0  # nothing is limited
    path = with_line(define(a={"text": "new"}, b={"of": ["a"]}), prices={"GPU": 1.0}, max_cost=5.0)
    told = (
        "error: max_cost: cannot be kept: nobody can say what an hour of 'a', 'b' costs, wanted prices of the node "
        "types that would be started, or of CPU and GPU; add them to prices, or leave max_cost out"
    )
    before = noted(diary)
    for command in ("run", "plan"):
        said = espalier(command, path)
        assert (said.code, said.err.splitlines()[-1]) == (2, told)
    assert noted(diary) == before
