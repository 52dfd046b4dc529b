"""Pins the training workers of a run to one core each, while it runs: what Ray starts, it lets move freely."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

TITLE = "ray::RayTrainWorker"
LOOK = 0.5  # seconds between two looks for threads that are new


@contextmanager
def pinned(root: int) -> Iterator[None]:
    """Pin each training worker below the process `root`, one core each in the order they started, during the block."""
    over = threading.Event()

    def look() -> None:
        while not over.wait(LOOK):
            for core, pid in enumerate(sorted(_workers(root))):
                _pin(pid, core % (os.cpu_count() or 1))

    thread = threading.Thread(target=look, daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


def _workers(root: int) -> Iterator[int]:
    parents: dict[int, int] = {}
    titles: dict[int, str] = {}
    for folder in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            parents[int(folder.name)] = int((folder / "stat").read_text().rpartition(")")[2].split()[1])
            titles[int(folder.name)] = (folder / "cmdline").read_bytes().decode(errors="replace")
    yield from (pid for pid, title in titles.items() if title.startswith(TITLE) and root in _above(pid, parents))


def _above(pid: int, parents: dict[int, int]) -> Iterator[int]:
    while (pid := parents.get(pid, 0)) > 1:
        yield pid


def _pin(pid: int, core: int) -> None:
    with suppress(OSError):
        for thread in Path(f"/proc/{pid}/task").iterdir():
            with suppress(OSError):
                os.sched_setaffinity(int(thread.name), {core})
