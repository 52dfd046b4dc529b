"""What a backbone is: fields, the modality it reads, its preprocessing, and the layers it builds."""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar, Literal

from jobs.artifacts import Dataset
from jobs.data.preprocess import Preprocess
from jobs.spec import Choice


class Backbone(Choice):
    """The family of backbones: from prepared rows to features."""

    modality: ClassVar[Literal["image", "text"]]

    def preprocess(self, dataset: Dataset, folder: Path) -> Preprocess:
        """Return the preprocessing for `dataset`; files it needs (a vocabulary) are written into `folder`."""
        raise NotImplementedError

    def features(self, inputs: Any, preprocess: Preprocess, seed: int) -> Any:
        """Build the layers on `inputs` (a Keras tensor of prepared rows) and return features `float32[rows, width]`.

        Every layer is named, so that weights are found by name in any process; `seed` seeds the initial weights.
        """
        raise NotImplementedError
