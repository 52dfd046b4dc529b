"""What a replica makes of an image is, bit by bit, what the data set holds of it; what one refuses, both refuse."""

from __future__ import annotations

import io
import struct
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from cluster.folder import Folder
from jobs.artifacts import Dataset, Model
from jobs.data.preparing import preparer, preprocess_of
from jobs.data.rows import BadRow
from jobs.data.shards import read
from jobs.models.model import ModelSpec
from jobs.recipe import TrainRecipe
from jobs.runtime.classifier import Classifier
from jobs.strategies import Single
from jobs.training import TrainWork
from tests.jobs.data.making import jpeg, made, pixels, png, saved
from tests.rig import TINY, MemoryKeeper


def turned(orientation: int) -> bytes:
    exif = Image.Exif()
    exif[0x0112] = orientation
    return saved(Image.fromarray(pixels(orientation, 20, 30)), "JPEG", exif=exif)


def sixteen_bit_colours() -> bytes:
    """Return a PNG of three channels of 16 bits, which Pillow cannot write."""
    deep = np.random.default_rng(4).integers(0, 2**16, (9, 7, 3), np.uint16).astype(">u2")
    lines = b"".join(b"\0" + line.tobytes() for line in deep)
    chunks = ((b"IHDR", struct.pack(">IIBBBBB", 7, 9, 16, 2, 0, 0, 0)), (b"IDAT", zlib.compress(lines)), (b"IEND", b""))
    packed = (struct.pack(">I", len(d)) + n + d + struct.pack(">I", zlib.crc32(n + d)) for n, d in chunks)
    return b"\x89PNG\r\n\x1a\n" + b"".join(packed)


def palette() -> bytes:
    image = Image.fromarray(pixels(3, 20, 30)).quantize(16)
    return saved(image, transparency=3)


def animated() -> bytes:
    frames = [Image.fromarray(pixels(seed)) for seed in range(3)]
    return saved(frames[0], "GIF", save_all=True, append_images=frames[1:])


def several() -> bytes:
    first, second = (Image.fromarray(pixels(seed)) for seed in (1, 2))
    return saved(first, "MPO", save_all=True, append_images=[second])


DEEP = np.random.default_rng(2).integers(0, 2**16, (20, 30), np.uint16)
USED: dict[str, bytes] = {
    "plain": png(1),
    "large_jpeg": jpeg(2, 61, 83),
    "webp": saved(Image.fromarray(pixels(5, 31, 17)), "WEBP", quality=60),
    "gif": saved(Image.fromarray(pixels(6)), "GIF"),
    "cmyk": saved(Image.fromarray(pixels(7, 20, 30, 4), "CMYK"), "JPEG"),
    "sixteen_bits": saved(Image.fromarray(DEEP)),
    "sixteen_bit_colours": sixteen_bit_colours(),
    "alpha": saved(Image.fromarray(pixels(8, 20, 30, 4), "RGBA")),
    "grey_alpha": saved(Image.fromarray(pixels(9, 20, 30, 2), "LA")),
    "palette": palette(),
    "one_bit": saved(Image.fromarray(pixels(10)).convert("1")),
    "grey": saved(Image.fromarray(pixels(11, 20, 30, 1)[..., 0])),
    "one_pixel": png(12, 1, 1),
    "turned": turned(6),
    "mirrored": turned(7),
    "several": several(),
}
REFUSED: dict[str, tuple[bytes, str]] = {
    "animated": (animated(), "is animated"),
    "truncated": (png(0, 64, 64)[:500], "is truncated or corrupt"),
    "truncated_jpeg": (jpeg(0, 64, 64)[:900], "is truncated or corrupt"),
    "empty": (b"", "is empty"),
    "tiff": (saved(Image.fromarray(pixels()), "TIFF"), "is not a JPEG, PNG, BMP, WebP or GIF image"),
}


def dataset(root: Path, channels: int) -> Dataset:
    """Return a data set of every image above, one class each."""
    for split in ("train", "validation"):
        for name, raw in USED.items():
            (root / "images" / split / name).mkdir(parents=True)
            (root / "images" / split / name / "image").with_suffix(".png").write_bytes(raw)
    for name, (raw, _) in REFUSED.items():
        (root / "images/train/plain" / f"{name}.jpg").write_bytes(raw)
    source = {"kind": "images", "path": str(root / "images"), "splits": True}
    size = {"height": 16, "width": 12, "channels": channels}
    data, _ = made(root / "data", source, image=size, split={"test": 0.0}, max_rejected=0.5)
    return data.save(data.folder)


def rows_of(data: Dataset) -> dict[str, Any]:
    """Return the pixels of each class in the training shard."""
    shard = read(data.folder.path / "train.arrow")
    x, y = shard.gather(np.arange(len(shard)))[:2]
    return {data.classes[int(label)]: row for row, label in zip(x, y, strict=True)}


@pytest.mark.parametrize("channels", [1, 3])
def test_a_replica_prepares_every_image_as_the_data_set_did(channels: int, tmp_path: Path) -> None:
    data = dataset(tmp_path, channels)
    prepare, kept = preparer(preprocess_of(data), tmp_path), rows_of(data)
    assert set(kept) == set(USED)
    for name, raw in USED.items():
        assert np.array_equal(prepare([raw])[0], kept[name]), name
    reasons = {Path(row.row).stem: row.reason for row in data.rejected}
    assert reasons == {name: reason for name, (_, reason) in REFUSED.items()}
    for name, (raw, reason) in REFUSED.items():
        with pytest.raises(BadRow) as caught:
            prepare([raw])
        assert caught.value.reason == reason, name


def test_the_images_are_of_the_kinds_they_are_named_after() -> None:
    assert Image.open(io.BytesIO(USED["cmyk"])).mode == "CMYK"
    assert Image.open(io.BytesIO(USED["sixteen_bits"])).mode.startswith("I")
    assert "transparency" in Image.open(io.BytesIO(USED["palette"])).info
    assert Image.open(io.BytesIO(USED["several"])).format == "MPO"


@pytest.mark.training
def test_a_served_file_answers_for_an_image_as_for_its_row_in_the_data_set(tmp_path: Path) -> None:
    data = dataset(tmp_path, 3)
    out = Folder.parse(str(tmp_path / "model"))
    spec, recipe = ModelSpec.model_validate({"backbone": TINY}), TrainRecipe(epochs=1, batch_size=8)
    TrainWork(spec, recipe, Single(), data.folder, out)(Single().engine(), MemoryKeeper(tmp_path / "kept"))
    classifier = Classifier(Model.load(out), out.path)
    for name, kept in rows_of(data).items():
        row = classifier.runner.probabilities(kept[None], classifier.model.temperature)[0]
        answer = classifier.classify([USED[name]])[0]
        assert (answer["label"], answer["probability"]) == (data.classes[int(row.argmax())], float(row.max())), name
