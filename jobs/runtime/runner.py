"""Runs the served file with LiteRT: prepared rows in, logits or probabilities out. Safe to call from many threads."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import numpy as np
from ai_edge_litert.interpreter import Interpreter
from numpy.typing import NDArray

from cluster.errors import RequestError

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
        details = first.get_input_details()[0]
        self.input_shape: tuple[int, ...] = tuple(int(n) for n in details["shape"][1:])
        self.input_type: Any = details["dtype"]
        self.classes = int(first.get_output_details()[0]["shape"][-1])

    def _interpreter(self, batch: int) -> Any:
        found = self._interpreters.get(batch)
        if found is not None:
            return found
        made = Interpreter(model_content=self._content, num_threads=self._threads)
        details = made.get_input_details()[0]
        made.resize_tensor_input(details["index"], [batch, *details["shape"][1:]])
        made.allocate_tensors()
        if len(self._interpreters) >= KEPT:
            self._interpreters.pop(next(key for key in self._interpreters if key != 1))
        self._interpreters[batch] = made
        return made

    def logits(self, rows: NDArray[Any]) -> NDArray[np.float32]:
        """Return `float32[rows, classes]` for prepared rows `[rows, …]`."""
        with self._lock:
            interpreter = self._interpreter(len(rows))
            given, made = interpreter.get_input_details()[0], interpreter.get_output_details()[0]
            interpreter.set_tensor(given["index"], np.ascontiguousarray(rows.astype(given["dtype"], copy=False)))
            interpreter.invoke()
            result: NDArray[np.float32] = interpreter.get_tensor(made["index"])
        return result

    def probabilities(self, rows: NDArray[Any]) -> NDArray[np.float32]:
        """Return `float32[rows, classes]`, each row summing to 1."""
        return softmax(self.logits(rows))


def softmax(logits: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the softmax of each row of `logits`."""
    shifted = np.exp(logits - logits.max(axis=1, keepdims=True))
    result: NDArray[np.float32] = shifted / shifted.sum(axis=1, keepdims=True)
    return result
