from __future__ import annotations

import pytest

from jobs.models.bert import Bert
from jobs.models.embedding_bag import EmbeddingBag
from jobs.models.model import HEAD_DIVIDES
from jobs.models.sharding import Sharding

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
