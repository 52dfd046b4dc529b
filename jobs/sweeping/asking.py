"""Carries Ray Tune's questions to the book of the sweep, and what it sees of trials."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ray.tune import Callback
from ray.tune.search.searcher import Searcher

TRIAL = "trial"  # a trial's part of Tune's configuration: its number and values


class Asking(Searcher):  # type: ignore[misc]
    """A searcher as Tune knows one; it keeps no more than `at_once` trials under way."""

    def __init__(self, book: Any, at_once: int) -> None:
        super().__init__()
        self.book, self.at_once = book, at_once

    def suggest(self, trial_id: str) -> dict[str, Any] | str | None:
        """Return the next trial; nothing while as many run as may; FINISHED when there are no more."""
        if len(self.book.running) >= self.at_once:
            return None
        asked = self.book.ask()
        return str(Searcher.FINISHED) if asked is None else {TRIAL: asked}

    def on_trial_complete(self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False) -> None:
        """Leave it to Watching."""

    def __getstate__(self) -> dict[str, Any]:
        """Leave the book out of Tune's snapshots, which are never read."""
        return {}

    def save(self, checkpoint_path: str) -> None:
        """Keep nothing: the journal has it all."""

    def restore(self, checkpoint_path: str) -> None:
        """Refuse: an interrupted sweep goes on from its journal."""
        raise AssertionError("Tune's snapshots are never read")


class Watching(Callback):  # type: ignore[misc]
    """Tells the book what Tune sees of trials."""

    def __init__(self, book: Any) -> None:
        self.book = book
        self._numbers: dict[str, int] = {}  # by Tune's name: one that takes over another's values has its number too

    def __getstate__(self) -> dict[str, Any]:
        """Leave the book out of Tune's snapshots, which are never read."""
        return {}

    def on_trial_start(self, iteration: int, trials: list[Any], trial: Any, **_: Any) -> None:
        """Note the trial's number when it begins."""
        self._numbers.setdefault(trial.trial_id, trial.config[TRIAL]["number"])

    def on_trial_result(self, iteration: int, trials: list[Any], trial: Any, result: dict[str, Any], **_: Any) -> None:
        """Pass a result on."""
        self.book.saw(self._numbers[trial.trial_id], result)

    def on_trial_complete(self, iteration: int, trials: list[Any], trial: Any, **_: Any) -> None:
        """Pass on that a trial ended, by itself or by the scheduler."""
        self.book.ended(self._numbers[trial.trial_id], trial.last_result)

    def on_trial_error(self, iteration: int, trials: list[Any], trial: Any, **_: Any) -> None:
        """Pass on that a trial's process died, or never came to be, in Ray's words."""
        self._numbers.setdefault(trial.trial_id, trial.config[TRIAL]["number"])
        file = trial.error_file
        self.book.died(self._numbers[trial.trial_id], Path(file).read_text(errors="replace") if file else "")
