"""Whether there is room where Ray keeps its logs and spills what memory does not hold."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator

from cluster.doctor.check import Check, Finding, Seen

FULL = 0.95  # of the disk; Ray stops making files there
TIGHT = 10 * 2**30  # bytes
REMEDY = "free some, or start Ray with --temp-dir on a larger disk"


class Disk(Check):
    """Free bytes of the file system with Ray's folder."""

    name = "disk"

    def look(self) -> dict[str, object]:
        """Return the folder and its file system's bytes: all and free."""
        folder = os.environ.get("RAY_TMPDIR") or _of_node() or tempfile.gettempdir()
        usage = shutil.disk_usage(folder)
        return {"folder": folder, "total": usage.total, "free": usage.free}

    def judge(self, seen: Seen, here: Seen) -> Iterator[Finding]:
        """Judge how full it is."""
        total, free = seen.facts["total"], seen.facts["free"]
        text = f"{free / 2**30:.1f} of {total / 2**30:.1f} GiB free at {seen.facts['folder']}"
        if free < (1 - FULL) * total:
            yield self.error(seen, text, REMEDY)
        elif free < TIGHT:
            yield self.warning(seen, text, REMEDY)
        else:
            yield self.ok(seen, text)


def _of_node() -> str:
    """Return the folder of the node this process works for, empty for a process that works for none."""
    import sys

    if "ray" not in sys.modules:
        return ""
    import ray

    return str(ray._private.worker._global_node.get_session_dir_path()) if ray.is_initialized() else ""
