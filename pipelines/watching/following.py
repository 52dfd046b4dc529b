"""Lets others follow a run beside the screen: what goes wrong in one of them is told once, and the run goes on."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from contextlib import ExitStack
from types import TracebackType
from typing import Any, Protocol, Self

from pipelines.runner import Listen


class Follower(Protocol):
    """Is told what happens to steps, in a block as long as the run; called from several threads."""

    def __call__(self, step: str, state: str, details: dict[str, Any]) -> None:
        """Take what happened to `step`: its state, or ("event") what it told."""

    def __enter__(self) -> Self: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...


class Followed:
    """Passes everything on to the screen, and then to each follower until one fails."""

    def __init__(self, listen: Listen, followers: Sequence[Follower]) -> None:
        self._listen = listen
        self._followers = list(followers)
        self._stack = ExitStack()

    def __enter__(self) -> Self:
        for follower in self._followers:
            self._stack.enter_context(follower)
        return self

    def __exit__(self, *error: object) -> None:
        self._stack.close()

    def __call__(self, step: str, state: str, details: dict[str, Any]) -> None:
        """Pass it on."""
        self._listen(step, state, details)
        for follower in list(self._followers):
            try:
                follower(step, state, details)
            except Exception as error:  # noqa: BLE001  whoever follows may fail in any way
                self._followers.remove(follower)
                name = type(follower).__name__
                print(f"warning: {name} is told no more of this run: {type(error).__name__}: {error}", file=sys.stderr)
