"""What a report shows of a search."""

from __future__ import annotations

from pathlib import Path

from jobs.report.blocks import Figure, Note, Table
from jobs.report.sections.search import search as shown
from jobs.searching.quest import conclude
from jobs.sweeping.driving import Book
from jobs.sweeping.summing_up import sum_up
from jobs.sweeping.trials import Trials
from tests.contracts.test_search_methods import run
from tests.jobs.searching.synthetic import output, quest_of, search_of


def test_a_ranking_is_shown_beside_what_trainings_alone_came_to(tmp_path: Path) -> None:
    search, out = search_of({"kind": "supernet"}), output(tmp_path)
    quest, plan = search.method.plan(quest_of(tmp_path, search), out)
    book = Book(plan, lambda event: None)  # type: ignore[arg-type]
    run(book, 100)
    sum_up(plan, list(book.trials.values()), out.folder)
    assert conclude(quest, out.folder) == 1.0
    trials = Trials.load(out.folder)
    part = shown({"layouts": trials, "other": trials.model_copy(update={"candidates": 0})})
    assert part is not None
    notes = [block.text for block in part.blocks if isinstance(block, Note)]
    refused = sum(bool(candidate.refused) for candidate in quest.candidates)
    assert notes[0].startswith(f"Of 90 candidates {refused} were refused before training")
    assert "(macs 1,000,000); 8 were trained alone" in notes[0]
    assert "Kendall's τ of the two rankings is 1.00" in notes[1]
    assert len([block for block in part.blocks if isinstance(block, Figure)]) == 2
    (table,) = [block for block in part.blocks if isinstance(block, Table)]
    assert (len(table.rows), table.headings[-3:]) == (50, ("Bytes", "Score", ""))


def test_a_sweep_has_no_search_to_show() -> None:
    assert shown({}) is None
