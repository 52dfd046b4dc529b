"""`validate`: the time to check the quickstart's definition."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from tests.benchmarks.command_line import CommandLine

DEFINITION = "pipelines/definitions/quickstart.yaml"


class Validate(CommandLine):
    """`espalier validate`."""

    id = "validate"
    name = "validate the quickstart, against importing pydantic, yaml, typer and rich"

    def prepare(self, work: Path) -> None:
        """Run both sides once."""
        self.warm_up()

    def arguments(self) -> list[str]:
        """Return the command."""
        return ["-m", "pipelines", "validate", DEFINITION]

    def wrong(self, output: str) -> Iterator[str]:
        """Yield what is wrong: it must say that the definition is valid."""
        if "quickstart is valid" not in output:
            yield f"wrote {output!r}"
