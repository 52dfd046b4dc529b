"""Image files to pixels: the same code in preparation and in the replica, with Pillow and no TensorFlow.

What happens to an image, in this order:
1. JPEG, PNG, BMP, WebP and GIF are read; other formats, animations and anything truncated are refused. The size is
   read from the header and refused over `LARGEST` pixels before a pixel is decoded. Of a JPEG with several pictures
   (MPO, as telephones write it) the first is taken.
2. It is turned as its EXIF orientation says.
3. Transparency, of a palette too, is composited on white. Samples of 16 bits keep their high byte.
4. Colours become RGB or grey (ITU-R 601-2 luma); CMYK is converted without a colour profile.
5. When its size is another than asked, it is resized with Pillow's bilinear filter, which averages when it shrinks;
   proportions are not kept.
"""

from __future__ import annotations

import io
import struct
import warnings
import zlib

import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

from jobs.data.preprocess import ImagePixels
from jobs.data.rows import LARGEST_FILE, BadRow

LARGEST = 4096 * 4096  # pixels
FORMATS = ("JPEG", "PNG", "BMP", "WEBP", "GIF")
ORIENTATION = 0x0112  # the EXIF tag
TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
# What Pillow's readers raise on bytes that are not what their header promised.
MALFORMED = (
    OSError,
    SyntaxError,
    ValueError,
    TypeError,
    LookupError,
    EOFError,
    OverflowError,
    struct.error,
    zlib.error,
)

# Our own limit is far below the one Pillow warns at, and is checked before anything is decoded.
warnings.filterwarnings("ignore", category=Image.DecompressionBombWarning)


def decode(raw: bytes | NDArray[np.uint8], to: ImagePixels) -> NDArray[np.uint8]:
    """Return an image as `uint8[to.height, to.width, to.channels]`; BadRow says why it cannot be.

    `raw` is the content of an image file, or pixels `uint8[height, width]` or `uint8[height, width, channels]`.
    """
    if isinstance(raw, np.ndarray):
        return _fitted(Image.fromarray(raw.squeeze(-1) if raw.ndim == 3 and raw.shape[2] == 1 else raw), to)
    with _opened(raw) as image:
        try:
            image.load()
            return _fitted(_turned(image), to)
        except (*MALFORMED, Image.DecompressionBombError):
            raise BadRow("is truncated or corrupt") from None


def size_of(raw: bytes | NDArray[np.uint8]) -> ImagePixels:
    """Return the size an image has once turned, read from its header; 1 channel when it is grey."""
    if isinstance(raw, np.ndarray):
        return ImagePixels(height=raw.shape[0], width=raw.shape[1], channels=3 if raw.shape[2:] == (3,) else 1)
    with _opened(raw) as image:
        width, height = image.size
        if _orientation(image) >= 5:
            width, height = height, width
        return ImagePixels(height=height, width=width, channels=1 if _is_grey(image) else 3)


def _opened(raw: bytes) -> Image.Image:
    """Read the header and refuse what must not be decoded."""
    if not raw:
        raise BadRow("is empty")
    if len(raw) > LARGEST_FILE:
        raise BadRow(f"is larger than {LARGEST_FILE} bytes")
    _check_size(*_webp_canvas(raw))
    try:
        image = Image.open(io.BytesIO(raw), formats=FORMATS)
    except Image.DecompressionBombError:
        raise BadRow(f"has more than {LARGEST} pixels") from None
    except UnidentifiedImageError:
        raise BadRow("is not a JPEG, PNG, BMP, WebP or GIF image") from None
    except MALFORMED:
        raise BadRow("is truncated or corrupt") from None
    _check_size(*image.size)
    try:
        animated = image.format != "MPO" and getattr(image, "is_animated", False)
    except MALFORMED:
        raise BadRow("is truncated or corrupt") from None
    if animated:
        raise BadRow("is animated")
    return image


def _check_size(width: int, height: int) -> None:
    if width * height > LARGEST:
        raise BadRow(f"is {width}x{height} pixels, more than {LARGEST} in all")


def _webp_canvas(raw: bytes) -> tuple[int, int]:
    """Return (width, height) of an extended WebP file, else zeros: Pillow allocates its canvas on opening."""
    if raw[:4] != b"RIFF" or raw[8:16] != b"WEBPVP8X" or len(raw) < 30:
        return 0, 0
    return int.from_bytes(raw[24:27], "little") + 1, int.from_bytes(raw[27:30], "little") + 1


def _orientation(image: Image.Image) -> int:
    if "exif" not in image.info:
        return 1
    try:
        return int(image.getexif().get(ORIENTATION, 1))
    except MALFORMED:  # a camera's notes may be broken; the picture is not
        return 1


def _turned(image: Image.Image) -> Image.Image:
    turn = TURNS.get(_orientation(image))
    return image if turn is None else image.transpose(turn)


def _is_grey(image: Image.Image) -> bool:
    return image.mode in ("1", "L", "LA", "La", "I", "I;16", "I;16B", "I;16L", "I;16N", "F")


def _fitted(image: Image.Image, to: ImagePixels) -> NDArray[np.uint8]:
    if image.mode.startswith("I"):  # 16-bit grey
        image = Image.fromarray((np.asarray(image) >> 8).clip(0, 255).astype(np.uint8))
    elif image.mode in ("LA", "La", "PA", "RGBA", "RGBa") or "transparency" in image.info:
        white = Image.new("RGBA", image.size, "white")
        white.alpha_composite(image.convert("RGBA"))
        image = white
    mode = "L" if to.channels == 1 else "RGB"
    if image.mode != mode:
        image = image.convert("RGB").convert(mode) if image.mode == "RGBA" else image.convert(mode)
    if image.size != (to.width, to.height):
        image = image.resize((to.width, to.height), Image.Resampling.BILINEAR)
    return np.array(image, np.uint8).reshape(to.height, to.width, to.channels)
