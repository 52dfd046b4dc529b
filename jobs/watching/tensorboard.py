"""Event files for TensorBoard, written as epochs end, by whoever hears of them: no TensorFlow is loaded."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Self

from jobs.watching.metrics import EPOCH, readings

FLUSH = 1  # seconds until an epoch is in its file


class EventFiles:
    """Follows a run: the epochs of each step go to `folder`/<definition>/<step>/<run>."""

    def __init__(self, folder: Path, definition: str, run: str) -> None:
        self._folder, self._run = folder / definition, run
        self._writers: dict[str, Any] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        for writer in self._writers.values():
            writer.close()

    def __call__(self, step: str, state: str, details: dict[str, Any]) -> None:
        """Write what an epoch showed."""
        if state != "event" or "epoch" not in details:
            return
        writer = self._writer(step)
        number = int(details["epoch"]["epoch"])
        for metric, value, tags in readings(details):
            if metric is not EPOCH:
                place = "/".join(tags[tag] for tag in ("phase", "split") if tag in tags)
                writer.add_scalar(f"{place}/{metric.name.removeprefix('espalier_')}", value, number)

    def _writer(self, step: str) -> Any:
        if step not in self._writers:
            from tensorboardX import SummaryWriter

            self._writers[step] = SummaryWriter(str(self._folder / step / self._run), flush_secs=FLUSH)
        return self._writers[step]
