"""What a deployment does when something is not as it should be; with replicas that hold no model."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from cluster.errors import StepError
from jobs.serving import application, controlling, rollout
from jobs.serving.application import BusyError, deploy
from jobs.serving.canary import Canary, Shadow
from jobs.serving.controlling import Control
from jobs.serving.keys import HashedKey
from jobs.serving.plan import Event, Plan
from jobs.serving.rollout import Candidate, replace, roll_back
from tests.jobs.serving.replicas import CANDIDATE, NEW, OLD, RIGHT, Replicas, place_of, proving

KEY = HashedKey(name="deployment", sha256="0" * 64)
QUICK: dict[str, Any] = {"seconds": 0.02, "requests": 0}


@pytest.fixture(autouse=True)
def gated(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Have every candidate pass the gate at once; return those that did."""
    passed: list[str] = []

    def passes(place: Any, candidate: Candidate, serving: Any) -> float:
        passed.append(candidate.asked.version)
        return 0.001

    monkeypatch.setattr(rollout, "gate", passes)
    monkeypatch.setattr(rollout, "LOOK_S", 0.005)
    return passed


def replaced(replicas: Replicas, **fields: Any) -> str:
    return replace(replicas, place_of(**fields), CANDIDATE, {}, lambda event: None, KEY)


def test_a_candidate_that_got_too_few_requests_is_not_promoted_without_a_word() -> None:
    replicas = Replicas(proving(OLD), "a")
    shadow, canary = Shadow(**QUICK), Canary(shares=[0.3], seconds=0.02, requests=50)
    outcome = replaced(replicas, shadow=shadow, canary=canary)
    assert outcome == "promoted; only 0 of 50 requests in 0 s at 30% of requests"
    assert replicas.history()[-1] == ("promoted", f"in place of {OLD.version}{outcome.removeprefix('promoted')}")
    assert replaced(Replicas(proving(OLD), "a"), canary=Canary(shares=[0.3], **QUICK)) == "promoted"


def test_a_candidate_whose_process_ends_is_rolled_back_though_nothing_is_counted_any_more() -> None:
    replicas = Replicas(proving(OLD), "a", "b")
    replicas.looks = looking(2, lambda: replicas.replaced("b", "c"))
    with pytest.raises(StepError, match=r"rolled back at 30% of requests: 1 of 2 processes that held it ended"):
        replaced(replicas, canary=Canary(shares=[0.3], **QUICK))
    assert replicas.history()[-1] == ("rolled back", "1 of 2 processes that held it ended")
    assert {tuple(one["versions"]) for one in replicas.states.values()} == {(OLD.version,)}


def looking(times: int, act: Any) -> Any:
    """Return what acts at the look after so many."""
    looks = []

    def look(replicas: Replicas) -> None:
        looks.append(1)
        if len(looks) == times + 1:
            act()

    return look


def test_a_candidate_whose_only_process_ends_is_rolled_back() -> None:
    replicas = Replicas(proving(OLD), "a")
    replicas.looks = looking(2, replicas.states.clear)
    with pytest.raises(StepError, match="1 of 1 processes that held it ended"):
        replaced(replicas, shadow=Shadow(seconds=60, requests=0))
    assert replicas.plan().serving() == OLD.model_copy(update={"weight": 1.0})


def test_a_replica_that_is_not_wanted_any_more_speaks_against_no_candidate() -> None:
    replicas = Replicas(proving(OLD), "a", "b", "c")

    def fewer() -> None:
        del replicas.states["b"]
        replicas.target = 2

    replicas.looks = looking(2, fewer)
    assert replaced(replicas, canary=Canary(shares=[0.3], **QUICK)) == "promoted"


def test_a_replica_fewer_does_not_hide_failures_of_the_others() -> None:
    replicas = Replicas(proving(OLD), "a", "b")
    replicas.looks = lambda all_of_them: all_of_them.count(NEW.version, 10, errors=1)
    with pytest.raises(StepError, match=r"\d+ of \d+ requests failed"):
        replaced(replicas, canary=Canary(shares=[0.3], seconds=60))


