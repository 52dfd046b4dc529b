"""A model: a backbone and a head with its regularisation, built and rebuilt from its spec; weights go by name."""

from __future__ import annotations

import io
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field

from cluster.errors import RequestError
from jobs.artifacts import Rewrite
from jobs.data.preprocess import ImageAndText, ImagePixels, Preprocess, RawText, WordPieces
from jobs.models.backbone import Backbone
from jobs.models.sharding import Sharding, dividing
from jobs.models.weights.wholes import KERNELS, name_of, wholes
from jobs.spec import Spec

HEAD = "logits"
HEAD_DROPOUT = "dropout"
HEAD_DIVIDES = Sharding(rows=(HEAD,))  # features are many, classes may be two
JOINT = "joint_"  # begins the names of layers that join two backbones: they learn with the head


class ModelSpec(Spec):
    """A backbone and its head: dropout before the logits, L1 and L2 penalties on every kernel and embedding."""

    backbone: Backbone
    dropout: Annotated[float, Field(ge=0, lt=1)] = 0.0
    l1: Annotated[float, Field(ge=0)] = 0.0
    l2: Annotated[float, Field(ge=0)] = 0.0

    def resolved(self, folder: Path) -> ModelSpec:
        """Return the spec as the artifact made in `folder` holds it."""
        return self.model_copy(update={"backbone": self.backbone.resolved(folder)})


def build(
    spec: ModelSpec,
    preprocess: Preprocess,
    classes: int,
    seed: int = 0,
    folder: Path | None = None,
    rewrites: Sequence[Rewrite] = (),
) -> Any:
    """Build the Keras model: prepared rows in, logits `float32[rows, classes]` out.

    `folder` is the artifact's, or the one its files were prepared in, for a backbone that is built of some; `rewrites`
    are the artifact's, and RequestError names one that fits no layer.
    """
    import tf_keras as keras

    inputs = _inputs(keras, preprocess)
    backbone = spec.backbone if folder is None else spec.backbone.located(folder)
    with dividing(dividing_rule(spec)):
        outputs = headed(spec.model_copy(update={"backbone": backbone}), inputs, preprocess, classes, seed)
        model = keras.Model(inputs, outputs, name="model")
        if not rewrites:
            return model
        from jobs.models.rewriting.rebuilding import rebuilt

        return rebuilt(model, rewrites)


def headed(spec: ModelSpec, inputs: Any, preprocess: Preprocess, classes: int, seed: int) -> Any:
    """Build the layers of `spec` on `inputs` and return logits: those of the backbone, or of a head on its features."""
    import tf_keras as keras

    from jobs.models.layers import Dropout, Named

    answered = spec.backbone.answers(inputs, preprocess, classes, seed)
    if answered is not None:
        return answered
    x = spec.backbone.features(inputs, preprocess, seed)
    if spec.dropout:
        x = Dropout(spec.dropout, name=HEAD_DROPOUT)(x)
    start = Named(seed).initializer(keras.initializers.GlorotUniform, HEAD)
    return keras.layers.Dense(classes, kernel_initializer=start, name=HEAD)(x)


def build_to_train(spec: ModelSpec, preprocess: Preprocess, classes: int, seed: int, folder: Path) -> Any:
    """Build the model a training starts from: seeded weights, and the backbone's pretrained ones if it has any."""
    weights = spec.backbone.pretrained(preprocess)  # first: they may be of sizes that no memory holds
    model = build(spec.resolved(folder), preprocess, classes, seed, folder)
    if weights is not None:
        load_weights(model, weights, ", ".join(spec.backbone.inputs()) or "pretrained", partial=True)
    return model


def _inputs(keras: Any, preprocess: Preprocess) -> Any:
    if isinstance(preprocess, ImageAndText):
        return {part.input_name: _inputs(keras, part) for part in preprocess.parts()}
    if isinstance(preprocess, ImagePixels):
        return keras.Input((preprocess.height, preprocess.width, preprocess.channels), dtype="float32", name="image")
    if isinstance(preprocess, RawText):
        return keras.Input((), dtype="string", name="texts")
    assert isinstance(preprocess, WordPieces)
    return keras.Input((preprocess.length,), dtype="int32", name="tokens")


