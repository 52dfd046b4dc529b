"""An answer's head and body in one write. uvicorn writes the head at once, and then the body.

A replica that is killed between the two has begun an answer, which HAProxy cannot ask another replica for again.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]


class Held:
    """A transport that keeps an answer's head until its body is there."""

    def __init__(self, transport: Any) -> None:
        self._transport = transport
        self._head = b""
        self.holds = False

    def write(self, data: bytes) -> None:
        """Write, or keep what is the head."""
        if self.holds and not self._head:
            self._head = data
        else:
            self.flush(data)

    def flush(self, more: bytes = b"") -> None:
        """Write what is kept, and `more` behind it."""
        whole, self._head, self.holds = self._head + more, b"", False
        if whole:
            self._transport.write(whole)

    def close(self) -> None:
        """Close, once all is written."""
        self.flush()
        self._transport.close()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)


def whole(send: Send) -> Send:
    """Return what sends as `send` does, an answer at once; where uvicorn is not as it is known, `send` itself."""
    cycle = getattr(send, "__self__", None)
    transport = getattr(cycle, "transport", None)
    if cycle is None or not callable(getattr(transport, "write", None)):
        return send
    cycle.transport = held = Held(transport)

    async def sent(message: MutableMapping[str, Any]) -> None:
        if message["type"] == "http.response.start":
            held.holds = True
            await send(message)
        else:
            await send(message)
            held.flush()

    return sent
