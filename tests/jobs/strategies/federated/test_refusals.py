"""What federated training cannot carry is refused when a definition is loaded, with the reason."""

from __future__ import annotations

from typing import Any

import pytest

from cluster.resources import Resources
from jobs.kinds.compress import Compress
from jobs.kinds.dataset import DatasetJob
from jobs.kinds.train import Train
from tests.rig import TINY

TEXT = {"kind": "text_cnn"}
PRIVACY = {"clip": 1.0, "noise_multiplier": 1.0, "delta": 1e-3}
ZEROS = "resnet normalises batches, and batches of one row are all zeros then; raise batch_size"
REFUSED: list[tuple[dict[str, Any], dict[str, Any], dict[str, Any], str]] = [
    ({}, TINY, {"batch_size": 1}, ZEROS),
    ({}, {"kind": "fusion", "image": TINY, "text": TEXT}, {"batch_size": 1}, ZEROS.replace("resnet", "fusion")),
    (
        {"privacy": PRIVACY}, TINY, {},
        "resnet normalises batches, and noise would make variances of its averages negative",
    ),
    (
        {}, TEXT, {"ema": 0.9},
        "ema averages weights over train steps, and a client's optimizer starts afresh with every round",
    ),
    (
        {}, TEXT, {"checkpoint_every": 10},
        "checkpoint_every counts train steps, and a round ends in a checkpoint, whatever steps clients take",
    ),
    (
        {}, TEXT, {"class_weights": "balanced"},
        "class_weights: balanced counts the labels of all rows, which only clients read; give the weights",
    ),
    (
        {"privacy": PRIVACY}, TEXT, {"frozen_epochs": 1},
        "privacy is accounted for one training, and frozen_epochs make two",
    ),
]  # fmt: skip


def problems(strategy: dict[str, Any], backbone: dict[str, Any], recipe: dict[str, Any]) -> list[Any]:
    strategy = {"kind": "federated", "workers": 3, **strategy}
    fields = {"job": "train", "data": "data", "model": {"backbone": backbone}, "strategy": strategy, **recipe}
    return list(Train.model_validate(fields).problems({}))


@pytest.mark.parametrize(("strategy", "backbone", "recipe", "text"), REFUSED)
def test_a_training_it_cannot_carry(
    strategy: dict[str, Any], backbone: dict[str, Any], recipe: dict[str, Any], text: str
) -> None:
    assert problems(strategy, backbone, recipe) == [(("strategy",), text)]


def test_a_training_it_can_carry() -> None:
    assert problems({}, TINY, {"batch_size": 2}) == []
    assert problems({"privacy": PRIVACY}, TEXT, {}) == []


def test_techniques_whose_weights_have_no_mean() -> None:
    techniques = [
        {"kind": "distill", "student": {"backbone": TEXT}},
        {"kind": "prune"},
        {"kind": "quantize", "scheme": "int8"},
    ]
    fields = {"job": "compress", "model": "model", "data": "data", "techniques": techniques}
    chain = Compress.model_validate(fields | {"strategy": {"kind": "federated"}})
    assert list(chain.problems({})) == [
        (
            ("techniques", 1),
            "federated cannot carry prune: it shapes weights, which would come out otherwise with each client and not "
            "outlast their mean",
        ),
        (
            ("techniques", 2),
            "federated cannot carry quantize: it sets its ranges on training rows, which only clients read; quantize "
            "in a step of another strategy",
        ),
    ]
    carried = fields | {"techniques": [techniques[0], {"kind": "quantize", "scheme": "float16"}]}
    assert list(Compress.model_validate(carried | {"strategy": {"kind": "federated"}}).problems({})) == []


def test_rows_that_nobody_is_said_to_own() -> None:
    by_column = {"kind": "federated", "workers": 3, "partition": {"kind": "column"}}
    fields = {"job": "train", "data": "data", "model": {"backbone": TEXT}, "strategy": by_column}
    source = {"kind": "table", "path": "rows.csv", "text": "text"}
    train = Train.model_validate(fields)
    data, owned = (
        DatasetJob.model_validate({"job": "dataset", "source": source | more}) for more in ({}, {"client": "hospital"})
    )
    assert list(train.problems({"data": data})) == [
        (("strategy", "partition"), "goes by whose rows are, which step 'data' does not tell: set source.client")
    ]
    assert list(train.problems({"data": owned})) == []


def test_what_it_holds_of_a_cluster_is_its_clients_and_the_coordinator() -> None:
    train = Train.model_validate(
        {
            "job": "train",
            "data": "data",
            "model": {"backbone": TEXT},
            "strategy": {"kind": "federated", "workers": 3, "cpus_per_worker": 0.5},
        }
    )
    assert train.resources() == Resources(2)
    assert train.processes() == [Resources(0.5)] * 4
