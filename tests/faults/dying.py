"""A run that SIGKILLs its own process at a chosen point: `python -m tests.faults.dying POINT STEP ROOT DEFINITION`.

The points are every boundary of a step and every moment of its final write; at the point `none` it runs to the end.
"""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path
from typing import Any

import tests.pipelines.toy_jobs  # noqa: F401  makes them known to definitions
from cluster.folder import Folder
from cluster.resources import Resources
from cluster.storage.local_tree import TEMPORARY, LocalTree
from pipelines.lease import Lease
from pipelines.load import load
from pipelines.plan import plan
from pipelines.runner import Runner
from pipelines.store import NAME, Place, Store

POINTS = ("running", "middle", "half a record", "record", "cleared", "done")


def die() -> None:
    """End this process as `kill -9` does."""
    os.kill(os.getpid(), signal.SIGKILL)


def arm(point: str, step: str) -> None:
    """Make the process die at `point` of the final write of `step`."""
    write, forget, release = LocalTree.write, Place._delete_attempts, Lease.release

    def dies_writing(self: LocalTree, name: str, data: bytes) -> None:
        if name == NAME and self.root.name.startswith(f"{step}-") and point == "half a record":
            (self.root / f"{TEMPORARY}half").write_bytes(data[: len(data) // 2])
            die()
        write(self, name, data)

    def dies_clearing(self: Place, kept: str) -> None:
        if self.step == step and kept and point == "record":
            die()
        forget(self, kept)

    def dies_releasing(self: Lease) -> None:
        if self.folder.name.startswith(f"{step}-") and point == "cleared":
            die()
        release(self)

    LocalTree.write, Place._delete_attempts, Lease.release = dies_writing, dies_clearing, dies_releasing  # type: ignore[method-assign]


def main(point: str, step: str, root: str, definition: str) -> None:
    """Run the definition, and die at the point."""

    def listen(name: str, state: str, details: dict[str, Any]) -> None:
        if name == step and (state == point or (point == "middle" and state == "event")):
            die()

    arm(point, step)
    pipeline = load(Path(definition))
    planned = plan(pipeline, Store(Folder.parse(root)))
    made = {"versions": {}, "commit": ""}
    assert Runner(pipeline, planned, Resources(1), listen, made).run().done


if __name__ == "__main__":
    main(*sys.argv[1:])
