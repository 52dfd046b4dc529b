"""A table of made-up images that can be learnt: one pattern a class under noise, drawn from a seed."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image

CLASSES, SIDE = 10, 32


def write_table(path: Path, rows: dict[str, int]) -> None:
    """Write a Parquet file with the columns `image` (PNG), `label` and `split`, so many rows of each split."""
    stream = np.random.default_rng(0)
    patterns = stream.uniform(64, 192, (CLASSES, SIDE, SIDE, 3))
    splits = [split for split, count in rows.items() for _ in range(count)]
    labels = [number % CLASSES for number in range(len(splits))]
    noise = stream.normal(0, 32, (len(splits), SIDE, SIDE, 3))
    pixels = np.clip(patterns[labels] + noise, 0, 255).astype(np.uint8)
    names = [f"class{label}" for label in labels]
    pq.write_table(pa.table({"image": [_png(image) for image in pixels], "label": names, "split": splits}), path)


def _png(image: np.ndarray[tuple[int, ...], np.dtype[np.uint8]]) -> bytes:
    file = io.BytesIO()
    Image.fromarray(image).save(file, "PNG", compress_level=1)
    return file.getvalue()
