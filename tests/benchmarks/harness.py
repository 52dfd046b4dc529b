"""What a benchmark is, and how its pairs become one result. Knows no benchmark, and prints nothing."""

from __future__ import annotations

import statistics
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Literal

Better = Literal["higher", "lower"]


class Broken(Exception):  # noqa: N818  it is reported, not handled
    """A side of a benchmark could not be measured at all: a process failed, or took too long."""


class Benchmark(ABC):
    """One figure: ours, beside what a skilled user has without us; a member says how each side is measured.

    `target` bounds the ratio of ours to the reference, or ours where there is no reference. `limit` bounds ours.
    """

    id: ClassVar[str]
    name: ClassVar[str]
    unit: ClassVar[str]
    better: ClassVar[Better]
    target: ClassVar[float | None] = None
    limit: ClassVar[float | None] = None
    pairs: ClassVar[int] = 5
    whole_interval: ClassVar[bool] = False  # the worst pair must reach the target, not the median alone
    of_means: ClassVar[bool] = (
        False  # told and judged is the mean of all pairs: each is another draw, not the same again
    )

    def prepare(self, work: Path) -> None:  # noqa: B027  most need nothing
        """Make what both sides need, below `work`, and run each side once where its first time differs."""

    @abstractmethod
    def ours(self) -> float:
        """Measure our side once, in the benchmark's unit."""

    def reference(self) -> float | None:
        """Measure the reference once, in the same unit; None when there is none."""
        return None

    @abstractmethod
    def faults(self) -> Iterator[str]:
        """Yield where the answers of the runs measured are wrong or differ between the sides: the equality check."""


@dataclass(frozen=True)
class Pair:
    """One measurement of each side, made one after the other."""

    ours: float
    reference: float | None

    @property
    def judged(self) -> float:
        """The ratio of ours to the reference, or ours where there is no reference."""
        return self.ours if self.reference is None else self.ours / self.reference


@dataclass(frozen=True)
class Origin:
    """When, of what and under which conditions results were made."""

    made: str
    commit: str
    noisy: bool


@dataclass(frozen=True)
class Result:
    """One line of `results.json`; `low` and `high` are the least and the largest of what is judged."""

    id: str
    name: str
    unit: str
    ours: float | None
    reference: float | None
    ratio: float | None
    low: float | None
    high: float | None
    target: float | None
    better: Better
    limit: float | None
    noisy: bool
    ok: bool
    made: str
    commit: str


def measured(benchmark: Benchmark, pairs: int, told: Callable[[Pair], None]) -> list[Pair]:
    """Measure `pairs` pairs and tell each; every other pair begins with the reference, so that a drift cancels out."""
    done = []
    for number in range(pairs):
        if number % 2:
            reference = benchmark.reference()
            pair = Pair(benchmark.ours(), reference)
        else:
            ours = benchmark.ours()
            pair = Pair(ours, benchmark.reference())
        told(pair)
        done.append(pair)
    return done


def result_of(benchmark: Benchmark, pairs: Sequence[Pair], faults: Sequence[str], origin: Origin) -> Result:
    """Summarise pairs by medians, or means; ok when no fault was found and what is judged reaches target and limit."""
    judged = [pair.judged for pair in pairs]
    references = [pair.reference for pair in pairs if pair.reference is not None]
    middle = middle_of(benchmark)
    ours = middle([pair.ours for pair in pairs])
    return _result(
        benchmark,
        origin,
        ours=rounded(ours),
        reference=rounded(middle(references)) if references else None,
        ratio=rounded(middle(judged)) if references else None,
        low=rounded(min(judged)),
        high=rounded(max(judged)),
        ok=not faults and reaches(benchmark, judged) and within(ours, benchmark.limit, benchmark.better),
    )


def broken_result(benchmark: Benchmark, origin: Origin) -> Result:
    """Return the result of a benchmark that could not be measured: it stays in the table, and is not ok."""
    return _result(benchmark, origin, ours=None, reference=None, ratio=None, low=None, high=None, ok=False)


def _result(benchmark: Benchmark, origin: Origin, *, ok: bool, **figures: float | None) -> Result:
    return Result(
        id=benchmark.id,
        name=benchmark.name,
        unit=benchmark.unit,
        **figures,
        target=benchmark.target,
        better=benchmark.better,
        limit=benchmark.limit,
        noisy=origin.noisy,
        ok=ok,
        made=origin.made,
        commit=origin.commit,
    )


def middle_of(benchmark: Benchmark) -> Callable[[Sequence[float]], float]:
    """Return what makes one figure of those of all pairs."""
    return statistics.fmean if benchmark.of_means else statistics.median


def reaches(benchmark: Benchmark, judged: Sequence[float]) -> bool:
    """Say whether the median or mean, or the worst pair where the whole interval counts, is at the target or better."""
    worst = min(judged) if benchmark.better == "higher" else max(judged)
    value = worst if benchmark.whole_interval else middle_of(benchmark)(judged)
    return within(value, benchmark.target, benchmark.better)


def within(value: float, bound: float | None, better: Better) -> bool:
    """Say whether `value` is at `bound` or better; without a bound it always is."""
    return bound is None or (value >= bound if better == "higher" else value <= bound)


def rounded(value: float) -> float:
    """Keep four significant digits: more would claim what no run repeats."""
    return float(f"{value:.4g}")
