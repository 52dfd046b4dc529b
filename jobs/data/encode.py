"""Numeric rows of a data set's split, ready for a model: images as they lie, texts as token ids, pairs as both.

Token ids are made once on a node: the first process encodes into a file of this user's cache folder, others wait for
it, and all map the same pages.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from cluster.errors import StepError
from cluster.storage.cache import node_cache, used
from jobs.artifacts import Dataset
from jobs.data.preparing import preparer, preprocess_of
from jobs.data.preprocess import ImageAndText, ImagePixels, Preprocess, RawText, WordPieces
from jobs.data.remote.shards import StreamedRows, StreamedTexts, open_rows, open_texts
from jobs.data.shards import JoinedRows, Rows, ShardWriter, Texts, read

Split = Rows | Texts | StreamedRows | StreamedTexts
BATCH = 1_000  # texts encoded at once


def encoded(dataset: Dataset, preprocess: Preprocess, split: str, tokenizer_folder: Path | None = None) -> Any:
    """Return the rows of `split` prepared as `preprocess` says: Rows or Texts, streamed when remote, or JoinedRows.

    The folder holds the tokenizer of a text model.
    """
    if split not in dataset.rows:
        raise StepError("the data set", f"has no {split} split", f"one of {', '.join(dataset.rows)}")
    if isinstance(preprocess, ImageAndText):
        parts = preprocess.parts()
        return JoinedRows({part.input_name: _encoded(dataset, part, split, tokenizer_folder) for part in parts})
    return _encoded(dataset, preprocess, split, tokenizer_folder)


def _encoded(dataset: Dataset, preprocess: Preprocess, split: str, tokenizer_folder: Path | None) -> Split:
    """Return the images or the texts of `split`, prepared."""
    if isinstance(preprocess, ImagePixels):
        if preprocess != preprocess_of(dataset):
            raise StepError("the model", f"reads images of {_size(preprocess)}", _size(preprocess_of(dataset)))
        return open_rows(dataset.folder, dataset.shard(split, "image"))
    if not dataset.holds("text"):
        raise StepError("the model", "reads texts", f"{dataset.modality}s, which the data set holds")
    if isinstance(preprocess, RawText):
        return open_texts(dataset.folder, dataset.shard(split, "text"))
    assert isinstance(preprocess, WordPieces), f"no encoding for {preprocess!r}"
    assert tokenizer_folder is not None, "a text model has a tokenizer"
    tokenizer = hashlib.sha256((tokenizer_folder / preprocess.tokenizer).read_bytes()).hexdigest()
    facts = f"{dataset.digest} {tokenizer} {preprocess.model_dump_json()} {split}"
    key = hashlib.sha256(facts.encode()).hexdigest()
    return read(_tokens(key, dataset, split, preprocess, tokenizer_folder))


def _size(pixels: ImagePixels) -> str:
    return f"{pixels.height}x{pixels.width}x{pixels.channels}"


def _tokens(key: str, dataset: Dataset, split: str, preprocess: WordPieces, folder: Path) -> Path:
    """Return the file of token ids with this key, made by whichever process comes first."""
    cache = node_cache("encoded")
    done = cache / f"{key}.arrow"
    with _locked(cache / f"{key}.lock"):
        if not done.exists():
            scratch = cache / f"{key}.{uuid.uuid4().hex}"
            try:
                _encode(open_texts(dataset.folder, dataset.shard(split, "text")), scratch, preprocess, folder)
                scratch.rename(done)
            finally:
                scratch.unlink(missing_ok=True)
        used(done)
    return done


def _encode(texts: Texts | StreamedTexts, target: Path, preprocess: WordPieces, folder: Path) -> None:
    prepare = preparer(preprocess, folder)
    writer = ShardWriter(target, (preprocess.length,), "int32")
    try:
        for index, batch in enumerate(texts.batches(BATCH)):
            writer.append(prepare(batch), texts.y[index * BATCH : index * BATCH + len(batch)])
        writer.close(target)
    finally:
        writer.discard()


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    """Hold an exclusive lock; the system drops it when the process ends, however it ends."""
    handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)
