"""The steps that could begin, by what they ask of the cluster: of thousands, few sizes have to be looked at."""

from __future__ import annotations

import bisect
import heapq
from collections.abc import Callable, Iterator, Mapping

from cluster.resources import Resources


class Waiting:
    """Steps that are ready and wait for room; `asked` says of every step of the run what it holds, in their order."""

    def __init__(self, asked: Mapping[str, Resources]) -> None:
        self.asked = asked
        self._place = {name: number for number, name in enumerate(asked)}
        self._names = list(asked)
        self._lines: dict[Resources, list[int]] = {}

    def add(self, name: str) -> None:
        """Let a step wait."""
        bisect.insort(self._lines.setdefault(self.asked[name], []), self._place[name])

    def remove(self, name: str) -> None:
        """Take a step out that waits."""
        line = self._lines[self.asked[name]]
        del line[bisect.bisect_left(line, self._place[name])]
        if not line:
            del self._lines[self.asked[name]]

    def that_fit(self, fits: Callable[[Resources], bool]) -> Iterator[str]:
        """Yield the steps that wait and fit, in the order of the run."""
        lines = [line for asked, line in self._lines.items() if fits(asked)]
        return (self._names[number] for number in heapq.merge(*lines))
