"""ResNet for small images (He et al., 2016, section 4.2): three stages of basic blocks, global average pooling."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field, model_validator

from jobs.data.preprocess import Preprocess
from jobs.models.image_backbone import ImageBackbone


class ResNet(ImageBackbone):
    """ResNet-`depth` (6n+2: 8, 20, 32, 56) with `width` channels in the first stage, doubled in each later one.

    `stochastic_depth` leaves a block out in training (Huang et al., 2016): with this probability the last one, earlier
    ones with less in proportion. `spatial_dropout` drops whole channels between a block's two convolutions.
    """

    kind: Literal["resnet"] = "resnet"
    normalises_batches: ClassVar[bool] = True
    depth: Annotated[int, Field(ge=8, le=1202)] = 20
    width: Annotated[int, Field(ge=4, le=512)] = 16
    stochastic_depth: Annotated[float, Field(ge=0, lt=1)] = 0.0
    spatial_dropout: Annotated[float, Field(ge=0, lt=1)] = 0.0

    @model_validator(mode="after")
    def _depth_is_of_basic_blocks(self) -> ResNet:
        if (self.depth - 2) % 6:
            raise ValueError(f"depth {self.depth} is not 6n+2, such as 8, 14, 20, 32 or 56")
        return self

    def features(self, inputs: Any, preprocess: Preprocess, seed: int) -> Any:
        """Build the three stages on `uint8`-valued `float32[rows, height, width, channels]`."""
        from jobs.models.layers import Named

        layers = Named(seed)
        x = layers.rescale(inputs)
        x = layers.convolve(x, self.width, 3, 1, "stem")
        blocks = (self.depth - 2) // 6
        for stage in range(3):
            for block in range(blocks):
                stride = 2 if stage and not block else 1
                share = (stage * blocks + block + 1) / (3 * blocks)
                x = self._block(layers, x, stride, (stage, block), self.stochastic_depth * share)
        return layers.pool(x)

    def _block(self, layers: Any, x: Any, stride: int, place: tuple[int, int], left_out: float) -> Any:
        """Two 3×3 convolutions and a shortcut, which is a 1×1 convolution where the shape changes."""
        from jobs.models.layers import SpatialDropout, StochasticDepth

        width, name = self.width * 2 ** place[0], f"stage{place[0] + 1}_block{place[1] + 1}"
        shortcut = x
        if stride != 1 or x.shape[-1] != width:
            shortcut = layers.convolve(x, width, 1, stride, f"{name}_shortcut", activate=False)
        y = layers.convolve(x, width, 3, stride, f"{name}_conv1")
        if self.spatial_dropout:
            y = SpatialDropout(self.spatial_dropout, name=f"{name}_channels")(y)
        y = layers.convolve(y, width, 3, 1, f"{name}_conv2", activate=False)
        if left_out:
            y = StochasticDepth(left_out, name=f"{name}_depth")(y)
        return layers.join(shortcut, y, name)
