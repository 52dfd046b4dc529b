"""Clusters of several nodes on this machine, for processes of their own: one process cannot be on two clusters."""

from __future__ import annotations

import logging
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import ray
from ray.cluster_utils import Cluster

from cluster.environment import variables


def drain(cluster: Cluster, node: Any, seconds: int) -> None:
    """Say that `node` will be taken away in so many seconds."""
    command = ["-m", "ray.scripts.scripts", "drain-node", "--address", cluster.address, "--node-id", node.node_id]
    command += ["--reason", "DRAIN_NODE_REASON_PREEMPTION", "--reason-message", "rehearsal"]
    command += ["--deadline-remaining-seconds", str(seconds)]
    subprocess.run([sys.executable, *command], check=True, stdout=subprocess.DEVNULL)


@contextmanager
def cluster_of_one(cpus: int = 1, **more: str) -> Iterator[Cluster]:
    """Run a cluster of one node, to which more can be added, and be connected to it for a block.

    Its processes have the variables of ours and `more`. It has no dashboard, and names a port that no other has one on.
    """
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        dashboard = probe.getsockname()[1]
    head = {"num_cpus": cpus, "include_dashboard": False, "dashboard_port": dashboard}
    cluster = Cluster(initialize_head=True, head_node_args=head)
    environment = {"env_vars": variables() | more}
    ray.init(address=cluster.address, log_to_driver=False, logging_level=logging.ERROR, runtime_env=environment)
    yield cluster
    ray.shutdown()
    cluster.shutdown()
