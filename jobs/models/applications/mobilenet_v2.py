"""MobileNetV2 of `tf_keras.applications` (Sandler et al., 2018): inverted residuals with linear bottlenecks."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field

from jobs.models.applications.application import Application


class MobileNetV2(Application):
    """MobileNetV2; `alpha` multiplies the channels of every layer but the last."""

    kind: Literal["mobilenet_v2"] = "mobilenet_v2"
    removable = ("channels",)
    alpha: Annotated[
        float, Field(ge=0.1, le=2, description="Width; weights files come for 0.35, 0.5, 0.75, 1, 1.3 and 1.4")
    ] = 1.0

    def application(self, height: int, width: int) -> Any:
        """Return the Keras application."""
        import tf_keras as keras

        shape = (height, width, 3)
        return keras.applications.MobileNetV2(include_top=False, weights=None, input_shape=shape, alpha=self.alpha)

    def normalised(self, layers: Any, x: Any) -> Any:
        """Return values from -1 to 1."""
        return layers.rescale(x)
