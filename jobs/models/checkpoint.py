"""A Hugging Face folder of a BERT: what `config.json` says of it, and its tensors under our names.

Tensors are read from safetensors files only; a pickle is code, and is never opened.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from cluster.errors import RequestError
from cluster.folder import Folder
from jobs.spec import Spec

if TYPE_CHECKING:
    from numpy.typing import NDArray

WEIGHTS, INDEX = "model.safetensors", "model.safetensors.index.json"
FLOATS = ("F32", "F16", "BF16")
Count = Annotated[int, Field(ge=1)]


class Sizes(Spec):
    """The architecture of an encoder; `epsilon` is what layer normalisation adds to the variance."""

    layers: int
    width: int
    heads: int
    feed_forward: int
    epsilon: float = 1e-12


class Config(BaseModel):
    """What is read of `config.json`: the sizes, and that it is the architecture we build."""

    model_config = ConfigDict(frozen=True, extra="ignore", strict=True, allow_inf_nan=False)

    model_type: Literal["bert"]
    hidden_act: Literal["gelu"] = "gelu"
    position_embedding_type: Literal["absolute"] = "absolute"
    is_decoder: Literal[False] = False
    num_hidden_layers: Count
    hidden_size: Count
    num_attention_heads: Count
    intermediate_size: Count
    vocab_size: Count
    max_position_embeddings: Count
    type_vocab_size: Count = 2
    layer_norm_eps: Annotated[float, Field(gt=0)] = 1e-12

    def sizes(self) -> Sizes:
        """Return the sizes under our names."""
        return Sizes(
            layers=self.num_hidden_layers,
            width=self.hidden_size,
            heads=self.num_attention_heads,
            feed_forward=self.intermediate_size,
            epsilon=self.layer_norm_eps,
        )


@dataclass(frozen=True)
class Tensor:
    """One tensor of a checkpoint: its name there, the shape it must have, and our name of it."""

    name: str
    shape: tuple[int, ...]
    ours: str

    def names(self) -> tuple[str, str]:
        """Return the names it may have: the oldest checkpoints call a norm's weight gamma and its bias beta."""
        older = self.name.replace("LayerNorm.weight", "LayerNorm.gamma").replace("LayerNorm.bias", "LayerNorm.beta")
        return self.name, older

    def converted(self, value: NDArray[Any]) -> NDArray[Any]:
        """Return the value as we keep it: float32, a dense kernel `[in, out]` instead of `[out, in]`."""
        import numpy as np

        value = value.astype(np.float32)
        return value.T if self.ours.endswith("/kernel") else value


