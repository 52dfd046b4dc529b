"""Prepares data sets on two nodes and in one process, and prints how they compare: run by test_spread.py.

Called with a folder that holds `pets`, `mixed` and `pets.parquet`, and the URI of a copy of `pets`.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from cluster.errors import EspalierError
from cluster.folder import Folder
from cluster.resources import Resources
from cluster.work import run_remote
from jobs.kinds.dataset import DatasetJob, fill_dataset
from tests.jobs.data.making import job_of
from tests.nodes import cluster_of_one

Event = dict[str, Any]


def outcome(job: DatasetJob, out: Path, spread: bool) -> tuple[dict[str, Any], list[Event]]:
    """Return what came of a preparation, its shards by their bytes, and what was told."""
    told: list[Event] = []
    work = (fill_dataset, job, Folder.parse(str(out)), spread)
    try:
        facts = run_remote(*work, resources=Resources(0 if spread else 1), tell=told.append).model_dump()
    except EspalierError as error:
        facts = {"error": str(error)}
    return facts | {"files": {file.name: file.read_bytes() for file in sorted(out.iterdir())}}, told


def compared(job: DatasetJob, out: Path) -> dict[str, Any]:
    """Return whether both ways end alike, and of the two nodes how many rows each prepared."""
    alone, told_alone = outcome(job, out / "alone", False)
    spread, told = outcome(job, out / "spread", True)
    nodes: list[str] = next((event["nodes"] for event in told if "nodes" in event), [])
    told = [{name: value for name, value in event.items() if name != "nodes"} for event in told]
    summary: dict[str, Any] = {name: alone[name] for name in ("rows", "rejected", "image", "error") if name in alone}
    return {
        "alike": alone == spread and told == told_alone,
        "nodes": [int(node.split()[-1]) for node in nodes],
        **summary,
    }


def main(root: Path, uri: str) -> None:
    """Start two nodes of one CPU each, and print a line of JSON a data set."""
    size = {"height": 9, "width": 7, "channels": 1}
    table = {"kind": "table", "path": str(root / "pets.parquet"), "image": "image"}
    jobs = {
        "images": job_of({"kind": "images", "path": str(root / "pets")}, max_rejected=0.2),
        "remote": job_of({"kind": "images", "path": uri}, max_rejected=0.2, image=size),
        "table": job_of(table, image=size, max_rejected=0.2),
        "mixed": job_of({"kind": "images", "path": str(root / "mixed")}),
    }
    with cluster_of_one() as cluster:
        cluster.add_node(num_cpus=1)
        for name, job in jobs.items():
            print(json.dumps({"name": name, **compared(job, root / "out" / name)}), flush=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2])
