"""What the run of a shipped definition must have shown, beyond that it ended."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from jobs.artifacts import Model, Report
from jobs.sweeping.trials import Trials, read_table
from pipelines.find import artifact_at


def report(store: Path, step: str) -> Report:
    """Return the report of a step of the one definition in `store`."""
    (folder,) = store.glob(f"*/{step}-*")
    return artifact_at(str(folder), Report)


def _fusion(store: Path) -> None:
    """Neither the image nor the text tells the class; both do, and still do once pruned and quantized."""
    alone = [report(store, f"{name}_verdict").evaluations[f"by_{name}"]["accuracy"] for name in ("image", "text")]
    together = report(store, "verdict").evaluations
    assert max(alone) < 0.65
    assert min(together[name]["accuracy"] for name in ("by_both", "small")) > max(alone) + 0.25


def _sweep(store: Path) -> None:
    """The file that is served is chosen by its own accuracy and bytes: the best float model's is too large."""
    (folder,) = store.glob("*/fitting-*")
    trials = artifact_at(str(folder), Trials)
    rows = {row["number"]: row for row in read_table(trials.folder.fetch())}
    assert trials.float_best is not None
    assert trials.best != trials.float_best
    assert rows[trials.best]["size_bytes"] <= 60_000 < rows[trials.float_best]["size_bytes"]
    (page,) = store.glob("*/report-*/*/report.html")
    assert f"By the float models alone trial {trials.float_best} would have won" in page.read_text()


def _search(store: Path) -> None:
    """Layouts beyond the limits are not trained; shared weights rank the others much as trainings alone do."""
    for step, candidates, trained in (("shared", 32, 8), ("bred", 48, 6)):
        (folder,) = store.glob(f"*/{step}-*")
        trials = artifact_at(str(folder), Trials)
        assert (trials.candidates, trials.refused, trials.finished) == (candidates, 3, trained)
        assert trials.measured["macs"] <= 1_000_000
        if step == "shared":
            assert trials.measured["parameter_bytes"] <= 400_000
            assert trials.agreement is not None
            assert trials.agreement >= 0.5
        else:  # its int8 file
            assert trials.measured["size_bytes"] <= 120_000
            assert 0 < trials.measured["p99_ms"] <= 50
    (page,) = store.glob("*/report-*/*/report.html")
    for candidates in (32, 48):
        assert f"Of {candidates} candidates 3 were refused before training" in page.read_text()


def _structured(store: Path) -> None:
    """Half of the multiplications are gone before layers become two, and the report says what is left of them."""
    teacher, small = (report(store, "verdict").evaluations[name] for name in ("teacher", "small"))
    assert small["macs"] < teacher["macs"] / 2
    (folder,) = store.glob("*/small-*")
    model = artifact_at(str(folder), Model)
    assert {name for fact in model.rewrites for name in ("units", "rank") if getattr(fact, name)} == {"units", "rank"}
    assert model.macs == small["macs"]
    (page,) = store.glob("*/report-*/*/report.html")
    assert f"{small['macs']:,}" in page.read_text()


def _compress(store: Path) -> None:
    """What one technique leaves the next ones keep, to the file; the forms of the other file are measured."""
    small, quick = (artifact_at(str(next(store.glob(f"*/{step}-*"))), Model) for step in ("small", "quick"))
    assert {finding.technique for finding in small.findings} == {"prune", "share_weights", "quantize", "convert"}
    assert "different values of a channel in the file" in {finding.what for finding in small.findings}
    assert {layer.bits for layer in small.stored} == {8}
    assert min(layer.zeros for layer in small.stored) >= 0.59
    assert [found.form for found in small.exports] == ["saved_model"]
    assert [variant.name for variant in quick.variants] == ["float32", "float16", "dynamic", "int8"]
    (served,) = (variant for variant in quick.variants if variant.chosen)
    assert (served.size_bytes, served.p50_ms) == (quick.size_bytes, min(v.p50_ms for v in quick.variants))
    (page,) = store.glob("*/report-*/*/report.html")
    assert "Files of quick, on" in page.read_text()
    assert "Layers in the file of small" in page.read_text()


# By the definition's stem.
SHOWN: dict[str, Callable[[Path], None]] = {
    "compress": _compress,
    "fusion": _fusion,
    "search": _search,
    "structured": _structured,
    "sweep": _sweep,
}
