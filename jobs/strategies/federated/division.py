"""Divides a training split among clients: a data set of its own for each, written once and only opened by its owner."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import numpy as np

from cluster.folder import Folder
from jobs.artifacts import Dataset
from jobs.data.owners import read_owners
from jobs.data.remote.shards import open_rows, open_texts
from jobs.data.shards import PairWriter, ShardWriter
from jobs.strategies.federated.partition import Partition

CHUNK = 4_096  # rows copied at once


def client_of(client: int) -> str:
    """Return the name of a client's folder."""
    return f"client{client:04d}"


def nobody_of() -> str:
    """Return the name of the folder without rows: what clients see of validation rows, the coordinator of training."""
    return "nobody"


def divide(dataset: Dataset, partition: Partition, clients: int, path: Path) -> None:
    """Write below `path` a Dataset for each client with its training rows, and one without rows."""
    shards = _opened(dataset)
    labels = shards[0].y
    owners = read_owners(dataset.folder, len(labels), dataset.owners) if partition.needs_owners else None
    dealt = list(partition.deal(np.asarray(labels), owners, clients))
    assert sorted(np.concatenate(dealt)) == list(range(len(labels))), "every row has one owner"
    for client, rows in enumerate(dealt):
        _write(dataset, shards, rows, path / client_of(client), ("train",), f"{partition!r} {clients} {client}")
    _write(dataset, shards, np.empty(0, np.int64), path / nobody_of(), Dataset.splits, "nobody")


def sizes(division: Folder, clients: int) -> list[int]:
    """Return how many rows each client has."""
    return [Dataset.load(division.child(client_of(client))).rows["train"] for client in range(clients)]


def _opened(dataset: Dataset) -> list[Any]:
    """Return the shards of the training split: of images, of texts, or of both in this order."""
    opened: list[Any] = []
    if dataset.holds("image"):
        opened.append(open_rows(dataset.folder, dataset.shard("train", "image")))
    if dataset.holds("text"):
        opened.append(open_texts(dataset.folder, dataset.shard("train", "text")))
    return opened


def _write(dataset: Dataset, shards: list[Any], rows: Any, path: Path, splits: tuple[str, ...], facts: str) -> None:
    path.mkdir()
    for split in splits:
        writer = _writer(dataset, path / f"{split}.spool")
        for start in range(0, len(rows), CHUNK):
            chunk = rows[start : start + CHUNK]
            contents = [_content(shard.gather(chunk)[0]) for shard in shards]
            writer.append(*contents, shards[0].y.take(chunk))
        writer.close(path / f"{split}.arrow")
    digest = hashlib.sha256(f"{dataset.digest} {facts}".encode()).hexdigest()
    Dataset(
        modality=dataset.modality,
        classes=dataset.classes,
        rows=dict.fromkeys(splits, len(rows)),
        image=dataset.image,
        digest=digest,
    ).save(Folder(str(path)))


def _writer(dataset: Dataset, spool: Path) -> Any:
    if dataset.image is None:
        return ShardWriter(spool, None)
    shape = tuple(dataset.image)
    return PairWriter(spool, shape) if dataset.holds("text") else ShardWriter(spool, shape)


def _content(x: Any) -> Any:
    """Return what a writer takes: pixels as they are, texts as a list."""
    return x.tolist() if x.dtype == object else x
