from __future__ import annotations

import re
from pathlib import Path

from tests.pipelines.commands.conftest import Define, Espalier

STAMP = r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d UTC  "


def test_what_a_step_told(espalier: Espalier, define: Define) -> None:
    path = define(a={"wrong": "step", "times": 1, "retries": 1})
    espalier("run", path)
    said = espalier("logs", path, "a")
    assert said.code == 0
    events = re.split(STAMP, said.out)[1:]
    assert events[:2] == ["started: never run\n", "rows 1,000\n"]
    assert events[2].startswith("Traceback (most recent call last):\n")
    assert events[2].endswith("cluster.errors.StepError: the toy: broke at execution 1\n")
    assert events[3:] == [
        "warning: attempt 1 of 2 failed: the toy: broke at execution 1\n",
        "rows 1,000\n",
        "done\n",
    ]


def test_half_a_line_is_printed_as_it_is(espalier: Espalier, define: Define) -> None:
    path = define(a={})
    espalier("run", path)
    (log,) = Path().glob("runs/toys/*/log.txt")
    log.write_bytes(log.read_bytes() + b'{"at": "2026-\n[1]\nnull\n{}\n')
    said = espalier("logs", path, "a")
    assert (said.code, said.lines[-4:]) == (0, ['{"at": "2026-', "[1]", "null", "{}"])


def test_no_log(espalier: Espalier, define: Define) -> None:
    said = espalier("logs", define(a={}), "a")
    assert (said.code, said.err) == (2, "error: step 'a': has no log; it never ran with these fields and inputs\n")
    said = espalier("logs", define(a={}), "b")
    assert (said.code, said.err) == (2, "error: toys.yaml: has no step 'b' (known: a)\n")
