"""What tests of scoring share: rows as tables, and workers that tell what they did, or fail."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from cluster.errors import StepError
from cluster.folder import Folder
from jobs.artifacts import Dataset
from jobs.data.shards import read_texts
from jobs.scoring.work import Scored, ScoringWorker


class Watched(ScoringWorker):
    """Notes beside the model how many rows its process scored, and which modules it had loaded."""

    def __init__(self, folder: Folder, batch_size: int) -> None:
        super().__init__(folder, batch_size)
        self.notes = folder.path.parent / "notes"
        self.rows = 0

    def __call__(self, item: tuple[int, Any, int]) -> Iterator[Scored]:
        for answer in super().__call__(item):
            self.rows += len(answer.block.names)
            yield answer
        notes = {"rows": self.rows, "modules": sorted(sys.modules)}
        self.notes.mkdir(exist_ok=True)
        (self.notes / f"{os.getpid()}.json").write_text(json.dumps(notes))


class Failing(ScoringWorker):
    """Fails at the fourth piece of the source."""

    def __call__(self, item: tuple[int, Any, int]) -> Iterator[Scored]:
        if item[0] == 3:
            raise StepError("the fourth piece", "cannot be scored")
        yield from super().__call__(item)


def lines_of(dataset: Dataset, split: str, path: Path) -> Path:
    """Write a split of texts as JSON Lines with labels."""
    found = read_texts(dataset.folder.path / f"{split}.arrow")
    texts = [text for batch in found.batches(100) for text in batch]
    rows = [{"text": text, "label": dataset.classes[label]} for text, label in zip(texts, found.y, strict=True)]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path
