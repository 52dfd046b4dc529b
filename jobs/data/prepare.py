"""Makes a data set: rows from a source, prepared one by one, dealt to splits, checked, written as Arrow shards.

Rows stream to disk; in memory are eight bytes a row (the hash its duplicates are found by) and the class names.
"""

from __future__ import annotations

import hashlib
from array import array
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import combinations
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from cluster.errors import StepError
from jobs.artifacts import Dataset, Overlap, RejectedRow
from jobs.data.images import decode, size_of
from jobs.data.preprocess import ImagePixels
from jobs.data.rows import BadRow, Pair, Row, part_of_pair
from jobs.data.shards import PairWriter, ShardWriter
from jobs.data.splits import Stratifier
from jobs.data.text import clean

if TYPE_CHECKING:
    from jobs.kinds.dataset import DatasetJob

Content = str | NDArray[np.uint8] | tuple[NDArray[np.uint8], str]
Tell = Callable[[dict[str, Any]], None]
SUBJECT = "the data set"
LISTED = 1_000  # rejected rows listed in the artifact; all are counted
NAMED = 3  # rejected rows named in an error
EVERY = 1_000  # rows between two reports of progress
CARVED = "carved "  # marks rows of train set aside for a split that the source may yet give


def prepare(job: DatasetJob, folder: Path, tell: Tell) -> Dataset:
    """Fill `folder` with the shards of `job`'s data set and return its facts; StepError says what is wrong with it."""
    intake = Intake(job, folder, tell)
    try:
        for row in job.source.rows():
            intake.take(row)
        return intake.finish()
    finally:
        intake.discard()


@dataclass
class Pool:
    """The rows of one split so far."""

    writer: ShardWriter | PairWriter
    hashes: array[int] = field(default_factory=lambda: array("Q"))
    labels: Counter[int] = field(default_factory=Counter)

    def extend(self, other: Pool) -> None:
        """Take all rows of `other`."""
        self.writer.extend(other.writer)  # type: ignore[arg-type]  # both are of the same rows
        self.hashes.extend(other.hashes)
        self.labels.update(other.labels)


