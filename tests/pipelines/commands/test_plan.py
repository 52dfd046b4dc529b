from __future__ import annotations

import json
from pathlib import Path

from cluster.session import cpus_here
from tests.pipelines.commands.conftest import Define, Espalier
from tests.pipelines.toy_jobs import executions


def test_the_plan_of_what_never_ran(espalier: Espalier, define: Define, tmp_path: Path) -> None:
    said = espalier("plan", define(a={}, longer={"of": ["a"], "cpus": 0.5}))
    assert said.code == 0
    assert said.lines == [
        "a       run  1 CPU    never run",
        "longer  run  0.5 CPU  never run",
        f"0 to reuse, 2 to run; this machine can hold {cpus_here()} CPU",
    ]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["toys.yaml"]


def test_the_plan_names_the_field_that_changed(espalier: Espalier, define: Define, diary: Path) -> None:
    espalier("run", define(a={}, b={"of": ["a"]}, c={"of": ["b"]}))
    said = espalier("plan", define(a={}, b={"of": ["a"], "text": "new"}, c={"of": ["b"]}))
    assert said.lines[0].startswith("a  reuse         made 20")
    assert said.lines[0].endswith(" UTC")
    assert said.lines[1:3] == ['b  run    1 CPU  text: "" -> new', "c  run    1 CPU  input 'b' changed"]
    assert executions(diary) == 3


def test_the_plan_as_json(espalier: Espalier, define: Define) -> None:
    espalier("run", define(a={}))
    said = espalier("plan", define(a={}, b={"of": ["a"], "cpus": 1}), "--json")
    facts = [json.loads(line) for line in said.lines]
    assert [len(entry.pop("fingerprint")) for entry in facts] == [64, 64]
    assert facts == [
        {"step": "a", "state": "reuse", "because": [], "cpus": 1.0, "gpus": 0, "fits": True},
        {"step": "b", "state": "run", "because": ["never run"], "cpus": 1, "gpus": 0, "fits": True},
    ]


def test_a_step_that_can_never_fit_is_shown_and_refused(espalier: Espalier, define: Define) -> None:
    many = cpus_here() + 3
    said = espalier("plan", define(x={"cpus": many}))
    assert said.code == 4
    assert said.lines[0] == f"x  run  {many} CPU  never run"
    assert said.err == (
        f"error: step 'x' needs {many} CPU, the cluster can hold {cpus_here()} CPU; "
        "ask for less, or use a larger cluster\n"
    )


def test_fresh(espalier: Espalier, define: Define) -> None:
    path = define(a={}, b={"of": ["a"]})
    espalier("run", path)
    said = espalier("plan", path, "--fresh", "b")
    assert said.lines[1] == "b  run    1 CPU  asked for with --fresh"
    said = espalier("plan", path, "--fresh", "c")
    assert (said.code, said.err) == (2, "error: toys: has no step 'c' (known: a, b)\n")


def test_a_cluster_that_does_not_answer(espalier: Espalier, define: Define) -> None:
    said = espalier("plan", define(a={}), "--address", "127.0.0.1:1")
    assert said.code == 4
    assert said.err == (
        "error: cluster 127.0.0.1:1: does not answer ([Errno 111] Connection refused); "
        "check --address, RAY_ADDRESS and the token\n"
    )


def test_a_finished_plan_asks_no_cluster(espalier: Espalier, define: Define) -> None:
    espalier("run", define(a={}))
    said = espalier("plan", define(a={}), "--address", "127.0.0.1:1")
    assert (said.code, said.lines[-1]) == (0, "1 to reuse, 0 to run")
