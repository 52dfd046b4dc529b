"""Whether Python is one that Espalier runs on, and the same everywhere: what is sent between processes is pickled."""

from __future__ import annotations

import sys
from collections.abc import Iterator

from cluster.doctor.check import Check, Finding, Seen

FIRST, LAST = (3, 11), (3, 13)


class Python(Check):
    """The interpreter's version."""

    name = "python"

    def look(self) -> list[int]:
        """Return the version's three numbers."""
        return list(sys.version_info[:3])

    def judge(self, seen: Seen, here: Seen) -> Iterator[Finding]:
        """Judge the version, and that a node's minor version is the driver's."""
        text = ".".join(map(str, seen.facts))
        if not FIRST <= tuple(seen.facts[:2]) <= LAST:
            yield self.error(seen, f"is {text}, wanted 3.11 to 3.13", "make the environment anew with one of those")
        elif seen.facts[:2] != here.facts[:2]:
            wanted = ".".join(map(str, here.facts[:2]))
            yield self.error(seen, f"is {text}, the driver's is {wanted}", f"use Python {wanted} on every node")
        elif seen.facts != here.facts:
            found = f"is {text}, the driver's is {'.'.join(map(str, here.facts))}: Ray by default wants them equal"
            yield self.warning(seen, found, "set RAY_DEFAULT_PYTHON_VERSION_MATCH_LEVEL=minor on every machine")
        else:
            yield self.ok(seen, text)
