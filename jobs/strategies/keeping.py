"""Meets Ray Train in each worker: checkpoints, products, and notices of nodes that are taken away."""

from __future__ import annotations

import threading
import time
import uuid
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import ray.train
import ray.train.collective

from cluster.folder import Folder
from cluster.gang import leaving
from cluster.work import Channel
from jobs.artifacts import Epoch
from jobs.checkpoints import is_whole, name_of, newest, read, seal, write
from jobs.progress import Begun, Pace, Progress
from jobs.strategies.strategy import Strategy

LOOK = 3.0  # seconds of training between two looks whether a node is about to be taken away
UNKNOWN = 120.0  # seconds Train gives a node whose deadline is not told
SPARE = 30.0  # seconds after a deadline in which what fails is still the node's doing


class TrainKeeper:
    """Keeps checkpoints through Ray Train, and products that outlive a failed attempt; one in every worker."""

    keeps = True

    def __init__(self, strategy: Strategy, run: Folder, rank: int, tell: Channel) -> None:
        self.strategy = strategy
        self.run = run  # the folder of Train's run; beside it are those of runs that came before
        self.rank = rank
        self._tell = tell
        self._attempt = uuid.uuid4().hex[:8]  # Train must not meet a name again after a restart
        self._pace = Pace(LOOK)
        self._leaving: list[str] = []  # nodes that are about to be taken away
        self._left = 0.0  # when their time will be up, and a group without them may have been started
        self._writing = threading.Semaphore()  # one checkpoint at a time: a second would wait in memory

    def tell(self, event: dict[str, Any]) -> None:
        """Pass an event on to the driver, from worker 0."""
        if self.rank == 0:
            self._tell(event)

    def resume(self, phase: int) -> Progress | None:
        """Return the newest checkpoint of `phase` that is whole: worker 0 chooses it for all."""
        found = self._agree(lambda: newest(self.run.parent, phase, lambda text: self.tell({"warning": text})))
        if found is None:
            return None
        progress = read(found)
        done = {"after_epoch": len(progress.history), "train_step": progress.begun.train_steps}
        self.tell({"resume": progress.history[-1].phase if progress.history else "training", **done})
        return progress

    def _agree(self, choose: Callable[[], Any]) -> Any:
        """Return what `choose` returns in worker 0, in every worker: others may look when the files have changed."""
        return ray.train.collective.broadcast_from_rank_zero(choose() if self.rank == 0 else None)

    def ahead(self, left: int) -> int:
        """Return after how many train steps to look for notices again: some seconds' worth.

        Where an epoch is one call, all that are left.
        """
        if self.strategy.whole_epochs:
            return left
        return int(self._agree(lambda: self._pace.choose(left)))

    def wanted(self) -> bool:
        """Say whether a node of the group is about to be taken away, of which nobody had heard before.

        Of a coordinator's gang too: of those nodes Train knows nothing.
        """
        notice = ray.train.get_preemption_info()
        nodes = {} if notice is None else dict.fromkeys(notice.preempted_node_ids, notice.deadline_ms or 0)
        workers = [] if notice is None else [self.strategy.train_worker(rank) for rank in notice.preempted_ranks]
        if self.strategy.has_coordinator and (others := leaving(self.run.name)):
            nodes, workers = nodes | others, [*workers, "processes it started"]
        if set(nodes) <= set(self._leaving):
            return False
        self._leaving = sorted(nodes)
        deadline = min((told for told in nodes.values() if told), default=0)
        self._left = (deadline / 1e3 if deadline else time.time() + UNKNOWN) + SPARE
        self.tell({"preemption": ", ".join(workers), "nodes": self._leaving})
        return True

    def steps_done(self, phase: int, progress: Progress) -> None:
        """Keep a checkpoint within an epoch: in the background, but when a node is about to be taken away."""
        numbers = {"epoch": float(len(progress.history)), "train_step": float(progress.begun.train_steps)}
        self._report(phase, progress, numbers, behind=not self._leaving)

    def epoch_done(self, phase: int, history: list[Epoch], arrays: dict[str, Any]) -> None:
        """Report the epoch that ended last, with a checkpoint of worker 0."""
        facts = history[-1].model_dump()
        numbers = {k: float(v) for k, v in facts.items() if isinstance(v, int | float)}
        began = time.perf_counter()
        self._report(phase, Progress(history, Begun(), arrays), numbers, behind=False)
        self.tell({"epoch": facts, "checkpoint_seconds": round(time.perf_counter() - began, 3)})

    def _report(self, phase: int, progress: Progress, numbers: dict[str, float], behind: bool) -> None:
        """Report `numbers` with a checkpoint that worker 0 writes, `behind` the training's back if it may.

        What goes wrong there ends the group: Train takes an upload's error for the worker's.
        """
        modes = ray.train.CheckpointUploadMode
        options: dict[str, Any] = {"checkpoint_upload_mode": modes.ASYNC if behind else modes.SYNC}
        numbers |= {"leaving": self._left}
        if self.rank:
            ray.train.report(numbers, **options)
            return
        storage = ray.train.get_context().get_storage()
        name = f"{name_of(phase, progress)}-{self._attempt}"
        kept = ray.train.Checkpoint(f"{storage.experiment_fs_path}/{name}", storage.storage_filesystem)
        at = replace(progress, history=list(progress.history))

        def put(checkpoint: Any, name: str) -> Any:
            folder = self.run.child(name)
            try:
                with folder.filling() as path:
                    write(path, phase, at)
            except OSError:
                folder.delete()
                raise
            finally:
                self._writing.release()
            return kept

        self._writing.acquire()
        options |= {"checkpoint_upload_fn": put, "delete_local_checkpoint_after_upload": False}
        ray.train.report(numbers, kept, checkpoint_dir_name=name, **options)

    def product(self, name: str) -> Folder | None:
        """Return the folder of the product called `name` if an attempt made it whole."""
        folder = self.run.parent.child("products", name)
        return folder if self._agree(lambda: is_whole(folder)) else None

    def keep(self, name: str, fill: Callable[[Any], None]) -> Folder:
        """Let worker 0 `fill` a local folder, keep it as the product `name`, and return it in every worker."""
        folder = self.run.parent.child("products", name)
        if self.rank == 0:
            with folder.filling() as path:
                fill(path)
            seal(folder)
        ray.train.collective.barrier()
        return folder
