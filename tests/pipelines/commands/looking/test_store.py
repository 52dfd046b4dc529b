from __future__ import annotations

import json
import os
import subprocess
import sys
import webbrowser
from pathlib import Path

import pytest

from tests.pipelines.commands.conftest import Define, Espalier

ROOT = Path(__file__).parents[4]


def folder_of(step: str) -> Path:
    (place,) = Path("runs/toys").glob(f"{step}-*")
    return place


def test_an_empty_store(espalier: Espalier) -> None:
    assert espalier("runs").lines == ["runs holds nothing yet"]


def test_what_the_store_holds_the_latest_first(espalier: Espalier, define: Define) -> None:
    espalier("run", define(a={}, b={"of": ["a"]}, bad={"wrong": "step"}))
    rows = [line.split() for line in espalier("runs").lines]
    assert [row[1] for row in rows] == ["b", "a", "bad"]
    assert rows[0][:3] == ["toys", "b", "Report"]
    assert rows[0][-1] == str(folder_of("b"))
    assert "unfinished" in rows[2]
    facts = [json.loads(line) for line in espalier("runs", "--json").lines]
    assert [fact["step"] for fact in facts] == ["b", "a"]
    assert espalier("runs", "--pipeline", "others").lines == ["runs holds nothing yet"]


def test_two_artifacts_side_by_side(espalier: Espalier, define: Define) -> None:
    espalier("run", define(a={"text": "one"}))
    first = folder_of("a")
    espalier("run", define(a={"text": "three"}))
    (second,) = (place for place in Path("runs/toys").iterdir() if place.name != first.name)
    said = espalier("compare", first, second)
    assert said.code == 0
    assert said.lines[0] == "text: one -> three"
    assert [line.split() for line in said.lines if line.startswith("title")] == [["title", "a", "a"]]
    assert said.lines[1].split() == [first.name, second.name]
    assert espalier("compare", first, first).lines[0] == "asked for the same"


def test_what_cannot_be_compared(espalier: Espalier, define: Define) -> None:
    espalier("run", define(a={}))
    said = espalier("compare", folder_of("a"), "runs/toys/none")
    assert (said.code, said.err) == (
        2,
        "error: runs/toys/none: holds no finished artifact, wanted a step's folder in a store; "
        "`espalier runs` lists them\n",
    )


def test_a_definition_without_a_page(espalier: Espalier, define: Define) -> None:
    path = define(a={})
    espalier("run", path)
    said = espalier("report", path)
    assert said.code == 2
    assert said.err == (
        "error: toys.yaml: has no page of a report in the store; "
        "espalier run toys.yaml makes what a step with `job: report` says\n"
    )


def test_pages_are_named_and_opened(espalier: Espalier, define: Define, monkeypatch: pytest.MonkeyPatch) -> None:
    path = define(a={})
    espalier("run", path)
    (facts,) = folder_of("a").glob("20*/artifact.json")
    document = json.loads(facts.read_text())
    document["facts"]["page"] = "out.txt"
    data = json.dumps(document).encode()
    facts.write_bytes(data)
    _record_again(folder_of("a"), data)
    page = facts.parent / "out.txt"
    opened: list[str] = []

    def browser(address: str) -> bool:
        opened.append(address)
        return True

    monkeypatch.setattr(webbrowser, "open", browser)
    assert espalier("report", path).lines == [f"a: {page}"]
    assert opened == []
    assert espalier("report", path, "--open").lines == [f"a: {page}"]
    assert opened == [page.absolute().as_uri()]


def _record_again(place: Path, data: bytes) -> None:
    """Have the record agree with changed facts."""
    import hashlib

    record = json.loads((place / "record.json").read_text())
    record["manifest"]["artifact.json"] = {"sha256": hashlib.sha256(data).hexdigest(), "size": len(data)}
    (place / "record.json").write_text(json.dumps(record))


def test_the_shell_completes_commands() -> None:
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "_ESPALIER_COMPLETE": "complete_bash"}
    environment |= {"COMP_WORDS": "espalier do", "COMP_CWORD": "1"}
    done = subprocess.run(
        [sys.executable, "-m", "pipelines"], env=environment, capture_output=True, text=True, check=False
    )
    assert done.stdout.split() == ["doctor"]
