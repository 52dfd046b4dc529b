"""Takes checks to this machine and to every node of a cluster, and yields what they find."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from typing import Any

from cluster.doctor.check import HERE, Check, Finding, Seen
from cluster.work import in_short

NODE_S = 90.0  # seconds a node may take: TensorFlow is imported there


def examine(checks: Sequence[Check], nodes: bool) -> Iterator[Finding]:
    """Yield what the checks find here, and with `nodes` on every node of the cluster this process is connected to."""
    try:
        for check in checks:
            check.prepare()
        here = {check.name: Seen(HERE, *_timed(check)) for check in checks}
        for check in checks:
            yield from _judged(check, here[check.name], here[check.name])
        if nodes:
            yield from _on_nodes(checks, here)
    finally:
        for check in checks:
            check.tidy()


def _timed(check: Check) -> tuple[Any, float, float, float, float]:
    began = time.time()
    facts = looked(check)
    ended = time.time()
    return facts, began, began, ended, ended


def looked(check: Check) -> Any:
    """Return a check's facts; of one that breaks, why."""
    try:
        return check.look()
    except Exception as error:  # noqa: BLE001  one check that breaks is a finding, and the others go on
        return {"broken": in_short(error)}


def _judged(check: Check, seen: Seen, here: Seen) -> Iterator[Finding]:
    if isinstance(seen.facts, dict) and "broken" in seen.facts:
        yield check.error(seen, f"cannot be looked at: {seen.facts['broken']}", "see what it says")
    else:
        yield from check.judge(seen, here)


def _on_nodes(checks: Sequence[Check], here: dict[str, Seen]) -> Iterator[Finding]:
    import ray

    alive = [node for node in ray.nodes() if node["Alive"]]
    for group in ([c for c in checks if not c.on_gpu], [c for c in checks if c.on_gpu]):
        asked = time.time()
        waits = [(node, _sent(group, node)) for node in alive]
        for node, reference in waits:
            name = f"node {node['NodeManagerAddress']}" + (" (head)" if _is_head(node) else "")
            yield from _from_node(group, name, reference, asked, here)


def _is_head(node: dict[str, Any]) -> bool:
    return "node:__internal_head__" in node["Resources"]


def _sent(group: Sequence[Check], node: dict[str, Any]) -> Any:
    """Start looking on a node; it holds a GPU there if that is what is looked at."""
    import ray

    place = ray.util.scheduling_strategies.NodeAffinitySchedulingStrategy(node["NodeID"], soft=False)
    gpus = min(1.0, node["Resources"].get("GPU", 0)) if any(check.on_gpu for check in group) else 0
    options = {"num_cpus": 0, "num_gpus": gpus, "scheduling_strategy": place, "max_retries": 0}
    return ray.remote(looked_all).options(**options).remote(list(group))


def looked_all(checks: Sequence[Check]) -> tuple[float, list[Any], float]:
    """Return when this machine's clock began, the facts of each check, and when it ended."""
    began = time.time()
    return began, [looked(check) for check in checks], time.time()


def _from_node(
    group: Sequence[Check], name: str, reference: Any, asked: float, here: dict[str, Seen]
) -> Iterator[Finding]:
    import ray

    try:
        began, facts, ended = ray.get(reference, timeout=NODE_S)
    except ray.exceptions.GetTimeoutError:
        ray.cancel(reference, force=True)
        remedy = "its GPUs may be held by others, or the node may be starting; ask again"
        yield Finding("warning", "node", name, f"was not looked at within {NODE_S:g} s", remedy)
        return
    except ray.exceptions.RayError as error:
        remedy = "install espalier-ray there, in the same version as here, or submit with `espalier submit`"
        yield Finding("error", "node", name, f"cannot run our code ({in_short(error)})", remedy)
        return
    answered = time.time()
    for check, found in zip(group, facts, strict=True):
        yield from _judged(check, Seen(name, found, asked, began, ended, answered), here[check.name])
