"""ResNet-50 of `tf_keras.applications`, with batch normalisation after (v1) or before (v2) each convolution."""

from __future__ import annotations

from typing import Any, Literal

from jobs.models.applications.application import Application


class ResNet50(Application):
    """ResNet-50 (He et al., 2015)."""

    kind: Literal["resnet50"] = "resnet50"
    removable = ("channels",)

    def application(self, height: int, width: int) -> Any:
        """Return the Keras application."""
        import tf_keras as keras

        return keras.applications.ResNet50(include_top=False, weights=None, input_shape=(height, width, 3))

    def normalised(self, layers: Any, x: Any) -> Any:
        """Return BGR with ImageNet's mean subtracted."""
        return layers.centred_bgr(x)


class ResNet50V2(Application):
    """ResNet-50 with pre-activation (He et al., 2016, "Identity mappings in deep residual networks")."""

    kind: Literal["resnet50_v2"] = "resnet50_v2"
    removable = ("channels",)

    def application(self, height: int, width: int) -> Any:
        """Return the Keras application."""
        import tf_keras as keras

        return keras.applications.ResNet50V2(include_top=False, weights=None, input_shape=(height, width, 3))

    def normalised(self, layers: Any, x: Any) -> Any:
        """Return values from -1 to 1."""
        return layers.rescale(x)
