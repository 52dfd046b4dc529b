"""What the run of a shipped definition must have shown, beyond that it ended."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from jobs.artifacts import Report
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


# By the definition's stem.
SHOWN: dict[str, Callable[[Path], None]] = {"fusion": _fusion}
