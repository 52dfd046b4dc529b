"""The table of what may be done to which backbone under which strategy, printed; and what an illegal chain is told."""

from __future__ import annotations

from itertools import product
from pathlib import Path
from typing import Any

import pytest

from cluster.errors import RequestError
from jobs.models import Backbone
from jobs.strategies import Strategy
from jobs.techniques import Technique
from jobs.techniques.legality import legal, nearest, refusals
from pipelines.load import load
from tests.contracts.test_compression import BACKBONES, TECHNIQUES, chosen_for
from tests.contracts.test_strategies import EXAMPLES

LEAST = 0.6  # of the table


def test_most_of_the_table_is_legal_and_the_rest_says_why(capsys: pytest.CaptureFixture[str]) -> None:
    backbones = {kind: Backbone.choose(fields) for kind, fields in BACKBONES.items()}
    strategies = {kind: Strategy.choose({"kind": kind} | fields) for kind, fields in EXAMPLES.items()}
    rows, share = [], []
    for technique, strategy in product(TECHNIQUES, strategies):
        row = f"{technique:18}{strategy:18}"
        for backbone in backbones.values():
            chosen = chosen_for(TECHNIQUES[technique][0], backbone.modality)
            found = [*refusals(chosen, [], backbone, strategies[strategy])]
            assert all(len(reason.split()) > 3 for reason in found)
            share.append(not found)
            row += f"{'-' if found else 'x':>4}"
        rows.append(row)
    with capsys.disabled():
        print(f"\n{'':36}{', '.join(backbones)}", *rows, sep="\n")
        print(f"{sum(share)} of {len(share)} are legal: {sum(share) / len(share):.0%}")
    assert sum(share) / len(share) >= LEAST


STUDENT = {"backbone": {"kind": "resnet", "depth": 8, "width": 4}}


@pytest.mark.parametrize(
    ("kinds", "wanted"),
    [
        (["quantize", "prune"], ["prune", "quantize"]),
        (["prune", "distill", "quantize"], ["distill", "prune", "quantize"]),
        (["prune", "prune_structured"], ["prune_structured", "prune"]),
        (["prune", "factorize", "prune_structured"], ["factorize", "prune_structured", "prune"]),
        (["prune", "prune"], ["prune"]),
        (["factorize", "prune"], ["factorize", "prune"]),
    ],
)
def test_the_nearest_legal_chain_keeps_most_and_moves_least(kinds: list[str], wanted: list[str]) -> None:
    backbone, strategy = Backbone.choose(BACKBONES["resnet"]), Strategy.choose({"kind": "single"})
    fields: dict[str, dict[str, Any]] = {"distill": {"student": STUDENT}}
    chain = [Technique.choose({"kind": kind} | fields.get(kind, {})) for kind in kinds]
    found = nearest(chain, backbone, strategy)
    assert [technique.model_dump()["kind"] for technique in found] == wanted
    assert legal(found, backbone, strategy)


DEFINITION = """\
name: refused
steps:
  data: {{job: dataset, source: {{kind: digits}}}}
  model: {{job: train, data: data, model: {{backbone: {backbone}}}}}
  small: {{job: compress, model: model, data: data, techniques: [{chain}]}}
"""
AT = "5: steps.small.techniques"
RESNET, EFFICIENTNET = "{kind: resnet}", "{kind: efficientnet_b0}"


@pytest.mark.parametrize(
    ("backbone", "chain", "messages"),
    [
        (
            RESNET,
            "{kind: prune}, {kind: prune_structured}",
            [
                f"{AT}[1]: other layers have other weights, and what prune made of these is lost; "
                "put prune_structured first",
                f"{AT}: the nearest chain that may be: prune_structured, prune",
            ],
        ),
        (
            RESNET,
            "{kind: quantize}, {kind: factorize}",
            [
                f"{AT}[1]: layers cannot change once the file is made by quantize; put factorize before quantize",
                f"{AT}: the nearest chain that may be: factorize, quantize",
            ],
        ),
        (
            RESNET,
            "{kind: prune_structured, units: [heads]}",
            [f"{AT}[0]: resnet has no heads that could go; it has channels"],
        ),
        (
            RESNET,
            "{kind: factorize, energy: 0.9, rank: 4}",
            [f"{AT}[0]: sets energy and rank; set one"],
        ),
        (
            RESNET,
            "{kind: prune, pattern: block}",
            [f"{AT}[0]: blocks are of matrices, and image backbones are of convolutions; take prune_structured"],
        ),
        (
            RESNET,
            "{kind: prune, pattern: m_by_n, sparsity: 0.7}",
            [f"{AT}[0]: sets sparsity, ramp or reached, but m_by_n says how many are zero from the start"],
        ),
    ],
)  # fmt: skip
def test_what_may_not_be_is_refused_when_it_is_loaded(
    backbone: str, chain: str, messages: list[str], tmp_path: Path
) -> None:
    file = tmp_path / "refused.yaml"
    file.write_text(DEFINITION.format(backbone=backbone, chain=chain))
    with pytest.raises(RequestError) as caught:
        load(file)
    assert [line.removeprefix(f"{file}:") for line in str(caught.value).splitlines()] == messages


def test_a_backbone_all_of_whose_channels_are_joined_and_one_without_scales_are_refused() -> None:
    single = Strategy.choose({"kind": "single"})
    cases = [
        ({"kind": "prune_structured"}, "efficientnet_b0", "every channel of efficientnet_b0 is added to or multiplied "
         "with others, and none can go; take factorize"),
        ({"kind": "prune_structured", "importance": "bn_scale"}, "bert", "bert has no batch normalisation whose scale "
         "could tell; take l1, l2 or taylor"),
        ({"kind": "factorize"}, "hub", "the layers of a hub module are its own: use it as a teacher for distillation"),
    ]  # fmt: skip
    for fields, backbone, reason in cases:
        chosen = Technique.choose(fields)
        assert [*refusals(chosen, [], Backbone.choose(BACKBONES[backbone]), single)] == [reason]
    taylor = Technique.choose({"kind": "prune_structured", "importance": "taylor"})
    federated = Strategy.choose({"kind": "federated", "workers": 2})
    assert [*refusals(taylor, [], Backbone.choose(BACKBONES["resnet"]), federated)] == [
        "federated cannot carry prune_structured: it judges units on training rows, which only clients read; "
        "take l1 or l2"
    ]
