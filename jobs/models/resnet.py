"""ResNet for small images (He et al., 2016, section 4.2): three stages of basic blocks, global average pooling."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from jobs.artifacts import Dataset
from jobs.data.preprocess import ImagePixels, Preprocess
from jobs.models.backbone import Backbone


class ResNet(Backbone):
    """ResNet-`depth` (6n+2: 8, 20, 32, 56) with `width` channels in the first stage, doubled in each later one."""

    kind: Literal["resnet"] = "resnet"
    modality = "image"
    depth: Annotated[int, Field(ge=8, le=1202)] = 20
    width: Annotated[int, Field(ge=4, le=512)] = 16

    @model_validator(mode="after")
    def _depth_is_of_basic_blocks(self) -> ResNet:
        if (self.depth - 2) % 6:
            raise ValueError(f"depth {self.depth} is not 6n+2, such as 8, 14, 20, 32 or 56")
        return self

    def preprocess(self, dataset: Dataset, folder: Path) -> Preprocess:
        """Take the images as the data set holds them."""
        assert dataset.image is not None
        height, width, channels = dataset.image
        return ImagePixels(height=height, width=width, channels=channels)  # type: ignore[arg-type]

    def features(self, inputs: Any, preprocess: Preprocess, seed: int) -> Any:
        """Build the three stages on `uint8`-valued `float32[rows, height, width, channels]`."""
        from jobs.models.layers import Named

        layers = Named(seed)
        x = layers.rescale(inputs)
        x = layers.convolve(x, self.width, 3, 1, "stem")
        for stage in range(3):
            for block in range((self.depth - 2) // 6):
                stride = 2 if stage and not block else 1
                x = _basic_block(layers, x, self.width * 2**stage, stride, f"stage{stage + 1}_block{block + 1}")
        return layers.pool(x)


def _basic_block(layers: Any, x: Any, width: int, stride: int, name: str) -> Any:
    """Two 3×3 convolutions and a shortcut, which is a 1×1 convolution where the shape changes."""
    shortcut = x
    if stride != 1 or x.shape[-1] != width:
        shortcut = layers.convolve(x, width, 1, stride, f"{name}_shortcut", activate=False)
    y = layers.convolve(x, width, 3, stride, f"{name}_conv1")
    y = layers.convolve(y, width, 3, 1, f"{name}_conv2", activate=False)
    return layers.join(shortcut, y, name)