def test_of_plans_that_differ_the_last_one_holds_however_long_their_histories_are() -> None:
    event = Event(at="now", what="canary", version=NEW.version)
    long = proving(NEW, OLD)
    for _ in range(60):
        long = long.noting(event)
    last = long.proving(OLD.version).noting(event)
    assert (len(last.history), last.revision) == (50, 61)
    replicas = Replicas(long, "a", "b", "c")
    replicas.states["b"]["plan"] = last.model_dump(mode="json")
    assert replicas.plan() == last
    replicas.settle(place_of(keys=[KEY]))
    assert replicas.kept().proven == OLD.version
    assert replicas.kept().revision > last.revision
    assert {one["plan"]["proven"] for one in replicas.states.values()} == {OLD.version}


def test_what_was_decided_is_written_though_no_replica_heard_it() -> None:
    replicas = Replicas(proving(NEW, OLD), "a")
    plan = replicas.plan().proving(OLD.version)
    replicas.states.clear()
    replicas.steer(plan)
    assert replicas.plan() == plan
    replicas.persist()
    assert replicas.kept() == plan


@pytest.fixture
def deploying(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Return what deploys the candidate to replicas whose endpoint gives these answers, or raises them."""

    def run(replicas: Replicas, *answers: Any, **fields: Any) -> Any:
        left = list(answers)

        def ask(*args: Any) -> Any:
            found = left.pop(0)
            if isinstance(found, Exception):
                raise found
            return {"version": NEW.version, "predictions": [found]}

        monkeypatch.setattr(application, "Control", lambda name: replicas)
        monkeypatch.setattr(application, "proxy_in_use", lambda: "none")
        monkeypatch.setattr(application, "_candidate", lambda *args: (CANDIDATE, ["a text"]))
        monkeypatch.setattr(application, "ask", ask)
        monkeypatch.setattr(application, "PAUSES", (0.0, 0.0))
        return deploy(None, place_of(**fields), lambda event: None)  # type: ignore[arg-type]

    return run


def test_an_answer_that_is_wrong_after_the_promotion_gives_all_requests_back(deploying: Any) -> None:
    replicas = Replicas(proving(OLD), "a", "b")
    with pytest.raises(StepError, match="as the file does offline"):
        deploying(replicas, {"label": "eight"})
    what, reason = replicas.history()[-1]
    assert (what, reason.startswith("StepError: http://127.0.0.1:1: answered ")) == ("rolled back", True)
    assert replicas.kept().versions == [OLD.model_copy(update={"weight": 1.0})]
    assert {one["plan"]["proven"] for one in replicas.states.values()} == {OLD.version}
    assert "withdrawn" not in replicas.done


def test_an_endpoint_that_is_busy_is_asked_again(deploying: Any) -> None:
    busy = BusyError("http://127.0.0.1:1", "answered 429")
    replicas = Replicas(proving(OLD), "a")
    assert deploying(replicas, busy, busy, RIGHT)["outcome"] == "promoted"
    assert replicas.kept().proven == NEW.version
    first = Replicas(Plan(model="digits"))
    first.there, first.configured = False, None
    assert deploying(first, busy, RIGHT)["outcome"] == "deployed"
    assert first.done == ["applied", "applied"]
    with pytest.raises(BusyError):
        deploying(Replicas(proving(OLD), "a"), busy, busy, busy)


def test_an_application_is_withdrawn_only_where_there_was_none(deploying: Any) -> None:
    first = Replicas(Plan(model="digits"))
    first.there, first.configured = False, None
    with pytest.raises(StepError):
        deploying(first, {"label": "eight"})
    assert first.done == ["applied", "withdrawn"]
    failed = Replicas(proving(OLD))
    failed.there = False  # its replicas did not start, the last time
    with pytest.raises(StepError):
        deploying(failed, {"label": "eight"})
    assert failed.done == ["applied", "put back"]
    assert failed.kept() == proving(OLD)


@pytest.mark.parametrize(
    ("status", "there"),
    [
        ("RUNNING", True),
        ("DEPLOYING", True),
        ("UNHEALTHY", True),
        ("NOT_STARTED", False),
        ("DEPLOY_FAILED", False),
        ("DELETING", False),
        (None, False),
    ],
)
def test_an_application_one_of_whose_replicas_is_replaced_is_there(
    monkeypatch: pytest.MonkeyPatch, status: str | None, there: bool
) -> None:
    says(monkeypatch, [status])
    assert Control.running(Replicas(proving(OLD), "a")) is there


def says(monkeypatch: pytest.MonkeyPatch, statuses: list[str | None]) -> None:
    """Have Serve say these statuses of the application, one after the other, and the last one from then on."""
    from ray import serve

    def status() -> Any:
        found = statuses.pop(0) if len(statuses) > 1 else statuses[0]
        one = SimpleNamespace(status=found, message="it says so", deployments={})
        return SimpleNamespace(applications={} if found is None else {"digits": one})

    monkeypatch.setattr(serve, "status", status)
    monkeypatch.setattr(controlling, "POLL_S", 0.001)


def test_what_is_replaced_is_waited_for_until_it_is_healthy_again(monkeypatch: pytest.MonkeyPatch) -> None:
    statuses: list[str | None] = ["UNHEALTHY", "DEPLOYING", "RUNNING"]
    says(monkeypatch, statuses)
    replicas = Replicas(proving(OLD), "a")
    monkeypatch.setattr(Replicas, "_wait", Control._wait)
    Control.ready(replicas, "http://127.0.0.1:1")
    assert statuses == ["RUNNING"]
    says(monkeypatch, ["UNHEALTHY", "DEPLOY_FAILED"])
    with pytest.raises(StepError, match="does not start"):
        Control.ready(replicas, "http://127.0.0.1:1")


def test_a_deployment_while_a_replica_is_replaced_passes_the_gate(deploying: Any, gated: list[str]) -> None:
    replicas = Replicas(proving(OLD), "a")
    deploying(replicas, RIGHT, canary=Canary(shares=[0.3], **QUICK))
    assert (gated, replicas.done) == ([NEW.version], ["waited", "applied"])
    assert [what for what, _ in replicas.history()] == ["canary", "promoted"]


@pytest.mark.parametrize("trial", [False, True])
def test_a_rollback_goes_to_the_version_before_and_within_a_trial_to_the_one_that_is_proven(
    monkeypatch: pytest.MonkeyPatch, trial: bool
) -> None:
    plan = proving(OLD, NEW).weighing({OLD.version: 0.7, NEW.version: 0.3}) if trial else proving(NEW, OLD)
    replicas = Replicas(plan, "a")
    monkeypatch.setattr(rollout, "Control", lambda name: replicas)
    heard: list[Any] = []
    roll_back("digits", "labels of shoes", heard.append)
    assert heard == [{"serving": OLD.version, "instead_of": NEW.version}]
    assert replicas.kept().proven == OLD.version
    assert replicas.kept().weighing({}).versions == ([OLD] if trial else [OLD, NEW])
    assert replicas.history() == [("rolled back", "labels of shoes")]


def test_a_candidate_that_was_taken_away_meanwhile_is_not_promoted() -> None:
    replicas = Replicas(proving(OLD), "a")
    replicas.looks = looking(2, lambda: replicas.tell_all("steer", proving(OLD).model_dump(mode="json")))
    with pytest.raises(StepError, match="it was taken away meanwhile"):
        replaced(replicas, canary=Canary(shares=[0.3], seconds=60))


def test_a_candidate_that_the_gate_refuses_is_asked_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuses(*args: Any) -> float:
        raise StepError(NEW.version, "takes 12.00 ms for a golden row")

    monkeypatch.setattr(rollout, "gate", refuses)
    replicas = Replicas(proving(OLD), "a")
    with pytest.raises(StepError, match=r"takes 12\.00 ms"):
        replaced(replicas, canary=Canary(shares=[0.3], **QUICK))
    assert replicas.history() == [("refused", f"{NEW.version}: takes 12.00 ms for a golden row")]
    assert [list(one["versions"]) for one in replicas.states.values()] == [[OLD.version]]
