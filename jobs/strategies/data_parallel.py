"""AllReduce data parallelism: each worker holds the model, gradients are summed after every train step."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import Field, model_validator
from pydantic_core import PydanticCustomError

from cluster import ports
from cluster.resources import Resources
from jobs.spec import INCIDENTAL, Spec
from jobs.strategies.strategy import Engine, Strategy

Count = Annotated[int, Field(ge=1, le=4096)]


class Elastic(Spec):
    """As many workers as the cluster has room for; when that changes, all start again from the newest checkpoint."""

    min: Annotated[Count, Field(description="Workers that there must be")]
    max: Annotated[Count, Field(description="Workers that there may be")]
    look_every: Annotated[
        float, INCIDENTAL, Field(ge=0, description="Seconds between two looks whether there is room for more")
    ] = 60.0

    @model_validator(mode="after")
    def _min_is_not_above_max(self) -> Self:
        if self.min > self.max:
            raise PydanticCustomError("workers", "has a min above its max")
        return self


class DataParallel(Strategy):
    """MultiWorkerMirroredStrategy: synchronous replicas, one a GPU or one a worker process without GPUs."""

    kind: Literal["data_parallel"] = "data_parallel"
    needs_cluster_config: ClassVar[bool] = True

    workers: Annotated[Count | Elastic, Field(description="Worker processes")] = 1  # type: ignore[assignment]
    collectives: Annotated[
        Literal["auto", "ring", "nccl"],
        Field(description="How gradients are summed: ring over gRPC, NCCL between GPUs, or as TensorFlow chooses"),
    ] = "auto"
    memory_limit_mb: Annotated[
        int | None,
        INCIDENTAL,
        Field(ge=1, description="Memory of each GPU a worker may take; without it, it takes more as it needs it"),
    ] = None
    network_interface: Annotated[
        str | None,
        INCIDENTAL,
        Field(min_length=1, description="Network interfaces for NCCL, as in NCCL_SOCKET_IFNAME: eth0, =ib0, ^lo"),
    ] = None

    @property
    def _least(self) -> int:
        return self.workers.min if isinstance(self.workers, Elastic) else self.workers

    def resources(self) -> Resources:
        """Return what all workers hold together; of elastic ones, the fewest."""
        return self.of_worker().times(self._least)

    def train_workers(self) -> int:
        """Return how many workers there are, at the fewest."""
        return self._least

    def most_train_workers(self) -> int:
        """Return how many workers there may be."""
        return self.workers.max if isinstance(self.workers, Elastic) else self.workers

    def looks_for_room_every(self) -> float:
        """Return the seconds between two looks whether there is room for more workers."""
        return self.workers.look_every if isinstance(self.workers, Elastic) else super().looks_for_room_every()

    def train_worker(self, rank: int) -> str:
        """Name a worker in errors."""
        least, most = self._least, self.most_train_workers()
        return f"worker {rank} of {least}" + (f" to {most}" if most > least else "")

    def gpu_memory_mb(self) -> int | None:
        """Return how much of each GPU's memory a worker may take."""
        return self.memory_limit_mb

    def variables(self) -> dict[str, str]:
        """Return the environment variables of workers: NCCL reads its network interfaces there."""
        return {} if self.network_interface is None else {"NCCL_SOCKET_IFNAME": self.network_interface}

    def communication(self) -> Any:
        """Return TensorFlow's options for collectives."""
        import tensorflow as tf

        known = tf.distribute.experimental
        implementation = known.CommunicationImplementation[self.collectives.upper()]
        return known.CommunicationOptions(implementation=implementation)

    def environment(self, addresses: list[str], rank: int) -> dict[str, str]:
        """Return TF_CONFIG."""
        task = {"type": "worker", "index": rank}
        return {"TF_CONFIG": json.dumps({"cluster": {"worker": addresses}, "task": task})}

    def engine(self) -> Engine:
        """Join the other workers named in TF_CONFIG: as many as there are by now."""
        import tensorflow as tf

        from jobs.strategies.replicated.engine import Replicated

        config = json.loads(os.environ["TF_CONFIG"])
        ports.release()
        mirrored = tf.distribute.MultiWorkerMirroredStrategy(communication_options=self.communication())
        return Replicated(mirrored, workers=len(config["cluster"]["worker"]), rank=int(config["task"]["index"]))

    def _named(self, replicas: int) -> str:
        workers = self.most_train_workers()
        return f"{workers} workers" if replicas == workers else f"the {replicas} GPUs of {workers} workers"

    def problems(self, batch_size: int) -> Iterator[str]:
        """Yield what is wrong with the batches, and options that only GPUs have.

        Elastic workers may divide a batch unevenly: how many there are is not known before.
        """
        replicas = self.most_train_workers() * max(1, int(self.gpus_per_worker))
        if batch_size < replicas:
            yield f"{batch_size} rows a global batch cannot feed {self._named(replicas)}"
        elif (left := batch_size % replicas) and not isinstance(self.workers, Elastic):
            near = f"take {batch_size - left} or {batch_size - left + replicas}"
            yield f"{batch_size} rows a global batch do not divide evenly among {self._named(replicas)}; {near}"
        if self.collectives == "nccl" and 0 < self.gpus_per_worker < 1:
            yield "collectives: nccl needs a GPU for each worker; set gpus_per_worker to 1, or collectives to ring"
        if self.network_interface and self.collectives == "ring":
            yield "network_interface is NCCL's, and collectives: ring leaves NCCL out; take one of the two out"
        only_on_gpus = {
            "collectives: nccl": self.collectives == "nccl",
            "memory_limit_mb": bool(self.memory_limit_mb),
            "network_interface": bool(self.network_interface),
        }
        for name in (name for name, asked in only_on_gpus.items() if asked and not self.gpus_per_worker):
            yield f"{name} is for workers with GPUs; set gpus_per_worker"
