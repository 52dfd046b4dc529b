"""How far a cluster's autoscaler may make it grow. Ray has no public call that tells.

A managed autoscaler publishes its limits in the cluster's own store, where Ray Train looks for them too. That of
`ray up` is configured by a file on the head node, which the command line of its process names. Where neither is found
and no autoscaler's process runs beside the head, one may run elsewhere, as KubeRay's does: then nobody can say.
"""

from __future__ import annotations

import threading
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from cluster.resources import Capacity, Nodes, Resources

HEAD = "node:__internal_head__"
GROUP = "ray.io/node-group"  # the label by which Ray tells a node's type
EXPIRES = 180.0  # seconds after which what a killed process asked for is forgotten; Ray Train's are the same
ACTOR = ("AutoscalingCoordinator", "AutoscalingCoordinator")  # of Ray: name and namespace
PATIENCE = 60.0  # seconds the head may take to start a process and answer
OPTION = "--autoscaling-config="


def capacity_of(nodes: list[dict[str, Any]]) -> Capacity:
    """Return what a connected cluster with these nodes (`ray.nodes()`) can hold now or later."""
    now = [node_of(node) for node in nodes if node["Alive"]]
    if (published := _published()) is not None:
        return Capacity.of(now, published)
    heads = [node for node in nodes if node["Alive"] and HEAD in node["Resources"]]
    config = _config_of_head({node["NodeID"] for node in heads})
    if config is None:
        return Capacity.unknown()
    if not config:
        return Capacity.of(now)
    return grown(now, [node_of(node) for node in heads], config)


def grown(now: list[Nodes], head: list[Nodes], config: dict[str, Any]) -> Capacity:
    """Return the capacity of a cluster that its autoscaler may change from `now` as the file of `ray up` says."""
    limit = int(config.get("max_workers", 2))
    types: dict[str, Any] = config.get("available_node_types", {})
    added = [
        Nodes(
            Resources.of_node(kind.get("resources", {})),
            min(limit, int(kind.get("max_workers", limit))),
            name,
            kind.get("labels", {}),
        )
        for name, kind in types.items()
        if name != config.get("head_node_type") or "max_workers" in kind
    ]
    return Capacity.of(now, [*head, *added], most=sum((nodes.each for nodes in head), _most(added, limit)))


def _most(added: list[Nodes], limit: int) -> Resources:
    """Return the most CPUs, and the most GPUs, of `limit` nodes."""

    def most(sizes: list[float]) -> float:
        return sum(sorted(sizes, reverse=True)[:limit])

    cpus = [nodes.each.cpus for nodes in added for _ in range(nodes.count)]
    gpus = [nodes.each.gpus for nodes in added for _ in range(nodes.count)]
    return Resources(most(cpus), most(gpus))


def node_of(node: dict[str, Any]) -> Nodes:
    """Return a node as `ray.nodes()` tells of it."""
    labels = node.get("Labels", {})
    return Nodes(Resources.of_node(node["Resources"]), 1, labels.get(GROUP, ""), labels)


@contextmanager
def asked_ahead(name: str, processes: Sequence[Resources]) -> Iterator[None]:
    """Have an autoscaler start nodes for all these processes, in one request, for the length of a block.

    Ray has one such request for the whole cluster, and the last one wins. So this one is added to what Ray Train and
    Ray Data ask for, by the actor that they tell it to. It is taken back at the end, and of a process that is killed
    it runs out: nodes that are idle then go when their time is up.
    """
    if not processes:
        yield
        return
    import ray
    from ray.data._internal.cluster_autoscaler import default_autoscaling_coordinator as ours

    actor = ours.get_or_create_autoscaling_coordinator()
    bundles, labels = [each.bundle() for each in processes], [dict(each.labels) for each in processes]
    asked = {"resources": bundles, "label_selectors": labels if any(labels) else None, "expire_after_s": EXPIRES}
    ended = threading.Event()

    def again() -> None:
        while not ended.wait(EXPIRES / 3):
            actor.request_resources.remote(requester_id=name, priority=ours.ResourceRequestPriority.HIGH, **asked)

    ray.get(actor.request_resources.remote(requester_id=name, priority=ours.ResourceRequestPriority.HIGH, **asked))
    threading.Thread(target=again, daemon=True, name=f"asks for {name}").start()
    try:
        yield
    finally:
        ended.set()
        ray.get(actor.cancel_request.remote(requester_id=name))


def take_back(name: str) -> None:
    """Take back what a killed process asked ahead under `name`, if it did."""
    import ray

    try:
        actor = ray.get_actor(*ACTOR)
    except ValueError:
        return
    actor.cancel_request.remote(requester_id=name)


def _published() -> list[Nodes] | None:
    """Return the nodes of the configuration a managed autoscaler published, None when there is none."""
    from ray._private.state import state

    config = state.get_cluster_config()
    if config is None or not config.node_group_configs:
        return None
    groups = config.node_group_configs
    return [Nodes(Resources.of_node(group.resources), _count(group.max_count), group.name) for group in groups]


def _count(most: int) -> int:
    return 2**31 if most < 0 else most  # -1 stands for any number


def _config_of_head(heads: Collection[str]) -> dict[str, Any] | None:
    """Return what the autoscaler beside the head was told; empty when it was told nothing, None when none is there."""
    import ray

    if ray.get_runtime_context().get_node_id() in heads:  # then no process is needed for it
        try:
            return _read_config()
        except OSError:
            return None
    asked = ray.remote(_read_config).options(num_cpus=0, resources={HEAD: 0.001}, max_retries=0).remote()
    try:
        found: dict[str, Any] | None = ray.get(asked, timeout=PATIENCE)
    except (ray.exceptions.GetTimeoutError, ray.exceptions.RayTaskError):
        return None
    return found


def _read_config() -> dict[str, Any] | None:
    import ray
    import yaml

    ours = f"--gcs-address={ray.get_runtime_context().gcs_address}"  # another cluster's may run here too
    for words in _command_lines():
        if ours in words and any(word.endswith("/monitor.py") for word in words):
            files = [word.removeprefix(OPTION) for word in words if word.startswith(OPTION)]
            return yaml.safe_load(Path(files[0]).expanduser().read_text()) if files and files[0] else {}
    return None


def _command_lines() -> list[list[str]]:
    found = []
    for file in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            found.append(file.read_bytes().decode(errors="replace").split("\0"))
        except OSError:
            continue  # it has ended
    return found
