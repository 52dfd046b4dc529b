"""A gang: member processes with named roles, in one placement group, owned by the process that started them.

The owner is usually a worker of Ray Train, which keeps its rank, checkpoints and failure policy there. Members end with
their owner. The placement group of an owner that was killed stays until `remove_leftover` or the end of the Ray job.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from cluster.errors import ClusterError, DeathError, EspalierError, PreemptedError, StepError
from cluster.ports import Port
from cluster.postmortem import Death, death
from cluster.resources import Resources
from cluster.work import held_by_one, in_short

PATIENCE = 600.0  # seconds a cluster may take to give what a gang holds, as it may have to add nodes first
ENDING = 30.0  # seconds that killed members and a removed placement group may take to be gone
LOOK = 0.05

Who = tuple[str, int]  # role and rank


@dataclass(frozen=True)
class Role:
    """How many members a role has, and what each of them holds."""

    count: int
    resources: Resources


@dataclass(frozen=True)
class Fallen:
    """A member whose process ended without being asked to; `preempted` where its node was being taken away."""

    role: str
    rank: int
    death: Death
    preempted: bool = False

    def __str__(self) -> str:
        return f"{self.role} {self.rank}: {self.death}"


@dataclass(frozen=True)
class Living:
    """A member's process: who it is, and where it runs."""

    role: str
    rank: int
    pid: int
    node: str

    def __str__(self) -> str:
        return f"{self.role} {self.rank}: pid {self.pid} on {self.node}"


class Member:
    """What a member's process is asked to do: a subclass adds the methods it can be called by."""

    def __init__(self, role: str, rank: int) -> None:
        self.role, self.rank = role, rank
        self._port: Port | None = None

    def address(self) -> str:
        """Return `host:port` of this node with a port that is free, and held until `release_port`."""
        self._port = Port()
        return self._port.address()

    def process(self) -> Living:
        """Say which process this is."""
        import ray

        return Living(self.role, self.rank, os.getpid(), ray.util.get_node_ip_address())

    def release_port(self) -> None:
        """Let the port of `address` go, right before something else listens there."""
        if self._port is not None:
            self._port.release()

    def live(self) -> None:
        """Never return: who waits for this call hears of the end of the process, and of nothing else."""
        threading.Event().wait()