class Checkpoint:
    """The folder at a path or URI; RequestError says what of it cannot be used."""

    def __init__(self, where: str) -> None:
        self.where = where
        try:
            self.path: Path = Folder.parse(where).fetch()
        except FileNotFoundError:
            raise RequestError(where, "does not exist", "a Hugging Face folder") from None
        self.config = self._config()

    def file(self, name: str) -> str:
        """Return how messages call a file of the folder."""
        return f"{self.where}/{name}"

    def json(self, name: str) -> dict[str, Any]:
        """Read a JSON object of the folder."""
        try:
            found = json.loads((self.path / name).read_bytes())
        except (FileNotFoundError, NotADirectoryError):
            raise RequestError(self.where, f"has no {name}", "a Hugging Face folder") from None
        except (ValueError, RecursionError) as error:
            raise RequestError(self.file(name), f"is not JSON ({error})") from None
        if not isinstance(found, dict):
            raise RequestError(self.file(name), "is not a JSON object")
        return found

    def _config(self) -> Config:
        document = self.json("config.json")
        try:
            config = Config.model_validate(document)
        except ValidationError as error:
            first = error.errors()[0]
            field = str(first["loc"][0])
            found = f"is {document[field]!r}" if field in document else "is missing"
            wanted = first["msg"].removeprefix("Input should be ") if field in document else ""
            raise RequestError(f"{self.file('config.json')}: {field}", found, wanted) from None
        if config.hidden_size % config.num_attention_heads:
            found = f"is {config.hidden_size}"
            wanted = f"a multiple of num_attention_heads, {config.num_attention_heads}"
            raise RequestError(f"{self.file('config.json')}: hidden_size", found, wanted)
        return config

    def weights(self, length: int, pooler: bool) -> dict[str, NDArray[Any]]:
        """Return the tensors of an encoder of `length` positions by our names.

        A classifier's text is one segment, so the first segment's embedding is added to the positions'.
        """
        found = self.tensors(pooler)
        segment = found.pop("segments/embeddings")[0]
        found["positions/embeddings"] = found["positions/embeddings"][:length] + segment
        return found

    def tensors(self, pooler: bool) -> dict[str, NDArray[Any]]:
        """Return every tensor as the checkpoint has it, by our names."""
        files = self._files()
        return {tensor.ours: tensor.converted(self._read(files, tensor)) for tensor in _tensors(self.config, pooler)}

    def _files(self) -> dict[str, Path]:
        """Return the file of each tensor, by the tensor's name without the prefix some checkpoints have."""
        if (self.path / INDEX).exists():
            shards = self.json(INDEX).get("weight_map")
            names = sorted({str(name) for name in shards.values()}) if isinstance(shards, dict) else []
            if not names or any(Path(name).name != name for name in names):
                raise RequestError(self.file(INDEX), "has no weight_map of names of files in the folder")
        else:
            names = [WEIGHTS]
        files: dict[str, Path] = {}
        for name in names:
            if not (self.path / name).exists():
                raise self._no_weights(name)
            with self._opened(self.path / name) as tensors:
                files |= {_plain(key): self.path / name for key in tensors.keys()}  # noqa: SIM118  it is no mapping
        return files

    def _no_weights(self, name: str) -> RequestError:
        pickles = sorted(path.name for path in self.path.glob("*.bin"))
        found = f"holds only pickled weights ({pickles[0]}), which are code" if pickles else f"has no {name}"
        return RequestError(
            self.where, found, WEIGHTS, "save the model with transformers' save_pretrained, which writes safetensors"
        )

    @contextmanager
    def _opened(self, path: Path) -> Iterator[Any]:
        import ml_dtypes  # noqa: F401  lets numpy read bfloat16
        from safetensors import SafetensorError, safe_open

        try:
            with safe_open(str(path), framework="np") as tensors:
                yield tensors
        except (SafetensorError, OSError) as error:
            raise RequestError(self.file(path.name), f"is not a safetensors file ({error})") from None

    def _read(self, files: Mapping[str, Path], tensor: Tensor) -> NDArray[Any]:
        """Read one tensor once its shape and type are seen to be right."""
        name = next((name for name in tensor.names() if name in files), None)
        if name is None:
            raise RequestError(self.where, f"has no tensor {tensor.name}", f"shape {list(tensor.shape)}")
        path = files[name]
        with self._opened(path) as tensors:
            own = next(key for key in tensors.keys() if _plain(key) == name)  # noqa: SIM118
            view = tensors.get_slice(own)
            subject = f"{self.file(path.name)}: tensor {own}"
            if list(view.get_shape()) != list(tensor.shape):
                raise RequestError(subject, f"has shape {list(view.get_shape())}", str(list(tensor.shape)))
            if view.get_dtype() not in FLOATS:
                raise RequestError(subject, f"is of type {view.get_dtype()}", f"one of {', '.join(FLOATS)}")
            value: NDArray[Any] = tensors.get_tensor(own)
        return value


def _plain(name: str) -> str:
    return name.removeprefix("bert.")


def _tensors(config: Config, pooler: bool) -> Iterator[Tensor]:
    """Yield every tensor of the architecture."""
    width, inner = config.hidden_size, config.intermediate_size
    tables = {
        "word": ("words", config.vocab_size),
        "position": ("positions", config.max_position_embeddings),
        "token_type": ("segments", config.type_vocab_size),
    }
    for theirs, (ours, rows) in tables.items():
        yield Tensor(f"embeddings.{theirs}_embeddings.weight", (rows, width), f"{ours}/embeddings")
    yield from _norm("embeddings.LayerNorm", width, "embedding_norm")
    for index in range(config.num_hidden_layers):
        theirs, ours = f"encoder.layer.{index}", f"layer{index}"
        for part in ("query", "key", "value"):
            yield from _dense(f"{theirs}.attention.self.{part}", width, width, f"{ours}_{part}")
        yield from _dense(f"{theirs}.attention.output.dense", width, width, f"{ours}_attention")
        yield from _norm(f"{theirs}.attention.output.LayerNorm", width, f"{ours}_attention_norm")
        yield from _dense(f"{theirs}.intermediate.dense", width, inner, f"{ours}_intermediate")
        yield from _dense(f"{theirs}.output.dense", inner, width, f"{ours}_output")
        yield from _norm(f"{theirs}.output.LayerNorm", width, f"{ours}_output_norm")
    if pooler:
        yield from _dense("pooler.dense", width, width, "pooler")


def _dense(theirs: str, rows: int, columns: int, ours: str) -> Iterator[Tensor]:
    yield Tensor(f"{theirs}.weight", (columns, rows), f"{ours}/kernel")
    yield Tensor(f"{theirs}.bias", (columns,), f"{ours}/bias")


def _norm(theirs: str, width: int, ours: str) -> Iterator[Tensor]:
    yield Tensor(f"{theirs}.weight", (width,), f"{ours}/gamma")
    yield Tensor(f"{theirs}.bias", (width,), f"{ours}/beta")
