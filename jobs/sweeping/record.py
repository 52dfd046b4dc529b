"""What is kept of each trial: its values, what it showed and how it ended; in a journal while the sweep runs."""

from __future__ import annotations

import json
from typing import Any, Literal

from cluster.folder import Folder
from jobs.spec import Scalar, Spec
from jobs.sweeping.searchers import Outcome

ENDED: tuple[str, ...] = ("finished", "stopped", "failed")


class Trial(Spec):
    """One trial. Number 0 is the definition's own values; `measured` is empty unless it finished."""

    number: int
    values: dict[str, Scalar]
    status: Literal["finished", "stopped", "failed"]
    measured: dict[str, float] = {}
    curve: list[float] = []  # the watched measure after each epoch
    error: str = ""  # why it failed, with a traceback where there is one
    seed: int
    seconds: float
    begun: float  # seconds after the sweep's first trial

    def outcome(self) -> Outcome:
        """Return what a searcher is told."""
        return Outcome(self.measured, self.status == "stopped", tuple(self.curve))


class Journal:
    """Trials that ended, a file each, written at once: what an interrupted sweep goes on from. Nothing is pickled."""

    def __init__(self, folder: Folder) -> None:
        self.folder = folder

    def write(self, trial: Trial) -> None:
        """Keep a trial that ended."""
        self.folder.write_bytes(f"{trial.number:06d}.json", trial.model_dump_json().encode())

    def read(self, search: dict[str, Any]) -> list[Trial]:
        """Return the trials kept, by number; none of another search, whose journal is put away.

        `search` is what the trials depend on, as JSON values.
        """
        text = json.dumps(search, sort_keys=True)
        if not self.folder.exists("search.json") or self.folder.read_bytes("search.json").decode() != text:
            self.folder.delete()
            self.folder.write_bytes("search.json", text.encode())
            return []
        names = [name for name in self.folder.names() if name != "search.json" and name.endswith(".json")]
        return [Trial.model_validate_json(self.folder.read_bytes(name)) for name in sorted(names)]
