from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from tokenizers import Tokenizer, models

from cluster.errors import RequestError
from jobs.data.augment import Augment, SpecialTokens
from jobs.data.augment.draws import Draws
from jobs.data.pretrained_tokenizer import read_tokenizer
from jobs.data.text import Encoder, special_tokens, train_tokenizer
from tests.jobs.models.making import WORDS, hugging_face, minilm

TEXTS = ["oak and leafs 17", "[CLS] oak [SEP] [PAD]", "Oak ÁND Mast", "大 oak\u200bleaf", "x" * 101, ""]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return hugging_face(tmp_path / "hf")


def encoder(folder: Path, length: int = 8, rows: int = len(WORDS)) -> Encoder:
    return Encoder(stored(folder, rows), length, framed=True)


def stored(folder: Path, rows: int = len(WORDS)) -> Path:
    read_tokenizer(folder, rows).save(str(folder / "stored.json"))
    return folder / "stored.json"


def pieces(ids: np.ndarray) -> list[str]:
    return [WORDS[number] for number in ids]


def test_a_text_is_framed_cut_within_the_frame_and_padded(folder: Path) -> None:
    short, long = encoder(folder, 6).encode(["oak and leafs", "oak " * 50])
    assert pieces(short) == ["[CLS]", "oak", "and", "leaf", "##s", "[SEP]"]
    assert pieces(long) == ["[CLS]", "oak", "oak", "oak", "oak", "[SEP]"]
    assert pieces(encoder(folder, 6).encode(["oak"])[0]) == ["[CLS]", "oak", "[SEP]", "[PAD]", "[PAD]", "[PAD]"]


def test_a_text_cannot_name_special_tokens(folder: Path) -> None:
    (found,) = encoder(folder, 12).encode(["[CLS] oak [PAD]"])
    assert pieces(found)[:9] == ["[CLS]", "[", "cls", "]", "oak", "[", "pad", "]", "[SEP]"]


def test_a_trained_vocabulary_frames_as_a_given_one_does(tmp_path: Path) -> None:
    train_tokenizer(["oak and leaf and root"] * 20, 120, framed=True).save(str(tmp_path / "tokenizer.json"))
    framed = Encoder(tmp_path / "tokenizer.json", 6, framed=True).encode(["oak", "[SEP]", "oak " * 9])
    assert (framed[:, 0] == 2).all()
    assert framed[0].tolist()[2:] == [3, 0, 0, 0]
    assert (framed[1] == 3).sum() == 1
    assert framed[2][-1] == 3


def test_the_vocabulary_alone_gives_the_ids_of_tokenizer_json(tmp_path: Path) -> None:
    for name in ("vocab.txt", "tokenizer_config.json"):
        (tmp_path / name).write_bytes((minilm() / name).read_bytes())
    alone, whole = encoder(tmp_path, 24, 30_522), tmp_path / "whole.json"
    read_tokenizer(minilm(), 30_522).save(str(whole))
    assert np.array_equal(alone.encode(TEXTS), Encoder(whole, 24, framed=True).encode(TEXTS))


def test_a_token_may_be_what_ends_lines_elsewhere(folder: Path) -> None:
    words = [*WORDS, "\u2028", "mole"]
    (folder / "vocab.txt").write_text("\n".join(words) + "\n", "utf-8")
    found = read_tokenizer(folder, len(words))
    assert (found.token_to_id("\u2028"), found.token_to_id("mole")) == (len(WORDS), len(WORDS) + 1)


def test_case_is_kept_where_the_configuration_says_so(folder: Path) -> None:
    assert pieces(encoder(folder, 4).encode(["Oak oak"])[0]) == ["[CLS]", "oak", "oak", "[SEP]"]
    (folder / "tokenizer_config.json").write_text(json.dumps({"do_lower_case": False, "strip_accents": None}))
    assert pieces(encoder(folder, 4).encode(["Oak oak"])[0]) == ["[CLS]", "[UNK]", "oak", "[SEP]"]


