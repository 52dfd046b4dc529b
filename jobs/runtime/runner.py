"""Runs the served file with LiteRT: prepared rows in, logits or probabilities out. Safe to call from many threads.

Rows of a model with one input are an array; of one with several, arrays by input name, as the file's signature has it.
"""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from ai_edge_litert.interpreter import Interpreter
from numpy.typing import NDArray

from cluster.errors import RequestError
from jobs.runtime.inputs import Inputs, count

F = TypeVar("F", bound=np.floating[Any])
KEPT = 4  # interpreters kept, each sized for one batch size


class Runner:
    """A LiteRT file, with one interpreter a batch size, resized once; calls take turns."""

    def __init__(self, file: Path, threads: int = 1) -> None:
        self._content = file.read_bytes()
        self._threads = threads
        self._lock = threading.Lock()
        self._interpreters: dict[int, Any] = {}
        try:
            first = self._interpreter(1)
        except (ValueError, RuntimeError) as error:
            raise RequestError(str(file), f"is not a file LiteRT can run ({error})") from None
        inputs, output = _inputs(first), first.get_output_details()[0]
        self.input_types: dict[str, Any] = {name: given["dtype"] for name, given in inputs.items()}
        self.classes = int(output["shape"][-1])
        self._places = {name: int(given["index"]) for name, given in inputs.items()}
        self._output = int(output["index"])

    def _interpreter(self, batch: int) -> Any:
        found = self._interpreters.get(batch)
        if found is not None:
            return found
        made = Interpreter(model_content=self._content, num_threads=self._threads)
        for given in made.get_input_details():
            made.resize_tensor_input(given["index"], [batch, *given["shape"][1:]])
        made.allocate_tensors()
        if len(self._interpreters) >= KEPT:
            self._interpreters.pop(next(key for key in self._interpreters if key != 1))
        self._interpreters[batch] = made
        return made

    def logits(self, rows: Inputs) -> NDArray[np.float32]:
        """Return `float32[rows, classes]` for prepared rows `[rows, …]`, or such arrays by input name."""
        assert isinstance(rows, dict) == (len(self._places) > 1), "an array for one input, arrays by name for several"
        given: dict[str, Any] = rows if isinstance(rows, dict) else dict.fromkeys(self._places, rows)
        with self._lock:
            interpreter = self._interpreter(count(rows))
            for name, kind in self.input_types.items():
                part = np.ascontiguousarray(given[name].astype(kind, copy=False))
                interpreter.set_tensor(self._places[name], part)
            interpreter.invoke()
            result: NDArray[np.float32] = interpreter.get_tensor(self._output)
        return result

    def probabilities(self, rows: Inputs, temperature: float = 1.0) -> NDArray[np.float32]:
        """Return `float32[rows, classes]`, each row summing to 1: the softmax of logits over `temperature`."""
        return softmax(self.logits(rows) / np.float32(temperature))


def _inputs(interpreter: Any) -> dict[str, Any]:
    """Return the details of each input by its name in the file's signature; of a single one by any name."""
    details = interpreter.get_input_details()
    if len(details) == 1:
        return {details[0]["name"]: details[0]}
    found: dict[str, Any] = interpreter.get_signature_runner().get_input_details()
    return found


def softmax(logits: NDArray[F]) -> NDArray[F]:
    """Return the softmax of each row of `logits`."""
    shifted = np.exp(logits - logits.max(axis=1, keepdims=True))
    result: NDArray[F] = shifted / shifted.sum(axis=1, keepdims=True)
    return result
