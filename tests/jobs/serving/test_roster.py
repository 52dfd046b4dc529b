"""How a replica counts what its versions do, and when one is put out of use; with versions that hold no model."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest

from jobs.serving.limits import Limits
from jobs.serving.plan import Asked, Plan, Shadowing
from jobs.serving.refused import Refused
from jobs.serving.versions import roster as rosters
from jobs.serving.versions.roster import Roster

OLD, NEW = Asked(folder="/old", sha256="0" * 64), Asked(folder="/new", sha256="1" * 64)
LIMIT = 0.2  # seconds of a request


class Hollow:
    """A version that holds no model."""

    def __init__(self, asked: Asked, *rest: Any) -> None:
        self.asked, self.name, self.closed = asked, asked.version, False
        self.threads = rest[1] if len(rest) > 1 else 1
        self.classifier = SimpleNamespace(model=None)

    def run_by(self, threads: int) -> None:
        self.threads = threads

    def close(self) -> None:
        self.closed = True


@pytest.fixture(autouse=True)
def _hollow(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rosters, "Version", Hollow)


def roster_of(old: float = 0.5, new: float = 0.5, **fields: Any) -> Roster:
    versions = [OLD.model_copy(update={"weight": old}), NEW.model_copy(update={"weight": new})]
    given = {"versions": versions, "proven": OLD.version, "limits": Limits(seconds=LIMIT), **fields}
    plan = Plan(model="digits", **given)
    roster = Roster(plan)
    roster.load(plan)
    return roster


def asking(roster: Roster, new: Callable[[], Any], times: int = 40, old: Callable[[], Any] = lambda: "right") -> Any:
    """Ask as many times, and return who answered; `new` and `old` make what a version answers, or waits for."""

    async def ask(version: Any) -> Any:
        found = (new if version.name == NEW.version else old)()
        return await found if asyncio.iscoroutine(found) else found

    async def one() -> str:
        version, _ = await roster.answered("", ask, lambda version, said: [said])
        return version.name

    async def all_of_them() -> list[str]:
        answered = await asyncio.gather(*(one() for _ in range(times)))
        await asyncio.gather(*roster._copies)
        return answered

    return asyncio.run(all_of_them())


def failing(error: Exception) -> Callable[[], Any]:
    def fail() -> Any:
        raise error

    return fail


def test_a_candidate_that_never_answers_fails_and_the_proven_version_answers_in_time() -> None:
    roster = roster_of()
    assert asking(roster, lambda: asyncio.sleep(60)) == [OLD.version] * 40
    tally = roster.tallies[NEW.version]
    assert tally.errors == tally.requests == len(tally.seconds) > 3
    assert 0.4 * LIMIT < min(tally.seconds) < LIMIT
    assert not tally.waiting
    assert roster.tripped[NEW.version].endswith(" requests failed")
    assert tally.last_error == "TimeoutError: it took too long"


def test_what_a_candidate_has_in_hand_is_told() -> None:
    roster = roster_of(0.0, 1.0)
    seen: list[Any] = []

    async def slowly() -> None:
        await asyncio.sleep(0.05)
        seen.append(roster.facts()["versions"][NEW.version])

    asking(roster, slowly, 3)
    assert (seen[0]["requests"], len(seen[0]["waiting_ms"])) == (0, 3)
    assert min(seen[0]["waiting_ms"]) >= 45
    assert roster.facts()["versions"][NEW.version]["waiting_ms"] == []


def test_who_was_given_up_by_others_failed_only_if_it_had_its_time() -> None:
    roster = roster_of()

    async def ask(version: Any) -> Any:
        await asyncio.sleep(60)

    async def given_up_after(seconds: float) -> tuple[int, int]:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(seconds):
                await roster.answered(NEW.version, ask, lambda version, said: [])
        return roster.tallies[NEW.version].requests, roster.tallies[NEW.version].errors

    assert asyncio.run(given_up_after(0.01)) == (0, 0)
    assert asyncio.run(given_up_after(0.9 * LIMIT)) == (1, 1)


def test_what_a_candidate_refuses_and_the_proven_version_answers_is_its_failure() -> None:
    roster = roster_of()
    assert asking(roster, failing(Refused(400, "the inputs are image, wanted text"))) == [OLD.version] * 40
    tally = roster.tallies[NEW.version]
    assert tally.errors == tally.requests == 3
    assert "wanted text" in tally.last_error
    assert NEW.version in roster.tripped


def test_what_both_refuse_is_nobodys_failure() -> None:
    roster, refuse = roster_of(), failing(Refused(422, "no image"))
    for _ in range(20):
        with pytest.raises(Refused):
            asking(roster, refuse, 1, refuse)
    assert [tally.errors for tally in roster.tallies.values()] == [0, 0]
    assert not roster.tripped


def test_what_a_shadow_refuses_is_its_failure() -> None:
    roster = roster_of(1.0, 0.0, shadow=Shadowing(version=NEW.version, share=1.0))
    for _ in range(5):
        assert asking(roster, failing(Refused(400, "other inputs")), 1) == [OLD.version]
    assert roster.tallies[NEW.version].errors == 3
    assert roster.tripped == {NEW.version: "3 of 3 requests failed"}


def test_a_few_failures_of_many_put_no_version_out_of_use() -> None:
    roster = roster_of(0.0, 1.0, error_share=0.02)
    asking(roster, lambda: "right", 1000)
    asking(roster, failing(RuntimeError("now and then")), 20)
    assert (roster.tallies[NEW.version].errors, roster.tripped) == (20, {})
    asking(roster, failing(RuntimeError("too often")), 1)
    assert roster.tripped == {NEW.version: "21 of 1021 requests failed"}


def test_what_failed_before_the_plan_was_followed_puts_no_version_out_of_use() -> None:
    roster = roster_of(0.0, 1.0)
    for _ in range(2):
        asking(roster, failing(RuntimeError("before")), 1)
    roster.follow(roster.plan.model_copy(update={"revision": 1}))
    for _ in range(2):
        asking(roster, failing(RuntimeError("since")), 1)
    assert (roster.tallies[NEW.version].errors, roster.tripped) == (4, {})
    asking(roster, failing(RuntimeError("since")), 1)
    assert roster.tripped == {NEW.version: "3 of 3 requests failed"}


def test_a_version_that_was_out_of_use_answers_once_it_is_proven() -> None:
    roster = roster_of(0.5, 0.5)
    asking(roster, failing(RuntimeError("it was bad")))
    assert NEW.version in roster.tripped
    roster.follow(roster.plan.proving(NEW.version))
    assert roster.tripped == {}
    assert asking(roster, lambda: "right", 5) == [NEW.version] * 5
    roster.tripped[NEW.version] = "it is the only one to answer all the same"
    assert asking(roster, lambda: "right", 5) == [NEW.version] * 5


def test_another_threshold_or_vocabulary_is_another_version() -> None:
    others = [
        OLD.model_copy(update={"reject_below": 0.5}),
        OLD.model_copy(update={"files": {"artifact.json": "2" * 64}}),
        OLD.model_copy(update={"files": {"vocabulary.json": "2" * 64}}),
        OLD.model_copy(update={"sha256": "2" * 64}),
    ]
    names = {one.version for one in (OLD, *others)}
    assert len(names) == 5
    assert {len(name) for name in names} == {12}
    same = OLD.model_copy(update={"folder": "/elsewhere", "weight": 0.3})
    assert same.version == OLD.version


def test_what_is_held_is_not_loaded_twice_and_what_is_let_go_of_is_closed() -> None:
    roster = roster_of()
    held: dict[str, Any] = dict(roster.versions)
    moved = OLD.model_copy(update={"folder": "/elsewhere", "weight": 1.0})
    stricter = OLD.model_copy(update={"reject_below": 0.5})
    plan = roster.plan.model_copy(update={"versions": [moved, stricter]})
    roster.load(plan)
    assert list(roster.versions) == [OLD.version, NEW.version, stricter.version]
    assert roster.versions[OLD.version] is held[OLD.version]
    roster.follow(plan)
    assert list(roster.versions) == [OLD.version, stricter.version]
    assert [held[one.version].closed for one in (OLD, NEW)] == [False, True]
