"""`plan`: the time to say of a finished definition that every step is reused."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from tests.benchmarks.command_line import CommandLine, not_reused
from tests.benchmarks.finished import STEPS, finished


class Plan(CommandLine):
    """`espalier plan`, nothing to run."""

    id = "plan"
    name = "plan a finished definition of five steps, against importing pydantic, yaml, typer and rich"

    def prepare(self, work: Path) -> None:
        """Make the store, and run both sides once."""
        self.made = finished(work)
        self.warm_up()

    def arguments(self) -> list[str]:
        """Return the command."""
        return ["-m", "pipelines", "plan", str(self.made.definition), "--store", str(self.made.store)]

    def wrong(self, output: str) -> Iterator[str]:
        """Yield the steps that are not said to be reused."""
        yield from not_reused(STEPS, output)
