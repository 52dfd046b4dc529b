"""How the report writes numbers, and what it calls rows."""

from __future__ import annotations

from collections.abc import Callable

ABSENT = "–"


def count(value: int | None) -> str:
    """Write a whole number: `1,797`."""
    return ABSENT if value is None else f"{value:,}"


def percent(value: float | None, digits: int = 2) -> str:
    """Write a share of one: `97.22 %`."""
    return ABSENT if value is None else f"{100 * value:.{digits}f} %"


def points(value: float | None) -> str:
    """Write a difference of two shares in percentage points: `−0.28`, `+0.28`, `0.00`."""
    if value is None:
        return ABSENT
    text = f"{100 * value:+.2f}"
    return "0.00" if float(text) == 0 else text.replace("-", "−")


def milliseconds(value: float | None) -> str:
    """Write a time in milliseconds to three significant digits: `0.392`, `138`."""
    if value is None:
        return ABSENT
    return f"{value:.0f}" if value >= 100 else f"{value:#.3g}"


def counted(number: int, one: str, many: str) -> str:
    """Write a number with its noun: `1 row`, `2 rows`."""
    return f"{number:,} {one if number == 1 else many}"


def item(modality: str) -> str:
    """Return what one row is called: `image`, `text`, or `pair` of both."""
    return "pair" if modality == "image_text" else modality


def between(write: Callable[[float | None], str], low: float | None, high: float | None) -> str:
    """Write an interval, its ends as `write` does: `96.10 % to 98.43 %`."""
    return ABSENT if low is None or high is None else f"{write(low)} to {write(high)}"


def probability(value: float | None) -> str:
    """Write a p-value: `0.039`, `< 0.001`."""
    if value is None:
        return ABSENT
    return "< 0.001" if value < 0.001 else f"{value:.3f}"
