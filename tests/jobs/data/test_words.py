"""Plain texts are cut by a memory of words: the ids must be the library's, of whatever texts."""

from __future__ import annotations

import random
import string
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from tokenizers import Tokenizer, normalizers

from jobs.data import words
from jobs.data.text import Encoder, train_tokenizer
from jobs.data.words import Words, knows

LENGTH = 24
TEXTS = ("Prune the weights, then share them.", "An espalier's trained flat: 2 m by 3 m!", "under_score and tab")


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("words") / "tokenizer.json"
    train_tokenizer(TEXTS * 20, 120).save(str(file))
    return file


def by_the_library(tokenizer: Path, texts: list[str]) -> NDArray[np.int32]:
    cutter = Tokenizer.from_file(str(tokenizer))
    cutter.encode_special_tokens = True
    cutter.enable_truncation(LENGTH)
    cutter.enable_padding(length=LENGTH)
    return np.array([found.ids for found in cutter.encode_batch(texts, add_special_tokens=False)], np.int32)


def made_up(seed: int) -> str:
    """Return a text of any ASCII, of words that are known, of punctuation, and now and then of what is not ASCII."""
    rng = random.Random(seed)
    known = " ".join(TEXTS).split()
    parts = []
    for _ in range(rng.randrange(1, 30)):
        drawn = "".join(rng.choices(string.printable + string.ascii_letters, k=rng.randrange(1, 12)))
        parts.append(
            rng.choice([*known, drawn, "x" * 101, "[PAD]", "[UNK]", "naïve", "\x7f\x1c\x0b", "東京", "\t\r\n"])
        )
    return rng.choice([" ", "", "\n"]).join(parts)


def test_ids_are_those_of_the_library(tokenizer: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(words, "KEPT", 50)  # so that words are forgotten on the way
    texts = [made_up(seed) for seed in range(2_000)]
    assert sum(words.PLAIN.fullmatch(text) is not None for text in texts) > 300
    assert np.array_equal(Encoder(tokenizer, LENGTH).encode(texts), by_the_library(tokenizer, texts))


def test_memory_is_bounded(tokenizer: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(words, "KEPT", 10)
    memory = Words(Tokenizer.from_file(str(tokenizer)))
    for number in range(1_000):
        memory.ids(f"word{number}", LENGTH)
        assert len(memory._pieces) <= 10


def test_a_tokenizer_that_cuts_otherwise_is_left_to_the_library(tokenizer: Path) -> None:
    other = Tokenizer.from_file(str(tokenizer))
    assert knows(other)
    other.add_tokens(["weights,"])
    assert not knows(other)
    cased = Tokenizer.from_file(str(tokenizer))
    cased.normalizer = normalizers.BertNormalizer(lowercase=False)
    assert not knows(cased)