class Intake:
    """Takes rows one by one, then closes them into shards."""

    def __init__(self, job: DatasetJob, folder: Path, tell: Tell) -> None:
        self._job, self._folder, self._tell = job, folder, tell
        self._dealer = Stratifier(job.split.validation, job.split.test, job.split.seed)
        self._to: ImagePixels | None = None
        if (size := job.image) is not None:
            self._to = ImagePixels(height=size.height, width=size.width, channels=size.channels)
        self._pools: dict[str, Pool] = {}
        self._labels: dict[str, int] = {}  # in the order they came
        self._seen: set[str] = set()  # labels of rejected rows too
        self._rejected: list[RejectedRow] = []
        self._rejections = 0
        self._rows = 0

    def take(self, row: Row | RejectedRow) -> None:
        """Prepare a row and spool it; one that cannot be is counted and listed."""
        self._rows += 1
        if self._rows % EVERY == 0:
            self._tell({"rows": self._rows})
        if isinstance(row, RejectedRow):
            self._reject(row)
            return
        self._seen.add(row.label)
        try:
            content = self._content(row)
        except BadRow as bad:
            self._reject(RejectedRow(row=row.name, reason=bad.reason))
            return
        self._keep(row, content)

    def discard(self) -> None:
        """Delete what is left of the spools."""
        for pool in self._pools.values():
            pool.writer.discard()

    def finish(self) -> Dataset:
        """Check the whole, write the shards, and return the facts."""
        self._tell({"rows": self._rows})
        self._check_rejections()
        pools = self._splits()
        self._check_labels(pools)
        classes = sorted(self._labels)
        order = np.array([classes.index(label) for label in self._labels], np.int32)
        for split, pool in pools.items():
            pool.writer.close(self._folder / f"{split}.arrow", order)
        return Dataset(
            modality=self._job.source.modality(),
            classes=classes,
            rows={split: pool.writer.rows for split, pool in pools.items()},
            image=[self._to.height, self._to.width, self._to.channels] if self._to else None,
            digest=_digest(self._folder, list(pools)),
            rejected=self._rejected,
            rejected_rows=self._rejections,
            overlaps=self._overlaps(pools),
        )

    def _reject(self, row: RejectedRow) -> None:
        self._rejections += 1
        if len(self._rejected) < LISTED:
            self._rejected.append(row)

    def _content(self, row: Row) -> Content:
        """Return what is kept of a row; BadRow when it, or either part of a pair, cannot be prepared."""
        if isinstance(row.raw, str):
            return clean(row.raw)
        if not isinstance(row.raw, Pair):
            return self._pixels(row.name, row.raw)
        with part_of_pair("a text"):
            text = clean(row.raw.text)
        with part_of_pair("an image"):
            return self._pixels(row.name, row.raw.image), text

    def _pixels(self, name: str, raw: bytes | NDArray[Any]) -> NDArray[np.uint8]:
        if self._job.image is None:
            self._to = self._own_size(name, raw)
        assert self._to is not None
        return decode(raw, self._to)

    def _own_size(self, name: str, raw: bytes | NDArray[Any]) -> ImagePixels:
        """Return the size the images have by themselves; a grey one among coloured ones is no other size."""
        size = size_of(raw)
        if self._to in (size, size.model_copy(update={"channels": 3})):
            return self._to or size
        decode(raw, size)  # an image that cannot be read is a bad row, and its header no evidence
        if self._to is None:
            return size
        remedy = "set image: {height, width, channels} to bring all to one size"
        raise StepError(name, f"is {_size(size)}", f"{_size(self._to)} as the images before it", remedy)

    def _keep(self, row: Row, content: Content) -> None:
        name = row.split or "train"
        if name == "train":
            dealt = self._dealer.split(row.label)
            name = dealt if dealt == "train" else CARVED + dealt
        if name not in self._pools:
            self._pools[name] = Pool(_writer(self._folder / f"{name}.spool", content))
        pool = self._pools[name]
        label = self._labels.setdefault(row.label, len(self._labels))
        _append(pool.writer, content, label)
        pool.hashes.append(_hash(content))
        pool.labels[label] += 1

    def _splits(self) -> dict[str, Pool]:
        """Return each split's pool: rows set aside are its own, or go back to train when the source gave the split."""
        pools = {split: self._pools[split] for split in Dataset.splits if split in self._pools}
        if "train" not in pools:
            raise StepError(SUBJECT, f"holds {len(pools)} splits but no train rows", "rows to train on")
        for split, share in (("validation", self._job.split.validation), ("test", self._job.split.test)):
            carved = self._pools.get(CARVED + split)
            if split in pools and carved is not None:
                pools["train"].extend(carved)
            elif carved is not None:
                pools[split] = carved
            elif split not in pools and share:
                rows = pools["train"].writer.rows
                raise StepError(SUBJECT, f"has too few rows ({rows}) to give {share:g} of them to {split}", "more rows")
        return {split: pools[split] for split in Dataset.splits if split in pools}

    def _check_rejections(self) -> None:
        if not self._rows:
            raise StepError(SUBJECT, "the source holds no rows", "labelled rows")
        share = self._rejections / self._rows
        if not self._rejections:
            return
        first = "; ".join(f"{row.row} {row.reason}" for row in self._rejected[:NAMED])
        found = f"{self._rejections} of {self._rows} rows ({share:.2%}) cannot be used: {first}"
        more = self._rejections - NAMED
        found += f"; and {more} more" if more > 0 else ""
        if share > self._job.max_rejected:
            raise StepError(SUBJECT, found, f"at most {self._job.max_rejected:.2%}", "mend them or raise max_rejected")
        self._tell({"warning": found})

    def _check_labels(self, pools: dict[str, Pool]) -> None:
        if lost := sorted(self._seen - set(self._labels)):
            raise StepError(
                SUBJECT, f"class {lost[0]!r} has no usable row", "at least one", "mend its rows or remove it"
            )
        if len(self._labels) < 2:
            raise StepError(SUBJECT, f"has one class, {next(iter(self._labels))!r}", "at least two")
        for split, pool in pools.items():
            for label, index in sorted(self._labels.items()):
                if pool.labels[index] and not pools["train"].labels[index]:
                    raise StepError(
                        SUBJECT,
                        f"label {label!r} is in {split} (rows: {pool.labels[index]}), and in no row of train",
                        "labels seen in training",
                        "mend the label, or move rows of it to train",
                    )

    def _overlaps(self, pools: dict[str, Pool]) -> list[Overlap]:
        hashes = {split: np.frombuffer(pool.hashes, np.uint64) for split, pool in pools.items()}
        found = []
        for first, second in combinations(pools, 2):
            if rows := int(np.isin(hashes[second], hashes[first]).sum()):
                found.append(Overlap(first=first, second=second, rows=rows))
                self._tell({"warning": f"rows of {second} that are in {first} too: {rows}"})
        return found


def _writer(spool: Path, content: Content) -> ShardWriter | PairWriter:
    """Return what writes rows like `content`."""
    if isinstance(content, tuple):
        return PairWriter(spool, content[0].shape)
    return ShardWriter(spool, None if isinstance(content, str) else content.shape)


def _append(writer: ShardWriter | PairWriter, content: Content, label: int) -> None:
    if isinstance(writer, PairWriter):
        assert isinstance(content, tuple), "a source yields pairs throughout, or none"
        writer.append(content[0][None], [content[1]], [label])
    else:
        assert not isinstance(content, tuple), "a source yields pairs throughout, or none"
        writer.append([content] if isinstance(content, str) else content[None], [label])


def _hash(content: Content) -> int:
    """Return the 64 bits by which duplicates are found: of a pair, of both parts."""
    hashed = hashlib.blake2b(digest_size=8)
    for part in content if isinstance(content, tuple) else (content,):
        hashed.update(part.encode() if isinstance(part, str) else part.data)
    return int.from_bytes(hashed.digest(), "little")


def _size(pixels: ImagePixels) -> str:
    return f"{pixels.height}x{pixels.width}x{pixels.channels}"


def _digest(folder: Path, splits: list[str]) -> str:
    whole = hashlib.sha256()
    for name in (name for split in splits for name in (split, f"{split}.text")):
        if (file := folder / f"{name}.arrow").exists():
            with file.open("rb") as shard:
                whole.update(f"{name} {hashlib.file_digest(shard, 'sha256').hexdigest()}\n".encode())
    return whole.hexdigest()