def in_head(named: Any) -> bool:
    """Say whether a variable or layer is the head's: the logits', or what joins two backbones."""
    name: str = named.name
    return name.split("/")[0] == HEAD or name.startswith(JOINT)


@contextmanager
def frozen_backbone(model: Any) -> Iterator[None]:
    """Let the head alone learn inside the block; frozen batch normalisation uses its averages, and keeps them."""
    frozen = [layer for layer in model.layers if not in_head(layer) and layer.trainable]
    for layer in frozen:
        layer.trainable = False
    try:
        yield
    finally:
        for layer in frozen:
            layer.trainable = True


def penalised(model: Any) -> list[Any]:
    """Return the variables that L1 and L2 act on, as weight decay does: not biases or normalisation."""
    return [v for v in model.trainable_variables if re.search(f"({KERNELS})$", name_of(v))]


def dividing_rule(spec: ModelSpec) -> Sharding:
    """Return which variables of a model divide over workers."""
    return spec.backbone.sharding + HEAD_DIVIDES


def shapes_of(model: Any) -> dict[str, tuple[int, ...]]:
    """Return the shapes of the model's whole weights by name."""
    return {name: tuple(variable.shape) for name, variable in _by_name(model).items()}


def weights_of(model: Any) -> dict[str, Any]:
    """Return the model's weights as arrays by name (`stem/kernel`)."""
    return {name: variable.numpy() for name, variable in _by_name(model).items()}


def _by_name(model: Any) -> dict[str, Any]:
    """Return the variables by name; one whose name is taken, as a foreign module's may be, is called `name#2`."""
    found: dict[str, Any] = {}
    for variable in wholes(model.weights):
        name = again = name_of(variable)
        count = 1
        while again in found:
            count += 1
            again = f"{name}#{count}"
        found[again] = variable
    return found


def load_weights(model: Any, weights: Mapping[str, Any], subject: str, partial: bool = False) -> None:
    """Put `weights` into `model`; RequestError names the tensor that is missing, left over or of another shape.

    With `partial`, weights that are missing keep what they are.
    """
    wanted = _by_name(model)
    for name, variable in wanted.items():
        if name not in weights:
            if partial:
                continue
            raise RequestError(f"{subject}: weight {name}", "is missing", f"shape {tuple(variable.shape)}")
        if tuple(weights[name].shape) != tuple(variable.shape):
            raise RequestError(
                f"{subject}: weight {name}", f"has shape {tuple(weights[name].shape)}", str(tuple(variable.shape))
            )
        variable.assign(weights[name])
    if spare := sorted(set(weights) - set(wanted)):
        raise RequestError(f"{subject}: weight {spare[0]}", "belongs to no layer of the model")


def write_weights(path: Path, weights: Mapping[str, Any]) -> None:
    """Write arrays by name to an `.npz` file."""
    import numpy as np

    np.savez(path, **weights)


def read_weights(data: bytes, subject: str) -> dict[str, Any]:
    """Read an `.npz` of plain arrays as `write_weights` writes it.

    RequestError when it is damaged, is compressed (a few bytes could fill the memory) or holds anything pickled.
    """
    import zipfile

    from jobs.models.weights.archives import MALFORMED, npz_tensors

    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            unpacked = sum(info.file_size for info in archive.infolist())
            if unpacked > len(data):
                found = f"unpacks to {unpacked} bytes, and has {len(data)}"
                raise RequestError(subject, found, "an archive of plain arrays, not compressed")
            return {name: tensor.read() for name, tensor in npz_tensors(archive).items()}
    except RequestError:
        raise
    except MALFORMED as error:
        raise RequestError(subject, f"is not an archive of plain arrays ({error})") from None
