"""`prepare_images`: images a second that one core decodes, resizes and stores, against a bare Pillow loop."""

from __future__ import annotations

import hashlib
import json
import shutil
import sys
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from tests.benchmarks.harness import Benchmark
from tests.benchmarks.processes import ended, start

PHOTOGRAPHS, WIDE, HIGH, SIDE = 1_000, 500, 375, 224
CLASSES = 4


class PrepareImages(Benchmark):
    """A whole data set made of a folder of JPEG files: read, decoded, resized, hashed, dealt to splits, written."""

    id = "prepare_images"
    name = "decoding and resizing JPEG files into a data set's shards, against a bare Pillow loop, on one core"
    unit = "images/s"
    better = "higher"
    target = 0.8

    def prepare(self, work: Path) -> None:
        """Make JPEG files of the size of photographs on the web, and read them once, so that they are cached."""
        self.folder = work / "photographs"
        write_photographs(self.folder)
        self.pixels: set[str] = set()
        self.ours()
        self.reference()

    def ours(self) -> float:
        """Make the data set."""
        out = self.folder.with_name("prepared")
        rate = self._rate("tests.benchmarks.prepare_images", out=str(out))
        shutil.rmtree(out)
        return rate

    def reference(self) -> float:
        """Decode and resize the files."""
        return self._rate("tests.benchmarks.references.pillow_loop")

    def _rate(self, module: str, **settings: str) -> float:
        given = json.dumps({"folder": str(self.folder), "side": SIDE, **settings})
        process = start("-m", module, given, environment={"OMP_NUM_THREADS": "1"})
        told = json.loads(ended(process, time.perf_counter()).output.splitlines()[-1])
        self.pixels.add(told["pixels"])
        return float(told["rate"])

    def faults(self) -> Iterator[str]:
        """Yield when the two sides ended in other pixels."""
        if len(self.pixels) != 1:
            yield f"the sides made other pixels: {', '.join(sorted(self.pixels))}"


def write_photographs(folder: Path) -> None:
    """Write JPEG files of smooth noise, about 40 kB each, in folders of classes."""
    for number in range(PHOTOGRAPHS):
        place = folder / f"class{number % CLASSES}"
        place.mkdir(parents=True, exist_ok=True)
        coarse = np.random.default_rng(number).integers(0, 256, (HIGH // 8, WIDE // 8, 3), np.uint8)
        image = Image.fromarray(coarse).resize((WIDE, HIGH), Image.Resampling.BICUBIC)
        image.save(place / f"{number:05}.jpg", "JPEG", quality=90)


def fingerprint(images: Iterable[Any]) -> str:
    """Return a hash of the multiset of images, each `uint8[side, side, 3]`."""
    hashes = sorted(hashlib.sha256(np.ascontiguousarray(image).data).digest() for image in images)
    return f"{len(hashes)} images {hashlib.sha256(b''.join(hashes)).hexdigest()[:16]}"


def main(settings: dict[str, Any]) -> None:
    """Make the data set in this process, as the worker of a `dataset` step does, and tell the rate."""
    from jobs.data.prepare import prepare
    from jobs.data.shards import read
    from jobs.kinds.dataset import DatasetJob

    out, size = Path(settings["out"]), {"height": settings["side"], "width": settings["side"]}
    out.mkdir()
    source = {"kind": "images", "path": settings["folder"]}
    job = DatasetJob.model_validate({"job": "dataset", "source": source, "image": size})
    started = time.perf_counter()
    dataset = prepare(job, out, lambda event: None)
    rate = sum(dataset.rows.values()) / (time.perf_counter() - started)
    images = (image for split in dataset.rows for image in read(out / f"{split}.arrow").x)
    print(json.dumps({"rate": rate, "pixels": fingerprint(images)}))


if __name__ == "__main__":
    main(json.loads(sys.argv[1]))
