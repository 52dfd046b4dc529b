"""`python -m tests.benchmarks`: measures, prints a table, and keeps the figures in `results.json`."""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

from tests.benchmarks.harness import Benchmark, Broken, Origin, Pair, Result, broken_result, measured, result_of
from tests.benchmarks.noise import disturbances, scaling
from tests.benchmarks.processes import ROOT
from tests.benchmarks.registry import BENCHMARKS
from tests.benchmarks.table import table, write

RESULTS = Path(__file__).with_name("results.json")


def main() -> int:
    """Run the benchmarks asked for; 0 when all are ok, 1 when one is not."""
    asked = arguments(sys.argv[1:])
    load, results = os.getloadavg()[0], []  # the load is read before any benchmark makes some
    with tempfile.TemporaryDirectory(prefix="espalier-bench-") as work:
        for member in asked.only:
            results.append(run(member(), 1 if asked.once else member.pairs, Path(work), origin(load)))
    print(table(results))
    if asked.once:
        print("one pair each: a try, results.json is left as it is")
    else:
        write(RESULTS, results, [member.id for member in BENCHMARKS])
    return 0 if all(result.ok for result in results) else 1


def arguments(given: Sequence[str]) -> argparse.Namespace:
    """Read the command line: `only` holds the benchmarks to run."""
    parser = argparse.ArgumentParser("python -m tests.benchmarks", description=__doc__)
    parser.add_argument("--only", type=chosen, default=BENCHMARKS, metavar="ID,ID", help="default: all")
    parser.add_argument("--once", action="store_true", help="one pair each, to try them; results.json stays")
    return parser.parse_args(given)


def chosen(text: str) -> list[type[Benchmark]]:
    """Return the benchmarks named in `id,id`, in the order they run."""
    wanted = text.split(",")
    known = [member.id for member in BENCHMARKS]
    if unknown := [name for name in wanted if name not in known]:
        raise argparse.ArgumentTypeError(f"no benchmark is called {unknown[0]!r}; there are {', '.join(known)}")
    return [member for member in BENCHMARKS if member.id in wanted]


def origin(load: float) -> Origin:
    """Return where a result comes from; says so when the machine, which had `load` at the start, is noisy."""
    noise = disturbances(load, scaling())
    for disturbance in noise:
        print(f"noisy: {disturbance}", flush=True)
    return Origin(f"{datetime.now(UTC):%Y-%m-%d}", commit(), noisy=bool(noise))


def run(benchmark: Benchmark, pairs: int, work: Path, came: Origin) -> Result:
    """Measure one benchmark, showing each pair and each fault; one that breaks leaves the others be."""
    print(f"{benchmark.id}: {benchmark.name}", flush=True)

    def told(pair: Pair) -> None:
        against = "" if pair.reference is None else f", reference {pair.reference:.4g}, ratio {pair.judged:.4g}"
        print(f"  {pair.ours:.4g} {benchmark.unit}{against}", flush=True)

    try:
        benchmark.prepare(work)
        done = measured(benchmark, pairs, told)
        faults = list(benchmark.faults())
    except Broken as broken:
        print(f"  BROKEN: {broken}", flush=True)
        return broken_result(benchmark, came)
    for fault in faults:
        print(f"  WRONG: {fault}", flush=True)
    return result_of(benchmark, done, faults, came)


def commit() -> str:
    """Return the commit, with `+changes` when tracked files other than the results differ; empty outside git."""
    changes = ("status", "--porcelain", "--untracked-files=no", "--", ".", f":!{RESULTS.relative_to(ROOT)}")
    return _git("rev-parse", "HEAD") + ("+changes" if _git(*changes) else "")


def _git(*words: str) -> str:
    return subprocess.run(["git", *words], cwd=ROOT, capture_output=True, text=True, check=False).stdout.strip()


if __name__ == "__main__":
    sys.exit(main())
