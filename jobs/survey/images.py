"""A folder of class folders: rows by class from the names alone, sizes from the headers of a few files."""

from __future__ import annotations

import statistics
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from cluster.errors import RequestError
from jobs.data.sources.images import EXTENSIONS
from jobs.survey.findings import Rows

SAMPLE = 20  # files of each class that are opened
SIDES = (32, 64, 96, 128, 160, 224)  # what images of several sizes are brought to
OWN = 64  # pixels a side up to which images of one size are left as they are


@dataclass(frozen=True)
class Images(Rows):
    """Rows by class, and the size images are to have, in pixels; channels are 1 when all are grey."""

    height: int
    width: int
    channels: int
    sizes: int  # how many different ones were seen


def look_at_images(folder: Path) -> Images:
    """Return what a folder of class folders holds; RequestError when it is none."""
    classes = {path.name: _images(path) for path in sorted(folder.iterdir()) if _is_a_class(path)}
    if len(classes) < 2:
        raise RequestError(str(folder), f"holds {len(classes)} folders", "one folder of images for each class")
    if empty := [name for name, images in classes.items() if not images]:
        raise RequestError(str(folder / empty[0]), "holds no image", f"at least one of {', '.join(EXTENSIONS)}")
    sizes, grey = _seen(path for images in classes.values() for path in images[:: max(1, len(images) // SAMPLE)])
    height, width = _side(sizes)
    counts = {name: len(images) for name, images in classes.items()}
    return Images(counts, height, width, 1 if grey else 3, len(set(sizes)))


def look_at(paths: Iterable[Path | bytes]) -> tuple[int, int, int, int]:
    """Return height, width, channels and the number of different sizes, of images in files or in memory."""
    sizes, grey = _seen(paths)
    return *_side(sizes), 1 if grey else 3, len(set(sizes))


def _is_a_class(path: Path) -> bool:
    return path.is_dir() and not path.name.startswith(".")


def _images(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.suffix.lower() in EXTENSIONS)


def _seen(images: Iterable[Path | bytes]) -> tuple[list[tuple[int, int]], bool]:
    """Return (height, width) of each that opens, and whether all are grey."""
    import io

    from PIL import Image

    sizes, grey = [], True
    for one in images:
        try:
            with Image.open(io.BytesIO(one) if isinstance(one, bytes) else one) as image:
                sizes.append((image.height, image.width))
                grey = grey and image.mode in ("1", "L", "LA")
        except (OSError, ValueError, Image.DecompressionBombError):
            continue  # preparing the data lists it with its reason
    if not sizes:
        raise RequestError("the images", "cannot be opened", "PNG, JPEG, BMP, WebP or GIF")
    return sizes, grey


def _side(sizes: list[tuple[int, int]]) -> tuple[int, int]:
    if len(set(sizes)) == 1 and max(sizes[0]) <= OWN:
        return sizes[0]
    middle = statistics.median(min(size) for size in sizes)
    side = max([side for side in SIDES if side <= middle], default=SIDES[0])
    return side, side
