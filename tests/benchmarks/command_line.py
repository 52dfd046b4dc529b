"""What the benchmarks of the command line share: their reference, and the check that nothing heavy was imported."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from tests.benchmarks.harness import Benchmark
from tests.benchmarks.processes import Ran, python

LIBRARIES = ("-c", "import pydantic, yaml, typer, rich")
HEAVY = {"ray", "tensorflow", "tf_keras", "pyarrow", "numpy"}


class CommandLine(Benchmark):
    """Wall time of a command against the import of the libraries that any such command line needs."""

    unit = "s"
    better = "lower"
    target = 2.0
    pairs = 15  # short ones, which a single hiccup rules

    def arguments(self) -> list[str]:
        """Return the command that is measured, without the interpreter."""
        raise NotImplementedError

    def wrong(self, output: str) -> Iterator[str]:
        """Yield what is wrong with the command's output."""
        raise NotImplementedError

    def warm_up(self) -> None:
        """Run both sides once: the first run of each writes byte code and fills the file cache."""
        self.outputs = {python(*self.arguments()).output}
        python(*LIBRARIES)

    def ours(self) -> float:
        """Return the seconds of the command."""
        ran: Ran = python(*self.arguments())
        self.outputs.add(ran.output)
        return ran.seconds

    def reference(self) -> float:
        """Return the seconds of the import."""
        return python(*LIBRARIES).seconds

    def faults(self) -> Iterator[str]:
        """Yield what is wrong with any output, and what was imported that must not be."""
        for output in self.outputs:
            yield from self.wrong(output)
        if heavy := imported(python("-X", "importtime", *self.arguments()).errors) & HEAVY:
            yield f"imports {', '.join(sorted(heavy))}"


def not_reused(steps: Iterable[str], output: str) -> Iterator[str]:
    """Yield the steps that no line of `output` says are reused."""
    told = {tuple(line.replace(":", " ").split()[:2]) for line in output.splitlines()}
    for step in steps:
        if not told & {(step, "reuse"), (step, "reused")}:
            yield f"{step} is not said to be reused"


def imported(report: str) -> set[str]:
    """Return the top-level packages that a report of `-X importtime` names."""
    lines = [line for line in report.splitlines() if line.startswith("import time:")]
    return {line.rpartition("|")[2].strip().split(".")[0] for line in lines}
