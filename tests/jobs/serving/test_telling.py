"""What a replica's metrics say of requests and predictions, as Ray's own metrics have them."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from typing import Any

import numpy as np
import pytest
from ray.util import metrics as rays

from cluster.folder import Folder
from jobs.artifacts import Model
from jobs.runtime.classifier import golden_rows
from jobs.serving.answering.app import App
from jobs.serving.answering.guard import Guard
from jobs.serving.answering.observing import Seen
from jobs.serving.keys import KeyRing
from jobs.serving.limits import Limits
from jobs.serving.metrics.declared import METRICS
from jobs.serving.metrics.telling import Telling
from jobs.serving.plan import Plan
from jobs.serving.versions.models import Models
from tests.jobs.serving.conftest import asked, asking

pytestmark = pytest.mark.training
Told = dict[str, dict[tuple[tuple[str, str], ...], list[float]]]


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch) -> Told:
    """Return what Ray is told, by metric and tags, kept instead of exported."""
    found: Told = defaultdict(lambda: defaultdict(list))

    def keep(self: Any, value: float, tags: dict[str, str] | None = None) -> None:
        assert set(tags or {}) == set(self.info["tag_keys"])
        found[self.info["name"]][tuple(sorted((tags or {}).items()))].append(value)

    for kind, act in ((rays.Counter, "inc"), (rays.Gauge, "set"), (rays.Histogram, "observe")):
        monkeypatch.setattr(kind, act, keep)
    return found


def observed(model: Folder, telling: Telling) -> App:
    plan = Plan(model="digits", versions=[asked(model)])
    models = Models(plan, lambda name: [telling])
    models.load(plan)
    return App(models, Guard(Limits(), KeyRing([])), [telling])


def test_requests_are_counted_by_version_and_by_what_was_wrong(told: Told, model: Folder) -> None:
    telling = Telling("digits")
    app = observed(model, telling)
    image = golden_rows(model.path)[0]
    assert isinstance(image, bytes)

    async def traffic() -> None:
        for body in (image, image, b"no image"):
            await asking(app, "POST", "/v1/classify", body, "image/png")
        await asking(app, "GET", f"/v1/models/digits/versions/{'made-up' * 5}")
        telling.tell()

    asyncio.run(traffic())
    version = asked(model).version
    counted = {tags: sum(values) for tags, values in told["espalier_requests"].items()}
    assert {(dict(tags)["version"], dict(tags)["status"], count) for tags, count in counted.items()} == {
        (version, "200", 2),
        ("(none)", "422", 1),
        ("(none)", "404", 1),
    }
    wrong = {dict(tags)["kind"]: sum(values) for tags, values in told["espalier_request_errors"].items()}
    assert wrong == {"invalid": 1, "not found": 1}
    labels = {dict(tags)["label"]: sum(values) for tags, values in told["espalier_predictions"].items()}
    assert sum(labels.values()) == 2
    assert set(told) <= {metric.name for metric in METRICS}


def test_many_requests_are_all_counted_and_their_seconds_told_by_some(told: Told, model: Folder) -> None:
    telling = Telling("digits")
    telling.knows("v1", Model.load(model))

    async def many() -> None:
        for number in range(1_000):
            telling.seen(Seen("http", "/v1/classify", 200, number / 1_000, 1, "v1", "", str(number), "digits"))
            telling.batched("v1", 1)
        telling.seen(Seen("http", "/v1/classify", 200, 9.0, 1, "v1", "", "", "another"))
        telling.tell()

    asyncio.run(many())
    tags = (("model", "digits"), ("protocol", "http"), ("status", "200"), ("version", "v1"))
    assert told["espalier_requests"] == {tags: [1_000]}
    ((_, seconds),) = told["espalier_request_seconds"].items()
    assert [round(float(np.percentile(seconds, q)), 2) for q in (1, 50, 99)] == [0.01, 0.5, 0.99]
    assert len(seconds) == 100
    assert [len(values) for values in told["espalier_batch_rows"].values()] == [100]


def test_the_confidence_of_every_row_is_told(told: Told, model: Folder) -> None:
    telling = Telling("digits")
    telling.knows("v1", Model.load(model))
    pixels = np.zeros((3, 8, 8, 1), np.uint8)
    for sure in ([0.9, 0.5, 0.7], [0.3, 0.6, 0.8]):
        rows = [[one, *[(1 - one) / 9] * 9] for one in sure]
        telling.predicted("v1", pixels, np.array(rows, np.float32))
    telling.tell()
    ((tags, values),) = told["espalier_confidence"].items()
    assert tags == (("model", "digits"), ("version", "v1"))
    assert sorted(round(value, 3) for value in values) == [0.3, 0.5, 0.6, 0.7, 0.8, 0.9]


def test_a_stream_that_shifted_is_told_as_drift(told: Told, model: Folder) -> None:
    telling, facts = Telling("digits"), Model.load(model)
    assert facts.expected is not None
    telling.knows("v1", facts)
    rng = np.random.default_rng(0)
    says = np.eye(10, dtype=np.float32)[rng.choice(10, 1_000, p=facts.expected.predicted)]
    for start in range(0, 1_000, 100):
        telling.predicted("v1", np.zeros((100, 8, 8, 1), np.uint8), says[start : start + 100])
        telling.tell()
    index = {dict(tags)["of"]: values[-1] for tags, values in told["espalier_drift_psi"].items()}
    assert index["image_brightness"] > 0.2  # all black
    assert index["predicted_class"] < 0.1
