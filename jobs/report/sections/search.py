"""What an architecture search looked at: what was refused before training, accuracy against cost, and the ranking."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from matplotlib.figure import Figure as Drawing

from jobs.report.blocks import Block, Figure, Heading, Note, Table
from jobs.report.figures import FIRST, GRID, SECOND, draw
from jobs.report.section import Artifacts, Part, only, section
from jobs.report.wording import count
from jobs.searching.candidates import Candidate, key
from jobs.searching.quest import CANDIDATES
from jobs.sweeping.trials import Trials, read_table

Rows = Sequence[dict[str, Any]]
MOST = 50  # candidates listed in the table


@section(place=39)
def search(artifacts: Artifacts) -> Part | None:
    """Show every architecture search."""
    blocks: list[Block] = []
    for name, trials in only(artifacts, Trials).items():
        if trials.candidates:
            path = trials.folder.fetch()
            candidates = [Candidate.model_validate(row) for row in json.loads((path / CANDIDATES).read_text())]
            rows = [row for row in read_table(path) if row["status"] == "finished"]
            blocks += [Heading(name), Note(_summary(trials)), *_against(name, trials, rows)]
            blocks += [*_ranking(name, trials, candidates, rows), _table(candidates)]
    return Part("Search", blocks) if blocks else None


def _summary(trials: Trials) -> str:
    values = ", ".join(f"{name.rpartition('.')[2]} {value}" for name, value in trials.values.items())
    told = ", ".join(f"{name} {_short(value)}" for name, value in trials.measured.items())
    limits = ", ".join(f"{name} {limit:,.10g}" for name, limit in trials.limits.items()) or "none"
    return (
        f"Of {count(trials.candidates)} candidates {count(trials.refused)} were refused before training, beyond what "
        f"can be counted of the limits ({limits}); {count(trials.finished)} were trained alone. "
        f"The best is trial {trials.best}: {values}; {told}."
    )


def _short(value: float) -> str:
    return f"{value:,.0f}" if value >= 1000 else f"{value:.4g}"


def _against(name: str, trials: Trials, rows: Rows) -> list[Figure]:
    """Draw accuracy against work and against bytes, the winner marked."""
    costs = {"macs": "multiplications with weights, one row", "parameter_bytes": "bytes of float32 weights"}

    def paint(drawing: Drawing) -> None:
        plots: Any = drawing.subplots(1, len(costs), sharey=True)
        for axes, (cost, label) in zip(plots, costs.items(), strict=True):
            for row in rows:
                best = row["number"] == trials.best
                axes.plot(row[cost], row["accuracy"], marker="o", ms=7 if best else 4, color=SECOND if best else FIRST)
            axes.plot(*_front([(row[cost], row["accuracy"]) for row in rows]), color=GRID, drawstyle="steps-post")
            axes.set_xscale("log")
            axes.set_xlabel(label)
        plots[0].set_ylabel("validation accuracy, trained alone")

    caption = f"Accuracy against cost of what {name} trained alone; the line is the front, the larger point the best"
    return [Figure(caption, draw(paint, 7, 3.2, caption))] if rows else []


def _front(points: Sequence[tuple[float, float]]) -> tuple[list[float], list[float]]:
    """Return the points that cost least for what they reach, cheapest first, as their two coordinates."""
    front: list[tuple[float, float]] = []
    for cost, reached in sorted(points, key=lambda point: (point[0], -point[1])):
        if not front or reached > front[-1][1]:
            front.append((cost, reached))
    return [cost for cost, _ in front], [reached for _, reached in front]


def _ranking(name: str, trials: Trials, candidates: Sequence[Candidate], rows: Rows) -> list[Block]:
    """Draw what shared weights scored against what trainings alone came to, and say how far the rankings agree."""
    scores = {key(c.values): c.score for c in candidates if c.score is not None}
    known = [row for row in rows if key(row["values"]) in scores]
    shown = [(scores[key(row["values"])], row["accuracy"], row["number"]) for row in known]
    if not shown:
        return []

    def paint(drawing: Drawing) -> None:
        axes = drawing.subplots()
        for score, alone, number in shown:
            axes.plot(score, alone, marker="o", color=SECOND if number == trials.best else FIRST)
            axes.annotate(str(number), (score, alone), (4, 4), textcoords="offset points", fontsize=7)
        axes.set_xlabel("validation accuracy with shared weights")
        axes.set_ylabel("validation accuracy, trained alone")

    told = "cannot be told" if trials.agreement is None else f"is {trials.agreement:.2f}"
    words = (
        f"Shared weights scored {count(len(scores))} candidates; {count(len(shown))}, spread over the ranking, were "
        f"trained alone: Kendall's τ of the two rankings {told} (1: the same order; 0: no relation)."
    )
    caption = f"What the shared weights of {name} said, and what trainings alone came to"
    return [Note(words), Figure(caption, draw(paint, 4.4, 3.4, caption))]


def _table(candidates: Sequence[Candidate]) -> Table:
    fields = list(dict.fromkeys(name for candidate in candidates for name in candidate.values))
    ordered = sorted(candidates, key=lambda c: (-(c.score or 0.0), bool(c.refused), c.costs.get("macs", 0.0)))
    lines = [
        [
            *(str(c.values.get(name, "–")) for name in fields),
            *(_short(c.costs[cost]) if c.costs else "–" for cost in ("macs", "parameter_bytes")),
            "–" if c.score is None else _short(c.score),
            f"refused: {c.refused}" if c.refused else "",
        ]
        for c in ordered[:MOST]
    ]
    names = [name.rpartition(".")[2] for name in fields]
    caption = "Every candidate" if len(ordered) <= MOST else f"The first {MOST} candidates of {count(len(ordered))}"
    return Table(caption, (*names, "MACs", "Bytes", "Score", ""), lines, folded=True)
