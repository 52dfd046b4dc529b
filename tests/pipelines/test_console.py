from __future__ import annotations

import io
import json
from typing import Any

import pytest
from rich.console import Console

from pipelines.console import JsonLines, Lines, Progress, columns, describe, duration
from pipelines.live_table import LiveTable


def epoch(number: int, phase: str = "train", **facts: float) -> dict[str, Any]:
    return {
        "epoch": {
            "phase": phase,
            "epoch": number,
            "loss": 0.123456,
            "accuracy": 0.98765,
            "validation_loss": 0.2,
            "validation_accuracy": 0.97,
            "seconds": 1.5,
            "rows_per_second": 12345.6,
            "facts": facts,
        }
    }


@pytest.mark.parametrize(
    ("event", "words"),
    [
        ({"rows": 1_797}, "rows 1,797"),
        ({"rows": 8_192, "rows_per_second": 1_234.5}, "rows 8,192, 1,234 rows/s"),
        ({"start": "training", "epochs": 12}, "training, 12 epochs"),
        ({"start": "converting"}, "converting"),
        ({"start": "teacher", "because": ["epochs: 3 -> 4", "input 'data' changed"]},
         "started: epochs: 3 -> 4; input 'data' changed"),
        (epoch(3), "train epoch 3, loss 0.1235, accuracy 0.9877, validation 0.9700, 12,346 rows/s"),
        (epoch(3, mean_staleness=0.91234, closures_in_flight=4.0),
         "train epoch 3, loss 0.1235, accuracy 0.9877, validation 0.9700, 12,346 rows/s, mean staleness 0.9123, "
         "closures in flight 4"),
        ({"epoch": epoch(3, epsilon=1.25, delta=0.001)["epoch"] | {"loss": None, "accuracy": None}},
         "train epoch 3, validation 0.9700, 12,346 rows/s, epsilon 1.25, delta 0.001"),
        ({"judged": "small", "accuracy": 0.98, "size_bytes": 195_888, "p99_ms": 0.32},
         "small: accuracy 0.9800, 195,888 bytes, p99 0.320 ms"),
        ({"judged": "small", "accuracy": 0.98, "accuracy_low": 0.97, "accuracy_high": 0.99, "size_bytes": 9,
          "p99_ms": 0.32}, "small: accuracy 0.9800 (0.9700 to 0.9900), 9 bytes, p99 0.320 ms"),
        ({"answered": "9", "url": "http://127.0.0.1:8000/x"}, "http://127.0.0.1:8000/x answered a real request: 9"),
        ({"serving": "http://127.0.0.1:8000/x"}, "serving http://127.0.0.1:8000/x"),
        ({"resume": "train", "after_epoch": 3}, "train goes on after epoch 3"),
        ({"resume": "train", "after_epoch": 3, "train_step": 50}, "train goes on after epoch 3, at train_step 50"),
        ({"retry": "worker 1 of 2: died", "log": "a.err", "restart": "1 of 3"},
         "worker 1 of 2: died; its log: a.err; restart 1 of 3"),
        ({"preemption": "worker 1", "nodes": ["f"]}, "worker 1 is about to lose its node: a checkpoint is kept"),
        ({"retry": "worker 0 raised x", "log": "", "restart": "1 of 3"}, "worker 0 raised x; restart 1 of 3"),
        ({"warning": "3 rows were left out"}, "warning: 3 rows were left out"),
        ({"waiting": "process 7 on h works here"}, "process 7 on h works here"),
        ({"asked": "2 CPU, 1 GPU"}, "on 2 CPU, 1 GPU"),
        ({"seconds": 81.2, "artifact": "/runs/x"}, "in 1 min 21 s"),
        ({"artifact": "/runs/x"}, ""),
        ({"error": "raised\nTraceback"}, "raised"),
        ({"error": "x" * 200}, "x" * 159 + "…"),
        ({"left": 3, "names": ["a", "b"], "none": None, "empty": "", "yes": True}, "left 3, names a, b, yes True"),
        ({}, ""),
    ],
)  # fmt: skip
def test_an_event_in_a_few_words(event: dict[str, Any], words: str) -> None:
    assert describe(event) == words


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(0, "0.0 s"), (59.9, "59.9 s"), (60, "1 min 0 s"), (3599.6, "1 h 0 min"), (7_384, "2 h 3 min")],
)
def test_durations(seconds: float, words: str) -> None:
    assert duration(seconds) == words


def test_columns() -> None:
    assert columns([("a", "run", ""), ("longer", "reuse", "x")]) == ["a       run", "longer  reuse  x"]
    assert columns([]) == []


def ticks(*seconds: float) -> Any:
    return iter(seconds).__next__


