"""The one place that meets Ray Train: starts a group of workers, joins them for TensorFlow, keeps its checkpoints.

Neither the driver nor Train's controller imports TensorFlow: the backend here only writes TF_CONFIG, and the training
function imports what it needs once it runs in a worker.
"""

from __future__ import annotations

import json
import os
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

import ray
import ray.train
import ray.train.collective
from ray.train.backend import Backend, BackendConfig
from ray.train.v2.api.data_parallel_trainer import DataParallelTrainer

from cluster.environment import training_variables
from cluster.errors import EspalierError, StepError
from cluster.folder import Folder
from cluster.gang import remove_leftover
from cluster.resources import Resources
from cluster.retry import Failure, GiveUp, RetryPolicy
from cluster.work import Channel, run_remote
from jobs.artifacts import Epoch
from jobs.checkpoints import Kept, is_whole, newest, read, seal, write
from jobs.job import Output
from jobs.strategies.failing import blamed
from jobs.strategies.strategy import Engine, Place, Strategy


class Work(Protocol):
    """What every worker of a group does; picklable."""

    def __call__(self, engine: Engine, keeper: TrainKeeper) -> None:
        """Train, and leave the artifact in the output folder (worker 0)."""


@dataclass(frozen=True)
class Group:
    """A group of workers to start: what they do, how they are spread, where their checkpoints go."""

    work: Work
    strategy: Strategy
    name: str
    checkpoints: Folder
    retries: int | str
    keep: int


@dataclass
class TensorFlowCluster(BackendConfig):  # type: ignore[misc]
    """Writes TF_CONFIG into every worker, so that their TensorFlow processes find each other."""

    @property
    def backend_cls(self) -> type[Backend]:
        """The class that acts on the worker group."""
        return _TensorFlowBackend


class _TensorFlowBackend(Backend):  # type: ignore[misc]
    def on_start(self, worker_group: Any, backend_config: TensorFlowCluster) -> None:
        addresses = worker_group.execute(_free_address)
        ray.get([worker_group.execute_single_async(rank, _join, addresses, rank) for rank in range(len(worker_group))])


def _free_address() -> str:
    import socket

    with socket.socket() as probe:
        probe.bind(("", 0))
        return f"{ray.util.get_node_ip_address()}:{probe.getsockname()[1]}"


def _join(addresses: list[str], rank: int) -> None:
    task = {"type": "worker", "index": rank}
    os.environ["TF_CONFIG"] = json.dumps({"cluster": {"worker": addresses}, "task": task})


def run(group: Group, out: Output) -> None:
    """Run the group from the driver, in a process of its own, until it ends or `out.stop` is set."""
    try:
        run_remote(run_group, group, resources=Resources(), tell=out.tell, stop=out.stop)
    finally:
        remove_leftover(group.name)


def run_group(group: Group, tell: Channel) -> None:
    """Run the group to its end, in a process that is not the driver; StepError names the worker that failed."""
    strategy, held = group.strategy, group.strategy.train_resources()
    trainer = DataParallelTrainer(
        _worker,
        train_loop_config={"group": group, "tell": tell},
        backend_config=TensorFlowCluster() if strategy.needs_cluster_config else BackendConfig(),
        scaling_config=ray.train.ScalingConfig(
            num_workers=strategy.train_workers(),
            use_gpu=held.gpus > 0,
            resources_per_worker={"CPU": held.cpus, "GPU": held.gpus},
        ),
        run_config=ray.train.RunConfig(
            name=group.name,
            storage_path=str(group.checkpoints),
            # Restarts decides, and ends the run by raising: Train itself restarts for ever.
            failure_config=ray.train.FailureConfig(max_failures=-1, controller_failure_limit=3),
            callbacks=[Restarts(RetryPolicy.of(group.retries), strategy, tell)],
            checkpoint_config=ray.train.CheckpointConfig(num_to_keep=group.keep),
            worker_runtime_env={"env_vars": training_variables()},
        ),
    )
    try:
        trainer.fit()
    except ray.train.ControllerError as error:
        if isinstance(error.controller_failure, EspalierError):
            raise error.controller_failure from None
        raise StepError("the training group", f"could not be started or kept ({error.controller_failure})") from None
    finally:
        remove_leftover(group.name)  # the gang's of a coordinator that was killed


