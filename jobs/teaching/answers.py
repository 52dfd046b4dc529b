"""What a teacher says of every row, asked once a step and kept beside its checkpoints as plain arrays.

Epochs, restarts, further attempts and chains that are tried with the same teacher read the files; the processes of a
node map the same pages. An answer can only be kept where it is a function of the row alone: the teacher is asked about
rows as they are, and never about augmented ones.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from jobs.data.encode import encoded
from jobs.data.feed import Feed

SPLITS = ("train", "validation")


def ask(engine: Any, model: Any, dataset: Any, preprocess: Any, folder: Path, batch_size: int) -> dict[str, Any]:
    """Return what `model` says of every row that this worker holds, `float32[rows, …]` by split.

    All workers ask at once, and each is given the answers of all.
    """
    answers = {}
    for split in SPLITS:
        rows = encoded(engine.held(dataset, split), preprocess, split, folder)
        answers[split] = engine.predict(model, Feed(rows, batch_size, None))
    return answers


def once(keeper: Any, name: str, find: Callable[[], Mapping[str, Any]]) -> dict[str, Any]:
    """Return what `find` returned when it was first called for the product `name`, in this attempt or before it."""
    folder = keeper.product(name)
    if folder is None:
        found = find()
        folder = keeper.keep(name, lambda path: _write(path, found))
    path: Path = folder.fetch()
    return {split: np.asarray(np.load(path / f"{split}.npy", mmap_mode="r")) for split in SPLITS}


def _write(path: Path, answers: Mapping[str, Any]) -> None:
    for split in SPLITS:
        np.save(path / f"{split}.npy", answers[split], allow_pickle=False)
