"""The access log: a JSON line for each request, without what was asked, who asked from where, or any key.

Lines are gathered and written once a second, so that a request costs its line and an append. The file lies with Serve's
own logs, one a replica; at its largest it is put aside, and the one before it goes.
"""

from __future__ import annotations

import threading
import time
from json.encoder import encode_basestring_ascii as quoted
from pathlib import Path
from typing import Any

from jobs.artifacts import Model
from jobs.runtime.inputs import Inputs
from jobs.serving.answering.observing import Seen

EVERY_S = 1.0
LARGEST = 64 * 2**20  # bytes


class AccessLog:
    """Writes what it sees into `file`, from a thread of its own."""

    def __init__(self, file: Path) -> None:
        self.file = file
        self._seen: list[str] = []
        self._lock = threading.Lock()
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._write_on, daemon=True)
        self._thread.start()

    def seen(self, request: Seen) -> None:
        """Take note of a request."""
        self._seen.append(line(time.time(), request))

    def knows(self, version: str, model: Model) -> None:
        """Take no note."""

    def forgets(self, version: str) -> None:
        """Take no note."""

    def predicted(self, version: str, rows: Inputs, probabilities: Any) -> None:
        """Take no note: what was asked is nobody's business here."""

    def batched(self, version: str, rows: int) -> None:
        """Take no note."""

    def _write_on(self) -> None:
        while not self._ended.wait(EVERY_S):
            self.flush()

    def flush(self) -> None:
        """Write what was seen so far."""
        with self._lock:
            seen, self._seen = self._seen, []
            if not seen:
                return
            if self.file.exists() and self.file.stat().st_size > LARGEST:
                self.file.replace(self.file.with_suffix(".before.log"))
            with self.file.open("a") as opened:
                opened.writelines(seen)

    async def close(self) -> None:
        """Write the rest."""
        self._ended.set()
        self.flush()


def line(at: float, seen: Seen) -> str:
    """Return a request as one line of JSON.

    It is put together here, and not by the thread that writes: thousands at once would hold the requests up that come
    meanwhile. Only the version and the path can be what a client wrote.
    """
    model, version, path = quoted(seen.model), quoted(seen.version), quoted(seen.path)
    return (
        f'{{"at": {at:.3f}, "id": "{seen.request_id}", "protocol": "{seen.protocol}", "model": {model}, '
        f'"path": {path}, "status": {seen.status}, "ms": {seen.seconds * 1000:.3f}, "rows": {seen.rows}, '
        f'"version": {version}, "key": "{seen.key}"}}\n'
    )
