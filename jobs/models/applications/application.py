"""A backbone that is a Keras application without its top: the pattern comes from Keras, the layers are our own."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from cluster.errors import StepError
from jobs.artifacts import Dataset
from jobs.data.preparing import preprocess_of
from jobs.data.preprocess import ImagePixels, Preprocess
from jobs.models.image_backbone import ImageBackbone, apart
from jobs.models.weights.shapes import LayerShape, layers_of


class Application(ImageBackbone):
    """An ImageNet architecture of Keras on images of 32×32 pixels or more; grey ones become three equal channels."""

    smallest = 32  # it is halved five times
    normalises_batches = True

    def application(self, height: int, width: int) -> Any:
        """Return the Keras application for images of `[height, width, 3]`, without top, pooling or weights."""
        raise NotImplementedError

    def normalised(self, layers: Any, x: Any) -> Any:
        """Bring pixel values (0…255, RGB) to what the application was made for."""
        raise NotImplementedError

    def rebuilt(self, layers: Any, layer: Any, name: str) -> Any:
        """Return what takes the place of one layer of the application: a layer called `name`, or None for nothing."""
        return layers.rebuild(layer, name)

    def preprocess(self, dataset: Dataset, folder: Path) -> Preprocess:
        """Take the images as the data set holds them, if they are large enough."""
        pixels = preprocess_of(dataset)
        if min(pixels.height, pixels.width) < self.smallest:
            raise StepError(
                "the data set",
                f"holds images of {pixels.height}x{pixels.width}",
                f"{self.smallest}x{self.smallest} or larger for this backbone",
                f"set image: {{height: {self.smallest}, width: {self.smallest}}} in its step",
            )
        return pixels

    def features(self, inputs: Any, preprocess: Preprocess, seed: int) -> Any:
        """Build the application on `uint8`-valued `float32[rows, height, width, channels]`, and average at its end."""
        from jobs.models.applications.rebuilding import Rebuilding

        assert isinstance(preprocess, ImagePixels)
        layers = Rebuilding(seed)
        x = layers.coloured(inputs)
        pattern = apart(lambda: self.application(preprocess.height, preprocess.width))
        x = layers.inline(pattern, self.normalised(layers, x), lambda layer, name: self.rebuilt(layers, layer, name))
        return layers.pool(x)

    def layers(self, preprocess: ImagePixels) -> list[LayerShape]:
        """Return the layers of the Keras application, which weights files follow."""
        return layers_of(self.application(preprocess.height, preprocess.width))
