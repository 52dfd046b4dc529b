"""The one place that connects to Ray or starts it here. Importing this module does not import Ray."""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cluster.environment import driver_environment, variables
from cluster.errors import ClusterError
from cluster.resources import Capacity, Nodes, Resources
from cluster.starting.setup_worker import light_setup
from cluster.starting.warm_start import Imports, begin, end

CONNECT_S = 10.0  # how long a cluster may take to accept a connection
Front = Callable[[], AbstractContextManager[Mapping[str, str]]]  # what stands for a cluster's life, and its variables

_kept = ExitStack()  # what ends with the cluster that this process started


@dataclass(frozen=True)
class Session:
    """A connection to a cluster: its address, its dashboard, and whether this process started it."""

    address: str
    dashboard: str
    started_here: bool


def address_of(asked: str | None) -> str | None:
    """Return the cluster's address: the one asked for, else RAY_ADDRESS; None, also for `local`: start one here."""
    found = asked or os.environ.get("RAY_ADDRESS")
    return None if found in (None, "", "local") else found


def connect(
    asked: str | None,
    *,
    cpus: int | None = None,
    dashboard: bool = False,
    warm: Imports | None = None,
    front: Front | None = None,
    namespace: str | None = None,
) -> Session:
    """Connect to the cluster at `asked` (or RAY_ADDRESS), or start one on this machine.

    A cluster started here binds loopback and ends with this process. There, workers that are to start warm have `warm`
    imported, and `front` gives what its processes need in their environment to be reached from outside. Raises
    ClusterError when the address does not answer, or when no cluster starts here.
    """
    from cluster.submit.token import close_own_token, present_token

    os.environ.update(variables())
    address = address_of(asked)
    if address is not None:
        _reach(address)
        present_token()
    else:
        if front is not None:
            _kept.enter_context(_set(_kept.enter_context(front())))
        if warm is not None:
            begin(warm)
    import ray

    options: dict[str, Any] = {"namespace": namespace} if namespace else {}
    options |= {"runtime_env": driver_environment(), "log_to_driver": False, "logging_level": logging.ERROR}
    if address is None:
        here = {"num_cpus": cpus or cpus_here(), "include_dashboard": dashboard, "dashboard_host": "127.0.0.1"}
        options |= here if dashboard else here | {"dashboard_port": _unused_port()}
    try:
        with light_setup():
            context = ray.init(address=address or "local", **options)
    except (OSError, RuntimeError, ValueError, ray.exceptions.RayError) as error:
        if address is None:
            _end()
            raise ClusterError("Ray", f"does not start on this machine ({error})") from error
        raise _not_ours(address, str(error)) from error
    if address is None:
        close_own_token()
    return Session(context.address_info["address"], context.dashboard_url or "", started_here=address is None)


def _unused_port() -> int:
    """Return a port for a cluster without a dashboard to name as its dashboard's.

    By default it names 8265. Where another cluster's dashboard listens there, Ray Train asks that one whether its own
    controller lives, hears of none, and removes the training's placement group.
    """
    import socket

    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _reach(address: str) -> None:
    """Open a connection to `host:port` and close it: Ray itself would try for minutes."""
    import socket

    host, _, port = address.removeprefix("ray://").rpartition(":")
    if not (host and port.isdecimal()):
        return  # `auto`, or something Ray refuses at once
    try:
        socket.create_connection((host.strip("[]"), int(port)), timeout=CONNECT_S).close()
    except (OSError, OverflowError) as error:
        raise _no_answer(address, str(error)) from None


def _not_ours(address: str, why: str) -> ClusterError:
    """Return what to tell of a cluster that answers and does not let us in."""
    if "ersion mismatch" in why:
        level = "RAY_DEFAULT_PYTHON_VERSION_MATCH_LEVEL=minor lets the last number of Python's differ"
        remedy = f"use the cluster's versions ({level}), or let it run the driver: espalier submit"
        return ClusterError(f"cluster {address}", " ".join(why.split())[:500], remedy=remedy)
    return _no_answer(address, why)


def _no_answer(address: str, why: str) -> ClusterError:
    return ClusterError(
        f"cluster {address}", f"does not answer ({why})", remedy="check --address, RAY_ADDRESS and the token"
    )


@contextmanager
def connected(asked: str | None, **options: bool | int | str | Imports | Front | None) -> Iterator[Session]:
    """Connect for the length of a block, and leave the cluster afterwards; a cluster started here ends."""
    session = connect(asked, **options)  # type: ignore[arg-type]
    try:
        yield session
    finally:
        disconnect()


def page_of_job() -> str:
    """Return the page of this process's job on the cluster's dashboard, empty where there is none."""
    if not is_connected():
        return ""
    import ray

    where = ray._private.worker.get_dashboard_url()
    return f"http://{where}/#/jobs/{ray.get_runtime_context().get_job_id()}" if where else ""


def head_address() -> str:
    """Return where the head of this process's cluster listens (host:port), empty while it has none."""
    if not is_connected():
        return ""
    import ray

    return str(ray.get_runtime_context().gcs_address)


def is_connected() -> bool:
    """Say whether this process is connected to a cluster; Ray is not imported to find out."""
    if "ray" not in sys.modules:
        return False
    import ray

    return bool(ray.is_initialized())


def disconnect() -> None:
    """Leave the cluster, if this process is connected; processes it started on the cluster end."""
    if "ray" in sys.modules:
        import ray

        ray.shutdown()
    _end()


def _end() -> None:
    """End what this process held for its cluster."""
    end()  # after its copies: it takes note of their ends
    _kept.close()


@contextmanager
def _set(given: Mapping[str, str]) -> Iterator[None]:
    """Set variables of this process, which a cluster started now inherits, for the length of a block."""
    before = {name: os.environ.get(name) for name in given}
    os.environ.update(given)
    try:
        yield
    finally:
        for name, value in before.items():
            os.environ.pop(name, None) if value is None else os.environ.update({name: value})


def capacity(asked: str | None) -> Capacity:
    """Return what the cluster can hold: of the connected one, else of the machine a cluster would be started on.

    What the autoscaler of a cluster elsewhere may add counts.
    """
    if "ray" in sys.modules:
        import ray

        if ray.is_initialized():
            if address_of(asked) is None:
                from cluster.growth import node_of

                return Capacity.of([node_of(node) for node in ray.nodes() if node["Alive"]])
            from cluster.growth import capacity_of

            return capacity_of(ray.nodes())
    assert address_of(asked) is None, "a cluster elsewhere is asked once connected"
    return Capacity.of([Nodes(Resources(cpus_here(), gpus_here(), memory_here()), 1)])


def cpus_here(root: Path = Path("/")) -> int:
    """Return how many CPUs this process may use at once: its affinity, and the quota of its control group."""
    allowed = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    try:
        quota, period = (root / "sys/fs/cgroup/cpu.max").read_text().split()
    except (OSError, ValueError):
        return allowed
    return allowed if quota == "max" else max(1, min(allowed, int(quota) // int(period)))


def memory_here() -> int:
    """Return the bytes of memory this machine has; Ray gives out about 70 % of what is free when it starts."""
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def gpus_here(root: Path = Path("/")) -> int:
    """Return how many NVIDIA GPUs this process may use: those there are, as far as CUDA_VISIBLE_DEVICES shows them."""
    found = len(list(root.glob("proc/driver/nvidia/gpus/*")))
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    if visible is None:
        return found
    named = [name for name in visible.split(",") if name.strip() not in ("", "-1", "NoDevFiles")]
    return min(found, len(named))
