"""What stands before Serve's own HTTP proxy, which reads a request whole before a replica sees any of it: a cap.

`RAY_SERVE_HTTP_PROXY_CALLBACK_IMPORT_PATH` names `middlewares`. Where clients speak to replicas themselves (direct
ingress, behind HAProxy), the replica's guard does this work, and what stands here is the shortcut to it.
"""

from __future__ import annotations

import os
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from jobs.serving.haproxy.shortcut import Shortcut
from jobs.serving.limits import DROPPED, MOST_BYTES

CALLBACK = "RAY_SERVE_HTTP_PROXY_CALLBACK_IMPORT_PATH"
CAP = "ESPALIER_BODY_BYTES"
DIRECT = ("RAY_SERVE_ENABLE_HA_PROXY", "RAY_SERVE_ENABLE_DIRECT_INGRESS")
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]


def variables(cap: int) -> dict[str, str]:
    """Return the variables of Serve's processes that put the cap in place."""
    return {CALLBACK: f"{__name__}:middlewares", CAP: str(cap)}


def middlewares() -> list[Any]:
    """Return what Serve puts before its proxy, and before each replica that is spoken to directly."""
    from starlette.middleware import Middleware

    if any(os.environ.get(name) == "1" for name in DIRECT):
        return [Middleware(Shortcut)]
    return [Middleware(BodyCap, cap=int(os.environ.get(CAP, MOST_BYTES)))]


class BodyCap:
    """Answers 413 as soon as a body is, or says it is, over the cap; what stands behind sees the client leave."""

    def __init__(self, app: Callable[[Any, Receive, Send], Awaitable[None]], cap: int) -> None:
        self.app, self.cap = app, cap

    async def __call__(self, scope: Any, receive: Receive, send: Send) -> None:
        """Pass a request on, as far as it is not over the cap."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        stated = dict(scope["headers"]).get(b"content-length", b"")
        if stated.isdigit() and int(stated[:20]) > self.cap:
            if int(stated[:20]) <= DROPPED:
                while (await receive()).get("more_body", False):
                    pass  # nothing of it is kept
            await self._refuse(send)
            return
        size, refused, begun = 0, False, False

        async def counted() -> Message:
            nonlocal size, refused
            if refused:
                return {"type": "http.disconnect"}
            message = await receive()
            size += len(message.get("body", b""))
            if size > self.cap and not begun:
                refused = True
                await self._refuse(send)
                return {"type": "http.disconnect"}
            return message

        async def passed(message: Message) -> None:
            nonlocal begun
            if not refused:
                begun = True
                await send(message)

        await self.app(scope, counted, passed)

    async def _refuse(self, send: Send) -> None:
        body = b'{"error": "the body is over %d bytes"}' % self.cap
        headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
        await send({"type": "http.response.start", "status": 413, "headers": [*headers, (b"connection", b"close")]})
        await send({"type": "http.response.body", "body": body})
