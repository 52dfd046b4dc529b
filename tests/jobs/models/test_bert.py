from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from cluster.errors import RequestError
from jobs.models import Backbone
from jobs.models.checkpoint import Sizes
from tests.jobs.models.making import hugging_face


def bert(**fields: Any) -> Any:
    return Backbone.choose({"kind": "bert", **fields})


def test_sizes_are_those_of_turc_et_al_changed_by_fields() -> None:
    assert bert().sizes() == Sizes(layers=4, width=256, heads=4, feed_forward=1024)
    assert bert(size="tiny", layers=3).sizes() == Sizes(layers=3, width=128, heads=2, feed_forward=512)


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"size": "base", "weights": "hf"}, "has a size, but its weights say what it is; leave size out"),
        ({"width": 100, "heads": 3}, "width 100 is not a multiple of heads 3"),
    ],
)
def test_sizes_that_do_not_go_together_are_refused(fields: dict[str, Any], reason: str) -> None:
    with pytest.raises(ValidationError, match=reason):
        bert(**fields)


def test_a_resolved_backbone_has_the_sizes_of_its_weights_and_needs_no_folder(tmp_path: Path) -> None:
    folder = hugging_face(tmp_path / "hf", layer_norm_eps=1e-5)
    resolved = bert(weights=str(folder), length=12).resolved(tmp_path)
    assert resolved.sizes() == Sizes(layers=1, width=8, heads=2, feed_forward=12, epsilon=1e-5)
    (folder / "config.json").unlink()
    assert Backbone.choose(resolved.model_dump(mode="json")) == resolved
    assert bert(size="tiny").resolved(tmp_path).model_dump(include={"size", "layers", "width"}) == {
        "size": None, "layers": 2, "width": 128,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("fields", "message"),
    [({"layers": 2}, ": layers: is 1, wanted 2"), ({"length": 21}, ": has 20 positions, wanted length 21")],
)
def test_fields_that_contradict_the_weights_are_refused(fields: dict[str, Any], message: str, tmp_path: Path) -> None:
    folder = hugging_face(tmp_path / "hf")
    with pytest.raises(RequestError) as caught:
        bert(weights=str(folder), **({"length": 12} | fields)).resolved(tmp_path)
    assert str(caught.value) == f"{folder}{message}"


def test_weights_are_located_and_told_as_an_input(tmp_path: Path) -> None:
    placed = bert(weights="hf").located(tmp_path)
    assert placed.inputs() == [str(tmp_path / "hf")]
    assert bert(weights="s3://models/hf").located(tmp_path).inputs() == ["s3://models/hf"]
    assert bert().located(tmp_path).inputs() == []
