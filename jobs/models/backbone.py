"""What a backbone is: fields, the modality it reads, its preprocessing, its layers, and weights to start from."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Self

from jobs.artifacts import Dataset
from jobs.data.preprocess import Preprocess
from jobs.spec import Choice

if TYPE_CHECKING:
    from numpy.typing import NDArray


class Backbone(Choice):
    """The family of backbones: from prepared rows to features."""

    modality: ClassVar[Literal["image", "text"]]
    compressible: ClassVar[bool] = True  # False: its layers cannot be rebuilt around, the file can be quantized

    def inputs(self) -> list[str]:
        """Return the paths and URIs of what it reads when training starts, such as pretrained weights."""
        return []

    def located(self, root: Path) -> Self:
        """Return this backbone with its relative paths taken from `root`."""
        return self

    def pretrained(self, preprocess: Preprocess) -> Mapping[str, NDArray[Any]] | None:
        """Read the weights to start from, by variable name (`stem/kernel`); None to start from seeded ones.

        A weight that is left out keeps its seeded start. Runs in a worker.
        """
        return None

    def preprocess(self, dataset: Dataset, folder: Path) -> Preprocess:
        """Return the preprocessing for `dataset`; files it needs (a vocabulary) are written into `folder`."""
        raise NotImplementedError

    def features(self, inputs: Any, preprocess: Preprocess, seed: int) -> Any:
        """Build the layers on `inputs` (a Keras tensor of prepared rows) and return features `float32[rows, width]`.

        Every layer is named, so that weights are found by name in any process; `seed` seeds the initial weights.
        """
        raise NotImplementedError
