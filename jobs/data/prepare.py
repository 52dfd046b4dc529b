"""Makes a data set: rows from a source, prepared, dealt to splits, checked, written as Arrow shards.

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
from jobs.data.intake.content import Block, Content, Wanted, blocks, own_size
from jobs.data.intake.splits import Stratifier
from jobs.data.owners import write_owners
from jobs.data.preprocess import ImagePixels
from jobs.data.shards import PairWriter, ShardWriter

if TYPE_CHECKING:
    from jobs.kinds.dataset import DatasetJob

Tell = Callable[[dict[str, Any]], None]
SUBJECT = "the data set"
LISTED = 1_000  # rejected rows listed in the artifact; all are counted
NAMED = 3  # rejected rows named in an error
EVERY = 1_000  # rows between two reports of progress
CARVED = "carved "  # marks rows of train set aside for a split that the source may yet give


def prepare(job: DatasetJob, folder: Path, tell: Tell, spread: bool = False) -> Dataset:
    """Fill `folder` with the shards of `job`'s data set and return its facts; StepError says what is wrong with it.

    `spread` has rows read and prepared by all nodes of the cluster; the shards are the same, byte for byte.
    """
    wanted = _wanted(job)
    if spread:
        from jobs.data.intake.spread import spread_blocks  # Ray Data takes seconds to import

        prepared = spread_blocks(job.source, wanted)
    else:
        prepared = blocks(job.source.rows(), wanted)
    intake = Intake(job, wanted, folder, tell)
    try:
        for block in prepared:
            intake.take(block)
        return intake.finish()
    finally:
        intake.discard()


def _wanted(job: DatasetJob) -> Wanted:
    if (size := job.image) is None:
        return own_size(job.source.rows())
    return Wanted(ImagePixels(height=size.height, width=size.width, channels=size.channels), own=False)


@dataclass
class Pool:
    """The rows of one split so far."""

    writer: ShardWriter | PairWriter
    hashes: array[int] = field(default_factory=lambda: array("Q"))  # 64 bits a row, by which duplicates are found
    digest: Any = field(default_factory=hashlib.sha256)  # over the rows' digests and labels in their order
    labels: Counter[int] = field(default_factory=Counter)
    owners: array[int] = field(default_factory=lambda: array("i"))  # whose each row is, where the source says so

    def extend(self, other: Pool) -> None:
        """Take all rows of `other`."""
        self.writer.extend(other.writer)  # type: ignore[arg-type]  # both are of the same rows
        self.hashes.extend(other.hashes)
        self.digest.update(other.digest.digest())
        self.labels.update(other.labels)
        self.owners.extend(other.owners)


class Intake:
    """Takes prepared rows block by block, then closes them into shards."""

    def __init__(self, job: DatasetJob, wanted: Wanted, folder: Path, tell: Tell) -> None:
        self._job, self._folder, self._tell = job, folder, tell
        self._shape = [wanted.size.height, wanted.size.width, wanted.size.channels] if wanted.size else None
        self._dealer = Stratifier(job.split.validation, job.split.test, job.split.seed)
        self._pools: dict[str, Pool] = {}
        self._labels: dict[str, int] = {}  # in the order they came
        self._owners: dict[str, int] = {}  # in the order they came
        self._seen: set[str] = set()  # labels of rejected rows too
        self._rejected: list[RejectedRow] = []
        self._rejections = 0
        self._rows = 0
        self._nodes: Counter[str] = Counter()  # rows by the node that prepared them

    def take(self, block: Block) -> None:
        """Spool the rows of a block, and count and list those that cannot be used."""
        before, self._rows = self._rows, self._rows + len(block)
        if before // EVERY != self._rows // EVERY:
            self._tell({"rows": self._rows // EVERY * EVERY})
        self._nodes[block.node] += len(block)
        self._rejections += len(block.rejected)
        self._rejected += block.rejected[: LISTED - len(self._rejected)]
        self._seen |= block.spoiled.union(block.labels)
        dealt: dict[str, list[int]] = {}
        for row, (label, split) in enumerate(zip(block.labels, block.splits, strict=True)):
            self._labels.setdefault(label, len(self._labels))
            dealt.setdefault(self._deal(label, split), []).append(row)
        for name, rows in dealt.items():
            self._keep(name, block, rows)

    def discard(self) -> None:
        """Delete what is left of the spools."""
        for pool in self._pools.values():
            pool.writer.discard()

    def finish(self) -> Dataset:
        """Check the whole, write the shards, and return the facts."""
        nodes = [f"{node[:12]} prepared {rows}" for node, rows in self._nodes.items() if node]
        self._tell({"rows": self._rows} | ({"nodes": nodes} if nodes else {}))
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
            image=self._shape,
            digest=self._digest(pools),
            rejected=self._rejected,
            rejected_rows=self._rejections,
            overlaps=self._overlaps(pools),
            owners=write_owners(self._folder, pools["train"].owners, self._owners) if self._owners else [],
        )

    def _deal(self, label: str, split: str | None) -> str:
        """Return the pool of the next row: of its own split; of train, perhaps one set aside."""
        if split not in (None, "train"):
            return str(split)
        dealt = self._dealer.split(label)
        return dealt if dealt == "train" else CARVED + dealt

    def _keep(self, name: str, block: Block, rows: list[int]) -> None:
        """Spool the rows of a block at these places."""
        contents = [block.contents[row] for row in rows]
        if name not in self._pools:
            self._pools[name] = Pool(_writer(self._folder / f"{name}.spool", contents[0]))
        pool = self._pools[name]
        labels = [self._labels[block.labels[row]] for row in rows]
        _append(pool.writer, contents, labels)
        for row in rows:
            pool.hashes.append(int.from_bytes(block.digests[row][:8], "little"))
            pool.digest.update(block.digests[row] + block.labels[row].encode() + b"\0")
            if (owner := block.owners[row]) is not None:
                pool.digest.update(owner.encode() + b"\0")
                pool.owners.append(self._owners.setdefault(owner, len(self._owners)))
        pool.labels.update(labels)

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

    def _digest(self, pools: dict[str, Pool]) -> str:
        """Return a digest of all rows in order, gathered while they passed: no shard is read again for it."""
        whole = hashlib.sha256(f"{self._job.source.modality()} {self._shape}\n".encode())
        for split, pool in pools.items():
            whole.update(f"{split} {pool.writer.rows} {pool.digest.hexdigest()}\n".encode())
        return whole.hexdigest()

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


def _append(writer: ShardWriter | PairWriter, contents: list[Content], labels: list[int]) -> None:
    texts = [part for content in contents for part in _parts(content) if isinstance(part, str)]
    images = [part for content in contents for part in _parts(content) if not isinstance(part, str)]
    if isinstance(writer, PairWriter):
        writer.append(np.stack(images), texts, labels)
    else:
        writer.append(np.stack(images) if images else texts, labels)


def _parts(content: Content) -> tuple[str | NDArray[np.uint8], ...]:
    return content if isinstance(content, tuple) else (content,)
