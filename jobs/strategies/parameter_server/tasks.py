"""The processes of a TensorFlow cluster: servers and workers as a gang, the coordinator here, and who of them died."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import tensorflow as tf

from cluster.environment import training_variables
from cluster.errors import PreemptedError
from cluster.gang import Gang, Member, Role, fallen_error
from cluster.ports import Port
from jobs.models.weights.wholes import may_be_cut
from jobs.strategies.strategy import Place

JOBS = {"server": "ps", "worker": "worker"}  # the names that ParameterServerStrategy knows roles by
COORDINATOR = "chief"
# Without it a call to a process that died waits for another to listen there.
FAIL_FAST = {"GRPC_FAIL_FAST": "use_caller"}
# With one core, TensorFlow's default, a server that waits for a worker has no thread left to answer the worker with.
THREADS = 4
NOTICE = 10.0  # seconds in which Ray hears of a process that TensorFlow found dead


class Task(Member):
    """A server or a worker: it serves TensorFlow's runtime until its process ends."""

    def serve(self, cluster: dict[str, list[str]], cpus: float) -> None:
        """Listen on this task's address of `cluster`, computing on `cpus` threads."""
        config = tf.compat.v1.ConfigProto(
            inter_op_parallelism_threads=max(THREADS, int(cpus)), intra_op_parallelism_threads=max(1, int(cpus))
        )
        config.gpu_options.allow_growth = True
        if self.role == "server":
            config.device_count["GPU"] = 0
        self.release_port()
        spec = tf.train.ClusterSpec(cluster)
        self.server = tf.distribute.Server(spec, JOBS[self.role], self.rank, protocol="grpc", config=config)


class Watch:
    """Tells of workers that died, and raises when a task died that training cannot go on without."""

    def __init__(self, gang: Gang, place: Place) -> None:
        self._gang, self._place = gang, place

    def look(self) -> None:
        """Look whether anybody died; StepError names a server, or the last worker."""
        found = self._gang.poll()
        dead = sum(fallen.role == "worker" for fallen in self._gang.fallen)
        left = sum(role == "worker" for role, _ in self._gang.members) - dead
        for fallen in found:
            if fallen.role == "worker" and left:
                told = f"{fallen}; the {left} left do its train steps, its log: {fallen.death.log}"
                self._place.tell({"warning": told})
        for fallen in found:
            if fallen.role != "worker" or not left:
                raise fallen_error(fallen)

    def living(self) -> list[int]:
        """Return the ranks of the workers that lived when last looked."""
        dead = {(fallen.role, fallen.rank) for fallen in self._gang.fallen}
        return [rank for role, rank in self._gang.members if role == "worker" and (role, rank) not in dead]

    @contextmanager
    def explaining(self) -> Iterator[None]:
        """Let an error of TensorFlow that comes of a task's death be the error of that death."""
        try:
            yield
        except tf.errors.OpError:
            end = time.monotonic() + NOTICE
            while time.monotonic() < end:
                self.look()
                time.sleep(0.1)
            if self._gang.leaving:
                raise PreemptedError("a server or a worker", "was lost with its node, which was taken away") from None
            raise


@contextmanager
def connected(place: Place, roles: Mapping[str, Role], shard_bytes: int) -> Iterator[tuple[Any, Watch]]:
    """Start the tasks, and yield the strategy over them with a watch; they are gone when the block ends."""
    os.environ.update(FAIL_FAST)
    gang = Gang.start(place.name, roles, Task, training_variables() | FAIL_FAST)
    try:
        watch = Watch(gang, place)
        with watch.explaining():
            addresses = gang.addresses()
            place.tell({"processes": [f"{task} at {addresses[task.role][task.rank]}" for task in gang.processes()]})
            own = Port()
            cluster = {JOBS[role]: listed for role, listed in addresses.items()} | {COORDINATOR: [own.address()]}
            _serve(gang, roles, cluster)
            own.release()
            yield strategy_over(cluster, shard_bytes), watch
    finally:
        gang.stop()


def strategy_over(cluster: Mapping[str, list[str]], shard_bytes: int) -> Any:
    """Return the strategy whose coordinator this process is; large variables are spread over all servers."""
    resolver = tf.distribute.cluster_resolver.SimpleClusterResolver(
        tf.train.ClusterSpec(cluster), task_type=COORDINATOR, task_id=0, rpc_layer="grpc"
    )
    cut = tf.distribute.experimental.partitioners.MinSizePartitioner(shard_bytes, len(cluster["ps"]))

    def parts(shape: Any, dtype: Any) -> list[int]:
        return list(cut(shape, dtype)) if may_be_cut() else [1] * len(shape)

    return tf.distribute.ParameterServerStrategy(resolver, variable_partitioner=parts)


def _serve(gang: Gang, roles: Mapping[str, Role], cluster: dict[str, list[str]]) -> None:
    calls = {who: gang.call(*who, "serve", cluster, roles[who[0]].resources.cpus) for who in gang.members}
    for who, call in calls.items():
        gang.answer(who, call)