@dataclass
class Gang:
    """The members of a placement group, by role and rank. Only the process that started it may use it."""

    name: str
    members: dict[Who, Any]
    fallen: list[Fallen] = field(default_factory=list)
    leaving: set[str] = field(default_factory=set)  # nodes that were about to be taken away when last looked
    _lives: dict[Any, Who] = field(default_factory=dict)
    _nodes: dict[Who, str] = field(default_factory=dict)

    @classmethod
    def start(
        cls,
        name: str,
        roles: Mapping[str, Role],
        member: type[Member],
        env: Mapping[str, str] | None = None,
        patience: float = PATIENCE,
    ) -> Gang:
        """Start `member(role, rank)` for every member, each in a process of its own with the variables `env`.

        A gang called `name` that a killed owner left is removed first. Raises ClusterError when the cluster does not
        give what the members hold within `patience` seconds.
        """
        import ray

        remove_leftover(name)
        places = [(role, rank) for role, wanted in roles.items() for rank in range(wanted.count)]
        group = _held_together(name, [roles[role].resources for role, _ in places], patience)
        actor = ray.remote(max_restarts=0, concurrency_groups={"life": 1})(member)
        members = {}
        for index, (role, rank) in enumerate(places):
            place = ray.util.scheduling_strategies.PlacementGroupSchedulingStrategy(group, index)
            held = held_by_one(replace(roles[role].resources, labels=()))  # the group has the labels
            options = {"scheduling_strategy": place, "runtime_env": {"env_vars": dict(env or {})}}
            members[role, rank] = actor.options(**held, **options).remote(role, rank)
        lives = {m.live.options(concurrency_group="life").remote(): who for who, m in members.items()}
        nodes = ray.util.placement_group_table(group)["bundles_to_node_id"]
        return cls(name, members, _lives=lives, _nodes={who: nodes[index] for index, who in enumerate(places)})

    def call(self, role: str, rank: int, method: str, *args: Any) -> Any:
        """Call one member's method; return the reference to its answer at once."""
        return getattr(self.members[role, rank], method).remote(*args)

    def call_all(self, role: str, method: str, *args: Any) -> list[Any]:
        """Call a method of every member of `role` and return the answers in the order of ranks.

        StepError names the member that died or raised; an EspalierError raised there is raised here as it is.
        """
        calls = {who: self.call(*who, method, *args) for who in self.members if who[0] == role}
        return [self.answer(who, reference) for who, reference in calls.items()]

    def answer(self, who: Who, reference: Any) -> Any:
        """Wait for what the member `who` answers; errors are those of `call_all`."""
        import ray

        try:
            return ray.get(reference)
        except ray.exceptions.RayActorError as error:
            fallen = Fallen(*who, death(str(error)), self._nodes.get(who) in self.leaving)
            raise fallen_error(fallen) from None
        except ray.exceptions.RayTaskError as error:
            if isinstance(error.cause, EspalierError):
                raise error.cause from None
            raise StepError(f"{who[0]} {who[1]}", f"raised {in_short(error.cause)}") from None

    def addresses(self) -> dict[str, list[str]]:
        """Return the address of every member by role, in the order of ranks; no two are the same."""
        return {role: self.call_all(role, "address") for role in self._roles()}

    def processes(self) -> list[Living]:
        """Return the process of every member."""
        return [found for role in self._roles() for found in self.call_all(role, "process")]

    def _roles(self) -> list[str]:
        return list(dict.fromkeys(role for role, _ in self.members))

    def poll(self) -> list[Fallen]:
        """Return the members that died since the last look; `fallen` keeps all of them."""
        import ray

        if not self._lives:
            return []
        self.leaving |= set(leaving(self.name))
        ended, _ = ray.wait(list(self._lives), num_returns=len(self._lives), timeout=0)
        dead = [(self._lives.pop(reference), death(_last_words(reference))) for reference in ended]
        found = [Fallen(*who, how, self._nodes[who] in self.leaving) for who, how in dead]
        self.fallen += found
        return found

    def stop(self) -> None:
        """End every member and give back what the gang held; returns when it is gone."""
        import ray

        for member in self.members.values():
            ray.kill(member)
        if self._lives:
            ray.wait(list(self._lives), num_returns=len(self._lives), timeout=ENDING)
        remove_leftover(self.name)


def fallen_error(fallen: Fallen) -> StepError:
    """Return the error of a step that cannot go on without this member."""
    who = f"{fallen.role} {fallen.rank}"
    if fallen.preempted:  # Ray names no process that went with its node
        return PreemptedError(who, "was lost with its node, which was taken away")
    return DeathError(who, str(fallen.death), remedy=f"its log: {fallen.death.log}")


def leaving(name: str) -> dict[str, int]:
    """Return which nodes of the gang called `name` are about to be taken away, and when.

    Times are milliseconds since 1970, 0 where none was told.
    """
    import ray
    from ray._private.state import state

    draining: dict[str, int] = state.get_draining_nodes()
    try:
        group = ray.util.get_placement_group(name) if draining else None
    except ValueError:
        return {}
    held = ray.util.placement_group_table(group)["bundles_to_node_id"].values() if group is not None else ()
    return {node: draining[node] for node in set(held) & set(draining)}


def remove_leftover(name: str) -> bool:
    """Remove the placement group called `name`, with what runs in it, and wait until it is gone; False if none is."""
    import ray

    try:
        group = ray.util.get_placement_group(name)
    except ValueError:
        return False
    ray.util.remove_placement_group(group)
    end = time.monotonic() + ENDING
    while ray.util.placement_group_table(group).get("state") not in (None, "REMOVED") and time.monotonic() < end:
        time.sleep(LOOK)
    return True


def _held_together(name: str, wanted: Sequence[Resources], patience: float) -> Any:
    import ray

    labels = [dict(each.labels) for each in wanted]
    named = {"bundle_label_selector": labels} if any(labels) else {}
    group = ray.util.placement_group([each.bundle() for each in wanted], strategy="PACK", name=name, **named)
    if not group.wait(patience):
        remove_leftover(name)
        raise ClusterError(f"gang {name}", f"was not given {sum(wanted, Resources())} in {patience:g} s")
    return group


def _last_words(reference: Any) -> str:
    import ray

    try:
        ray.get(reference)
    except ray.exceptions.RayError as error:
        return str(error)
    raise AssertionError("no member's life returns")
