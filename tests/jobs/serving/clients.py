"""Clients that ask an endpoint without a pause."""

from __future__ import annotations

import http.client
import json
import threading
from typing import Any, Self
from urllib.parse import urlsplit


class Asking:
    """Threads that go on until `over` is set, which it is at the end of the block."""

    def __init__(self, threads: list[threading.Thread]) -> None:
        self.over, self._threads = threading.Event(), threads

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *failure: object) -> None:
        self.over.set()
        for thread in self._threads:
            thread.join()


class Clients(Asking):
    """Clients that ask an endpoint about golden rows, each over one connection, until they are stopped."""

    def __init__(self, url: str, rows: list[bytes], number: int = 4) -> None:
        super().__init__([threading.Thread(target=self._ask, args=(place,)) for place in range(number)])
        self.address = urlsplit(url)
        self.rows = rows
        self.found: list[tuple[int, str, int, Any]] = []  # status, version, row, predictions

    def _ask(self, place: int) -> None:
        connection = http.client.HTTPConnection(self.address.hostname or "", self.address.port, timeout=30)
        while not self.over.is_set():
            place = (place + 1) % len(self.rows)
            connection.request("POST", "/v1/classify", self.rows[place], {"Content-Type": "image/png"})
            answer = connection.getresponse()
            text = answer.read()
            told: Any = json.loads(text) if answer.status == 200 else {"version": "", "predictions": text}
            self.found.append((answer.status, told["version"], place, told["predictions"]))
