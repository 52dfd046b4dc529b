"""The one place that connects to Ray or starts it here. Importing this module does not import Ray."""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from cluster.environment import variables
from cluster.errors import ClusterError
from cluster.resources import Resources


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


def connect(asked: str | None, *, cpus: int | None = None, dashboard: bool = False) -> Session:
    """Connect to the cluster at `asked` (or RAY_ADDRESS), or start one on this machine.

    A cluster started here binds loopback and ends with this process. Raises ClusterError when the address does not
    answer.
    """
    os.environ.update(variables())
    import ray

    address = address_of(asked)
    options = {"runtime_env": {"env_vars": variables()}, "log_to_driver": False, "logging_level": logging.ERROR}
    if address is None:
        context = ray.init(
            address="local", num_cpus=cpus, include_dashboard=dashboard, dashboard_host="127.0.0.1", **options
        )
        return Session(context.address_info["address"], context.dashboard_url or "", started_here=True)
    try:
        context = ray.init(address=address, **options)
    except (ConnectionError, RuntimeError, ValueError) as error:
        raise ClusterError(
            f"cluster {address}", f"does not answer ({error})", remedy="check --address, RAY_ADDRESS and the token"
        ) from error
    return Session(context.address_info["address"], context.dashboard_url or "", started_here=False)


@contextmanager
def connected(asked: str | None, **options: bool | int | None) -> Iterator[Session]:
    """Connect for the length of a block, and leave the cluster afterwards; a cluster started here ends."""
    session = connect(asked, **options)  # type: ignore[arg-type]
    try:
        yield session
    finally:
        disconnect()


def disconnect() -> None:
    """Leave the cluster, if this process is connected; processes it started on the cluster end."""
    if "ray" in sys.modules:
        import ray

        ray.shutdown()


def capacity(asked: str | None) -> Resources:
    """Return what the cluster can hold: of the connected one, else of the machine a cluster would be started on."""
    if "ray" in sys.modules:
        import ray

        if ray.is_initialized():
            held = ray.cluster_resources()
            return Resources(held.get("CPU", 0), held.get("GPU", 0))
    assert address_of(asked) is None, "a cluster elsewhere is asked once connected"
    return Resources(float(len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1))
