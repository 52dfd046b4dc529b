"""A request and a response as the application handles them: less than a framework's, and as quick as they can be."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, MutableMapping
from dataclasses import dataclass, field
from typing import Any

from jobs.serving.answering.guard import Guard
from jobs.serving.limits import DROPPED
from jobs.serving.refused import Refused

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
ENCODER = json.JSONEncoder(ensure_ascii=False, allow_nan=False)  # `json.dumps` makes one a call


@dataclass(slots=True)
class Request:
    """One HTTP request: `path` is relative to the application, `headers` are by lower-case name."""

    method: str
    path: str
    headers: dict[bytes, bytes]
    peer: str | None
    receive: Receive
    root: str = ""  # the path the application lies under
    id: str = ""
    key: str = ""
    rows: int = 0  # what it turned out to hold, for those who observe
    model: str = ""  # what was named; empty: the application's own
    version: str = ""  # what answered
    route: str = ""
    read: bool = False  # whether its body was read whole

    def header(self, name: bytes) -> str:
        """Return a header's value, empty where there is none."""
        return self.headers.get(name, b"").decode("latin-1")

    async def body(self, guard: Guard) -> bytes:
        """Return the body, decompressed; Refused(413) as soon as it is, or says it is, over the cap."""
        cap = guard.limits.body_bytes
        stated = self.header(b"content-length")
        if stated.isdecimal() and int(stated[:20]) > cap:
            if int(stated[:20]) <= DROPPED:
                await drop(self.receive)
                self.read = True
            raise Refused(413, f"the body is over {cap} bytes")
        pieces = bytearray()
        more = True
        while more:
            message = await self.receive()
            if message["type"] == "http.disconnect":
                raise Refused(400, "the body ended early")
            pieces += message.get("body", b"")
            if len(pieces) > cap:
                raise Refused(413, f"the body is over {cap} bytes")
            more = message.get("more_body", False)
        self.read = True
        return guard.decompressed(bytes(pieces), self.header(b"content-encoding").strip().lower())


async def drop(receive: Receive) -> None:
    """Read past a body, keeping nothing of it."""
    while (await receive()).get("more_body", False):
        pass


@dataclass(slots=True)
class Response:
    """What is sent: bytes of a type, with headers of its own."""

    status: int = 200
    body: bytes = b""
    kind: bytes = b"application/json"
    headers: list[tuple[bytes, bytes]] = field(default_factory=list)


def as_json(document: Any, status: int = 200) -> Response:
    """Return a document as a response."""
    return Response(status, ENCODER.encode(document).encode("utf-8", "replace"))


def refusal(refused: Refused) -> Response:
    """Return the response that says why nothing is answered."""
    response = as_json({"error": refused.reason}, refused.status)
    if refused.retry_after:
        response.headers.append((b"retry-after", str(refused.retry_after).encode()))
    if refused.status == 401:
        response.headers.append((b"www-authenticate", b"Bearer"))
    return response


async def respond(send: Send, request: Request, response: Response) -> None:
    """Send a response; the connection of a request that was not read whole is not used again."""
    headers = [
        (b"content-type", response.kind),
        (b"content-length", str(len(response.body)).encode()),
        (b"x-request-id", request.id.encode()),
        (b"x-content-type-options", b"nosniff"),
        *response.headers,
    ]
    if request.method not in ("GET", "HEAD") and not request.read:
        headers.append((b"connection", b"close"))
    await send({"type": "http.response.start", "status": response.status, "headers": headers})
    await send({"type": "http.response.body", "body": b"" if request.method == "HEAD" else response.body})
