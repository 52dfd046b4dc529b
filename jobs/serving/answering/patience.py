"""A limit on how long a coroutine may take, which costs nothing where it never waits: most answers do not."""

from __future__ import annotations

import asyncio
import types
from collections.abc import Coroutine, Generator
from typing import Any, TypeVar

T = TypeVar("T")


@types.coroutine
def within(seconds: float, work: Coroutine[Any, Any, T]) -> Generator[Any, Any, T]:
    """Return what `work` returns; TimeoutError once it has waited so long."""
    try:
        waits_for = work.send(None)
    except StopIteration as done:
        found: T = done.value
        return found
    return (yield from _limited(seconds, work, waits_for).__await__())


async def _limited(seconds: float, work: Coroutine[Any, Any, T], waits_for: Any) -> T:
    async with asyncio.timeout(seconds):
        return await _gone_on_with(work, waits_for)


@types.coroutine
def _gone_on_with(work: Coroutine[Any, Any, T], waits_for: Any) -> Generator[Any, Any, T]:
    """Run a coroutine that has begun, and waits, to its end."""
    try:
        while True:
            try:
                came = yield waits_for
            except BaseException as error:  # noqa: BLE001  it is the coroutine's: cancelled, timed out or closed
                waits_for = work.throw(error)
            else:
                waits_for = work.send(came)
    except StopIteration as done:
        found: T = done.value
        return found
