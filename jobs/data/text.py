"""Texts to token ids: the same code in preparation and in the replica, with `tokenizers` and no TensorFlow."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from tokenizers import AddedToken, Tokenizer, models, normalizers, pre_tokenizers, processors, trainers

from cluster.errors import StepError
from jobs.data.augment import SpecialTokens
from jobs.data.preprocess import WordPieces
from jobs.data.rows import LONGEST_TEXT, BadRow, require_utf8
from jobs.data.words import Words, knows

if TYPE_CHECKING:
    from jobs.artifacts import Dataset

SPECIAL = ["[PAD]", "[UNK]"]  # ids 0 and 1 where we train the vocabulary
FRAME = ["[CLS]", "[SEP]"]  # around a text, for models that read them
LONGEST_WORD = 100  # characters; a longer word becomes [UNK]


def clean(text: str) -> str:
    """Return `text` without NUL and without white space around it; BadRow when nothing usable is left."""
    if len(text) > LONGEST_TEXT:
        raise BadRow(f"has {len(text)} characters, more than {LONGEST_TEXT}")
    text = text.replace("\0", "").strip()
    if not text:
        raise BadRow("is empty")
    require_utf8(text)
    return text


def train_tokenizer(texts: Iterable[str], vocabulary: int, framed: bool = False) -> Tokenizer:
    """Train a WordPiece tokenizer of at most `vocabulary` pieces: lower case, accents stripped, `[PAD]` 0, `[UNK]` 1.

    With `framed`, `[CLS]` and `[SEP]` are 2 and 3 and are put around texts by an Encoder that frames.
    The same texts give the same tokenizer in every process. The library alone does not: it numbers the characters
    inside words (`##a`) in the order of a hash map, and settles ties between merges by those numbers. So the
    characters are counted here and handed over, numbered, before the merges are learned.
    """
    normalizer, splitter = normalizers.BertNormalizer(lowercase=True), pre_tokenizers.BertPreTokenizer()
    words = Counter(word for text in texts for word, _ in splitter.pre_tokenize_str(normalizer.normalize_str(text)))
    alphabet = _alphabet(words, max(1, min(1_000, vocabulary // 4)))
    inside = {character for word in words for character in word[1:]}
    special = SPECIAL + FRAME if framed else SPECIAL
    learner = Tokenizer(models.WordPiece(unk_token=SPECIAL[1]))
    learner.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    trainer = trainers.WordPieceTrainer(
        vocab_size=vocabulary,
        special_tokens=special + [f"##{character}" for character in alphabet if character in inside],
        initial_alphabet=alphabet,
        limit_alphabet=len(alphabet),
        show_progress=False,
    )
    learner.train_from_iterator(_repeated(words), trainer)
    pieces = learner.get_vocab()
    model = models.WordPiece(pieces, unk_token=SPECIAL[1], max_input_chars_per_word=LONGEST_WORD)
    tokenizer = Tokenizer(model)
    tokenizer.normalizer, tokenizer.pre_tokenizer = normalizer, splitter
    tokenizer.add_special_tokens([AddedToken(token, special=True) for token in special])
    if framed:
        frame(tokenizer)
    return tokenizer


def frame(tokenizer: Tokenizer) -> None:
    """Let the tokenizer put `[CLS]` before a text and `[SEP]` after it."""
    first, last = FRAME
    special = [(token, tokenizer.token_to_id(token)) for token in FRAME]
    tokenizer.post_processor = processors.TemplateProcessing(f"{first} $A {last}", special_tokens=special)


def _alphabet(words: Counter[str], most: int) -> list[str]:
    """Return the `most` frequent characters, sorted."""
    counts: Counter[str] = Counter()
    for word, count in words.items():
        for character in word:
            counts[character] += count
    return sorted(sorted(counts, key=lambda character: (-counts[character], character))[:most])


def _repeated(words: Counter[str]) -> Iterator[str]:
    """Yield every word as often as it was counted, in texts of at most a thousand words."""
    for word, count in sorted(words.items()):
        for start in range(0, count, 1_000):
            yield " ".join([word] * min(1_000, count - start))


def special_tokens(tokenizer: Path) -> SpecialTokens:
    """Return which ids of the stored tokenizer are no words (padding, what frames a text), and the unknown word's."""
    stored = Tokenizer.from_file(str(tokenizer))
    unknown = stored.token_to_id(stored.model.unk_token)
    assert unknown is not None, "word pieces have a token for unknown words"
    added = {index for index, token in stored.get_added_tokens_decoder().items() if token.special}
    return SpecialTokens(frozenset(added - {unknown} | {0}), unknown)


class Encoder:
    """Cuts texts into `length` token ids with a stored tokenizer: longer ones are cut, shorter ones padded with 0.

    `framed` puts `[CLS]` before and `[SEP]` after what is left of a text, within the length.
    """

    def __init__(self, tokenizer: Path, length: int, framed: bool = False) -> None:
        self.length = length
        self.framed = framed
        self._tokenizer = Tokenizer.from_file(str(tokenizer))
        self._tokenizer.encode_special_tokens = True  # a text that says "[PAD]" is no padding
        self._tokenizer.enable_truncation(length)
        self._tokenizer.enable_padding(length=length, pad_id=0, pad_token=SPECIAL[0])
        self._words = None if framed or not knows(self._tokenizer) else Words(self._tokenizer)

    def encode(self, texts: Sequence[str]) -> NDArray[np.int32]:
        """Return `int32[texts, length]`."""
        rows = np.zeros((len(texts), self.length), np.int32)
        others = []
        for row, text in enumerate(texts):
            ids = None if self._words is None else self._words.ids(text, self.length)
            if ids is None:
                others.append(row)
            else:
                rows[row, : len(ids)] = ids
        if others:
            found = self._tokenizer.encode_batch_fast([texts[row] for row in others], add_special_tokens=self.framed)
            rows[others] = [encoding.ids for encoding in found]
        return rows


def fit_word_pieces(dataset: Dataset, folder: Path, vocabulary: int, length: int, framed: bool = False) -> WordPieces:
    """Train a tokenizer on the training split and write it into `folder`."""
    from jobs.data.remote.shards import open_texts

    _require_texts(dataset)
    texts = open_texts(dataset.folder, dataset.shard("train", "text"))
    tokenizer = train_tokenizer(texts, vocabulary, framed)
    return _stored(tokenizer, folder, length, tokenizer.get_vocab_size(), framed)


def take_word_pieces(dataset: Dataset, folder: Path, source: Path, length: int, rows: int) -> WordPieces:
    """Write the tokenizer of the Hugging Face folder `source`, for a model of `rows` embeddings, into `folder`."""
    from jobs.data.pretrained_tokenizer import read_tokenizer

    _require_texts(dataset)
    return _stored(read_tokenizer(source, rows), folder, length, rows, framed=True)


def _stored(tokenizer: Tokenizer, folder: Path, length: int, rows: int, framed: bool) -> WordPieces:
    spec = WordPieces(length=length, vocabulary=rows, framed=framed)
    tokenizer.save(str(folder / spec.tokenizer))
    return spec


def _require_texts(dataset: Dataset) -> None:
    if not dataset.holds("text"):
        raise StepError("word pieces", f"the data set holds {dataset.modality}s", "texts", "choose another backbone")
