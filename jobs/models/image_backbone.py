"""What backbones of images share: images as the data set holds them, and perhaps a weights file to start from."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Self, TypeVar

from pydantic import AfterValidator, Field

from jobs.artifacts import Dataset
from jobs.data import files
from jobs.data.preprocess import ImagePixels, Preprocess
from jobs.models.backbone import Backbone

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from jobs.models.weights.shapes import LayerShape

Made = TypeVar("Made")


def _readable(path: str | None) -> str | None:
    if not path:
        return None
    from jobs.models.weights.reading import readable

    return readable(path)


class ImageBackbone(Backbone):
    """A backbone of images that may start from a weights file."""

    modality = "image"
    weights: Annotated[
        str | None,
        AfterValidator(_readable),
        Field(description="Path or URI of weights to start from: .h5, .weights.h5, .npz, .safetensors; empty: none"),
    ] = None

    def inputs(self) -> list[str]:
        """Return the weights file, if there is one."""
        return [] if self.weights is None else [self.weights]

    def located(self, root: Path) -> Self:
        """Take a relative path from `root`."""
        return self if self.weights is None else self.model_copy(update={"weights": files.locate(self.weights, root)})

    def preprocess(self, dataset: Dataset, folder: Path) -> Preprocess:
        """Take the images as the data set holds them."""
        from jobs.data.preparing import preprocess_of

        return preprocess_of(dataset)

    def pretrained(self, preprocess: Preprocess) -> Mapping[str, NDArray[Any]] | None:
        """Read the weights file; RequestError when it is not one, or of another architecture."""
        from jobs.models.weights.reading import weights_in

        if self.weights is None:
            return None
        assert isinstance(preprocess, ImagePixels)
        return weights_in(self.weights, apart(lambda: self.layers(preprocess)))

    def layers(self, preprocess: ImagePixels) -> list[LayerShape]:
        """Return the layers in the order and by the names that weights files of this backbone have."""
        import tf_keras as keras

        from jobs.models.weights.shapes import layers_of

        inputs = keras.Input((preprocess.height, preprocess.width, preprocess.channels))
        return layers_of(keras.Model(inputs, self.features(inputs, preprocess, 0)))


def apart(make: Callable[[], Made]) -> Made:
    """Return what `make` returns in a thread of its own: no strategy's scope reaches the variables it makes there."""
    from concurrent.futures import ThreadPoolExecutor

    with ThreadPoolExecutor(1) as thread:
        return thread.submit(make).result()
