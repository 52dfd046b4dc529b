"""Any TensorFlow Hub SavedModel: image features, sentence encoders that take strings, BERT encoders with preprocessor.

The artifact keeps a copy of the module. Loading one runs no Python, but its graph is a program of TensorFlow ops:
`saved_model/graph.py` says what is refused. Take modules from whom you would take code.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import Field, model_validator

from cluster.errors import StepError
from jobs.artifacts import Dataset
from jobs.data import files
from jobs.data.preprocess import ImagePixels, Preprocess, RawText
from jobs.models.backbone import Backbone
from jobs.models.saved_model.fetching import CLEAR, WEB, in_the_clear, keep

MODULE, PREPROCESSOR = "module", "preprocessor"  # folders of an artifact

Handle = Annotated[str, Field(min_length=1, description="Folder, URI, or https handle of a SavedModel")]


class Hub(Backbone):
    """The features of a SavedModel called as TensorFlow Hub says; images are given to it as 0…1.

    A module that takes strings (or has a `preprocessor`) runs in TensorFlow only: it can teach, and be judged.
    """

    kind: Literal["hub"] = "hub"
    compressible: ClassVar[bool] = False

    module: Handle
    reads: Annotated[Literal["image", "text"], Field(description="What the module takes")]
    preprocessor: Annotated[Handle | None, Field(description="Makes of texts what a BERT encoder takes")] = None
    signature: Annotated[str | None, Field(description="Default: the module itself, serving_default or default")] = None
    output: Annotated[str | None, Field(description="Default: its only one, default or pooled_output")] = None
    trainable: Annotated[bool, Field(description="Train the module too, not the head alone")] = False

    @model_validator(mode="after")
    def _fields_agree(self) -> Self:
        if self.preprocessor is not None and self.reads == "image":
            raise ValueError("has a preprocessor, which is of texts, but reads image")
        if self.trainable and self.signature is not None:
            raise ValueError(f"signature {self.signature} cannot be trained; leave one of signature and trainable out")
        for handle in self._handles().values():
            if handle.startswith(WEB) and in_the_clear(handle):
                raise ValueError(f"{handle} {CLEAR}; use https://")
        return self

    @property
    def modality(self) -> Literal["image", "text"]:  # type: ignore[override]
        """What the module takes."""
        return self.reads

    @property
    def runtime(self) -> Literal["litert", "tensorflow"]:  # type: ignore[override]
        """What runs the served file: LiteRT has no strings."""
        return "litert" if self.reads == "image" else "tensorflow"

    def _handles(self) -> dict[str, str]:
        """Return the handles by the folder of the artifact that holds a copy."""
        pair = {MODULE: self.module}
        return pair if self.preprocessor is None else pair | {PREPROCESSOR: self.preprocessor}

    def inputs(self) -> list[str]:
        """Return the modules, but for those that are downloaded."""
        return [handle for handle in self._handles().values() if not handle.startswith(WEB)]

    def files(self) -> list[str]:
        """Return the folders of the artifact that hold the modules."""
        return list(self._handles())

    def located(self, root: Path) -> Self:
        """Return this backbone with its relative paths taken from `root`."""
        return self.model_copy(update={name: files.locate(handle, root) for name, handle in self._handles().items()})

    def resolved(self, folder: Path) -> Self:
        """Return this backbone with the copies of the modules in `folder`, named relative to it."""
        return self.model_copy(update={name: name for name in self._handles()})

    def preprocess(self, dataset: Dataset, folder: Path) -> Preprocess:
        """Copy the modules into `folder`, and check that they take what `dataset` holds."""
        for name, handle in self._handles().items():
            keep(handle, folder / name)
        layer = self.resolved(folder).located(folder)._layer(f"module {self.module}")
        if self.reads == "text":
            return RawText()
        given = layer.parts[0].function.inputs
        return _pixels(f"module {self.module}", next(iter(given.values())).shape[1:], dataset)

    def features(self, inputs: Any, preprocess: Preprocess, seed: int) -> Any:
        """Call the modules on `float32[rows, height, width, channels]` of 0…255, or on `string[rows]`."""
        import tf_keras as keras

        if self.reads == "image":
            inputs = keras.layers.Rescaling(1 / 255, name="rescale")(inputs)
        return self._layer(f"module {self.module}")(inputs)

    def _layer(self, subject: str) -> Any:
        from jobs.models.saved_model.layer import Features, image_part, text_parts

        folder = Path(self.module)
        if self.reads == "image":
            parts = [image_part(folder, subject, self.signature)]
        else:
            preprocessor = None if self.preprocessor is None else Path(self.preprocessor)
            parts = text_parts(folder, preprocessor, subject, self.signature)
        return Features(parts, self.output, subject, self.trainable, name="module")


def _pixels(subject: str, wanted: Any, dataset: Dataset) -> ImagePixels:
    """Return the images' preprocessing; StepError when the module takes images of another size."""
    assert dataset.image is not None, "modalities were compared"
    if any(size is not None and size != found for size, found in zip(wanted, dataset.image, strict=True)):
        height, width, channels = (size or found for size, found in zip(wanted, dataset.image, strict=True))
        sizes = f"{{height: {height}, width: {width}, channels: {channels}}}"
        found = "x".join(map(str, dataset.image))
        raise StepError(
            subject,
            f"was given images of {found}",
            f"{height}x{width}x{channels}",
            f"set the data set's image: {sizes}",
        )
    height, width, channels = dataset.image
    return ImagePixels(height=height, width=width, channels=1 if channels == 1 else 3)
