"""The pure parts of the harness: statistics, what is ok, the table, the file; nothing here is timed."""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path
from typing import ClassVar

import numpy as np
import pytest

from tests.benchmarks import references
from tests.benchmarks.__main__ import chosen, run
from tests.benchmarks.command_line import imported, not_reused
from tests.benchmarks.data_parallel import Trained, differences, steady
from tests.benchmarks.harness import Benchmark, Better, Broken, Origin, Pair, Result, broken_result, measured, result_of
from tests.benchmarks.noise import disturbances
from tests.benchmarks.quickstart import shortcomings
from tests.benchmarks.registry import BENCHMARKS
from tests.benchmarks.replica_uss import unique
from tests.benchmarks.table import table, write

QUIET = Origin("2026-01-02", "c0ffee", noisy=False)
FIELDS = ["id", "name", "unit", "ours", "reference", "ratio", "low", "high"]
FIELDS += ["target", "better", "limit", "noisy", "ok", "made", "commit"]


class Speed(Benchmark):
    """Plays figures back: ours from one list, the reference's from another."""

    id = "speed"
    name = "rows fed"
    unit = "rows/s"
    better: ClassVar[Better] = "higher"
    target: ClassVar[float | None] = 0.95

    def __init__(self, ours: list[float], references: list[float], wrong: str = "") -> None:
        self.order: list[str] = []
        self.figures = {"ours": list(ours), "reference": list(references)}
        self.wrong = wrong

    def _next(self, side: str) -> float:
        self.order.append(side)
        return self.figures[side].pop(0)

    def ours(self) -> float:
        return self._next("ours")

    def reference(self) -> float:
        return self._next("reference")

    def faults(self) -> Iterator[str]:
        yield from [self.wrong] if self.wrong else []


class WorstSpeed(Speed):
    """The same, every pair counting."""

    whole_interval = True


class Draws(Speed):
    """Each pair is another draw."""

    of_means = True


class Memory(Speed):
    """A figure without reference, under a limit of its own."""

    id = "memory"
    unit = "MB"
    better = "lower"
    target = None
    limit = 200.0

    def reference(self) -> None:  # type: ignore[override]
        return None


class Fails(Speed):
    """Cannot be measured."""

    def ours(self) -> float:
        raise Broken("ended with 1: its command")


def made(benchmark: Benchmark, faults: tuple[str, ...] = ()) -> Result:
    pairs = measured(benchmark, 5, lambda pair: None)
    return result_of(benchmark, pairs, faults, QUIET)


def test_the_ratio_is_the_median_of_the_pairs_ratios_not_the_ratio_of_medians() -> None:
    result = made(Speed([10, 100, 9, 8, 30], [10, 200, 10, 10, 10]))
    assert (result.ours, result.reference) == (10, 10)
    assert (result.ratio, result.low, result.high) == (0.9, 0.5, 3.0)


def test_every_other_pair_begins_with_the_reference() -> None:
    speed = Speed([1] * 5, [1] * 5)
    told: list[Pair] = []
    pairs = measured(speed, 3, told.append)
    assert speed.order == ["ours", "reference", "reference", "ours", "ours", "reference"]
    assert told == pairs == [Pair(1, 1)] * 3


def test_the_median_reaches_the_target_whatever_the_worst_pair() -> None:
    figures = [50.0, 95, 96, 97, 98], [100.0] * 5
    assert made(Speed(*figures)).ok
    assert not made(WorstSpeed(*figures)).ok
    assert made(WorstSpeed([95] * 5, [100] * 5)).ok


def test_of_draws_the_means_are_told_and_judged() -> None:
    result = made(Draws([90, 110, 100, 100, 50], [100] * 5))
    assert (result.ours, result.reference, result.ratio) == (90, 100, 0.9)
    assert not result.ok
    assert made(Draws([90, 110, 100, 80, 120], [100] * 5)).ok


def test_a_faster_wrong_answer_is_not_ok() -> None:
    result = made(Speed([200] * 5, [100] * 5), faults=("the losses differ",))
    assert result.ratio == 2
    assert not result.ok


def test_without_a_reference_ours_is_judged_and_held_to_its_limit() -> None:
    result = made(Memory([190, 150, 210, 180, 170], []))
    assert (result.ours, result.reference, result.ratio, result.low, result.high) == (180, None, None, 150, 210)
    assert result.ok
    assert not made(Memory([201] * 5, [])).ok


def test_figures_keep_four_digits() -> None:
    result = made(Memory([123.456789] * 5, []))
    assert (result.ours, result.low) == (123.5, 123.5)


