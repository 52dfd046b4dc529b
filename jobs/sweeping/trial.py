"""What the process of a trial does: train, here or in a group of workers; compress; judge the file that came out."""

from __future__ import annotations

import tempfile
import threading
import uuid
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from cluster.folder import Folder
from cluster.work import Stopped
from jobs.artifacts import Dataset, Epoch, Model
from jobs.fit import HEAD_ALONE, best_epoch
from jobs.job import Output
from jobs.progress import Progress
from jobs.spec import Scalar
from jobs.strategies.devices import set_up_devices
from jobs.sweeping.gate import Ended, Gate, GateKeeper, QuietKeeper, Result
from jobs.sweeping.plan import Asked, Plan


class Trials:
    """Runs the plan's trials in this process, one after another."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.scratch = tempfile.TemporaryDirectory(prefix="espalier-sweep-")
        self.products = Folder(self.scratch.name).child("products")
        self._warm: Any = None

    def gate(self, values: Mapping[str, Scalar], begin: Progress | None) -> Gate:
        """Return a trial of these values, not begun yet; `begin` is what it goes on from."""
        asked = self.plan.asked.at(values)
        body = self._group if asked.nested else self._here
        keeper = GateKeeper(self.products, begin, keeps=self.plan.scheduler.pauses)
        return Gate(lambda keeper: body(asked, keeper), keeper)

    def close(self) -> None:
        """Delete what trials left on disk."""
        self.scratch.cleanup()

    def _here(self, asked: Asked, keeper: GateKeeper) -> Result:
        """Train, and compress, in this process."""
        from jobs.compressing import CompressWork
        from jobs.sweeping.warm import Warm

        if self._warm is None:
            held = asked.train.strategy.train_resources()
            set_up_devices(held.cpus, asked.train.strategy.gpu_memory_mb())
            self._warm = Warm(asked.train.strategy.engine(), Dataset.load(self.plan.data))
        try:
            kit, history = self._warm.train(asked.train, keeper)
            if asked.compress is None and not self.plan.goals.served:
                return {"measured": shown(asked, history)}
            with tempfile.TemporaryDirectory(dir=self.scratch.name) as scratch:
                made, out = Folder(scratch).child("model"), Folder(scratch).child("compressed")
                self._warm.write(kit, asked.train, history, made)
                if asked.compress is None:
                    return {"measured": self._judged(asked, history, made)}
                chain = [technique.located(Path.cwd()) for technique in asked.compress.techniques]
                work = CompressWork(chain, asked.compress.strategy, made, self.plan.data, out)
                work(self._warm.engine, QuietKeeper(Folder(scratch).child("products"), keeps=False))
                return {"measured": self._judged(asked, history, out)}
        except Ended:
            raise
        except Exception:
            self._warm.forget()
            raise

    def _group(self, asked: Asked, keeper: GateKeeper) -> Result:
        """Train, and compress, in groups of Ray Train's."""
        train, compress = asked.train, asked.compress
        trained = self._output(keeper)
        made = [trained]
        try:
            data = {train.data: Dataset.load(self.plan.data)}
            train.run(data, trained)
            history = Model.load(trained.folder).history
            if compress is None:
                served = self.plan.goals.served
                measured = self._judged(asked, history, trained.folder) if served else shown(asked, history)
                return {"measured": measured}
            made.append(self._output(None))
            compress.run({**data, compress.model: Model.load(trained.folder)}, made[-1])
            return {"measured": self._judged(asked, history, made[-1].folder)}
        except Stopped:
            raise Ended from None
        finally:
            for out in made:
                out.folder.delete()
                out.checkpoints.delete()

    def _judged(self, asked: Asked, history: list[Epoch], folder: Folder) -> dict[str, float]:
        """Return what the served file shows on validation rows, and what the float model showed."""
        from jobs.sweeping.judged import judged

        found = judged(folder, self.plan.data, "p99_ms" in {**self.plan.goals.raised, **self.plan.goals.limits})
        return found | {f"float_{name}": value for name, value in shown(asked, history).items()}

    def _output(self, keeper: GateKeeper | None) -> Output:
        stop = threading.Event()

        def tell(event: dict[str, Any]) -> None:
            epoch = event.get("epoch")
            if keeper is not None and epoch and epoch["phase"] != HEAD_ALONE and not stop.is_set():
                try:
                    keeper.hand({name: epoch[name] for name in ("validation_loss", "validation_accuracy")})
                except Ended:
                    stop.set()

        name = uuid.uuid4().hex
        place = self.plan.checkpoints.child("groups")
        return Output(self.plan.step, place.child(f"out-{name}"), place.child(f"kept-{name}"), tell, stop)


def shown(asked: Asked, history: list[Epoch]) -> dict[str, float]:
    """Return what the model that comes out of a training showed on validation rows."""
    stopping, history = asked.train.early_stopping, [epoch for epoch in history if epoch.phase != HEAD_ALONE]
    last = history[-1] if stopping is None else history[best_epoch(history, stopping.metric) - 1]
    return {"accuracy": last.validation_accuracy, "loss": last.validation_loss}
