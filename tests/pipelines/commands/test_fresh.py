from __future__ import annotations

import os
from pathlib import Path

from cluster.folder import Folder
from pipelines.store import Store
from tests.pipelines.commands.conftest import Define, Espalier
from tests.pipelines.toy_jobs import executions


def test_steps_and_what_depends_on_them_are_forgotten(espalier: Espalier, define: Define, diary: Path) -> None:
    path = define(a={}, b={"of": ["a"]}, c={"of": ["b"]}, beside={"of": ["a"]})
    espalier("run", path)
    said = espalier("fresh", path, "b")
    assert (said.code, said.out) == (0, "b: forgotten\nc: forgotten\n")
    assert sorted(place.name.partition("-")[0] for place in Path("runs/toys").iterdir()) == ["a", "beside"]
    espalier("run", path)
    assert [executions(diary, step) for step in ("a", "b", "c", "beside")] == [1, 2, 2, 1]


def test_what_was_not_made(espalier: Espalier, define: Define) -> None:
    said = espalier("fresh", define(a={}), "a")
    assert (said.code, said.out) == (0, "a: was not made\n")


def test_what_is_no_step(espalier: Espalier, define: Define) -> None:
    path = define(a={})
    espalier("run", path)
    said = espalier("fresh", path, "a", "b")
    assert (said.code, said.out, said.err) == (2, "", "error: toys: has no step 'b' (known: a)\n")
    assert len(list(Path("runs/toys").iterdir())) == 1


def test_what_is_being_worked_on_is_kept(espalier: Espalier, define: Define) -> None:
    path = define(a={})
    espalier("run", path)
    (place,) = Store(Folder.parse("runs")).places("toys")
    with place.lease:
        said = espalier("fresh", path, "a")
    assert said.code == 0
    holder = f"process {os.getpid()} on {os.uname().nodename}"
    assert said.out == f"kept: runs/toys/a-{place.fingerprint}: {holder} works here\n"
    assert place.record() is not None
