"""Whether the libraries are those that Espalier is tested with, and Ray the same on every machine."""

from __future__ import annotations

from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, version

from cluster.doctor.check import Check, Finding, Seen
from cluster.environment import pins
from cluster.errors import RequestError

RAY = "ray"
REMEDY = "pip install --constraint constraints.txt espalier-ray"


class Versions(Check):
    """Installed versions against the pinned ones."""

    name = "versions"

    def __init__(self) -> None:
        self.pinned: dict[str, str] = {}  # the driver's count, also on nodes
        self.unknown = ""
        try:
            self.pinned = pins()
        except RequestError as error:
            self.unknown = str(error)

    def look(self) -> dict[str, str]:
        """Return the version of each pinned package, empty where it is not installed."""
        return {name: _version(name) for name in self.pinned}

    def judge(self, seen: Seen, here: Seen) -> Iterator[Finding]:
        """Judge missing and other versions."""
        if self.unknown:
            if seen.here:
                yield self.error(seen, self.unknown, REMEDY)
            return
        missing = [name for name, found in seen.facts.items() if not found]
        other = [f"{name} {found}, wanted {self.pinned[name]}" for name, found in self._other(seen)]
        if missing:
            yield self.error(seen, f"without {', '.join(missing)}", REMEDY)
        if seen.facts.get(RAY) != here.facts.get(RAY):
            yield self.error(seen, f"Ray {seen.facts.get(RAY)}, the driver's is {here.facts.get(RAY)}", REMEDY)
        if other:
            yield self.warning(seen, f"not as tested: {', '.join(other)}", REMEDY)
        if not missing and not other:
            yield self.ok(seen, f"{len(seen.facts)} packages as pinned")

    def _other(self, seen: Seen) -> list[tuple[str, str]]:
        return [(name, found) for name, found in seen.facts.items() if found and found != self.pinned[name]]


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return ""