class Restarts(ray.train.UserCallback):  # type: ignore[misc]
    """Decides, in Train's controller, whether a group that failed is started again, and says so.

    Train restarts a group inside one `fit`, which costs one start of workers and no new controller. It has no public
    place for a policy of ours, but what a callback raises ends the run.
    """

    def __init__(self, policy: RetryPolicy, strategy: Strategy, tell: Channel) -> None:
        self.policy, self.strategy, self.tell = policy, strategy, tell
        self.failures: list[Failure] = []

    def after_exception(self, run_context: Any, worker_exceptions: dict[int, Exception]) -> None:
        """Take the workers' errors by rank; return to start the group again, raise to end the run."""
        found = blamed(worker_exceptions, self.strategy.train_worker)
        self.failures.append(found.failure)
        if found.failure.traceback:
            self.tell({"traceback": found.failure.traceback})
        decision = self.policy.decide(self.failures)
        if isinstance(decision, GiveUp):
            self.tell.flush()
            raise found.ended(decision.reason)
        self.tell({"retry": found.failure.what, "log": found.failure.log, "restart": str(decision)})


def _worker(config: dict[str, Any]) -> None:
    group: Group = config["group"]
    _set_up_devices(group.strategy)
    keeper = TrainKeeper(group, ray.train.get_context().get_world_rank(), config["tell"])
    try:
        with group.strategy.driving(Place(group.name, keeper.tell)) as engine:
            group.work(engine, keeper)
    except Exception as error:
        error.add_note(traceback.format_exc())  # it is pickled, and the traceback lost, on its way to Restarts
        raise
    finally:
        config["tell"].flush()


def _set_up_devices(strategy: Strategy) -> None:
    import tensorflow as tf

    tf.config.threading.set_intra_op_parallelism_threads(max(1, int(strategy.train_resources().cpus)))
    for gpu in tf.config.list_physical_devices("GPU"):
        tf.config.experimental.set_memory_growth(gpu, True)


class TrainKeeper:
    """Keeps checkpoints through Ray Train, and products that outlive a failed attempt; one in every worker."""

    def __init__(self, group: Group, rank: int, tell: Channel) -> None:
        self.group = group
        self.rank = rank
        self._tell = tell

    def tell(self, event: dict[str, Any]) -> None:
        """Pass an event on to the driver, from worker 0."""
        if self.rank == 0:
            self._tell(event)

    def resume(self, phase: int) -> Kept | None:
        """Return the newest checkpoint of `phase` that is whole: worker 0 chooses it for all."""
        root = self.group.checkpoints
        found = self._agree(lambda: newest(root, phase, lambda text: self.tell({"warning": text})))
        if found is None:
            return None
        history, arrays = read(found)
        self.tell({"resume": history[-1].phase, "after_epoch": len(history)})
        return history, arrays

    def _agree(self, choose: Callable[[], Any]) -> Any:
        """Return what `choose` returns in worker 0, in every worker: others may look when the files have changed."""
        return ray.train.collective.broadcast_from_rank_zero(choose() if self.rank == 0 else None)

    def epoch_done(self, phase: int, history: list[Epoch], arrays: dict[str, Any]) -> None:
        """Report the epoch that ended last, with a checkpoint of worker 0."""
        import tempfile
        from pathlib import Path

        facts = history[-1].model_dump()
        numbers = {k: float(v) for k, v in facts.items() if isinstance(v, int | float)}
        if self.rank:
            ray.train.report(numbers)
            return
        with tempfile.TemporaryDirectory(prefix="espalier-") as folder:
            write(Path(folder), phase, history, arrays)
            checkpoint = ray.train.Checkpoint.from_directory(folder)
            name = f"phase{phase:03d}-epoch{len(history):06d}"
            ray.train.report(numbers, checkpoint=checkpoint, checkpoint_dir_name=name)
        self.tell({"epoch": facts})

    def product(self, name: str) -> Folder | None:
        """Return the folder of the product called `name` if an attempt made it whole."""
        folder = self.group.checkpoints.child("products", name)
        return folder if self._agree(lambda: is_whole(folder)) else None

    def keep(self, name: str, fill: Callable[[Any], None]) -> Folder:
        """Let worker 0 `fill` a local folder, keep it as the product `name`, and return it in every worker."""
        folder = self.group.checkpoints.child("products", name)
        if self.rank == 0:
            with folder.filling() as path:
                fill(path)
            seal(folder)
        ray.train.collective.barrier()
        return folder
