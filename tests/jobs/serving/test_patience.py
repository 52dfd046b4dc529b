"""A limit that is only set once a coroutine waits."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from jobs.serving.answering.patience import within


async def asks(future: asyncio.Future[int], seen: list[str]) -> int:
    """Wait for numbers from elsewhere, and say what ended it."""
    try:
        await asyncio.sleep(0)
        return 1 + await future + await asyncio.to_thread(lambda: 10)
    except ValueError:
        return 100
    except BaseException as error:
        seen.append(type(error).__name__)
        raise


def test_what_never_waits_is_returned_or_raised_without_a_timer() -> None:
    async def quick(number: int) -> int:
        return 10 // number

    async def both() -> int:
        with pytest.raises(ZeroDivisionError):
            await within(0.0, quick(0))
        return await within(0.0, quick(2))

    assert asyncio.run(both()) == 5


@pytest.mark.parametrize(("result", "wanted"), [(5, 16), (ValueError(), 100)])
def test_what_waits_gets_what_it_waits_for(result: Any, wanted: int) -> None:
    async def waiting() -> int:
        future = asyncio.get_running_loop().create_future()
        act = future.set_exception if isinstance(result, Exception) else future.set_result
        asyncio.get_running_loop().call_later(0.01, act, result)
        return await within(60, asks(future, []))

    assert asyncio.run(waiting()) == wanted


def test_what_waits_too_long_is_ended() -> None:
    seen: list[str] = []

    async def waiting() -> None:
        with pytest.raises(TimeoutError):
            await within(0.01, asks(asyncio.get_running_loop().create_future(), seen))
        await asyncio.sleep(0)  # and the task goes on

    asyncio.run(waiting())
    assert seen == ["CancelledError"]


def test_who_waits_may_be_cancelled() -> None:
    seen: list[str] = []

    async def cancelled() -> None:
        task = asyncio.ensure_future(within(60, asks(asyncio.get_running_loop().create_future(), seen)))
        await asyncio.sleep(0.01)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(cancelled())
    assert seen == ["CancelledError"]
