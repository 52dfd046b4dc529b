from __future__ import annotations

import pytest

from jobs.models.bert import Bert
from jobs.models.embedding_bag import EmbeddingBag
from jobs.models.model import HEAD_DIVIDES
from jobs.models.sharding import Sharding
from jobs.strategies import Strategy

COLUMNS, ROWS, WHOLE = 1, 0, None


@pytest.mark.parametrize(
    ("variable", "axis"),
    [
        ("words/embeddings", COLUMNS),
        ("positions/embeddings", COLUMNS),
        ("embedding_norm/gamma", WHOLE),
        ("layer0_query/kernel", COLUMNS),
        ("layer11_key/bias", 0),
        ("layer0_value/kernel", COLUMNS),
        ("layer0_attention/kernel", ROWS),
        ("layer0_attention/bias", WHOLE),
        ("layer0_attention_norm/beta", WHOLE),
        ("layer0_intermediate/kernel", COLUMNS),
        ("layer0_intermediate/bias", 0),
        ("layer0_output/kernel", ROWS),
        ("layer0_output/bias", WHOLE),
        ("layer0_output_norm/gamma", WHOLE),
        ("pooler/kernel", COLUMNS),
        ("logits/kernel", ROWS),
        ("logits/bias", WHOLE),
    ],
)
def test_attention_and_feed_forward_divide_by_columns_then_rows(variable: str, axis: int | None) -> None:
    assert (Bert.sharding + HEAD_DIVIDES).axis(variable) == axis


def test_an_embedding_divides_by_width() -> None:
    assert EmbeddingBag.sharding.axis("embedding/embeddings") == COLUMNS
    assert EmbeddingBag(width=12).divided_sizes() == {"width": 12}


def test_the_sizes_that_must_divide_are_those_of_the_fields_and_the_size() -> None:
    assert Bert(size="tiny", heads=4).divided_sizes() == {"width": 128, "heads": 4, "feed_forward": 512}
    assert Bert(weights="s3://bucket/folder", width=64).divided_sizes() == {"width": 64}


def test_without_a_rule_nothing_divides() -> None:
    assert not Sharding().divides
    assert Sharding().axis("layer0_query/kernel") is WHOLE


def test_the_share_that_divides_is_of_parameters() -> None:
    shapes = {"words/embeddings": (10, 8), "words/gamma": (8,), "logits/kernel": (8, 3), "logits/bias": (3,)}
    assert Sharding(widths=("words",)).share(shapes) == 80 / 115
    assert Sharding().share(shapes) == 0


def test_a_model_of_which_under_half_divides_is_refused_with_its_share() -> None:
    shapes = {"stem/kernel": (30, 10), "logits/kernel": (10, 10)}
    strategy = Strategy.choose({"kind": "model_parallel"})
    refused = "25% of the model's parameters divide over workers, and 50% must"
    assert strategy.too_whole(HEAD_DIVIDES, shapes) == refused
    assert strategy.too_whole(HEAD_DIVIDES, {**shapes, "stem/kernel": (10, 10)}) == ""
    assert Strategy.choose({"kind": "data_parallel"}).too_whole(HEAD_DIVIDES, shapes) == ""
