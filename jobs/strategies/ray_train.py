"""Meets Ray Train: starts a group of workers, joins them for TensorFlow, starts them again. Keeping is in keeping.py.

Neither the driver nor Train's controller imports TensorFlow: the backend here only sets variables, and the training
function imports what it needs once it runs in a worker.
"""

from __future__ import annotations

import os
import time
import traceback
from dataclasses import dataclass, replace
from typing import Any, Protocol

import ray
import ray.train
import ray.train.collective
from ray.train.backend import Backend, BackendConfig
from ray.train.v2.api.data_parallel_trainer import DataParallelTrainer

from cluster import ports
from cluster.environment import training_variables
from cluster.errors import EspalierError, StepError
from cluster.folder import Folder
from cluster.gang import remove_leftover
from cluster.growth import asked_ahead, take_back
from cluster.resources import Resources
from cluster.retry import Failure, GiveUp, RetryPolicy
from cluster.session import page_of_job
from cluster.work import Channel, run_remote
from jobs.job import Output
from jobs.strategies.devices import set_up_devices
from jobs.strategies.failing import blamed
from jobs.strategies.keeping import TrainKeeper
from jobs.strategies.memory import held_to
from jobs.strategies.snapshots import set_aside_damaged
from jobs.strategies.strategy import Engine, Strategy


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
    """Sets in every worker the variables by which their TensorFlow processes find each other."""

    strategy: Strategy

    @property
    def backend_cls(self) -> type[Backend]:
        """The class that acts on the worker group."""
        return _TensorFlowBackend


class _TensorFlowBackend(Backend):  # type: ignore[misc]
    def on_start(self, worker_group: Any, backend_config: TensorFlowCluster) -> None:
        addresses = worker_group.execute(ports.hold)  # engines release them
        found = [backend_config.strategy.environment(addresses, rank) for rank in range(len(worker_group))]
        ray.get([worker_group.execute_single_async(rank, _set, own) for rank, own in enumerate(found)])


def _set(variables: dict[str, str]) -> None:
    os.environ.update(variables)


def run(group: Group, out: Output) -> None:
    """Run the group from the driver, in a process of its own, until it ends or `out.stop` is set."""
    try:
        # CUDA's state would not survive a fork: workers with GPUs start anew.
        warm = group.strategy.resources().gpus == 0
        # Ray Train's controller lives as long as the process that made it. Interrupted, Train gives back what its
        # workers hold. Killed, it leaves that to an actor that asks the cluster's dashboard who lives, where there is
        # one; Ray itself takes it back only when all of the driver's work ends: other trials would wait for ever.
        options: dict[str, Any] = {"ends": True, "warm": warm, "cleans_up": True}
        run_remote(run_group, group, resources=Resources(), tell=out.tell, stop=out.stop, **options)
    finally:
        remove_leftover(group.name)
        take_back(group.name)


def run_group(group: Group, tell: Channel) -> None:
    """Run the group to its end, in a process that is not the driver; StepError names the worker that failed."""
    strategy, held = group.strategy, group.strategy.train_resources()
    least, most = strategy.train_workers(), strategy.most_train_workers()
    set_aside_damaged(group.checkpoints, lambda text: tell({"warning": text}))
    if page_of_job():  # its dashboard is told of trainings, their attempts and workers, by an actor of Ray's
        os.environ.setdefault("RAY_TRAIN_ENABLE_STATE_TRACKING", "1")
    trainer = DataParallelTrainer(
        _worker,
        train_loop_config={"group": group, "tell": tell},
        backend_config=TensorFlowCluster(strategy) if strategy.needs_cluster_config else BackendConfig(),
        scaling_config=ray.train.ScalingConfig(
            num_workers=least if least == most else (least, most),
            elastic_resize_monitor_interval_s=strategy.looks_for_room_every(),
            use_gpu=held.gpus > 0,
            resources_per_worker={"CPU": 0, "GPU": 0} | held.bundle(),
            label_selector=dict(held.labels) or None,
        ),
        run_config=ray.train.RunConfig(
            name=group.name,
            storage_path=str(group.checkpoints),
            # Restarts decides, and ends the run by raising: Train itself restarts for ever. Where a node was taken away
            # there is no room until another comes: Train looks for it a minute at a time.
            failure_config=ray.train.FailureConfig(max_failures=-1, controller_failure_limit=10),
            callbacks=[Restarts(RetryPolicy.of(group.retries), strategy, tell)],
            checkpoint_config=ray.train.CheckpointConfig(num_to_keep=group.keep),
            worker_runtime_env={"env_vars": training_variables() | strategy.variables()},
        ),
    )
    try:
        with asked_ahead(group.name, strategy.processes()[least:] if strategy.has_coordinator else []):
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
        self._forgiving = 0.0  # until when what fails is put down to a node that is taken away

    def after_report(self, run_context: Any, metrics: list[dict[str, Any]], checkpoint: Any) -> None:
        """Note what the workers know of a node that is about to be taken away."""
        self._forgiving = metrics[0]["leaving"]

    def after_exception(self, run_context: Any, worker_exceptions: dict[int, Exception]) -> None:
        """Take the workers' errors by rank; return to start the group again, raise to end the run."""
        found = blamed(worker_exceptions, self.strategy.train_worker)
        leaving = time.time() < self._forgiving
        if leaving and not found.failure.final and self.failures and self.failures[-1].preempted:
            return  # Train asks again and again until the node's time is up
        self.failures.append(replace(found.failure, preempted=found.failure.preempted or leaving))
        if found.failure.traceback:
            self.tell({"traceback": found.failure.traceback})
        decision = self.policy.decide(self.failures)
        if isinstance(decision, GiveUp):
            self.tell.flush()
            raise found.ended(decision.reason)
        self.tell({"retry": found.failure.what, "log": found.failure.log, "restart": str(decision)})


def _worker(config: dict[str, Any]) -> None:
    group: Group = config["group"]
    strategy, context = group.strategy, ray.train.get_context()
    set_up_devices(strategy.train_resources().cpus, strategy.gpu_memory_mb())
    place, rank = group.checkpoints.child(group.name), context.get_world_rank()
    keeper = TrainKeeper(strategy, place, rank, config["tell"])
    if strategy.most_train_workers() > strategy.train_workers():
        keeper.tell({"workers": context.get_world_size()})
    try:
        with held_to(strategy.memory_limit(), strategy.train_worker(rank)):
            strategy.drive(group.work, keeper, group.name)
    except Exception as error:
        error.add_note(traceback.format_exc())  # it is pickled, and the traceback lost, on its way to Restarts
        raise
    finally:
        config["tell"].flush()
