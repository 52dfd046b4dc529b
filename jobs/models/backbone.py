"""What a backbone is: fields, the modality it reads, its preprocessing, its layers, and weights to start from."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Self

from jobs.artifacts import Dataset
from jobs.data import files
from jobs.data.preprocess import Preprocess
from jobs.models.architecture.counting import Counted
from jobs.models.sharding import Sharding
from jobs.spec import Choice

if TYPE_CHECKING:
    from numpy.typing import NDArray


class Backbone(Choice):
    """The family of backbones: from prepared rows to features."""

    modality: ClassVar[Literal["image", "text", "image_text"]]
    smallest: ClassVar[int] = 1  # pixels a side of an image it reads
    compressible: ClassVar[bool] = True  # False: its layers cannot be rebuilt around, the file can be quantized
    several_heads: ClassVar[bool] = False  # it answers by heads of its own: there are no features of one
    removable: ClassVar[
        tuple[str, ...]
    ] = ()  # kinds of units that are bound to no others: structured pruning takes them
    architecture: ClassVar[tuple[str, ...]] = ()  # the fields that say how its layers are laid out
    elastic: ClassVar[tuple[str, ...]] = ()  # of these, in the order a supernet frees them: smaller is part of larger
    normalises_batches: ClassVar[bool] = False  # its layers take means over the rows of a batch, and keep averages
    sharding: ClassVar[Sharding] = Sharding()  # how its layers divide over workers; without a rule, none does
    runtime: ClassVar[Literal["litert", "tensorflow"]] = (
        "litert"  # what runs the served file; replicas have LiteRT only
    )

    def divided_sizes(self) -> dict[str, int]:
        """Return the sizes that `sharding` divides, by field, as far as they are known before training starts."""
        return {}

    def counted(self, image: Sequence[int] | None) -> Counted | None:
        """Return its layers counted, for images of `image` (height, width, channels); None where that takes a build."""
        return None

    def through(self, layers: Any, x: Any) -> Any:
        """Pass `x` through the layers as `layers` makes, counts or shares them; where there are `elastic` fields."""
        raise NotImplementedError

    def inputs(self) -> list[str]:
        """Return the paths and URIs of what it reads when training starts, such as pretrained weights."""
        return []

    def problems(self) -> Iterator[str]:
        """Yield what of `inputs` is wrong, as far as can be told at once; URIs are looked at when training starts."""
        for path in self.inputs():
            if not files.is_uri(path) and not files.exists(path):
                yield f"{path} does not exist"

    def located(self, root: Path) -> Self:
        """Return this backbone with its relative paths taken from `root`."""
        return self

    def resolved(self, folder: Path) -> Self:
        """Return this backbone as its artifact holds it: its paths relative to `folder`, which `preprocess` filled."""
        return self

    def files(self) -> list[str]:
        """Return the names of the files and folders of an artifact that its layers are built of."""
        return []

    def pretrained(self, preprocess: Preprocess) -> Mapping[str, NDArray[Any]] | None:
        """Read the weights to start from, by variable name (`stem/kernel`); None to start from seeded ones.

        A weight that is left out keeps its seeded start. Runs in a worker.
        """
        return None

    def preprocess(self, dataset: Dataset, folder: Path) -> Preprocess:
        """Return the preprocessing for `dataset`; what it and the layers need is written into `folder`."""
        raise NotImplementedError

    def features(self, inputs: Any, preprocess: Preprocess, seed: int) -> Any:
        """Build the layers on `inputs` (a Keras tensor of prepared rows) and return features `float32[rows, width]`.

        Of pairs, `inputs` are such tensors by input name.
        Every layer is named, so that weights are found by name in any process; `seed` seeds the initial weights.
        """
        raise NotImplementedError

    def answers(self, inputs: Any, preprocess: Preprocess, classes: int, seed: int) -> Any:
        """Return the logits `float32[rows, classes]` of one that has heads of its own; None: `features` take one."""
        return None
