"""Makes image files and data sets for tests."""

from __future__ import annotations

import io
import struct
import zlib
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from PIL import Image
from pyarrow import parquet

from cluster.folder import Folder
from jobs.artifacts import Dataset
from jobs.data.prepare import prepare
from jobs.data.rows import Row
from jobs.data.sources.digits import Digits
from jobs.data.sources.docstrings import Docstrings
from jobs.kinds.dataset import DatasetJob

Event = dict[str, Any]


def pixels(seed: int = 0, height: int = 16, width: int = 12, channels: int = 3) -> NDArray[np.uint8]:
    return np.random.default_rng(seed).integers(0, 256, (height, width, channels), np.uint8)


def saved(image: Image.Image, kind: str = "PNG", **options: Any) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def png(seed: int = 0, height: int = 16, width: int = 12) -> bytes:
    return saved(Image.fromarray(pixels(seed, height, width)))


def jpeg(seed: int = 0, height: int = 16, width: int = 12) -> bytes:
    return saved(Image.fromarray(pixels(seed, height, width)), "JPEG")


def huge_png(side: int = 12_000) -> bytes:
    """Return a grey PNG of side × side pixels that is about 140 kB, made without holding its pixels."""
    packer = zlib.compressobj(9)
    body = b"".join(packer.compress(bytes(side + 1)) for _ in range(side)) + packer.flush()
    chunks = ((b"IHDR", struct.pack(">IIBBBBB", side, side, 8, 0, 0, 0, 0)), (b"IDAT", body), (b"IEND", b""))
    packed = (struct.pack(">I", len(d)) + n + d + struct.pack(">I", zlib.crc32(n + d)) for n, d in chunks)
    return b"\x89PNG\r\n\x1a\n" + b"".join(packed)


def image_folder(root: Path, classes: tuple[str, ...] = ("cat", "dog"), each: int = 10) -> Path:
    """Fill `root/<class>` with PNG files that all differ."""
    for number, name in enumerate(classes):
        (root / name).mkdir(parents=True)
        for index in range(each):
            (root / name / f"{index:03}.png").write_bytes(png(number * 1_000 + index))
    return root


def job_of(source: dict[str, Any], **fields: Any) -> DatasetJob:
    return DatasetJob.model_validate({"job": "dataset", "source": source, **fields})


def made(folder: Path, source: dict[str, Any], **fields: Any) -> tuple[Dataset, list[Event]]:
    """Prepare a data set into `folder`; return it placed there, and what was told."""
    told: list[Event] = []
    folder.mkdir(exist_ok=True)
    dataset = prepare(job_of(source, **fields), folder, told.append)
    return dataset.at(Folder.parse(str(folder))), told


def pair_table(path: Path, rows: int = 1_797, packages: tuple[str, str] = ("matplotlib", "ray")) -> Path:
    """Write a Parquet table of `image`, `text` and `label`: digits, each with a docstring of one of two packages.

    The four labels tell whether the digit is even and which package the text is from, so that the image or the text
    alone is right about half the time at best.
    """
    sources = [Docstrings(packages=[package], limit=rows).rows() for package in packages]
    topics = np.random.default_rng(0).integers(2, size=rows)
    columns: dict[str, list[Any]] = {"image": [], "text": [], "label": []}
    for digit, topic in zip(islice(Digits().rows(), rows), topics, strict=True):
        text = next(sources[topic])
        assert isinstance(digit, Row)
        assert isinstance(digit.raw, np.ndarray)
        assert isinstance(text, Row)
        columns["image"].append(saved(Image.fromarray(digit.raw)))
        columns["text"].append(text.raw)
        columns["label"].append(f"{('even', 'odd')[int(digit.label) % 2]} {packages[topic]}")
    parquet.write_table(pa.table(columns), path)
    return path
