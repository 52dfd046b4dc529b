"""The hub that everything between the coordinator and its clients passes through.

Clients run the same work as the coordinator, each on its own rows. What only the coordinator can know (which epoch it
is, what validation rows showed, where a product lies) it writes into a numbered log, which every client reads entry by
entry: a client that is behind reads on where it was. All a client ever sends is an `Update`.
"""

from __future__ import annotations

import asyncio
from typing import Any

from jobs.strategies.federated.messages import Update


class Hub:
    """Holds the coordinator's log and the updates of the round; an actor whose methods all wait without blocking."""

    def __init__(self) -> None:
        self._log: list[tuple[str, Any]] = []
        self._updates: list[tuple[int, Update]] = []
        self._changed = asyncio.Condition()

    async def write(self, number: int, name: str, value: Any) -> None:
        """Write entry `number` of the log, the next one or, to let go of what it held, the last one."""
        async with self._changed:
            assert number in (len(self._log), len(self._log) - 1), f"entry {number} of {len(self._log)}"
            self._log[number:] = [(name, value)]
            self._changed.notify_all()

    async def entry(self, number: int) -> tuple[str, Any]:
        """Return entry `number` of the log, once it is written."""
        async with self._changed:
            await self._changed.wait_for(lambda: len(self._log) > number)
            return self._log[number]

    async def deliver(self, number: int, update: Update) -> None:
        """Take a client's update of round `number`."""
        async with self._changed:
            self._updates.append((number, update))
            self._changed.notify_all()

    async def updates(self, number: int, patience: float) -> list[Update]:
        """Return the updates of round `number` that came since the last call, after at most `patience` seconds."""
        async with self._changed:
            try:
                async with asyncio.timeout(patience):
                    await self._changed.wait_for(lambda: self._updates)
            except TimeoutError:
                return []
            found, self._updates = self._updates, []
            return [update for at, update in found if at == number]
