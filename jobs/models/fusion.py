"""An image and a text backbone under one head: features side by side, or mixed by a gate."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, Self

from pydantic import Field, field_validator
from pydantic_core import PydanticCustomError

from jobs.artifacts import Dataset
from jobs.data.preprocess import ImageAndText, Preprocess
from jobs.models.backbone import Backbone

if TYPE_CHECKING:
    from numpy.typing import NDArray

JOINT = 64  # width of the gated space when none is set


class Fusion(Backbone):
    """Two backbones over pairs of an image and a text.

    `late` concatenates their features. The logits are then a sum of what each modality says, which cannot express that
    one changes the meaning of the other; a `width` puts a layer of ReLUs in between, which can. `gated` is the gated
    multimodal unit of Arevalo et al. (2017): `z * tanh(image) + (1 - z) * tanh(text)` in a joint space of `width`,
    with the gate `z` a sigmoid of both.
    """

    kind: Literal["fusion"] = "fusion"
    modality = "image_text"
    image: Annotated[Backbone, Field(description="A backbone of images")]
    text: Annotated[Backbone, Field(description="A backbone of texts")]
    fusion: Literal["late", "gated"] = "late"
    width: Annotated[int | None, Field(ge=1, le=8_192, description=f"Of the joint space; gated: default {JOINT}")] = (
        None
    )
    modality_dropout: Annotated[
        float, Field(ge=0, lt=1, description="Share of training rows that lose their image's or their text's features")
    ] = 0.0

    @field_validator("image", "text")
    @classmethod
    def _of_its_modality(cls, part: Backbone, info: Any) -> Backbone:
        if part.modality != info.field_name:
            context = {"reads": part.modality, "wanted": info.field_name}
            raise PydanticCustomError(
                "modality", "reads {reads} rows where a backbone of {wanted} rows belongs", context
            )
        if not part.compressible:
            raise PydanticCustomError("whole", "is kept whole: its layers cannot be built into another model")
        return part

    @property
    def normalises_batches(self) -> bool:  # type: ignore[override]
        """Whether either does."""
        return any(part.normalises_batches for part in self.parts().values())

    @property
    def removable(self) -> tuple[str, ...]:  # type: ignore[override]
        """What either has, and the neurons of a layer in between."""
        between = ("neurons",) if self.fusion == "late" and self.width else ()
        return tuple(dict.fromkeys([*self.image.removable, *self.text.removable, *between]))

    @property
    def smallest(self) -> int:  # type: ignore[override]
        """How many pixels a side the image backbone reads."""
        return self.image.smallest

    def parts(self) -> dict[str, Backbone]:
        """Return both backbones by the modality they read."""
        return {"image": self.image, "text": self.text}

    def inputs(self) -> list[str]:
        """Return what both read when training starts."""
        return self.image.inputs() + self.text.inputs()

    def problems(self) -> Iterator[str]:
        """Yield what is wrong with what either reads."""
        for part in self.parts().values():
            yield from part.problems()

    def located(self, root: Path) -> Self:
        """Return this backbone with the relative paths of both taken from `root`."""
        return self.model_copy(update={name: part.located(root) for name, part in self.parts().items()})

    def resolved(self, folder: Path) -> Self:
        """Return this backbone with the paths of both relative to `folder`."""
        return self.model_copy(update={name: part.resolved(folder) for name, part in self.parts().items()})

    def files(self) -> list[str]:
        """Return what the layers of both are built of."""
        return self.image.files() + self.text.files()

    def preprocess(self, dataset: Dataset, folder: Path) -> Preprocess:
        """Prepare images and texts as their backbones say."""
        return ImageAndText(
            image=self.image.preprocess(dataset, folder),
            text=self.text.preprocess(dataset, folder),
        )

    def pretrained(self, preprocess: Preprocess) -> Mapping[str, NDArray[Any]] | None:
        """Return the weights that either starts from, or None when both start afresh."""
        assert isinstance(preprocess, ImageAndText)
        found: dict[str, NDArray[Any]] = {}
        for (name, part), own in zip(self.parts().items(), preprocess.parts(), strict=True):
            found |= {f"{name}_{weight}": value for weight, value in (part.pretrained(own) or {}).items()}
        return found or None

    def features(self, inputs: Any, preprocess: Preprocess, seed: int) -> Any:
        """Build both on `inputs` by name, their layers named `image_…` and `text_…`, and what joins them."""
        from jobs.models.joining import ModalityDropout, concatenated, gated, prefixed

        assert isinstance(preprocess, ImageAndText)
        image, text = (
            prefixed(f"{name}_", inputs[own.input_name], part.features(inputs[own.input_name], own, seed))
            for (name, part), own in zip(self.parts().items(), preprocess.parts(), strict=True)
        )
        if self.modality_dropout:
            image, text = ModalityDropout(self.modality_dropout, name="modality_dropout")([image, text])
        if self.fusion == "gated":
            return gated(image, text, self.width or JOINT, seed)
        return concatenated(image, text, self.width, seed)
