"""The tokenizer of a Hugging Face folder of a BERT, as the reference implementation would cut texts with it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from tokenizers import AddedToken, Tokenizer, models, normalizers, pre_tokenizers

from cluster.errors import RequestError
from jobs.data.text import FRAME, LONGEST_WORD, SPECIAL, frame

PADDED = 128  # embeddings are often filled up with unused rows to a multiple of 8, 64 or 128
FILES = ("tokenizer.json", "vocab.txt")


def read_tokenizer(folder: Path, rows: int) -> Tokenizer:
    """Read `tokenizer.json`, or else `vocab.txt`, for a model with `rows` embeddings.

    RequestError when there is neither, when it is no WordPiece tokenizer with BERT's special tokens and `[PAD]` first,
    or when it has not as many tokens as the model has rows; rows that only fill up to a multiple of 8 are fine.
    """
    found = next((folder / name for name in FILES if (folder / name).exists()), None)
    if found is None:
        raise RequestError(str(folder), "has no tokenizer", " or ".join(FILES))
    tokenizer = _from_json(found) if found.suffix == ".json" else _from_vocabulary(found, _settings(folder))
    size = tokenizer.get_vocab_size()
    fills_up = rows % 8 == 0 and 0 < rows - size < PADDED
    if size != rows and not fills_up:
        raise RequestError(str(found), f"has {size} tokens", f"{rows}, the vocabulary of the model")
    if (largest := max(tokenizer.get_vocab().values())) >= rows:
        raise RequestError(str(found), f"has a token {largest}", f"tokens 0 to {rows - 1}")
    for token in SPECIAL + FRAME:
        if tokenizer.token_to_id(token) is None:
            raise RequestError(str(found), f"has no token {token}", ", ".join(SPECIAL + FRAME))
    if (padding := tokenizer.token_to_id(SPECIAL[0])) != 0:
        raise RequestError(str(found), f"has {SPECIAL[0]} as token {padding}", "token 0")
    tokenizer.no_truncation()
    tokenizer.no_padding()
    tokenizer.add_special_tokens([AddedToken(token, special=True) for token in SPECIAL + FRAME])
    frame(tokenizer)
    return tokenizer


def _from_json(file: Path) -> Tokenizer:
    try:
        tokenizer = Tokenizer.from_str(file.read_text("utf-8"))
    except UnicodeDecodeError:
        raise RequestError(str(file), "is not UTF-8") from None
    except Exception as error:
        if type(error) is not Exception:  # the library's own have no narrower type
            raise
        raise RequestError(str(file), f"is not a tokenizer ({error})") from None
    if not isinstance(tokenizer.model, models.WordPiece):
        raise RequestError(str(file), f"is a {type(tokenizer.model).__name__} tokenizer", "a WordPiece tokenizer")
    return tokenizer


def _from_vocabulary(file: Path, settings: dict[str, Any]) -> Tokenizer:
    """Build BERT's own rules around the tokens of `vocab.txt`, one a line."""
    try:
        lines = file.read_text("utf-8").removesuffix("\n").split("\n")  # a token may be a separator of lines
    except UnicodeDecodeError:
        raise RequestError(str(file), "is not UTF-8") from None
    tokens = {token: index for index, token in enumerate(lines)}
    tokenizer = Tokenizer(models.WordPiece(tokens, unk_token=SPECIAL[1], max_input_chars_per_word=LONGEST_WORD))
    tokenizer.normalizer = normalizers.BertNormalizer(
        lowercase=settings.get("do_lower_case", True),
        handle_chinese_chars=settings.get("tokenize_chinese_chars", True),
        strip_accents=settings.get("strip_accents"),
    )
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    return tokenizer


def _settings(folder: Path) -> dict[str, Any]:
    """Return what `tokenizer_config.json` says; nothing when there is none."""
    file = folder / "tokenizer_config.json"
    if not file.exists():
        return {}
    try:
        found = json.loads(file.read_bytes())
    except (ValueError, RecursionError) as error:
        raise RequestError(str(file), f"is not JSON ({error})") from None
    settings = found if isinstance(found, dict) else {}
    for name in ("do_lower_case", "tokenize_chinese_chars", "strip_accents"):
        if not isinstance(settings.get(name), bool | None):
            raise RequestError(f"{file}: {name}", f"is {settings[name]!r}", "true or false")
    return {name: value for name, value in settings.items() if value is not None}
