"""Many requests at once get the very bytes each would get alone, and one that is wrong fails alone."""

from __future__ import annotations

import asyncio
import base64
import http.client
import json
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from cluster.folder import Folder
from jobs.artifacts import Model
from jobs.runtime.classifier import Classifier, golden_rows
from jobs.serving.answering.app import App
from jobs.serving.versions.batching import Lane
from tests.jobs.serving.conftest import app_of, ask, asked, asking, listening, white

pytestmark = pytest.mark.training
THREADS, EACH = 16, 100


def rows_of(model: Folder) -> list[bytes]:
    return [row for row in golden_rows(model.path) if isinstance(row, bytes)]


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("quick", [True, False])
def test_rows_that_run_together_are_answered_as_alone(model: Folder, quick: bool, threads: int) -> None:
    classifier = Classifier(Model.load(model), model.path)
    singles = [classifier.prepared([row]) for row in rows_of(model)]
    alone = [classifier.runner.logits(row).tobytes() for row in singles]
    sizes: Counter[int] = Counter()
    lane = Lane(model.path / "model.tflite", singles[0], threads, lambda rows: sizes.update([rows]))
    if not quick:
        lane.row_seconds = 1.0  # too slow for the event loop: the threads take over

    async def all_at_once() -> list[bytes]:
        places = [index % len(singles) for index in range(THREADS * EACH)]
        found = await asyncio.gather(*(lane.logits(singles[place]) for place in places))
        return [logits.tobytes() for logits in found]

    found = asyncio.run(all_at_once())
    lane.close()
    assert found == [alone[index % len(alone)] for index in range(THREADS * EACH)]
    assert sum(rows * times for rows, times in sizes.items()) == THREADS * EACH
    assert (set(sizes) == {1}) == quick


def test_sixteen_threads_get_the_bytes_that_one_gets(model: Folder) -> None:
    app = app_of(asked(model))
    rows = rows_of(model)
    serial = [ask(app, "POST", "/v1/classify", row, "image/png").json["predictions"] for row in rows]
    app.roster.chosen().lane.row_seconds = 1.0

    def client(number: int) -> list[bool]:
        found, connection = [], http.client.HTTPConnection(address, timeout=30)
        for turn in range(EACH):
            place = (number + turn) % len(rows)
            connection.request("POST", "/v1/classify", rows[place], {"Content-Type": "image/png"})
            found.append(json.loads(connection.getresponse().read())["predictions"] == serial[place])
        connection.close()
        return found

    with listening(app) as address, ThreadPoolExecutor(THREADS) as pool:
        found = [same for turns in pool.map(client, range(THREADS)) for same in turns]
    assert found == [True] * THREADS * EACH


def test_rows_on_which_a_file_fails_fail_alone(brittle: Folder) -> None:
    classifier = Classifier(Model.load(brittle), brittle.path)
    rows = [classifier.prepared([row]) for row in [*rows_of(brittle), white()]]
    lane = Lane(brittle.path / "model.tflite", rows[0], 1, lambda rows: None)
    lane.row_seconds, lane._most = 1.0, 16  # the thread takes over, and runs together what waits

    async def all_at_once() -> list[object]:
        return await asyncio.gather(*(lane.logits(row) for row in rows * 8), return_exceptions=True)

    found = asyncio.run(all_at_once())
    lane.close()
    failed = [isinstance(answer, Exception) for answer in found]
    assert failed == [index % len(rows) == len(rows) - 1 for index in range(8 * len(rows))]


def test_one_bad_image_among_eight_fails_alone(model: Folder) -> None:
    app = app_of(asked(model))
    rows = (rows_of(model) * 2)[:8]
    alone = [ask(app, "POST", "/v1/classify", row, "image/png").body for row in rows]
    rows[3] = rows[3][:-30]
    body = json.dumps({"images": [base64.b64encode(row).decode() for row in rows]}).encode()
    answer = ask(app, "POST", "/v1/classify", body, "application/json")
    found = answer.json["predictions"]
    assert (answer.status, found[3]) == (200, {"error": "is truncated or corrupt"})
    single = [json.dumps({**answer.json, "predictions": [one]}).encode() for one in found]
    assert single[:3] + single[4:] == alone[:3] + alone[4:]


def test_requests_that_wait_together_do_not_fail_together(app_slow: App, model: Folder) -> None:
    good, bad = rows_of(model)[0], b"not an image"

    async def together() -> list[int]:
        bodies = [good, bad, good, good, bad, good]
        answers = await asyncio.gather(*(asking(app_slow, "POST", "/v1/classify", one, "image/png") for one in bodies))
        return [answer.status for answer in answers]

    assert asyncio.run(together()) == [200, 422, 200, 200, 422, 200]


@pytest.fixture
def app_slow(model: Folder) -> App:
    app = app_of(asked(model))
    app.roster.chosen().lane.row_seconds = 1.0
    return app


def test_any_byte_that_changed_is_found_before_the_file_runs(model: Folder, tmp_path: Path) -> None:
    import random
    import shutil

    from cluster.errors import StepError
    from jobs.serving.limits import Limits
    from jobs.serving.versions.version import Version

    copy = tmp_path / "copy"
    shutil.copytree(model.path, copy)
    wanted = asked(Folder.parse(str(copy)))
    content = (copy / "model.tflite").read_bytes()
    draw = random.Random(7)
    refused = 0
    for _ in range(300):
        place = draw.randrange(len(content))
        changed = bytearray(content)
        changed[place] ^= draw.randrange(1, 256)
        (copy / "model.tflite").write_bytes(changed)
        with pytest.raises(StepError, match=r"model\.tflite: has SHA-256"):
            Version(wanted, Limits, 1)
        refused += 1
    assert refused == 300
