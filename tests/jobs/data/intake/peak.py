"""Makes a data set of a folder of images and prints its rows and the peak of memory in MB.

Counted is the anonymous resident memory (RssAnon of `/proc/<pid>/status`) of the largest process, looked at every few
milliseconds: pages of mapped files and of shared memory are the system's to drop.
"""

from __future__ import annotations

import contextlib
import os
import re
import sys
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path

EVERY = 0.02  # seconds


def anonymous(pid: int) -> float:
    """Return the anonymous resident memory of a process in MB; 0 when it has ended."""
    try:
        found = re.search(r"RssAnon:\s+(\d+) kB", Path(f"/proc/{pid}/status").read_text())
    except OSError:
        return 0
    return int(found[1]) / 1_000 if found else 0


def workers() -> list[int]:
    """Return the processes that work for the cluster this process started."""
    parents, named = {}, []
    for place in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):  # it has ended
            parents[int(place.name)] = int((place / "stat").read_text().rpartition(")")[2].split()[1])
            if (place / "cmdline").read_bytes().startswith(b"ray::"):
                named.append(int(place.name))
    return [pid for pid in named if os.getpid() in _ancestors(pid, parents)]


def _ancestors(pid: int, parents: dict[int, int]) -> Iterator[int]:
    while pid in parents:
        pid = parents[pid]
        yield pid


class Peak(threading.Thread):
    """Watches this process, or the cluster's, until `done` is set."""

    def __init__(self, cluster: bool) -> None:
        super().__init__(daemon=True)
        self.cluster, self.done, self.most = cluster, threading.Event(), 0.0

    def run(self) -> None:
        over = False
        while not over:
            over = self.done.wait(EVERY)  # a last look once it is done: a busy machine gives few before
            looked = workers() if self.cluster else [os.getpid()]
            self.most = max(self.most, *map(anonymous, looked), 0.0)

    def end(self) -> None:
        """Look a last time."""
        self.done.set()
        self.join()


def main(folder: str, where: str) -> None:
    """Make the data set `here` or `spread` over a cluster of two CPUs, and print rows and peak."""
    from cluster.folder import Folder
    from cluster.resources import Resources
    from cluster.session import connected
    from cluster.work import run_remote
    from jobs.kinds.dataset import fill_dataset
    from tests.jobs.data.making import job_of

    job = job_of({"kind": "images", "path": folder}, image={"height": 32, "width": 32})
    with tempfile.TemporaryDirectory() as scratch:
        out = Folder.parse(f"{scratch}/out")
        if where == "here":
            peak = Peak(cluster=False)
            peak.start()
            made = fill_dataset(job, out, False, lambda event: None)
        else:
            with connected("local", cpus=2):
                peak = Peak(cluster=True)
                peak.start()
                made = run_remote(fill_dataset, job, out, True, resources=Resources(), tell=lambda event: None)
                peak.end()
        peak.end()
    print(sum(made.rows.values()), f"{peak.most:.1f}")


if __name__ == "__main__":
    main(*sys.argv[1:3])
