from __future__ import annotations

import hashlib
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from jobs.data.rows import BadRow
from jobs.data.text import Encoder, clean, special_tokens, train_tokenizer

TEXTS = [f"the quick brown fox number {n} jumps over {n % 7} lazy dogs, unbelievably" for n in range(200)]
CODE = """
import hashlib
from jobs.data.text import train_tokenizer
texts = [f"the quick brown fox number {n} jumps over {n % 7} lazy dogs, unbelievably" for n in range(200)]
print(hashlib.sha256(train_tokenizer(texts, 120).to_str().encode()).hexdigest())
"""


def test_clean_takes_out_nul_and_surrounding_space() -> None:
    assert clean(" a\0b\n") == "ab"


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "is empty"),
        (" \0\n\t", "is empty"),
        ("a" * 1_000_001, "has 1000001 characters, more than 1000000"),
        ("half \ud83d a pair", "is not valid UTF-8"),
    ],
    ids=["empty", "blank", "long", "surrogate"],
)
def test_unusable_texts_are_refused_with_the_reason(text: str, reason: str) -> None:
    with pytest.raises(BadRow) as caught:
        clean(text)
    assert caught.value.reason == reason


def test_right_to_left_and_emoji_are_kept() -> None:
    assert clean("שלום 👋") == "שלום 👋"


def test_the_same_texts_give_the_same_tokenizer_in_every_process() -> None:
    here = hashlib.sha256(train_tokenizer(TEXTS, 120).to_str().encode()).hexdigest()
    for _ in range(2):
        ran = subprocess.run([sys.executable, "-c", CODE], capture_output=True, text=True, check=True)
        assert ran.stdout.strip() == here


def test_padding_and_unknown_are_the_first_ids_and_the_vocabulary_is_bounded() -> None:
    tokenizer = train_tokenizer(TEXTS, 120)
    assert (tokenizer.token_to_id("[PAD]"), tokenizer.token_to_id("[UNK]")) == (0, 1)
    assert tokenizer.get_vocab_size() <= 120
    assert tokenizer.encode("The FOX").tokens == ["the", "fox"]


def test_many_alphabets_stay_within_the_vocabulary() -> None:
    chinese = [chr(0x4E00 + n) for n in range(3_000)]
    assert train_tokenizer(chinese, 400).get_vocab_size() <= 400


@pytest.fixture
def encoder(tmp_path: Path) -> Encoder:
    train_tokenizer(TEXTS, 120).save(str(tmp_path / "tokenizer.json"))
    return Encoder(tmp_path / "tokenizer.json", 6)


def test_encoding_pads_and_cuts(encoder: Encoder) -> None:
    found = encoder.encode(["the fox", "the " * 50])
    assert found.dtype == np.int32
    assert found.shape == (2, 6)
    assert (found[0, 2:] == 0).all()
    assert (found[1] == found[0, 0]).all()


def test_a_batch_equals_its_texts_one_by_one(encoder: Encoder) -> None:
    assert np.array_equal(encoder.encode(TEXTS), np.concatenate([encoder.encode([text]) for text in TEXTS]))


def test_a_text_cannot_name_the_padding(encoder: Encoder) -> None:
    assert 0 not in encoder.encode(["[PAD] [PAD] [PAD]"])


def test_no_texts_make_an_empty_batch(encoder: Encoder) -> None:
    assert encoder.encode([]).shape == (0, 6)


def test_special_tokens_are_read_from_the_tokenizer(tmp_path: Path) -> None:
    tokenizer = train_tokenizer(TEXTS, 120)
    tokenizer.add_special_tokens(["[CLS]", "[SEP]"])
    tokenizer.save(str(tmp_path / "tokenizer.json"))
    special = special_tokens(tmp_path / "tokenizer.json")
    frame = {tokenizer.token_to_id(token) for token in ("[CLS]", "[SEP]")}
    assert special.reserved == {0} | frame
    assert special.unknown == 1
