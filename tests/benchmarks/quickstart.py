"""`quickstart`: the time from a definition and an empty store to a judged classifier that answered a request."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

from jobs.artifacts import Endpoint, Report
from tests.benchmarks.finished import artifact
from tests.benchmarks.harness import Benchmark
from tests.benchmarks.processes import python

DEFINITION = "pipelines/definitions/quickstart.yaml"
LEAST_ACCURACY, LARGEST_DROP, LARGEST_SHARE = 0.96, 0.01, 0.3


class Quickstart(Benchmark):
    """`espalier run` of the quickstart; there is nothing to compare it with."""

    id = "quickstart"
    name = "the quickstart on a fresh store: train, compress, judge, report, serve"
    unit = "s"
    better = "lower"
    target = 240.0
    pairs = 3

    def prepare(self, work: Path) -> None:
        """Remember where stores go."""
        self.work = work
        self.stores: list[Path] = []

    def ours(self) -> float:
        """Return the seconds of one run, on a free port."""
        store = Path(tempfile.mkdtemp(prefix="quickstart-", dir=self.work))
        ran = python("-m", "pipelines", "run", DEFINITION, "--store", str(store), "--set", "port=0")
        self.stores.append(store)
        return ran.seconds

    def faults(self) -> Iterator[str]:
        """Yield what each run's evidence lacks: accuracy, the drop from float32, the share of its bytes, the answer."""
        for store in self.stores:
            judged = artifact(store, "quickstart", "verdict", Report).evaluations
            yield from shortcomings(judged["teacher"], judged["small"])
            if not artifact(store, "quickstart", "live", Endpoint).answer["predictions"]:
                yield "the endpoint answered nothing"


def shortcomings(float32: dict[str, float], int8: dict[str, float]) -> Iterator[str]:
    """Yield which of the quickstart's promises the compressed model misses."""
    if int8["accuracy"] < LEAST_ACCURACY:
        yield f"int8 accuracy is {int8['accuracy']:.4f}, under {LEAST_ACCURACY}"
    if (drop := float32["accuracy"] - int8["accuracy"]) > LARGEST_DROP:
        yield f"int8 loses {drop:.4f} of accuracy, over {LARGEST_DROP}"
    if (share := int8["size_bytes"] / float32["size_bytes"]) > LARGEST_SHARE:
        yield f"int8 has {share:.3f} of the bytes, over {LARGEST_SHARE}"
