"""When a candidate gets more requests and when it gets none; and that requests do not notice when it fails."""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import Any

import pytest

from cluster.folder import Folder
from jobs.runtime.classifier import golden_rows
from jobs.serving.canary import Canary, Counted, Decision, Shadow, counted, decide
from jobs.serving.limits import Limits
from jobs.serving.plan import Shadowing
from tests.jobs.serving.conftest import app_of, asked, asking

CANARY = Canary(seconds=10, requests=50, error_share=0.02, slower=2.0)
QUICK, SLOW = [1.0] * 100, [1.0] * 95 + [9.0] * 5
TOO_SLOW = Decision("roll back", "p99 is 9.00 ms, over 2 times the other's 1.00 ms")


@pytest.mark.parametrize(
    ("elapsed", "candidate", "tripped", "wanted"),
    [
        (5, Counted(100, 0, QUICK), [], Decision("wait")),
        (11, Counted(100, 0, QUICK), [], Decision("go on", "100 requests in 11 s")),
        (11, Counted(20, 0, QUICK), [], Decision("wait")),
        (31, Counted(20, 0, QUICK), [], Decision("go on", "only 20 of 50 requests in 31 s", few=True)),
        (31, Counted(20, 0, QUICK, waiting=1), [], Decision("wait")),
        (11, Counted(60, 0, QUICK, waiting=1), [], Decision("go on", "60 requests in 11 s")),
        (1, Counted(0, 0, [9.0] * 40, waiting=40), [], Decision("wait")),
        (1, Counted(0, 0, [9.0] * 60, waiting=60), [], TOO_SLOW),
        (1, Counted(100, 2, QUICK), [], Decision("wait")),
        (1, Counted(100, 3, QUICK), [], Decision("roll back", "3 of 100 requests failed")),
        (1, Counted(1, 1, []), [], Decision("roll back", "1 of 1 requests failed")),
        (1, Counted(40, 0, SLOW), [], Decision("wait")),
        (1, Counted(60, 0, SLOW), [], TOO_SLOW),
        (1, Counted(0, 0, []), ["3 of 4 requests failed"], Decision("roll back", "3 of 4 requests failed")),
    ],
)
def test_a_candidate_is_judged_by_what_was_counted(
    elapsed: float, candidate: Counted, tripped: list[str], wanted: Decision
) -> None:
    assert decide(CANARY, elapsed, candidate, Counted(500, 0, QUICK), tripped) == wanted


def test_a_shadow_is_judged_by_its_labels_too() -> None:
    shadow, other = Shadow(seconds=10, requests=50, differ_share=0.1), Counted(500, 0, QUICK)
    reason = "11 of 100 rows got another label than the other's"
    assert decide(shadow, 11, Counted(100, 0, QUICK, 100, 10), other) == Decision("go on", "100 requests in 11 s")
    assert decide(shadow, 1, Counted(100, 0, QUICK, 100, 11), other) == Decision("roll back", reason)
    assert decide(shadow, 1, Counted(40, 0, QUICK, 40, 40), other) == Decision("wait")
    assert decide(shadow, 1, Counted(100, 2, QUICK, 98, 0), other).reason == "2 of 100 requests failed"


def test_where_no_requests_are_wanted_one_in_hand_is_still_waited_for() -> None:
    stage, other = Canary(seconds=10, requests=0), Counted(500, 0, QUICK)
    assert decide(stage, 11, Counted(0, 0, []), other) == Decision("go on", "0 requests in 11 s")
    assert decide(stage, 11, Counted(0, 0, [9000.0], waiting=1), other) == Decision("wait")


def state(process: str, requests: int, errors: int, latest: list[float], waiting: tuple[float, ...] = ()) -> Any:
    counts = {"requests": requests, "errors": errors, "compared": requests, "differ": 1}
    return {"process": process, "versions": {"new": {**counts, "latest_ms": latest, "waiting_ms": list(waiting)}}}


def test_what_counts_is_what_came_since_the_stage_began() -> None:
    other = {"process": "b", "versions": {}}
    before = [state("a", 2, 1, [5.0]), other]
    now = [state("a", 5, 1, [5.0, 1.0, 2.0, 3.0]), other]
    assert counted(now, "new", before) == Counted(3, 0, [1.0, 2.0, 3.0], 3, 0)
    assert counted(before, "new", before) == Counted(0, 0, [])


def test_what_counts_is_what_came_to_each_replica() -> None:
    before = [state("a", 3, 0, [9.0, 9.0, 9.0]), state("b", 1, 1, [8.0])]
    now = [state("b", 3, 1, [8.0, 1.0, 2.0], (70.0,)), state("a", 4, 1, [9.0, 9.0, 9.0, 3.0])]
    assert counted(now, "new", before) == Counted(3, 1, [1.0, 2.0, 70.0, 3.0], 3, 0, waiting=1)
    anew = [state("c", 2, 0, [1.0, 2.0]), *now]  # a replica that came since
    assert counted(anew, "new", before).seconds_ms == [1.0, 2.0, 1.0, 2.0, 70.0, 3.0]


