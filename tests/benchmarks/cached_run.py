"""`cached_run`: the time of a run that finds everything made."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from tests.benchmarks.command_line import CommandLine, not_reused
from tests.benchmarks.finished import STEPS, finished


class CachedRun(CommandLine):
    """`espalier run`, every step reused; files are verified before they are."""

    id = "cached_run"
    name = "run a finished definition of five steps, against importing pydantic, yaml, typer and rich"

    def prepare(self, work: Path) -> None:
        """Make the store, and run both sides once."""
        self.made = finished(work)
        self.before = self.made.records()
        self.warm_up()

    def arguments(self) -> list[str]:
        """Return the command."""
        return ["-m", "pipelines", "run", str(self.made.definition), "--store", str(self.made.store)]

    def wrong(self, output: str) -> Iterator[str]:
        """Yield the steps that were not reused."""
        yield from not_reused(STEPS, output)

    def faults(self) -> Iterator[str]:
        """Yield what the command line's check finds, and whether anything was made again."""
        yield from super().faults()
        if self.made.records() != self.before:
            yield "the store's records changed"
