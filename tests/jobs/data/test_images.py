from __future__ import annotations

import contextlib
import io
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from jobs.data.images import decode, size_of
from jobs.data.preprocess import ImagePixels
from jobs.data.rows import BadRow
from tests.jobs.data.making import huge_png, jpeg, pixels, png, saved

RGB = ImagePixels(height=16, width=12, channels=3)
GREY = ImagePixels(height=16, width=12, channels=1)
GROWTH = """
import pathlib, resource, sys
from jobs.data.images import decode, size_of
from jobs.data.preprocess import ImagePixels
from jobs.data.rows import BadRow
raw = pathlib.Path(sys.argv[1]).read_bytes()
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
for read in (size_of, lambda raw: decode(raw, ImagePixels(height=16, width=12, channels=3))):
    try:
        read(raw)
        sys.exit("was not refused")
    except BadRow:
        pass
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
"""


@pytest.mark.parametrize(("kind", "options"), [("PNG", {}), ("BMP", {}), ("WEBP", {"lossless": True})])
def test_lossless_formats_keep_every_pixel(kind: str, options: dict[str, bool]) -> None:
    raw = saved(Image.fromarray(pixels()), kind, **options)
    assert np.array_equal(decode(raw, RGB), pixels())


def test_jpeg_is_what_pillow_decodes() -> None:
    expected = Image.open(io.BytesIO(jpeg()))
    assert np.array_equal(decode(jpeg(), RGB), np.asarray(expected))


def test_pixels_pass_unchanged() -> None:
    grey = pixels(channels=1)
    assert np.array_equal(decode(grey, GREY), grey)
    assert np.array_equal(decode(grey[..., 0], GREY), grey)


def test_grey_becomes_three_equal_channels_and_back() -> None:
    grey = pixels(channels=1)
    coloured = decode(grey, RGB)
    assert np.array_equal(coloured, np.repeat(grey, 3, 2))
    assert np.array_equal(decode(coloured, GREY), grey)


def test_cmyk_is_converted_to_rgb() -> None:
    image = Image.new("CMYK", (12, 16), (0, 255, 255, 0))
    found = decode(saved(image, "JPEG", quality=100), RGB)
    assert np.abs(found.astype(int) - (255, 0, 0)).max() <= 3


def test_sixteen_bits_keep_their_high_byte() -> None:
    deep = np.arange(16 * 12, dtype=np.uint16).reshape(16, 12) * 300
    found = decode(saved(Image.fromarray(deep)), GREY)
    assert np.array_equal(found[..., 0], (deep >> 8).astype(np.uint8))


def test_transparency_is_composited_on_white() -> None:
    clear = saved(Image.new("RGBA", (12, 16), (255, 0, 0, 0)))
    half = saved(Image.new("LA", (12, 16), (0, 128)))
    assert (decode(clear, RGB) == 255).all()
    assert (decode(half, GREY) == 127).all()


def test_a_transparent_palette_colour_is_white() -> None:
    image = Image.new("P", (12, 16), 1)
    image.putpalette([0, 0, 0, 0, 0, 255])
    assert (decode(saved(image, transparency=1), RGB) == 255).all()
    assert (decode(saved(image), RGB) == (0, 0, 255)).all()


def test_one_pixel_fills_the_size_asked() -> None:
    found = decode(saved(Image.new("RGB", (1, 1), (9, 8, 7))), RGB)
    assert found.shape == (16, 12, 3)
    assert (found == (9, 8, 7)).all()


@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation_is_undone(orientation: int) -> None:
    upright = pixels(height=6, width=4)
    laid = {
        1: upright,
        2: upright[:, ::-1],
        3: upright[::-1, ::-1],
        4: upright[::-1],
        5: upright.transpose(1, 0, 2),
        6: np.rot90(upright, 1),
        7: upright[::-1, ::-1].transpose(1, 0, 2),
        8: np.rot90(upright, -1),
    }[orientation]
    exif = Image.Exif()
    exif[0x0112] = orientation
    raw = saved(Image.fromarray(np.ascontiguousarray(laid)), exif=exif)
    to = ImagePixels(height=6, width=4, channels=3)
    assert size_of(raw) == to
    assert np.array_equal(decode(raw, to), upright)


def test_another_size_is_resized_with_the_bilinear_filter() -> None:
    halves = np.zeros((4, 4, 1), np.uint8)
    halves[:, 2:] = 200
    found = decode(halves, ImagePixels(height=2, width=2, channels=1))
    assert found[..., 0].tolist() == [[29, 171], [29, 171]]


@pytest.mark.parametrize(
    ("raw", "reason"),
    [
        (b"", "is empty"),
        (b"<svg xmlns='http://www.w3.org/2000/svg'/>", "is not a JPEG, PNG, BMP, WebP or GIF image"),
        (saved(Image.fromarray(pixels()), "TIFF"), "is not a JPEG, PNG, BMP, WebP or GIF image"),
        (png(0, 64, 64)[:500], "is truncated or corrupt"),
        (jpeg(0, 64, 64)[:900], "is truncated or corrupt"),
        (huge_png(12_000), "is 12000x12000 pixels, more than 16777216 in all"),
        (huge_png(15_000), "has more than 16777216 pixels"),
    ],
    ids=["empty", "svg", "tiff", "truncated-png", "truncated-jpeg", "huge", "bomb"],
)
def test_what_cannot_be_used_is_refused_with_the_reason(raw: bytes, reason: str) -> None:
    with pytest.raises(BadRow) as caught:
        decode(raw, RGB)
    assert caught.value.reason == reason


@pytest.mark.parametrize("kind", ["GIF", "PNG", "WEBP"])
def test_animations_are_refused(kind: str) -> None:
    frames = [Image.fromarray(pixels(seed)) for seed in range(3)]
    raw = saved(frames[0], kind, save_all=True, append_images=frames[1:])
    with pytest.raises(BadRow, match=r"^is animated$"):
        decode(raw, RGB)


def test_a_still_gif_is_read() -> None:
    assert (decode(saved(Image.new("RGB", (12, 16), (255, 0, 0)), "GIF"), RGB) == (255, 0, 0)).all()


def test_the_first_of_several_pictures_in_a_jpeg_is_taken() -> None:
    first, second = (Image.new("RGB", (12, 16), colour) for colour in ("black", "white"))
    raw = saved(first, "MPO", save_all=True, append_images=[second])
    assert (decode(raw, RGB) == 0).all()


def test_a_huge_image_is_refused_by_its_header(tmp_path: Path) -> None:
    raw = huge_png()
    assert 130_000 < len(raw) < 150_000
    (tmp_path / "huge.png").write_bytes(raw)
    ran = subprocess.run(
        [sys.executable, "-c", GROWTH, str(tmp_path / "huge.png")], capture_output=True, text=True, check=True
    )
    assert int(ran.stdout) < 50 * 1024  # kilobytes


def test_random_changes_to_a_file_are_bad_rows_or_images() -> None:
    draw = np.random.default_rng(3)
    for raw in (jpeg(), png(), saved(Image.fromarray(pixels()), "GIF")):
        for _ in range(150):
            broken = bytearray(raw)
            for place in draw.integers(8, len(raw), 4):
                broken[place] = draw.integers(256)
            with contextlib.suppress(BadRow):
                assert decode(bytes(broken), RGB).shape == (16, 12, 3)


def test_preparing_images_imports_neither_tensorflow_nor_tokenizers() -> None:
    code = "import sys, jobs.data.images; print({'tensorflow', 'tokenizers', 'pyarrow', 'ray'} & set(sys.modules))"
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ran.stdout.strip() == "set()"
