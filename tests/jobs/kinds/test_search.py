"""Searches that make no sense are refused when they are loaded."""

from __future__ import annotations

from typing import Any

import pytest

from jobs.kinds.search import Search
from tests.jobs.searching.synthetic import search_of

TEXT = {"data": "data", "model": {"backbone": {"kind": "text_cnn"}}}
WIDTH = {"model.backbone.width": {"kind": "choice", "values": [8, 16]}}


def problems(search: Search) -> list[tuple[str, str]]:
    return [(".".join(map(str, path)), text) for path, text in search.problems({})]


@pytest.mark.parametrize("method", [{"kind": "evolution"}, {"kind": "supernet"}])
def test_a_sound_search_has_no_problems(method: dict[str, Any]) -> None:
    assert problems(search_of(method)) == []


def test_a_backbone_of_texts_can_be_searched_by_evolution() -> None:
    space = {"model.backbone.filters": {"kind": "choice", "values": [16, 64]}} | {
        "model.backbone.kernels[0]": {"kind": "choice", "values": [2, 5]}
    }
    assert problems(search_of({"kind": "evolution"}, train=TEXT, space=space, subject_to={})) == []


@pytest.mark.parametrize(
    ("fields", "place", "text"),
    [
        (
            {"space": {"model.dropout": {"kind": "choice", "values": [0.1, 0.2]}}},
            "space.model.dropout",
            "is no field that lays out the backbone's layers: model.backbone.depth, model.backbone.width, "
            "model.backbone.kernel, model.backbone.block",
        ),
        (
            {"space": {"model.backbone.width": {"kind": "uniform", "low": 8.0, "high": 16.0}}},
            "space.model.backbone.width",
            "has no end of values: a search takes whole numbers, a step, or a choice",
        ),
        (
            {"space": {"model.backbone.depth": {"kind": "integer", "low": 8, "high": 20}}},
            "space.model.backbone.depth",
            "9 is not a value this field can take (Value error, depth 9 is not 6n+2, such as 8, 14, 20, 32 or 56)",
        ),
        (
            {"space": WIDTH, "subject_to": {"macs": 100}},
            "subject_to.macs",
            "is kept by no candidate: the smallest has 186,504 or more",
        ),
        (
            {"train": {"data": "data", "model": {"backbone": {"kind": "bert"}}}},
            "space.model.backbone.width",
            "none, of",
        ),
        (
            {"method": {"kind": "supernet"}, "train": TEXT, "space": WIDTH, "subject_to": {}},
            "train.model.backbone",
            "cannot share weights among layouts, which these can: resnet",
        ),
        (
            {"method": {"kind": "supernet"}, "space": WIDTH},
            "space.model.backbone.width",
            "must hold the definition's own value",
        ),
        ({"minimise": ["accuracy"]}, "minimise.0", "'accuracy' is better the higher"),
    ],
)
def test_what_cannot_be_searched_is_told(fields: dict[str, Any], place: str, text: str) -> None:
    found = problems(search_of(**({"method": {"kind": "evolution"}} | fields)))
    assert any(where == place and text in what for where, what in found), found


def test_options_a_method_does_not_have_are_refused() -> None:
    with pytest.raises(ValueError, match="generations"):
        search_of({"kind": "evolution", "generations": 3})
