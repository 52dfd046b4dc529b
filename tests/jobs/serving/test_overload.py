"""More clients than a replica has room for: each is answered or told when to come again, and nothing is left behind."""

from __future__ import annotations

import asyncio
import http.client
import json
import statistics
import threading
import time
from collections import Counter
from pathlib import Path

import pytest

from cluster.folder import Folder
from jobs.runtime.classifier import golden_rows
from jobs.serving.limits import Limits
from tests.jobs.serving.conftest import app_of, asked, asking, listening

pytestmark = pytest.mark.training
CLIENTS = 50


def resident() -> int:
    """Return the bytes this process holds in memory."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmRSS"))


def overloaded(model: Folder, seconds: float) -> None:
    app = app_of(asked(model), limits=Limits(requests=8))
    app.roster.chosen().lane.row_seconds = 1.0  # to the threads, so that requests wait for one another
    row = golden_rows(model.path)[0]
    assert isinstance(row, bytes)
    found: Counter[tuple[int, str | None]] = Counter()
    wrong: list[bytes] = []
    took: list[float] = []

    def client(address: str, end: float) -> None:
        connection = http.client.HTTPConnection(address, timeout=30)
        while (begun := time.monotonic()) < end:
            connection.request("POST", "/v1/classify", row, {"Content-Type": "image/png"})
            answer = connection.getresponse()
            body = answer.read()
            took.append(time.monotonic() - begun)
            found[answer.status, answer.headers["Retry-After"]] += 1
            if answer.status == 429 and json.loads(body) != {"error": "8 requests are in hand already"}:
                wrong.append(body)

    with listening(app) as address:
        client(address, time.monotonic() + 0.5)
        usual = statistics.median(took)
        before, end = resident(), time.monotonic() + seconds
        threads = [threading.Thread(target=client, args=(address, end)) for _ in range(CLIENTS)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert set(found) == {(200, None), (429, "1")}
        assert wrong == []
        assert resident() - before < 100 << 20
        assert app.guard.in_hand == 0
        found.clear()
        took.clear()
        client(address, time.monotonic() + 0.5)
        assert set(found) == {(200, None)}
        assert statistics.median(took) <= 3 * usual + 0.02


def test_fifty_clients_are_answered_or_told_to_come_again(model: Folder) -> None:
    overloaded(model, 2)


def test_requests_of_a_quick_model_that_come_together_are_too_many_together(model: Folder) -> None:
    app = app_of(asked(model), limits=Limits(requests=8))
    row = golden_rows(model.path)[0]
    assert isinstance(row, bytes)

    async def together() -> list[int]:
        answers = await asyncio.gather(*(asking(app, "POST", "/v1/classify", row, "image/png") for _ in range(10)))
        return [answer.status for answer in answers]

    assert asyncio.run(together()) == [200] * 8 + [429] * 2
    assert app.guard.in_hand == 0


@pytest.mark.slow
def test_fifty_clients_are_answered_or_told_to_come_again_for_half_a_minute(model: Folder) -> None:
    overloaded(model, 30)
