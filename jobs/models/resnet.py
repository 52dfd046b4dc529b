"""ResNet for small images (He et al., 2016, section 4.2): three stages of blocks, global average pooling."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field, model_validator

from jobs.data.preprocess import Preprocess
from jobs.models.architecture.counting import Counted, Size
from jobs.models.image_backbone import ImageBackbone


class ResNet(ImageBackbone):
    """ResNet-`depth` (6n+2: 8, 20, 32, 56) with `width` channels in the first stage, doubled in each later one.

    Each of the three stages has n blocks, whatever their kind: `basic` ones of two convolutions, `bottleneck` ones of
    one on half of the channels between two 1×1 (He et al., 2015), `separable` ones of two that are depthwise, each with
    a 1×1 behind it (Howard et al., 2017). `kernel` is the side of those that are not 1×1, and of the stem.

    `stochastic_depth` leaves a block out in training (Huang et al., 2016): with this probability the last one, earlier
    ones with less in proportion. `spatial_dropout` drops whole channels between a block's two convolutions.
    """

    kind: Literal["resnet"] = "resnet"
    normalises_batches: ClassVar[bool] = True
    removable: ClassVar[tuple[str, ...]] = ("channels",)
    architecture: ClassVar[tuple[str, ...]] = ("depth", "width", "kernel", "block")
    elastic: ClassVar[tuple[str, ...]] = ("kernel", "depth", "width")
    depth: Annotated[int, Field(ge=8, le=1202)] = 20
    width: Annotated[int, Field(ge=4, le=512)] = 16
    kernel: Literal[3, 5] = 3
    block: Literal["basic", "bottleneck", "separable"] = "basic"
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

        return self.through(Named(seed), inputs)

    def counted(self, image: Sequence[int] | None) -> Counted | None:
        """Count the layers on images of `image`: height, width, channels."""
        if image is None:
            return None
        counted = Counted()
        self.through(counted, Size(*image))
        return counted

    def through(self, layers: Any, x: Any) -> Any:
        """Pass `x` through the layers, as `layers` makes, counts or shares them; return the features."""
        x = layers.rescale(x)
        x = layers.convolve(x, self.width, self.kernel, 1, "stem")
        blocks = (self.depth - 2) // 6
        for stage in range(3):
            for block in range(blocks):
                share = (stage * blocks + block + 1) / (3 * blocks)
                name = f"stage{stage + 1}_block{block + 1}"
                x = layers.block(x, self._block(layers, (stage, block), name, self.stochastic_depth * share), name)
        return layers.pool(x)

    def _block(self, layers: Any, place: tuple[int, int], name: str, left_out: float) -> Callable[[Any], Any]:
        """Return a block: convolutions and a shortcut, which is a 1×1 convolution where the shape changes."""
        width, stride = self.width * 2 ** place[0], 2 if place[0] and not place[1] else 1
        inner = {"basic": self._basic, "bottleneck": self._bottleneck, "separable": self._separable}[self.block]

        def body(x: Any) -> Any:
            shortcut = x
            if stride != 1:
                shortcut = layers.convolve(x, width, 1, stride, f"{name}_shortcut", activate=False)
            y = layers.leave_out(inner(layers, x, width, stride, name), left_out, f"{name}_depth")
            return layers.join(shortcut, y, name)

        return body

    def _basic(self, layers: Any, x: Any, width: int, stride: int, name: str) -> Any:
        y = layers.convolve(x, width, self.kernel, stride, f"{name}_conv1")
        y = layers.drop_channels(y, self.spatial_dropout, f"{name}_channels")
        return layers.convolve(y, width, self.kernel, 1, f"{name}_conv2", activate=False)

    def _bottleneck(self, layers: Any, x: Any, width: int, stride: int, name: str) -> Any:
        y = layers.convolve(x, width // 2, 1, 1, f"{name}_reduce")
        y = layers.convolve(y, width // 2, self.kernel, stride, f"{name}_conv")
        y = layers.drop_channels(y, self.spatial_dropout, f"{name}_channels")
        return layers.convolve(y, width, 1, 1, f"{name}_expand", activate=False)

    def _separable(self, layers: Any, x: Any, width: int, stride: int, name: str) -> Any:
        y = layers.depthwise(x, self.kernel, stride, f"{name}_depthwise1")
        y = layers.convolve(y, width, 1, 1, f"{name}_pointwise1")
        y = layers.drop_channels(y, self.spatial_dropout, f"{name}_channels")
        y = layers.depthwise(y, self.kernel, 1, f"{name}_depthwise2")
        return layers.convolve(y, width, 1, 1, f"{name}_pointwise2", activate=False)