def test_augmentation_keeps_the_frame_of_a_vocabulary_alone(folder: Path) -> None:
    assert special_tokens(stored(folder)) == SpecialTokens(frozenset({0, 2, 3}), unknown=1)
    x = encoder(folder, 6).encode(["oak and leaf"] * 50)
    for fields in ({"kind": "random_deletion", "share": 0.9}, {"kind": "token_dropout", "share": 0.9}):
        found = Augment.choose(fields).apply(x, Draws(0, "0/it", 3, np.arange(50)), special_tokens(stored(folder)))
        assert (found != x).any()
        assert (found[:, 0] == 2).all()
        assert ((found == 3).sum(1) == 1).all()


def refusal(folder: Path, rows: int = len(WORDS)) -> str:
    with pytest.raises(RequestError) as caught:
        read_tokenizer(folder, rows)
    return str(caught.value).replace(str(folder), "HF")


def test_a_vocabulary_of_another_size_than_the_model_is_refused(folder: Path) -> None:
    assert refusal(folder, 99) == f"HF/vocab.txt: has {len(WORDS)} tokens, wanted 99, the vocabulary of the model"


def test_embeddings_filled_up_to_a_multiple_of_eight_are_fine(folder: Path) -> None:
    filled = len(WORDS) + 8 - len(WORDS) % 8
    assert read_tokenizer(folder, filled).get_vocab_size() == len(WORDS)
    assert refusal(folder, filled + 1).endswith(f"wanted {filled + 1}, the vocabulary of the model")
    assert refusal(folder, filled + 128).endswith(f"wanted {filled + 128}, the vocabulary of the model")


def test_a_token_beyond_the_embeddings_is_refused(folder: Path) -> None:
    numbers = {word: number if word != "oak" else 40 for number, word in enumerate(WORDS)}
    Tokenizer(models.WordPiece(numbers, unk_token="[UNK]")).save(str(folder / "tokenizer.json"))
    assert refusal(folder) == f"HF/tokenizer.json: has a token 40, wanted tokens 0 to {len(WORDS) - 1}"


def test_tokens_that_are_missing_or_elsewhere_are_refused(folder: Path) -> None:
    without = [word if word != "[SEP]" else "sep" for word in WORDS]
    (folder / "vocab.txt").write_text("\n".join(without))
    assert refusal(folder) == "HF/vocab.txt: has no token [SEP], wanted [PAD], [UNK], [CLS], [SEP]"
    (folder / "vocab.txt").write_text("\n".join([*WORDS[1:], "[PAD]"]))
    assert refusal(folder) == f"HF/vocab.txt: has [PAD] as token {len(WORDS) - 1}, wanted token 0"


def test_what_is_no_word_piece_tokenizer_is_refused(folder: Path) -> None:
    Tokenizer(models.BPE({"[PAD]": 0, "a": 1}, [])).save(str(folder / "tokenizer.json"))
    assert refusal(folder) == "HF/tokenizer.json: is a BPE tokenizer, wanted a WordPiece tokenizer"
    (folder / "tokenizer.json").write_text("{")
    assert refusal(folder).startswith("HF/tokenizer.json: is not a tokenizer (")
    (folder / "tokenizer.json").unlink()
    (folder / "vocab.txt").write_bytes(b"\xff")
    assert refusal(folder) == "HF/vocab.txt: is not UTF-8"
    (folder / "vocab.txt").unlink()
    assert refusal(folder) == "HF: has no tokenizer, wanted tokenizer.json or vocab.txt"


def test_settings_of_another_type_are_refused(folder: Path) -> None:
    (folder / "tokenizer_config.json").write_text(json.dumps({"do_lower_case": "yes"}))
    assert refusal(folder) == "HF/tokenizer_config.json: do_lower_case: is 'yes', wanted true or false"
