"""The data sets: their rows by split and class, what was left out and why, and what is in two splits."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from jobs.artifacts import Dataset
from jobs.data.remote.shards import open_rows, open_texts
from jobs.report.blocks import Block, Facts, Heading, Note, Table
from jobs.report.section import Artifacts, Part, only, section
from jobs.report.wording import count, counted, item

LISTED = 100  # rejected rows listed on the page; the artifact lists more


@section(place=30)
def data(artifacts: Artifacts) -> Part | None:
    """Show every data set."""
    blocks: list[Block] = []
    for name, dataset in only(artifacts, Dataset).items():
        blocks += [Heading(name), _facts(dataset), _rows(dataset), *_rejected(dataset), *_overlaps(dataset)]
    return Part("Data", blocks) if blocks else None


def _facts(dataset: Dataset) -> Facts:
    facts = [
        ("Modality", dataset.modality.replace("_", " and ")),
        ("Classes", count(len(dataset.classes))),
        ("Rows", count(sum(dataset.rows.values()))),
        ("Digest", dataset.digest or "not recorded"),
    ]
    if dataset.image:
        height, width, channels = dataset.image
        facts.insert(1, ("Image", f"{width} × {height}, {counted(channels, 'channel', 'channels')}"))
    return Facts(facts)


def _rows(dataset: Dataset) -> Table:
    splits = list(dataset.rows)
    by_split = {split: _by_class(dataset, split) for split in splits}
    rows = [
        [
            name,
            *(count(int(by_split[split][index])) for split in splits),
            count(sum(int(by_split[s][index]) for s in splits)),
        ]
        for index, name in enumerate(dataset.classes)
    ]
    rows.append(["All", *(count(dataset.rows[split]) for split in splits), count(sum(dataset.rows.values()))])
    return Table("Rows by class and split", ["Class", *splits, "all"], rows)


def _by_class(dataset: Dataset, split: str) -> list[int]:
    opened = open_rows if dataset.holds("image") else open_texts
    labels = opened(dataset.folder, f"{split}.arrow", ahead=False).y
    counts: list[int] = np.bincount(labels, minlength=len(dataset.classes)).tolist()
    return counts


def _rejected(dataset: Dataset) -> Iterator[Block]:
    total = max(dataset.rejected_rows, len(dataset.rejected))
    if not total:
        yield Note("Every row of the source could be read.")
        return
    listed = [[row.row, row.reason] for row in dataset.rejected[:LISTED]]
    more = f"; {len(listed):,} listed here" if len(listed) < total else ""
    caption = f"{counted(total, 'row', 'rows')} left out{more}"
    yield Table(caption, ("Row", "Reason"), listed, texts=2)


def _overlaps(dataset: Dataset) -> Iterator[Block]:
    found = [[overlap.first, overlap.second, count(overlap.rows)] for overlap in dataset.overlaps if overlap.rows]
    if found:
        yield Table(f"The same {item(dataset.modality)} in two splits", ("Split", "Split", "Rows"), found, texts=2)
    else:
        yield Note(f"No {item(dataset.modality)} is in two splits.")
