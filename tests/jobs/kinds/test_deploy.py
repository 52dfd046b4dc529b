from __future__ import annotations

from typing import Any

import pytest

from jobs.artifacts import Report
from jobs.kinds.deploy import Deploy
from jobs.kinds.evaluate import Evaluate, Reject

JUDGED = Evaluate(models=["small"], data="data", reject=Reject(accuracy=0.99))


@pytest.mark.parametrize(
    ("fields", "verdict", "found"),
    [
        ({"reject_by": "verdict"}, JUDGED, None),
        ({"reject_below": 0.5}, JUDGED, None),
        ({"reject_by": "verdict", "reject_below": 0.5}, JUDGED, "gives the threshold twice: reject_below does too"),
        (
            {"reject_by": "verdict"},
            JUDGED.model_copy(update={"reject": None}),
            "step 'verdict' chooses no threshold for 'small': set its reject",
        ),
        (
            {"reject_by": "verdict"},
            JUDGED.model_copy(update={"models": ["other"]}),
            "step 'verdict' chooses no threshold for 'small': set its reject",
        ),
    ],
)
def test_the_threshold_is_given_once_and_by_a_step_that_chooses_one(
    fields: dict[str, Any], verdict: Evaluate, found: str | None
) -> None:
    job = Deploy.model_validate({"job": "deploy", "model": "small", **fields})
    assert list(job.problems({"verdict": verdict})) == ([(("reject_by",), found)] if found else [])


def test_the_threshold_is_the_one_that_was_judged() -> None:
    report = Report(title="verdict", evaluations={"small": {"reject": {"threshold": 0.625}}})
    assert Deploy(model="small", reject_by="verdict")._threshold({"verdict": report}) == 0.625
    assert Deploy(model="small", reject_below=0.5)._threshold({}) == 0.5
    assert Deploy(model="small")._threshold({}) is None


@pytest.mark.parametrize(
    ("fields", "found"),
    [
        ({"host": "0.0.0.0"}, [(("host",), "0.0.0.0 is reached from other machines: set keys or keys_file")]),
        ({"host": "10.0.0.1", "keys_file": "keys.txt"}, []),
        ({"host": "10.0.0.1", "keys": [{"name": "shop", "secret": "${env.SHOP_KEY}"}]}, []),
        ({"host": "::1"}, []),
        ({"keys": [{"name": "shop", "secret": "${env.A}"}] * 2}, [(("keys",), "two keys have one name")]),
    ],
)
def test_an_open_door_is_refused_before_anything_starts(fields: dict[str, Any], found: list[Any]) -> None:
    job = Deploy.model_validate({"job": "deploy", "model": "small", **fields})
    assert list(job.problems({})) == found


def test_an_application_is_called_as_its_definition_unless_told_otherwise() -> None:
    assert Deploy(model="small").place({}, "news").application == "news"
    assert Deploy(model="small", application="shop").place({}, "news").application == "shop"
