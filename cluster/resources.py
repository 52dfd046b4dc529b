"""What a step needs of a cluster, whether the cluster can ever hold it, and on which nodes it would lie."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

ACCELERATOR = "ray.io/accelerator-type"  # the label by which Ray tells the type of a node's GPUs


@dataclass(frozen=True)
class Resources:
    """CPUs, GPUs and bytes of memory held at once; of one process, also the labels its node must have.

    A sum lies on no one node, and has no labels.
    """

    cpus: float = 0
    gpus: float = 0
    memory: float = 0
    labels: tuple[tuple[str, str], ...] = ()

    @classmethod
    def of_node(cls, held: Mapping[str, float]) -> Resources:
        """Return what a node, or all of them, hold in Ray's words; of what else Ray counts nothing is asked."""
        return Resources(held.get("CPU", 0), held.get("GPU", 0), held.get("memory", 0))

    def __add__(self, other: Resources) -> Resources:
        return Resources(self.cpus + other.cpus, self.gpus + other.gpus, self.memory + other.memory)

    def __sub__(self, other: Resources) -> Resources:
        return Resources(self.cpus - other.cpus, self.gpus - other.gpus, self.memory - other.memory)

    def times(self, number: int) -> Resources:
        """Return what so many hold together."""
        return Resources(self.cpus * number, self.gpus * number, self.memory * number)

    def fits(self, total: Resources) -> bool:
        """Say whether `total` could hold this, were nothing else running."""
        return self.cpus <= total.cpus and self.gpus <= total.gpus and self.memory <= total.memory

    def times_in(self, node: Resources) -> int:
        """Return how many times one node could hold this, whatever its labels."""
        rooms = [node.cpus / self.cpus] if self.cpus else []
        rooms += [node.memory / self.memory] if self.memory else []
        if 0 < self.gpus < 1:  # a share lies on one GPU
            rooms.append(math.floor(1 / self.gpus + 1e-9) * math.floor(node.gpus))
        elif self.gpus:
            rooms.append(node.gpus / self.gpus)
        return math.floor(min(rooms) + 1e-9) if rooms else 2**31  # a tenth of a CPU is held ten times by one

    def bundle(self) -> dict[str, float]:
        """Return it in Ray's words, without the labels; what is not held is left out."""
        return {name: n for name, n in (("CPU", self.cpus), ("GPU", self.gpus), ("memory", self.memory)) if n}

    def __str__(self) -> str:
        parts = [f"{self.cpus:g} CPU"] + ([f"{self.gpus:g} GPU"] if self.gpus else [])
        parts += [f"{self.memory / 2**30:.3g} GiB"] if self.memory else []
        return ", ".join(parts + [f"{name} {value}" for name, value in self.labels])


@dataclass(frozen=True)
class Nodes:
    """A number of equal nodes: of which type, and with which labels. None: nobody knows them, so they may have any."""

    each: Resources
    count: int
    kind: str = ""
    labels: Mapping[str, str] | None = field(default=None, hash=False)

    def hold(self, size: Resources) -> int:
        """Return how many processes of `size` these nodes could hold, were nothing else there."""
        return self.count * size.times_in(self.each) if self.answers(size) else 0

    def answers(self, size: Resources) -> bool:
        """Say whether the nodes have the labels asked for."""
        return self.labels is None or all(self.labels.get(name) == value for name, value in size.labels)


@dataclass(frozen=True)
class Capacity(Resources):
    """The most a cluster can hold: together, and node by node.

    `states` are the sets of nodes it may have: those it has, and the most that its autoscaler may make of it. None
    where nobody can say how far it grows: then all is infinite, and nothing is too much.
    """

    states: tuple[tuple[Nodes, ...], ...] | None = ()

    @classmethod
    def of(cls, *states: Sequence[Nodes], most: Resources | None = None) -> Capacity:
        """Return the capacity of a cluster that may be in these states; `most` bounds the last of them."""
        sums = [sum((nodes.each.times(nodes.count) for nodes in state), Resources()) for state in states]
        if most is not None:
            sums[-1] = Resources(min(sums[-1].cpus, most.cpus), min(sums[-1].gpus, most.gpus), sums[-1].memory)
        cpus, gpus = max(total.cpus for total in sums), max(total.gpus for total in sums)
        memory = max(total.memory for total in sums)
        return cls(cpus, gpus, memory, states=tuple(tuple(state) for state in states))

    @classmethod
    def unknown(cls) -> Capacity:
        """Return the capacity of a cluster that grows nobody can say how far."""
        return cls(math.inf, math.inf, math.inf, states=None)

    def refuses(self, processes: Sequence[Resources]) -> str:
        """Say why no state has nodes for these processes, each of which lies on one node; empty when one has.

        Only what is surely too much is refused: processes of one size are counted against nodes with nothing else.
        """
        for size, number in Counter(processes).items():
            if self.states is None:
                continue
            room = max(sum(nodes.hold(size) for nodes in state) for state in self.states)
            if not room:
                lacks = "is like that" if size.labels else "holds that much"
                return f"needs {size} in one process, and no node of the cluster {lacks}"
            if room < number:
                return f"needs {number} processes of {size}, and the nodes of the cluster hold {room} of them"
        return ""

    def placed(self, processes: Sequence[Resources]) -> list[Placed] | None:
        """Return the nodes these processes would lie on, were nothing else there; None where nobody can say.

        The largest come first, to the nodes there are, then to new ones of the smallest type that holds them: Ray's
        autoscaler does not choose otherwise where types differ by size.
        """
        if not self.states:
            return None
        used = [Placed(nodes.kind, False, nodes) for nodes in self.states[0] for _ in range(nodes.count)]
        types = [nodes for nodes in self.states[-1] if nodes.kind] if self.grows else []
        left = {nodes.kind: nodes.count for nodes in types}
        at, last = 0, None
        for size in sorted(processes, key=_size, reverse=True):
            at, last = (at if size == last else 0), size  # nodes before have no room for one more like the last
            while at < len(used) and not used[at].take(size):
                at += 1
            if at < len(used):
                continue
            fitting = [n for n in types if left[n.kind] and n.answers(size) and size.times_in(n.each)]
            if not fitting:
                return None
            chosen = min(fitting, key=lambda nodes: _size(nodes.each))
            left[chosen.kind] -= 1
            used.append(Placed(chosen.kind, True, chosen))
            used[-1].take(size)
        return [node for node in used if node.held]

    @property
    def grows(self) -> bool:
        """Whether an autoscaler may add nodes, and says which."""
        return self.states is not None and len(self.states) > 1

    def __str__(self) -> str:
        return "what its autoscaler gives" if self.states is None else str(Resources(self.cpus, self.gpus))


@dataclass
class Placed:
    """A node that processes would lie on: its type, and whether it would have to be started."""

    kind: str
    new: bool
    nodes: Nodes
    held: list[Resources] = field(default_factory=list)

    def take(self, size: Resources) -> bool:
        """Put one process more on the node if there is room."""
        others = sum(self.held, Resources())
        free = self.nodes.each - others
        fits = self.nodes.answers(size) and size.times_in(free) > 0
        if fits:
            self.held.append(size)
        return fits


def _size(resources: Resources) -> tuple[float, float, float]:
    return resources.gpus, resources.cpus, resources.memory
