"""Cuts plain texts into word pieces by a memory of words: the ids the library gives, several times as fast.

The library normalizes every character and keeps where each came from. A text of plain ASCII needs neither: its words
are what lies between white space and punctuation, in lower case, and the pieces of a word are always the same.
"""

from __future__ import annotations

import json
import re
from typing import Any

from tokenizers import Tokenizer

KEPT = 20_000  # words, some megabytes: with more all are forgotten, so that made-up ones fill no memory
PLAIN = re.compile(r"[\t\n\r -~]*")  # what normalizing changes to nothing but lower case
WORDS = re.compile(r"[a-z0-9]+|[^a-z0-9\s]")  # punctuation is a word each
AS_KNOWN: dict[str, dict[str, Any]] = {
    "normalizer": {"type": "BertNormalizer", "clean_text": True, "lowercase": True},
    "pre_tokenizer": {"type": "BertPreTokenizer"},
    "model": {"type": "WordPiece"},
}


class Words:
    """The pieces of the words that were met, by a tokenizer that `knows` says yes to."""

    def __init__(self, tokenizer: Tokenizer) -> None:
        self._model = tokenizer.model
        self._pieces: dict[str, list[int]] = {}

    def ids(self, text: str, most: int) -> list[int] | None:
        """Return the first `most` ids of a text, without any frame; None of one that is not plain."""
        if PLAIN.fullmatch(text) is None:
            return None
        ids: list[int] = []
        for word in WORDS.findall(text.lower()):
            ids += self._pieces.get(word) or self._cut(word)
            if len(ids) >= most:
                return ids[:most]
        return ids

    def _cut(self, word: str) -> list[int]:
        pieces = [token.id for token in self._model.tokenize(word)]
        if len(self._pieces) >= KEPT:
            self._pieces.clear()
        self._pieces[word] = pieces
        return pieces


def knows(tokenizer: Tokenizer) -> bool:
    """Say whether a tokenizer cuts plain texts as `Words` does: as BERT does in lower case, with no words added."""
    stored = json.loads(tokenizer.to_str())
    for part, wanted in AS_KNOWN.items():
        found = stored.get(part) or {}
        if any(found.get(name) != value for name, value in wanted.items()):
            return False
    return all(token["special"] for token in stored["added_tokens"])
