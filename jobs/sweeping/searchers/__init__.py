"""Searchers, one file each: which values the next trial gets. A new one is one file and one line here."""

from jobs.sweeping.searchers.searcher import Outcome, Proposing, Search, Searcher

__all__ = ["Outcome", "Proposing", "Search", "Searcher"]

Searcher.found_in(
    {
        "grid": "jobs.sweeping.searchers.grid",
        "nsga2": "jobs.sweeping.searchers.nsga2",
        "random": "jobs.sweeping.searchers.random_search",
        "tpe": "jobs.sweeping.searchers.tpe",
    }
)
