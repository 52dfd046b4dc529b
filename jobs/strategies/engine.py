"""What engines share whose every worker is given the whole data set, and whose models are read and restored whole."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from jobs.data.feed import Feed
from jobs.models.weights.wholes import wholes


class SharedData:
    """The base of such engines; `_function` keeps what was traced for each training."""

    def __init__(self) -> None:
        self._functions: dict[tuple[int, str], tuple[Any, Any]] = {}

    def held(self, dataset: Any, split: str) -> Any:
        """Return the data set: its rows have no owners."""
        return dataset

    def steps(self, feed: Feed) -> int:
        """Return the feed's own steps."""
        return feed.steps

    def facts(self) -> dict[str, float]:
        """Return nothing: there is nothing that this strategy alone could tell."""
        return {}

    def read(self, training: Any) -> dict[str, Any]:
        """Return weights (`w/…`) and optimizer state (`o/…`) as whole arrays, as any strategy does."""
        return {name: variable.numpy() for name, variable in state_of(training)}

    def restore(self, training: Any, arrays: dict[str, Any]) -> None:
        """Put arrays that `read` returned back, whoever did; what is left out stays as it is."""
        for name, variable in state_of(training):
            if (value := arrays.get(name)) is not None:
                variable.assign(value)

    def _function(self, training: Any, name: str, make: Callable[[], Any]) -> Any:
        key = (id(training), name)
        if key not in self._functions:
            self._functions[key] = training, make()  # while it is held, no other training gets its id
        return self._functions[key][1]


def state_of(training: Any) -> Iterator[tuple[str, Any]]:
    """Yield the names and variables of weights (`w/…`) and optimizer state (`o/…`), each whole."""
    for letter, variables in (("w", training.model.weights), ("o", training.optimizer.variables)):
        for index, variable in enumerate(wholes(variables)):
            yield f"{letter}/{index}", variable
