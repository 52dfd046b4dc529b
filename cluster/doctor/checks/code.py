"""Whether `cluster`, `jobs` and `pipelines` are ours: names so common that a stranger's package may have them."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator
from pathlib import Path

from cluster.doctor.check import Check, Finding, Seen

NAMES = ("cluster", "jobs", "pipelines")
ROOT = Path(__file__).parents[3]


class Code(Check):
    """Where the three packages are found."""

    name = "code"

    def look(self) -> dict[str, str]:
        """Return the folder each package is found in, empty where it is not."""
        return {"root": str(ROOT), **{name: _home(name) for name in NAMES}}

    def judge(self, seen: Seen, here: Seen) -> Iterator[Finding]:
        """Judge that all three lie in the folder of this very code."""
        root = seen.facts["root"]
        missing = [name for name in NAMES if not seen.facts[name]]
        strangers = [f"{name} in {seen.facts[name]}" for name in NAMES if seen.facts[name] not in ("", root)]
        if missing:
            yield self.error(seen, f"{', '.join(missing)} cannot be imported", "install espalier-ray there")
        if strangers:
            remedy = "remove the other package, or put Espalier's folder first in PYTHONPATH"
            yield self.error(seen, f"{', '.join(strangers)} is not ours, which is in {root}", remedy)
        if not missing and not strangers:
            yield self.ok(seen, f"ours, in {root}")


def _home(name: str) -> str:
    found = importlib.util.find_spec(name)
    if found is None:
        return ""
    places = [found.origin] if found.origin else list(found.submodule_search_locations or ())
    path = Path(places[0]) if places else Path()
    return str((path.parent if found.origin else path).parent)
