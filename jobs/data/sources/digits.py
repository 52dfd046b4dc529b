"""The handwritten digits that come with scikit-learn: 1,797 real grey images of 8×8 (Alpaydin and Kaynak, 1998)."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Literal

from jobs.artifacts import RejectedRow
from jobs.data.rows import Row
from jobs.data.sources.source import Modality, Source


class Digits(Source):
    """Ten classes, `0` to `9`; grey values 0 to 16 are scaled to 0 to 255."""

    kind: Literal["digits"] = "digits"

    def modality(self) -> Modality:
        """Return `image`."""
        return "image"

    def image_side(self) -> int:
        """Return 8."""
        return 8

    def digest(self, memo: Callable[[str], str]) -> str:
        """Return the digest of the file that scikit-learn brings, without importing it."""
        found = find_spec("sklearn")
        assert found is not None, "it is required"
        assert found.origin is not None, "it is a package of files"
        return memo(str(Path(found.origin).parent / "datasets/data/digits.csv.gz"))

    def rows(self) -> Iterator[Row | RejectedRow]:
        """Yield the images as `uint8[8, 8]`."""
        import numpy as np
        from sklearn.datasets import load_digits

        bundled = load_digits()
        pixels = np.rint(bundled.images * (255 / 16)).astype(np.uint8)
        for number, (image, label) in enumerate(zip(pixels, bundled.target, strict=True), start=1):
            yield Row(f"digits row {number}", image, str(label))
