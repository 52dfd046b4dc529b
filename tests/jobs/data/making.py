"""Makes image files and data sets for tests."""

from __future__ import annotations

import io
import struct
import zlib
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from cluster.folder import Folder
from jobs.artifacts import Dataset
from jobs.data.prepare import prepare
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
