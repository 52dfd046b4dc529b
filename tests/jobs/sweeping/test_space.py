"""Paths to fields, fields replaced, and what is drawn from what."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from jobs.kinds.train import Train
from jobs.sweeping.distributions import Distribution
from jobs.sweeping.space import conditions, grid, outside, parsed, replaced, undrawn, value_at
from pipelines.pipeline import Pipeline

TRAIN = Train.model_validate(
    {
        "data": "data",
        "model": {"backbone": {"kind": "resnet"}, "dropout": 0.2},
        "augment": [{"kind": "flip"}, {"kind": "rotate", "degrees": 10.0}],
    }
)


def of(**fields: Any) -> Distribution:
    return Distribution.choose(fields)


def test_a_path_is_names_and_numbers() -> None:
    assert parsed("augment[1].degrees") == ("augment", 1, "degrees")
    assert parsed("model.dropout") == ("model", "dropout")
    assert [parsed(text) for text in ("", "a..b", "a[x]", "a-b", "[0]")] == [None] * 5


def test_a_field_is_replaced_and_checked_anew() -> None:
    changed = replaced(TRAIN, {"augment[1].degrees": 5.0, "model.dropout": 0.5, "clip_norm": 1.0})
    assert (changed.model.dropout, changed.clip_norm) == (0.5, 1.0)
    assert changed.augment[1].model_dump()["degrees"] == 5.0
    assert TRAIN.model.dropout == 0.2


@pytest.mark.parametrize(
    ("path", "wrong"),
    [
        ("model.drop", "'model' has no field 'drop'; did you mean 'dropout'?"),
        ("augment[2].degrees", "'augment' has 2 entries, and none numbered 2"),
        ("early_stopping.patience", "'early_stopping' is not set in the definition, so it has no field 'patience'"),
        ("model.backbone", "is not a number, a text, or true or false: name one of its fields"),
        ("data", "names a step, which cannot be drawn"),
        ("model[", "is not a path to a field, such as model.dropout or augment[0].degrees"),
    ],
)
def test_a_path_to_nothing_is_told(path: str, wrong: str) -> None:
    assert value_at(TRAIN, path) == (None, wrong)


def test_values_that_a_field_cannot_take_are_told() -> None:
    assert outside(TRAIN, "model.dropout", of(kind="uniform", low=0.0, high=0.9)) == ""
    found = outside(TRAIN, "model.dropout", of(kind="uniform", low=0.0, high=1.5))
    assert found == "1.5 is not a value this field can take (Input should be less than 1)"
    assert outside(TRAIN, "epochs", of(kind="integer", low=0, high=5)).startswith("0 is not a value")
    assert outside(TRAIN, "optimizer", of(kind="choice", values=["adam", "sgd"])) == ""
    assert outside(TRAIN, "optimizer", of(kind="choice", values=["adam", "lion"])).startswith("'lion' is not a value")


@pytest.mark.parametrize(
    ("path", "why"),
    [
        ("strategy.cpus_per_worker", "says where trials run"),
        ("strategy.workers", "says where trials run"),
        ("keep", "says how patiently or where work runs"),
        ("retries", "says how patiently or where work runs"),
        ("timeout", "says how patiently or where work runs"),
        ("checkpoint_every", "says how patiently or where work runs"),
    ],
)
def test_fields_that_make_no_difference_to_a_model_are_not_drawn(path: str, why: str) -> None:
    assert undrawn(TRAIN, path).startswith(why)
    steps: dict[str, Any] = {"data": {"job": "dataset", "source": {"kind": "digits"}}}
    space = {path: {"kind": "choice", "values": [1, 2]}}
    fields = {"job": "sweep", "train": TRAIN.model_dump(exclude_unset=True), "space": space}
    with pytest.raises(ValidationError) as refused:
        Pipeline.model_validate({"name": "toy", "steps": steps | {"tuned": fields}})
    assert [error["loc"][-2:] for error in refused.value.errors()] == [("space", path)]
    assert why in str(refused.value)


def test_fields_that_shape_a_model_are_drawn() -> None:
    for path in ("model.dropout", "epochs", "seed", "augment[1].degrees", "clip_norm"):
        assert undrawn(TRAIN, path) == ""


def test_a_grid_has_every_combination_once_and_keeps_conditions() -> None:
    space = {
        "optimizer": of(kind="choice", values=["adam", "sgd"]),
        "clip_norm": of(kind="uniform", low=0.5, high=1.0, step=0.25, when={"optimizer": ["sgd"]}),
    }
    assert list(grid(space)) == [
        {"optimizer": "adam"},
        {"optimizer": "sgd", "clip_norm": 0.5},
        {"optimizer": "sgd", "clip_norm": 0.75},
        {"optimizer": "sgd", "clip_norm": 1.0},
    ]


def test_conditions_that_never_hold_or_go_round_are_told() -> None:
    wide = {"kind": "uniform", "low": 0.0, "high": 1.0}
    space = {
        "a": of(**wide, when={"z": [1.0]}),
        "b": of(**wide, when={"c": [2.0]}),
        "c": of(**wide),
    }
    assert list(conditions(space)) == [
        (("a", "when", "z"), "'z' is no field of the space"),
        (("b", "when", "c"), "'c' never is 2.0"),
    ]
    circle = {"a": of(**wide, when={"b": [0.5]}), "b": of(**wide, when={"a": [0.5]})}
    assert next(text for _, text in conditions(circle)).startswith("goes round in a circle: ")


@pytest.mark.parametrize(
    ("fields", "inside", "out"),
    [
        ({"kind": "uniform", "low": 0.0, "high": 1.0, "step": 0.25}, [0.0, 0.75, 1], [0.3, -1.0, True, "0"]),
        ({"kind": "log_uniform", "low": 1e-4, "high": 1.0}, [1e-4, 1], [0.0, None]),
        ({"kind": "integer", "low": 1, "high": 9, "step": 2}, [1, 9], [2, 1.0, True]),
        ({"kind": "choice", "values": [1, "1", None]}, [1, "1", None], [1.0, True]),
    ],
)
def test_a_distribution_holds_what_it_draws_and_nothing_else(
    fields: dict[str, Any], inside: list[Any], out: list[Any]
) -> None:
    distribution = of(**fields)
    assert all(distribution.holds(value) for value in [*inside, *distribution.corners()])
    assert not any(distribution.holds(value) for value in out)
    assert all(distribution.holds(distribution.draw()) for _ in range(50))
