"""Starts the clients, lets them and the coordinator do the same work, and ends them."""

from __future__ import annotations

from typing import Any

from cluster.environment import training_variables
from cluster.gang import Gang, Role
from cluster.work import beside_us
from jobs.strategies.federated.client import Client
from jobs.strategies.federated.clients import ROLE, Clients
from jobs.strategies.federated.coordinator import Coordinator, CoordinatorKeeper
from jobs.strategies.federated.federated import Federated
from jobs.strategies.federated.hub import Hub


def federate(strategy: Federated, work: Any, keeper: Any, name: str, hub: type[Hub]) -> None:
    """Do `work` as the coordinator, and in a gang called `name` as every client; nothing of it stays behind.

    All that passes between them passes through a `hub`.
    """
    import ray

    between = ray.remote(hub).options(num_cpus=0, scheduling_strategy=beside_us()).remote()
    role = Role(strategy.workers, strategy.of_worker())
    gang = Gang.start(name, {ROLE: role}, Client, training_variables())
    try:
        told = (work, strategy.terms(), strategy.cpus_per_worker, between)
        runs = {client: gang.call(ROLE, client, "work", *told) for client in range(strategy.workers)}
        clients = Clients(gang, runs, between, keeper.tell)
        kept = CoordinatorKeeper(keeper, clients)
        kept.engine = Coordinator(strategy, clients, keeper)
        work(kept.engine, kept)
    finally:
        gang.stop()
        ray.kill(between)
