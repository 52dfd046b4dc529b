"""The end of a run whose cluster is lost: Ray would wait for its head for a minute, and then abort the process."""

from __future__ import annotations

import os
import socket
import sys
import threading
import time
from types import TracebackType
from typing import Self

from cluster.errors import ClusterError

LOOK = 2.0  # seconds between two looks, and that the head may take to accept a connection
PATIENCE = 40.0  # seconds after which a head counts as lost: one that comes back sooner knows its nodes and drivers


class Contact:
    """Looks, in a block, whether the head at `address` (host:port) answers, and ends the process when it is lost.

    Nothing can be taken down then: whatever asks the cluster waits for it. What steps finished is in the store, and
    their leases are those of a process that is gone.
    """

    def __init__(self, name: str, address: str, patience: float = PATIENCE) -> None:
        self._name, self._patience = name, patience
        host, _, port = address.rpartition(":")
        self._at = host.strip("[]"), int(port)
        self._ended = threading.Event()

    def __enter__(self) -> Self:
        threading.Thread(target=self._watch, daemon=True, name="looks for the head").start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End the process too when the head is away now: to leave a cluster, Ray would wait for it."""
        self._ended.set()
        if not self.answers():
            self._lose()

    def answers(self) -> bool:
        """Say whether the head accepts a connection."""
        try:
            socket.create_connection(self._at, LOOK).close()
        except OSError:
            return False
        return True

    def _watch(self) -> None:
        heard = time.monotonic()
        while not self._ended.wait(LOOK):
            if self.answers():
                heard = time.monotonic()
            elif time.monotonic() - heard > self._patience:
                self._lose()

    def _lose(self) -> None:
        remedy = "what is finished is in the store: once the cluster answers, run again to go on"
        lost = ClusterError(f"cluster {self._name}", "does not answer any more", remedy=remedy)
        sys.stdout.flush()
        print(f"error: {lost}", file=sys.stderr, flush=True)
        os._exit(lost.exit_code)
