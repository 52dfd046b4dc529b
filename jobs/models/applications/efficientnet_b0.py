"""EfficientNet-B0 of `tf_keras.applications` (Tan & Le, 2019): inverted residuals with squeeze and excitation."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import Field

from jobs.data.preprocess import Preprocess
from jobs.models.applications.application import Application

if TYPE_CHECKING:
    from numpy.typing import NDArray


class EfficientNetB0(Application):
    """EfficientNet-B0; blocks are left out at random in training, the last with nearly `stochastic_depth`."""

    kind: Literal["efficientnet_b0"] = "efficientnet_b0"
    stochastic_depth: Annotated[float, Field(ge=0, lt=1)] = 0.2

    def application(self, height: int, width: int) -> Any:
        """Return the Keras application."""
        import tf_keras as keras

        return keras.applications.EfficientNetB0(
            include_top=False, weights=None, input_shape=(height, width, 3), drop_connect_rate=self.stochastic_depth
        )

    def normalised(self, layers: Any, x: Any) -> Any:
        """Return `x`: the application normalises by itself."""
        return x

    def rebuilt(self, layers: Any, layer: Any, name: str) -> Any:
        """Replace what Keras normalises with, and its dropout of blocks, by ours."""
        import tf_keras as keras

        from jobs.models.layers import StochasticDepth

        if isinstance(layer, keras.layers.Rescaling):
            return None  # the next layer does both
        if isinstance(layer, keras.layers.Normalization):
            return layers.standardize("normalization")
        if isinstance(layer, keras.layers.Dropout):
            return StochasticDepth(layer.rate, name=name)
        return layers.rebuild(layer, name)

    def pretrained(self, preprocess: Preprocess) -> Mapping[str, NDArray[Any]] | None:
        """Read the weights file; Keras's own for ImageNet holds deviations where variances belong, which is mended."""
        import numpy as np

        from jobs.models.applications.rebuilding import IMAGENET_DEVIATION

        read = super().pretrained(preprocess)
        if read is None:
            return None
        variance = read["normalization/variance"]
        # Keras divides a second time by their root when it loads them: tensorflow issue 49930.
        wrong = np.allclose(variance, IMAGENET_DEVIATION, atol=1e-4)
        return {**read, "normalization/variance": np.square(variance) if wrong else variance}
