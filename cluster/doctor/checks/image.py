"""Whether the images and nodes that our launch files start hold the Ray and the Python that are installed here."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path

from cluster.doctor.check import Check, Finding, Seen

LAUNCH = Path(__file__).parents[2] / "launch"
RAY = re.compile(r"""(?:rayVersion:\s*["']?|rayproject/ray[a-z-]*:|ray(?:\[[a-z,]+\])?==)([0-9]+\.[0-9]+\.[0-9]+)""")
PYTHON = re.compile(r"^FROM python:([0-9]+\.[0-9]+)", re.MULTILINE)


class Image(Check):
    """The versions that launch files name, against what is installed."""

    name = "image"

    def look(self) -> list[list[str]]:
        """Return (file, `Ray` or `Python`, version) of every version that the driver's launch files name."""
        found: set[tuple[str, str, str]] = set()
        for path in sorted(LAUNCH.glob("*")):
            if path.is_file():
                text = path.read_text(encoding="utf-8", errors="replace")
                found |= {(path.name, "Ray", match) for match in RAY.findall(text)}
                found |= {(path.name, "Python", match) for match in PYTHON.findall(text)}
        return [list(each) for each in sorted(found)]

    def judge(self, seen: Seen, here: Seen) -> Iterator[Finding]:
        """Judge them once: it is the driver's files that nodes are started from."""
        if not seen.here:
            return
        ours = {"Ray": version("ray"), "Python": "{}.{}".format(*sys.version_info)}
        other = [f"{file}: {what} {found}" for file, what, found in seen.facts if found != ours[what]]
        if other:
            wanted = f"Ray {ours['Ray']} and Python {ours['Python']}, as here"
            yield self.warning(seen, f"launch files name {', '.join(other)}", f"name {wanted}, or use those here")
        else:
            yield self.ok(seen, "launch files name the Ray and the Python that are here")
