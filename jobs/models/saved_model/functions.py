"""The ways a loaded SavedModel can be called, and which of them gives the features that are wanted."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from cluster.errors import StepError

DEFAULTS = ("serving_default", "default")  # of TF2's export, and of the older Hub format
OUTPUTS = ("default", "pooled_output")
PACKED = ("input_word_ids", "input_mask", "input_type_ids")  # what a BERT preprocessor makes of texts


@dataclass(frozen=True)
class Function:
    """A way to call a module: `signature` None is the module itself; inputs and outputs are tensor specs by name."""

    signature: str | None
    inputs: Mapping[str, Any]
    outputs: Mapping[str, Any]

    def __str__(self) -> str:
        name = "the module itself" if self.signature is None else self.signature
        return f"{name}({_listed(self.inputs)}) -> ({_listed(self.outputs)})"


def _listed(specs: Mapping[str, Any]) -> str:
    return ", ".join(f"{name + ': ' if name else ''}{_shown(spec)}" for name, spec in sorted(specs.items()))


def _shown(spec: Any) -> str:
    sizes = "…" if spec.shape.rank is None else ", ".join("?" if n is None else str(n) for n in spec.shape)
    return f"{spec.dtype.name}[{sizes}]"


def functions(module: Any) -> list[Function]:
    """Return every way to call `module`: itself first, if it can be called, then its signatures by name."""
    return [*_calls(module), *_signatures(module)]


def _calls(module: Any) -> Iterator[Function]:
    if not callable(module):
        return
    for concrete in module.__call__.concrete_functions:
        arguments, _ = concrete.structured_input_signature
        if arguments:
            yield Function(None, _named(arguments[0]), _named(concrete.structured_outputs))


def _signatures(module: Any) -> Iterator[Function]:
    for name, concrete in sorted(module.signatures.items()):
        _, keywords = concrete.structured_input_signature
        yield Function(name, dict(keywords), dict(concrete.structured_outputs))


def _named(value: Any) -> dict[str, Any]:
    """Return tensors by name: a single one under the empty name, those of a tuple by their place."""
    if isinstance(value, Mapping):
        return {str(name): part for name, part in value.items() if _is_tensor(part)}
    if isinstance(value, list | tuple):
        return {str(place): part for place, part in enumerate(value) if _is_tensor(part)}
    return {"": value} if _is_tensor(value) else {}


def _is_tensor(value: Any) -> bool:
    import tensorflow as tf

    return isinstance(value, tf.TensorSpec | tf.Tensor)


def takes_images(function: Function) -> bool:
    """Say whether it takes one `float32[rows, height, width, channels]`."""
    return _takes_one(function, "float32", 4)


def takes_texts(function: Function) -> bool:
    """Say whether it takes one `string[rows]`."""
    return _takes_one(function, "string", 1)


def takes_packed(function: Function) -> bool:
    """Say whether it takes what a BERT preprocessor makes: three `int32[rows, length]` by name."""
    return set(function.inputs) == set(PACKED) and all(_is_of(spec, "int32", 2) for spec in function.inputs.values())


def makes_packed(function: Function) -> bool:
    """Say whether it takes texts and makes what a BERT encoder takes."""
    return takes_texts(function) and set(PACKED) <= set(function.outputs)


def _takes_one(function: Function, dtype: str, rank: int) -> bool:
    return len(function.inputs) == 1 and all(_is_of(spec, dtype, rank) for spec in function.inputs.values())


def _is_of(spec: Any, dtype: str, rank: int) -> bool:
    return bool(spec.dtype.name == dtype and spec.shape.rank == rank and spec.shape[0] is None)


def choose(
    module: Any, subject: str, wanted: str, fits: Callable[[Function], bool], signature: str | None = None
) -> Function:
    """Return the way to call `module` that `fits`: the one named, else itself, else a default signature.

    StepError lists what the module has when none does.
    """
    found = functions(module)
    allowed = (signature,) if signature is not None else (None, *DEFAULTS)
    for name in allowed:
        for function in found:
            if function.signature == name and fits(function):
                return function
    has = "; ".join(dict.fromkeys(str(function) for function in found)) or "nothing that can be called"
    which = f"signature {signature}" if signature is not None else "the module itself, or serving_default or default,"
    raise StepError(subject, f"has {has}", f"{which} to take {wanted}", "name another signature, or another module")


def output_of(function: Function, subject: str, output: str | None) -> str:
    """Return the name of the output that is meant; StepError lists them when it is not plain which."""
    found = {name: spec for name, spec in function.outputs.items() if spec.dtype.is_floating}
    if output is not None and output in found:
        return output
    if output is None:
        for name in (*OUTPUTS, *found):
            if name in found and (name in OUTPUTS or len(found) == 1):
                return name
    has = f"has the outputs {_listed(function.outputs)}"
    raise StepError(subject, has, output or "one of them named", "set the backbone's output to the one with features")