@pytest.mark.training
def test_a_candidate_that_never_answers_is_put_out_of_use_and_no_request_notices(model: Folder, newer: Folder) -> None:
    old, new = asked(model, 0.6), asked(newer, 0.4)
    app = app_of(old, new, limits=Limits(seconds=1.0))
    row = golden_rows(model.path)[0]
    assert isinstance(row, bytes)

    async def waits(rows: Any) -> Any:
        await asyncio.Event().wait()

    app.roster.versions[new.version].lane.logits = waits  # type: ignore[method-assign]

    async def many() -> list[tuple[int, str]]:
        answers = await asyncio.gather(*(asking(app, "POST", "/v1/classify", row, "image/png") for _ in range(60)))
        return [(answer.status, answer.json["version"]) for answer in answers]

    assert asyncio.run(many()) == [(200, old.version)] * 60
    facts = app.roster.facts()
    assert facts["versions"][new.version]["errors"] == facts["versions"][new.version]["requests"] > 3
    assert facts["versions"][new.version]["p50_ms"] >= 450
    assert facts["shares"] == {old.version: 0.6, new.version: 0.0}


@pytest.mark.training
def test_a_candidate_that_fails_is_put_out_of_use_and_no_request_notices(model: Folder, newer: Folder) -> None:
    old, new = asked(model, 0.5), asked(newer, 0.5)
    app = app_of(old.model_copy(update={"weight": 0.6}), new.model_copy(update={"weight": 0.4}))
    row = golden_rows(model.path)[0]
    assert isinstance(row, bytes)

    async def fails(rows: Any) -> Any:
        raise RuntimeError("it is bad under load")

    app.roster.versions[new.version].lane.logits = fails  # type: ignore[method-assign]

    async def many() -> list[tuple[int, str]]:
        answers = [await asking(app, "POST", "/v1/classify", row, "image/png") for _ in range(60)]
        return [(answer.status, answer.json["version"]) for answer in answers]

    assert asyncio.run(many()) == [(200, old.version)] * 60
    facts = app.roster.facts()
    assert facts["tripped"] == {new.version: facts["tripped"][new.version]}
    assert facts["versions"][new.version]["errors"] == 3
    assert facts["versions"][new.version]["last_error"] == "RuntimeError: it is bad under load"
    assert facts["shares"] == {old.version: 0.6, new.version: 0.0}


@pytest.mark.training
def test_a_shadow_is_asked_what_another_answered_and_nothing_of_it_is_returned(model: Folder, newer: Folder) -> None:
    old, new = asked(model), asked(newer, 0.0)
    app = app_of(old, new)
    app.roster.plan = app.roster.plan.model_copy(update={"shadow": Shadowing(version=new.version, share=1.0)})
    rows = [row for row in golden_rows(model.path) if isinstance(row, bytes)]
    versions = app.roster.versions
    said = {name: [one.classifier.classify([row])[0]["label"] for row in rows] for name, one in versions.items()}
    differ = sum(a != b for a, b in zip(said[old.version], said[new.version], strict=True))
    assert differ > 0

    async def many() -> list[Any]:
        answers = []
        for row in rows:
            answers.append(await asking(app, "POST", "/v1/classify", row, "image/png"))
            await asyncio.gather(*app.roster._copies)
        answers.append(await asking(app, "GET", f"/v2/models/digits/versions/{new.version}/ready"))
        return [(one.status, one.json.get("version"), one.json.get("predictions")) for one in answers[:-1]]

    answers = asyncio.run(many())
    assert [(status, version) for status, version, _ in answers] == [(200, old.version)] * len(rows)
    assert [one[0]["label"] for _, _, one in answers] == said[old.version]
    facts = app.roster.facts()["versions"]
    found = {name: facts[new.version][name] for name in ("requests", "errors", "compared", "differ")}
    assert found == {"requests": len(rows), "errors": 0, "compared": len(rows), "differ": differ}
    assert facts[old.version]["compared"] == 0


@pytest.mark.training
def test_a_shadow_that_fails_is_asked_no_more(model: Folder, newer: Folder) -> None:
    app = app_of(asked(model), asked(newer, 0.0))
    shadow = asked(newer).version
    app.roster.plan = app.roster.plan.proving(asked(model).version)
    app.roster.plan = app.roster.plan.model_copy(update={"shadow": Shadowing(version=shadow, share=1.0)})

    async def fails(rows: Any) -> Any:
        raise RuntimeError("it is bad under load")

    app.roster.versions[shadow].lane.logits = fails  # type: ignore[method-assign]

    row = golden_rows(model.path)[0]
    assert isinstance(row, bytes)

    async def many() -> list[int]:
        statuses = []
        for _ in range(10):
            for body in (b"no image", row):
                statuses.append((await asking(app, "POST", "/v1/classify", body, "image/png")).status)
            await asyncio.gather(*app.roster._copies)
        return statuses

    assert asyncio.run(many()) == [422, 200] * 10
    facts = app.roster.facts()
    assert facts["versions"][shadow]["errors"] == facts["versions"][shadow]["requests"] == 3
    assert facts["tripped"] == {shadow: "3 of 3 requests failed"}


@pytest.mark.training
def test_each_version_gets_its_share_and_answers_by_itself(model: Folder, newer: Folder) -> None:
    old, new = asked(model, 0.7), asked(newer, 0.3)
    app = app_of(old, new)
    row = golden_rows(model.path)[0]
    assert isinstance(row, bytes)

    async def many() -> list[Any]:
        return [(await asking(app, "POST", "/v1/classify", row, "image/png")).json for _ in range(300)]

    answers = asyncio.run(many())
    share = Counter(answer["version"] for answer in answers)[new.version] / 300
    assert 0.15 < share < 0.45
    offline = {one.version: app.roster.versions[one.version].classifier.classify([row]) for one in (old, new)}
    assert offline[old.version] != offline[new.version]
    assert all(answer["predictions"] == offline[answer["version"]] for answer in answers)
