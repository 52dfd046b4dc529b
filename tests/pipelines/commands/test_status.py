from __future__ import annotations

import os
from pathlib import Path

from cluster.folder import Folder
from pipelines.load import load
from pipelines.plan import plan
from pipelines.runner import Log
from pipelines.store import Store
from tests.pipelines.commands.conftest import Define, Espalier


def test_what_is_done_and_what_is_not(espalier: Espalier, define: Define) -> None:
    espalier("run", define(a={}, bad={"of": ["a"], "wrong": "step"}))
    said = espalier("status", define(a={}, bad={"of": ["a"]}, last={"of": ["bad"]}))
    assert said.code == 0
    done, unfinished, last = said.lines
    assert done.startswith("a     done        20")
    (place,) = (place for place in Store(Folder.parse("runs")).places("toys") if place.step == "a")
    record = place.record()
    assert record is not None
    size = sum(file.size for file in record.manifest.values())
    assert done.endswith(f" UTC, Report of {size:,} bytes in runs/toys/a-{place.fingerprint}/{record.attempt}")
    assert unfinished == "bad   unfinished  the next run goes on from its checkpoints"
    assert last == "last  not done    never run"


def test_who_works_on_a_step(espalier: Espalier, define: Define) -> None:
    path = define(a={})
    espalier("run", path)
    (place,) = Store(Folder.parse("runs")).places("toys")
    holder = f"process {os.getpid()} on {os.uname().nodename}"
    with place.lease:
        assert espalier("status", path).out.endswith(f", being made again by {holder}\n")
        place.folder.remove("record.json")
        assert espalier("status", path).out == f"a  running  {holder}\n"


def test_a_damaged_artifact_is_not_done(espalier: Espalier, define: Define) -> None:
    path = define(a={"text": "hello"})
    espalier("run", path)
    (file,) = Path().glob("runs/toys/*/*/out.txt")
    file.write_text("hell")
    said = espalier("status", path)
    assert said.out == "a  not done  its artifact is damaged: out.txt is 4 bytes, wanted 5\n"


def test_a_step_at_work_names_its_page_on_the_dashboard(espalier: Espalier, define: Define) -> None:
    path = define(a={})
    (step,) = plan(load(path), Store(Folder.parse("runs"))).values()
    page = "http://127.0.0.1:8265/#/jobs/01000000"
    with step.place.lease:
        Log(step, lambda *told: None, page)({"rows": 3})
        assert espalier("status", path).lines[0].endswith(f" on {os.uname().nodename}, {page}")
        Log(step, lambda *told: None)  # of a run on a cluster without a dashboard
        assert espalier("status", path).lines[0].endswith(f" on {os.uname().nodename}")
