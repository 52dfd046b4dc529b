"""What each class lost or won against the first model that was judged with it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from jobs.artifacts import Report
from jobs.report.blocks import Block, Note, Table
from jobs.report.section import Artifacts, Part, only, section
from jobs.report.wording import count, percent, points

LOST = 0.05  # of a class's rows: what is lost beyond it is flagged
HEADINGS = ("Class", "Rows", "First", "Now", "Change, points", "")
SLACK = 1e-9


@section(place=55)
def losses(artifacts: Artifacts) -> Part | None:
    """Show the change of every class of every model that was judged beside another; flag what lost most."""
    blocks: list[Block] = []
    for report in only(artifacts, Report).values():
        names = list(report.evaluations)
        for name in names[1:]:
            blocks += _changed(names[0], report.evaluations[names[0]], name, report.evaluations[name])
    return Part("Classes against the first", blocks) if blocks else None


def _changed(first: str, before: Mapping[str, Any], name: str, after: Mapping[str, Any]) -> list[Block]:
    old, new = before.get("per_class") or [], after.get("per_class") or []
    rows, flagged = [], []
    for was, now in zip(old, new, strict=False):
        if not now["rows"]:
            continue
        change = now["recall"] - was["recall"]
        lost = change < -LOST - SLACK
        flagged += [now["class"]] if lost else []
        shown = [percent(was["recall"]), percent(now["recall"]), points(change)]
        rows.append([now["class"], count(now["rows"]), *shown, "lost" if lost else ""])
    if not rows:
        return []
    told = f"more than 5 points lost in: {', '.join(flagged)}" if flagged else "no class lost more than 5 points"
    agreed = after.get("against", {}).get("agreement")
    same = "" if agreed is None else f"; both answer the same on {percent(agreed)} of rows"
    caption = f"Share of each class's rows that {name} gets right, against {first}"
    return [Note(f"{name} against {first}: {told}{same}."), Table(caption, HEADINGS, rows)]
