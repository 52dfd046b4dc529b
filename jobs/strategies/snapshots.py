"""Looks after the snapshots in which Ray Train notes the checkpoints of a run: it writes them in place.

One that was cut short, or that names a checkpoint which is gone, would end the run that reads it. Nothing of ours needs
them: what a training goes on from is chosen by the manifests of its checkpoints.
"""

from __future__ import annotations

import json
from collections.abc import Callable

from cluster.folder import Folder

SNAPSHOT = "checkpoint_manager_snapshot.json"
ASIDE = f"{SNAPSHOT}.damaged"


def set_aside_damaged(root: Folder, warn: Callable[[str], None]) -> None:
    """Rename every damaged snapshot of a run below `root`, and warn of each with the file's name."""
    for run in (root.child(name) for name in (root.names() if root.exists() else [])):
        if not run.exists(SNAPSHOT):
            continue
        data = run.read_bytes(SNAPSHOT)
        if damage := _damage(run, data):
            run.write_bytes(ASIDE, data)
            run.remove(SNAPSHOT)
            warn(f"Ray Train's snapshot {run}/{SNAPSHOT} {damage}; it is set aside as {ASIDE}")


def _damage(run: Folder, data: bytes) -> str:
    """Say what is wrong with the snapshot `data` of `run`; empty when nothing is."""
    if not data:
        return "is empty"
    try:
        named = [result["checkpoint_dir_name"] for result in json.loads(data)["checkpoint_results"]]
    except (ValueError, TypeError, KeyError):
        return f"is not whole ({len(data)} bytes)"
    gone = [name for name in named if not run.exists(name)]
    return f"names {', '.join(gone)}, which is not there" if gone else ""
