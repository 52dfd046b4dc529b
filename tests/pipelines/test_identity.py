from __future__ import annotations

import json
from typing import Annotated, Any, Literal

import pytest

from jobs.artifacts import Dataset, Model
from jobs.job import Job
from jobs.spec import INCIDENTAL, Choice, Ref, Spec
from pipelines.identity import changes, fingerprint, identity


class Trick(Choice):
    pass


class Cut(Trick):
    kind: Literal["cut"] = "cut"
    sparsity: float = 0.5


class Round(Trick):
    kind: Literal["round"] = "round"
    bits: int = 8


class Where(Spec):
    beside: Annotated[str | None, Ref(Model)] = None


class Shrink(Job):
    job: Literal["shrink_for_identity"] = "shrink_for_identity"
    produces = Model
    model: Annotated[str, Ref(Model)]
    data: Annotated[str, Ref(Dataset)]
    others: list[Annotated[str, Ref(Model)]] = []
    techniques: list[Trick] = []
    seed: int = 7
    note: str = ""
    where: Annotated[Where, INCIDENTAL] = Where()


class Shrink2(Shrink):
    job: Literal["shrink_for_identity_2"] = "shrink_for_identity_2"  # type: ignore[assignment]
    version = 2


PRINTS = {"teacher": "a" * 64, "data": "b" * 64, "small": "c" * 64}


def shrink(**fields: Any) -> Shrink:
    return Shrink.model_validate({"model": "teacher", "data": "data", **fields})


def of(job: Job, prints: dict[str, str] = PRINTS, data: str = "") -> dict[str, Any]:
    return identity(job, prints, data)


def test_references_count_by_their_fingerprints() -> None:
    job = shrink(others=["small"], after=["teacher"], techniques=[{"kind": "cut"}])
    assert of(job, data="d") == {
        "job": "shrink_for_identity",
        "version": 1,
        "data": "d",
        "definition": {
            "after": [{"fingerprint": "a" * 64}],
            "model": {"fingerprint": "a" * 64},
            "data": {"fingerprint": "b" * 64},
            "others": [{"fingerprint": "c" * 64}],
            "techniques": [{"kind": "cut", "sparsity": 0.5}],
            "seed": 7,
            "note": "",
        },
    }


def test_the_fingerprint_is_the_sha256_of_canonical_json() -> None:
    assert fingerprint({"b": 1, "a": [1.5, None]}) == fingerprint({"a": [1.5, None], "b": 1})
    # as `printf '{"a":"x"}' | sha256sum` has it
    assert fingerprint({"a": "x"}) == "bac82bcae3ff0e486fd02d6dce53dc6444bcbd21f6ab5dea0a69e86e8b723b7f"


def test_renaming_a_step_changes_nothing_that_depends_on_it() -> None:
    renamed = shrink(model="mentor")
    assert fingerprint(of(renamed, {**PRINTS, "mentor": "a" * 64})) == fingerprint(of(shrink()))


def test_what_says_where_and_how_patiently_does_not_count() -> None:
    patient = shrink(timeout=3.0, retries=4, where={"beside": "small"})
    assert fingerprint(of(patient)) == fingerprint(of(shrink()))


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ({}, {}, []),
        (
            {"techniques": [{"kind": "cut"}]},
            {"techniques": [{"kind": "cut", "sparsity": 0.6}]},
            ["techniques[0].sparsity: 0.5 -> 0.6"],
        ),
        (
            {"techniques": [{"kind": "cut"}]},
            {"techniques": [{"kind": "round"}]},
            ["techniques[0].kind: cut -> round"],
        ),
        (
            {"techniques": [{"kind": "cut"}]},
            {"techniques": [{"kind": "cut"}, {"kind": "round"}]},
            ['techniques[1]: added {"kind": "round", "bits": 8}'],
        ),
        (
            {"techniques": [{"kind": "round"}], "seed": 8},
            {},
            ['techniques[0]: removed {"kind": "round", "bits": 8}', "seed: 8 -> 7"],
        ),
        ({"model": "small"}, {}, ["input 'teacher' changed"]),
        ({}, {"others": ["small"]}, ["input 'small' added"]),
        ({"others": ["small"]}, {}, ["input 'others[0]' removed"]),
        ({}, {"note": "x" * 80}, [f'note: "" -> {"x" * 59}…']),
    ],
)
def test_changes_are_told_in_plain_words(old: dict[str, Any], new: dict[str, Any], told: list[str]) -> None:
    assert changes(of(shrink(**old)), of(shrink(**new)), shrink(**new)) == told


def test_without_the_job_an_input_is_called_by_its_field() -> None:
    assert changes(of(shrink()), of(shrink(model="small"))) == ["input 'model' changed"]


def test_one_changed_step_that_is_used_twice_is_told_once() -> None:
    job = shrink(others=["teacher"])
    after = of(job, {**PRINTS, "teacher": "d" * 64})
    assert changes(of(job), after, job) == ["input 'teacher' changed"]


def test_data_version_and_job() -> None:
    old = of(shrink())
    assert changes(old, of(shrink(), data="x")) == ["the input data changed"]
    assert changes(old, {**old, "version": 2}) == ["the job's version 1 -> 2"]
    other = of(Shrink2(model="teacher", data="data"))
    assert changes(old, other) == ["the job shrink_for_identity -> shrink_for_identity_2"]


def test_a_stored_identity_equals_the_one_it_was_made_from() -> None:
    now = of(shrink(techniques=[{"kind": "cut", "sparsity": 0.1}]))
    assert changes(json.loads(json.dumps(now)), now) == []
