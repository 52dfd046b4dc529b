"""How results are shown and kept: a table of plain text, and `results.json`."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from tests.benchmarks.harness import Result

HEADS = ("id", "ours", "reference", "ratio", "low … high", "target", "ok")


def table(results: Sequence[Result]) -> str:
    """Return the results as a table, one line each."""
    lines = [HEADS, *(_cells(result) for result in results)]
    widths = [max(len(line[column]) for line in lines) for column in range(len(HEADS))]
    padded = ["  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)) for line in lines]
    return "\n".join(line.rstrip() for line in padded)


def _cells(result: Result) -> tuple[str, ...]:
    interval = "-" if result.low is None else f"{result.low:g} … {result.high:g}"
    verdict = ("yes" if result.ok else "NO") + (" (noisy)" if result.noisy else "")
    figures = (_figure(result.ours, result.unit), _figure(result.reference, result.unit), _figure(result.ratio))
    return result.id, *figures, interval, _bounds(result), verdict


def _figure(value: float | None, unit: str = "") -> str:
    return "-" if value is None else f"{value:g} {unit}".strip()


def _bounds(result: Result) -> str:
    sign = ">=" if result.better == "higher" else "<="
    absolute = result.ratio is None and result.ours is not None  # of one that broke neither is known
    unit = result.unit if absolute else ""
    target = [f"{sign} {_figure(result.target, unit)}"] if result.target is not None else []
    limit = [f"{sign} {_figure(result.limit, result.unit)}"] if result.limit is not None else []
    return ", ".join(target + limit) or "-"


def write(path: Path, results: Iterable[Result], order: Sequence[str]) -> None:
    """Put `results` into the JSON list at `path`, in `order`; what was measured earlier under other ids stays."""
    kept: dict[str, dict[str, Any]] = {}
    if path.exists():
        kept = {entry["id"]: entry for entry in json.loads(path.read_text())}
    kept |= {result.id: asdict(result) for result in results}
    listed = [kept[name] for name in order if name in kept]
    path.write_text(json.dumps(listed, indent=1, ensure_ascii=False) + "\n")
