"""A trial in a thread of its own, let on epoch by epoch by whoever asks for its next result."""

from __future__ import annotations

import queue
import threading
import traceback
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from cluster.folder import Folder
from jobs.artifacts import Epoch
from jobs.checkpoints import is_whole, seal
from jobs.progress import Begun, Progress

Result = dict[str, Any]
Body = Callable[["GateKeeper"], Result]


class Ended(Exception):  # noqa: N818  no error: nobody wants to know how the trial goes on
    """Raised inside a trial that is not to go on."""


@dataclass
class GateKeeper:
    """The keeper of a trial's one worker: hands each epoch out and waits to be let on; checkpoints stay in memory."""

    products: Folder  # where what trials share is kept
    begin: Progress | None = None
    keeps: bool = True  # false where no scheduler ever takes a trial up again
    rank: int = 0
    progress: Progress | None = None  # after the epoch that ended last
    _out: queue.Queue[Result] = field(default_factory=queue.Queue)
    _on: queue.Queue[bool] = field(default_factory=queue.Queue)

    def tell(self, event: dict[str, Any]) -> None:
        """Say nothing: of trials, their results are told."""

    def resume(self, phase: int) -> Progress | None:
        """Return what the trial was given to go on from."""
        return self.begin if phase == 0 else None

    def ahead(self, left: int) -> int:
        """Take all train steps of an epoch at once."""
        return left

    def wanted(self) -> bool:
        """Say no."""
        return False

    def steps_done(self, phase: int, progress: Progress) -> None:
        """Keep nothing within an epoch."""

    def epoch_done(self, phase: int, history: list[Epoch], arrays: dict[str, Any]) -> None:
        """Hand the epoch out, unless it is of the head alone, and wait to be let on; Ended when the trial is over."""
        if phase:
            return
        if self.keeps:
            self.progress = Progress(list(history), Begun(), arrays)
        self.hand(history[-1].model_dump(include={"loss", "validation_loss", "validation_accuracy", "seconds"}))

    def hand(self, result: Result) -> None:
        """Hand out a result that is not the last."""
        self._out.put(result)
        if not self._on.get():
            raise Ended

    def product(self, name: str) -> Folder | None:
        """Return what an earlier trial made."""
        folder = self.products.child(name)
        return folder if is_whole(folder) else None

    def keep(self, name: str, fill: Callable[[Path], None]) -> Folder:
        """Let `fill` make a folder, and return it."""
        folder = self.products.child(name)
        with folder.filling() as path:
            fill(path)
        seal(folder)
        return folder


class QuietKeeper(GateKeeper):
    """The keeper of what comes after the training: nobody waits for its epochs."""

    def epoch_done(self, phase: int, history: list[Epoch], arrays: dict[str, Any]) -> None:
        """Go on."""


class Gate:
    """Runs a body in a thread; each `next` is one result of it."""

    def __init__(self, body: Body, keeper: GateKeeper) -> None:
        self.keeper = keeper
        self._body = body
        self._thread: threading.Thread | None = None

    def next(self) -> Result:
        """Let the trial on and return its next result; the last holds `last`, and `failed` if it raised."""
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, daemon=True)
            self._thread.start()
        else:
            self.keeper._on.put(True)
        return self.keeper._out.get()

    def end(self) -> None:
        """End the trial at the epoch it waits after; returns when its thread has ended."""
        if self._thread is not None:
            self.keeper._on.put(False)
            self._thread.join()

    def _run(self) -> None:
        try:
            result = self._body(self.keeper)
        except Ended:
            return
        except Exception as error:  # noqa: BLE001  a trial may fail in any way; the sweep goes on
            result = {"failed": f"{error}\n{traceback.format_exc()}"}
        self.keeper._out.put(result | {"last": True})
