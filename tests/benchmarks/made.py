"""Data sets that benchmarks train on, made in this process."""

from __future__ import annotations

from pathlib import Path

from cluster.folder import Folder


def dataset_of(table: Path, out: Path) -> Folder:
    """Prepare a table of images with their splits; return the Dataset artifact's folder."""
    source = {"kind": "table", "path": str(table), "image": "image", "label": "label", "split": "split"}
    return _made({"job": "dataset", "source": source, "split": {"test": 0}}, out)


def digits(out: Path) -> Folder:
    """Prepare the bundled digits; return the Dataset artifact's folder."""
    return _made({"job": "dataset", "source": {"kind": "digits"}}, out)


def _made(definition: dict[str, object], out: Path) -> Folder:
    from jobs.data.prepare import prepare
    from jobs.kinds.dataset import DatasetJob

    folder = Folder.parse(str(out))
    with folder.filling() as path:
        prepare(DatasetJob.model_validate(definition), path, lambda event: None).save(folder)
    return folder