def test_one_that_breaks_stays_in_the_table(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    result = run(Fails([], []), 5, tmp_path, QUIET)
    assert result == broken_result(Fails([], []), QUIET)
    assert (result.ours, result.ok) == (None, False)
    assert capsys.readouterr().out == "speed: rows fed\n  BROKEN: ended with 1: its command\n"


def test_pairs_and_faults_are_shown(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert not run(Speed([90], [100], wrong="the losses differ"), 1, tmp_path, QUIET).ok
    shown = "speed: rows fed\n  90 rows/s, reference 100, ratio 0.9\n  WRONG: the losses differ\n"
    assert capsys.readouterr().out == shown


def test_the_table() -> None:
    noisy = Origin("2026-01-02", "c0ffee", noisy=True)
    slow = result_of(Speed([], []), [Pair(90, 100), Pair(80, 100), Pair(96, 100)], [], noisy)
    lines = table([slow, made(Memory([150] * 5, [])), broken_result(Speed([], []), QUIET)]).splitlines()
    assert lines == [
        "id      ours       reference   ratio  low … high  target     ok",
        "speed   90 rows/s  100 rows/s  0.9    0.8 … 0.96  >= 0.95    NO (noisy)",
        "memory  150 MB     -           -      150 … 150   <= 200 MB  yes",
        "speed   -          -           -      -           >= 0.95    NO",
    ]


def test_the_file_keeps_what_was_measured_before_in_the_order_given(tmp_path: Path) -> None:
    file = tmp_path / "results.json"
    write(file, [made(Memory([150] * 5, []))], ["speed", "memory"])
    write(file, [made(Speed([100] * 5, [100] * 5))], ["speed", "memory"])
    write(file, [made(Memory([160] * 5, []))], ["speed", "memory"])
    entries = json.loads(file.read_text())
    assert [(entry["id"], entry["ours"]) for entry in entries] == [("speed", 100), ("memory", 160)]
    assert [field.name for field in fields(Result)] == FIELDS
    assert [list(entry) for entry in entries] == [FIELDS, FIELDS]


def test_noise() -> None:
    assert disturbances(1.0, 1.8) == []
    assert disturbances(1.5, 1.79) == [
        "the load average is 1.50, over 1.0",
        "two processes of matrix products do 1.79 times the work of one, under 1.8",
    ]


def test_ids_are_chosen_in_the_order_they_run() -> None:
    assert [member.id for member in chosen("plan,validate")] == ["validate", "plan"]
    with pytest.raises(argparse.ArgumentTypeError, match="no benchmark is called 'plans'; there are validate, plan, "):
        chosen("plan,plans")


def test_every_benchmark_says_what_it_must() -> None:
    assert len({member.id for member in BENCHMARKS}) == len(BENCHMARKS)
    text = (Path(__file__).parent / "README.md").read_text()
    for member in BENCHMARKS:
        assert member.better in ("higher", "lower")
        if member.reference is not Benchmark.reference:  # what stands alone may only be told
            assert member.target is not None or member.limit is not None, f"{member.id} has nothing to reach"
            assert member.pairs >= 5, f"{member.id} needs five pairs"
        assert f"| `{member.id}` |" in text, f"README.md does not explain {member.id}"


def test_references_have_at_most_sixty_lines() -> None:
    for file in Path(next(iter(references.__path__))).glob("*.py"):
        assert len(file.read_text().splitlines()) <= 60, file.name


def test_the_steady_speed_leaves_the_first_two_epochs_out() -> None:
    assert steady([1, 5, 100, 300]) == pytest.approx(150)


def test_trainings_that_end_apart_differ() -> None:
    one = Trained(0.5, {"stem/kernel": np.ones(3)})
    assert not list(differences(one, Trained(0.5001, {"stem/kernel": np.ones(3)})))
    found_here = list(differences(one, Trained(0.6, {"stem/kernel": np.array([1, 1, 1.1])})))
    assert found_here == ["the last losses are 0.5 and 0.6", "stem/kernel is 0.1 apart"]
    assert list(differences(one, Trained(0.5, {"kernel": np.ones(3)}))) == ["the weights have other names"]


def test_the_quickstarts_promises() -> None:
    float32 = {"accuracy": 0.98, "size_bytes": 100_000}
    assert not list(shortcomings(float32, {"accuracy": 0.975, "size_bytes": 29_000}))
    assert list(shortcomings(float32, {"accuracy": 0.95, "size_bytes": 31_000})) == [
        "int8 accuracy is 0.9500, under 0.96",
        "int8 loses 0.0300 of accuracy, over 0.01",
        "int8 has 0.310 of the bytes, over 0.3",
    ]


def test_unique_memory_is_the_sum_of_what_is_private() -> None:
    rollup = "Rss:  900 kB\nShared_Clean:  500 kB\nPrivate_Clean:  100 kB\nPrivate_Dirty:  200 kB\nSwap:  7 kB\n"
    assert unique(rollup) == 300 * 1024


def test_every_step_is_to_be_reused() -> None:
    output = "data     reused\nteacher  reuse    made today\nsmall    run      never run\n"
    assert list(not_reused(["data", "teacher", "small"], output)) == ["small is not said to be reused"]


def test_imported_packages_are_read_from_pythons_report() -> None:
    report = "import time: self [us] | cumulative | imported package\nimport time:   10 |   20 |     numpy.linalg\n"
    assert "numpy" in imported(report + "nothing of it\n")
