"""What tests of training share: small data, a keeper that needs no cluster, and work that dies when it is told to."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from cluster.folder import Folder
from jobs.artifacts import Epoch
from jobs.progress import Begun, Progress

TINY = {"kind": "resnet", "depth": 8, "width": 4}


class MemoryKeeper:
    """Keeps checkpoints in memory and products below a folder; one worker, no cluster."""

    rank = 0
    keeps = True

    def __init__(self, root: Path) -> None:
        self.root = Folder.parse(str(root))
        self.events: list[dict[str, Any]] = []
        self.kept: dict[int, Progress] = {}

    def tell(self, event: dict[str, Any]) -> None:
        self.events.append(event)

    def resume(self, phase: int) -> Progress | None:
        kept = self.kept.get(phase)
        return kept and replace(kept, history=list(kept.history))

    def ahead(self, left: int) -> int:
        return left

    def wanted(self) -> bool:
        return False

    def steps_done(self, phase: int, progress: Progress) -> None:
        self.kept[phase] = replace(progress, history=list(progress.history))

    def epoch_done(self, phase: int, history: list[Epoch], arrays: dict[str, Any]) -> None:
        self.kept[phase] = Progress(list(history), Begun(), arrays)

    def product(self, name: str) -> Folder | None:
        folder = self.root / name
        return folder if folder.exists("whole") else None

    def keep(self, name: str, fill: Callable[[Path], None]) -> Folder:
        folder = self.root / name
        with folder.filling() as path:
            fill(path)
        folder.write_bytes("whole", b"")
        return folder


@dataclass(frozen=True)
class DoAfterEpoch:
    """Does `work`, and lets `act(epoch)` happen in worker `rank` after each epoch; picklable."""

    work: Any
    rank: int
    act: Callable[[int], None]

    def __call__(self, engine: Any, keeper: Any) -> None:
        after = keeper.epoch_done

        def epoch_done(phase: int, history: list[Epoch], arrays: dict[str, Any]) -> None:
            after(phase, history, arrays)
            if keeper.rank == self.rank:
                self.act(history[-1].epoch)

        keeper.epoch_done = epoch_done
        self.work(engine, keeper)


@dataclass(frozen=True)
class KillOnce:
    """Kills worker `rank` with SIGKILL after `epoch`, if `marker` does not exist yet."""

    rank: int
    epoch: int
    marker: Path

    def __call__(self, epoch: int) -> None:
        if epoch == self.epoch and not self.marker.exists():
            self.marker.touch()
            os.kill(os.getpid(), signal.SIGKILL)


@dataclass(frozen=True)
class DoAfterSteps:
    """Does `work`, and lets `act(epoch, train_step)` happen in worker `rank` after each checkpoint within an epoch."""

    work: Any
    rank: int
    act: Callable[[int, int], None]

    def __call__(self, engine: Any, keeper: Any) -> None:
        after = keeper.steps_done

        def steps_done(phase: int, progress: Progress) -> None:
            after(phase, progress)
            if keeper.rank == self.rank:
                self.act(len(progress.history) + 1, progress.begun.train_steps)

        keeper.steps_done = steps_done
        self.work(engine, keeper)


@dataclass(frozen=True)
class KillWithin:
    """Kills worker `rank` with SIGKILL at `train_step` of `epoch`, if `marker` does not exist yet."""

    rank: int
    epoch: int
    train_step: int
    marker: Path

    def __call__(self, epoch: int, train_step: int) -> None:
        if (epoch, train_step) == (self.epoch, self.train_step) and not self.marker.exists():
            self.marker.touch()
            os.kill(os.getpid(), signal.SIGKILL)


def epochs_of(events: list[dict[str, Any]]) -> list[int]:
    """Return the epochs that were told of, in order."""
    return [event["epoch"]["epoch"] for event in events if "epoch" in event]
