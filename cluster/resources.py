"""What a step needs of a cluster, and whether the cluster can ever hold it."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Resources:
    """CPUs and GPUs held at once."""

    cpus: float = 0
    gpus: float = 0

    def __add__(self, other: Resources) -> Resources:
        return Resources(self.cpus + other.cpus, self.gpus + other.gpus)

    def __sub__(self, other: Resources) -> Resources:
        return Resources(self.cpus - other.cpus, self.gpus - other.gpus)

    def fits(self, total: Resources) -> bool:
        """Say whether `total` could hold this, were nothing else running."""
        return self.cpus <= total.cpus and self.gpus <= total.gpus

    def times_in(self, node: Resources) -> int:
        """Return how many times one node could hold this."""
        rooms = [node.cpus / self.cpus] if self.cpus else []
        if 0 < self.gpus < 1:  # a share lies on one GPU
            rooms.append(math.floor(1 / self.gpus + 1e-9) * math.floor(node.gpus))
        elif self.gpus:
            rooms.append(node.gpus / self.gpus)
        return math.floor(min(rooms) + 1e-9) if rooms else 2**31  # a tenth of a CPU is held ten times by one

    def __str__(self) -> str:
        parts = [f"{self.cpus:g} CPU"] + ([f"{self.gpus:g} GPU"] if self.gpus else [])
        return ", ".join(parts)


@dataclass(frozen=True)
class Nodes:
    """A number of equal nodes."""

    each: Resources
    count: int


@dataclass(frozen=True)
class Capacity(Resources):
    """The most a cluster can hold: together, and node by node.

    `states` are the sets of nodes it may have: those it has, and the most that its autoscaler may make of it. None
    where nobody can say how far it grows: then `cpus` and `gpus` are infinite, and nothing is too much.
    """

    states: tuple[tuple[Nodes, ...], ...] | None = ()

    @classmethod
    def of(cls, *states: Sequence[Nodes], most: Resources | None = None) -> Capacity:
        """Return the capacity of a cluster that may be in these states; `most` bounds the last of them."""
        sums = [sum((_times(nodes) for nodes in state), Resources()) for state in states]
        if most is not None:
            sums[-1] = Resources(min(sums[-1].cpus, most.cpus), min(sums[-1].gpus, most.gpus))
        cpus, gpus = max(total.cpus for total in sums), max(total.gpus for total in sums)
        return cls(cpus, gpus, tuple(tuple(state) for state in states))

    @classmethod
    def unknown(cls) -> Capacity:
        """Return the capacity of a cluster that grows nobody can say how far."""
        return cls(math.inf, math.inf, None)

    def refuses(self, processes: Sequence[Resources]) -> str:
        """Say why no state has nodes for these processes, each of which lies on one node; empty when one has.

        Only what is surely too much is refused: processes of one size are counted against nodes with nothing else.
        """
        for size, number in Counter(processes).items():
            if self.states is None:
                continue
            room = max(sum(nodes.count * size.times_in(nodes.each) for nodes in state) for state in self.states)
            if not room:
                return f"needs {size} in one process, and no node of the cluster holds that much"
            if room < number:
                return f"needs {number} processes of {size}, and the nodes of the cluster hold {room} of them"
        return ""

    def __str__(self) -> str:
        return "what its autoscaler gives" if self.states is None else str(Resources(self.cpus, self.gpus))


def _times(nodes: Nodes) -> Resources:
    return Resources(nodes.each.cpus * nodes.count, nodes.each.gpus * nodes.count)