def test_the_time_left_is_known_from_the_second_epoch_on() -> None:
    progress = Progress(ticks(100.0, 102.0, 104.0))
    progress.take({"start": "training", "epochs": 12})
    progress.take(epoch(1))
    assert describe(epoch(1), progress).startswith("train epoch 1/12, ")
    assert "ETA" not in describe(epoch(1), progress)
    assert describe(epoch(2), progress).endswith(", ETA 20.0 s")
    assert describe(epoch(3), progress).endswith(", ETA 18.0 s")


def test_at_the_last_epoch_no_time_is_left() -> None:
    progress = Progress(ticks(0.0, 5.0))
    progress.take({"start": "training", "epochs": 2})
    progress.take(epoch(1))
    assert progress.eta(2) is None


def test_after_a_resume_the_time_left_counts_from_where_it_went_on() -> None:
    progress = Progress(ticks(0.0, 3.0))
    progress.take({"start": "training", "epochs": 10})
    progress.take(epoch(6))
    assert progress.eta(7) == 9.0


def test_what_starts_next_has_its_own_epochs() -> None:
    progress = Progress(ticks(0.0, 1.0))
    progress.take({"start": "training", "epochs": 10})
    progress.take(epoch(1))
    progress.take({"start": "converting"})
    assert progress.eta(2) is None


STORY: list[tuple[str, str, dict[str, Any]]] = [
    ("data", "reused", {"artifact": "/runs/data"}),
    ("teacher", "running", {"asked": "2 CPU"}),
    ("teacher", "event", {"start": "training", "epochs": 4}),
    ("teacher", "event", epoch(1)),
    ("teacher", "event", {"warning": "3 rows [bold]"}),
    ("teacher", "event", epoch(2)),
]


def test_plain_lines(capsys: pytest.CaptureFixture[str]) -> None:
    with Lines(["data", "teacher"], ticks(0.0, 10.0)) as show:
        for told in STORY:
            show(*told)
        show("teacher", "failed", {"error": "worker 1 of 2: died\nTraceback"})
        show("data", "skipped", {"because": "because 'teacher' failed"})
    assert capsys.readouterr().out.splitlines() == [
        "data     reused",
        "teacher  running on 2 CPU",
        "teacher  training, 4 epochs",
        "teacher  train epoch 1/4, loss 0.1235, accuracy 0.9877, validation 0.9700, 12,346 rows/s",
        "teacher  warning: 3 rows [bold]",
        "teacher  train epoch 2/4, loss 0.1235, accuracy 0.9877, validation 0.9700, 12,346 rows/s, ETA 20.0 s",
        "teacher  failed worker 1 of 2: died",
        "data     skipped because 'teacher' failed",
    ]


def test_json_lines(capsys: pytest.CaptureFixture[str]) -> None:
    with JsonLines() as show:
        for told in STORY:
            show(*told)
        show("teacher", "event", {"odd": {1}})
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert lines[:-1] == [{"step": step, "state": state, **details} for step, state, details in STORY]
    assert lines[-1] == {"step": "teacher", "state": "event", "odd": "{1}"}


@pytest.fixture
def console() -> Console:
    return Console(record=True, force_terminal=True, width=120, file=io.StringIO())


def last_table(console: Console) -> list[str]:
    """Return the lines of the table as it was drawn last."""
    text = console.export_text()
    return [line.rstrip() for line in text[text.rindex("step  ") :].splitlines()]


def test_the_live_table_shows_progress_and_warnings(console: Console) -> None:
    with LiveTable(["data", "teacher"], console, ticks(0.0, 10.0)) as show:
        for told in STORY:
            show(*told)
    text = console.export_text(clear=False)
    assert "teacher: warning: 3 rows [bold]" in text
    header, data, teacher, *rest = last_table(console)
    assert header.split() == ["step", "state", "time"]
    assert data.split() == ["data", "reused"]
    assert teacher.startswith("teacher  running        train epoch 2/4, loss 0.1235, accuracy 0.9877, validation ")
    assert " ".join([teacher, *rest]).endswith("12,346 rows/s, ETA 20.0 s")


def test_the_live_table_keeps_how_long_a_step_took_and_the_last_it_told(console: Console) -> None:
    with LiveTable(["data", "teacher"], console, ticks(0.0, 10.0)) as show:
        show("data", "running", {"asked": "1 CPU"})
        show("data", "event", {"rows": 1_797})
        show("data", "done", {"seconds": 4.2, "artifact": "/runs/data"})
        show("teacher", "failed", {"error": "worker 1: died [of something]"})
    _, data, teacher = last_table(console)
    assert data == "data     done    4.2 s  rows 1,797"
    assert teacher == "teacher  failed         worker 1: died [of something]"
