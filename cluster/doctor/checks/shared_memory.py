"""Whether Ray's object store fits into /dev/shm: containers often have 64 MB of it, and then a slow disk takes over."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

from cluster.doctor.check import Check, Finding, Seen

SHARE = 0.3  # of the memory, which Ray's object store takes
MOUNT = Path("/dev/shm")


class SharedMemory(Check):
    """Bytes of /dev/shm against the machine's memory."""

    name = "shared memory"

    def look(self) -> dict[str, int]:
        """Return the bytes of /dev/shm, all and free, and those of the memory."""
        memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
        if not MOUNT.is_dir():
            return {"total": 0, "free": 0, "memory": memory}
        usage = shutil.disk_usage(MOUNT)
        return {"total": usage.total, "free": usage.free, "memory": memory}

    def judge(self, seen: Seen, here: Seen) -> Iterator[Finding]:
        """Judge its size."""
        total, memory = seen.facts["total"], seen.facts["memory"]
        text = f"/dev/shm has {total / 2**30:.1f} GiB, the machine {memory / 2**30:.1f} GiB"
        if total < SHARE * memory:
            yield self.warning(seen, text, f"start containers with --shm-size={SHARE * memory / 2**30:.0f}g")
        else:
            yield self.ok(seen, text)
