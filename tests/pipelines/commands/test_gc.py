from __future__ import annotations

import os
import re
from pathlib import Path

import pytest

from cluster.folder import Folder
from pipelines.commands import forget, gc
from pipelines.store import Place, Store
from tests.pipelines.commands.conftest import Define, Espalier


def steps() -> list[str]:
    return sorted(place.name.partition("-")[0] for place in Path("runs/toys").iterdir())


def store() -> Store:
    return Store(Folder.parse("runs"))


def test_what_no_definition_refers_to_is_listed_and_removed(espalier: Espalier, define: Define) -> None:
    espalier("run", define(a={}, old={"of": ["a"]}, bad={"wrong": "step"}))
    path = define(a={}, new={"of": ["a"]})
    espalier("run", path)
    said = espalier("gc", path, "--yes")
    assert said.code == 0
    bad, old, last = said.lines
    assert re.fullmatch(r"runs/toys/bad-[0-9a-f]{12}  [\d,]+ bytes +unfinished", bad)
    assert re.fullmatch(r"runs/toys/old-[0-9a-f]{12}  [\d,]+ bytes +made 20.* UTC", old)
    assert last == "removed 2"
    assert steps() == ["a", "new"]
    assert espalier("gc", path, "--yes").out == "nothing to remove\n"


@pytest.mark.parametrize(("answer", "left"), [("y\n", ["a"]), ("n\n", ["a", "old"]), ("", ["a", "old"])])
def test_it_asks_first(
    espalier: Espalier, define: Define, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, answer: str, left: list[str]
) -> None:
    espalier("run", define(a={}, old={}))
    (tmp_path / "answer").write_text(answer)
    with (tmp_path / "answer").open() as file:
        monkeypatch.setattr("sys.stdin", file)
        said = espalier("gc", define(a={}))
    assert said.code == 0
    assert "remove 1, " in said.out
    assert said.lines[-1].endswith("removed 1" if left == ["a"] else "removed nothing")
    assert steps() == left


def test_every_definition_that_is_named_keeps_its_artifacts(espalier: Espalier, define: Define, tmp_path: Path) -> None:
    path = define(a={}, old={})
    espalier("run", path)
    (tmp_path / "first.yaml").write_text(path.read_text())
    espalier("gc", define(a={}), "first.yaml", "--yes")
    assert steps() == ["a", "old"]


def test_other_pipelines_are_left_alone(espalier: Espalier, define: Define, tmp_path: Path) -> None:
    path = define(a={})
    espalier("run", path)
    (tmp_path / "other.yaml").write_text(path.read_text().replace("name: toys", "name: others"))
    assert espalier("gc", "other.yaml", "--yes").out == "nothing to remove\n"
    assert steps() == ["a"]


def test_a_wrong_definition_removes_nothing(espalier: Espalier, define: Define, tmp_path: Path) -> None:
    path = define(a={}, old={})
    espalier("run", path)
    (tmp_path / "wrong.yaml").write_text("name: toys\n")
    assert espalier("gc", "wrong.yaml", "--yes").code == 2
    assert steps() == ["a", "old"]


def test_what_another_process_works_on_is_not_listed(espalier: Espalier, define: Define) -> None:
    espalier("run", define(a={}, old={}))
    (place,) = (place for place in store().places("toys") if place.step == "old")
    with place.lease:
        assert espalier("gc", define(a={}), "--yes").out == "nothing to remove\n"
    assert steps() == ["a", "old"]


def test_what_another_process_began_to_work_on_meanwhile_is_kept(espalier: Espalier, define: Define) -> None:
    espalier("run", define(a={}, old={}))
    (place,) = gc.unreferred(store(), [define(a={})], None)
    other = Place(place.store, place.pipeline, place.step, place.fingerprint)
    with other.lease:
        assert not forget.forget(place)
        assert other.lease.holder() == f"process {os.getpid()} on {os.uname().nodename}"
    assert steps() == ["a", "old"]
    assert forget.forget(place)
    assert steps() == ["a"]
