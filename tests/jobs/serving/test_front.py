"""The cap before Serve's own proxy: a body that is too long is cut before it is gathered."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from jobs.serving.front import BodyCap, middlewares
from jobs.serving.haproxy.shortcut import Shortcut

CAP = 1_000


def asked(headers: dict[str, str], pieces: list[bytes]) -> tuple[int, bytes, int]:
    """Return the status and the body that are sent, and how many bytes reached what stands behind the cap."""
    sent: list[Any] = []
    left = list(pieces)
    reached = 0

    async def behind(scope: Any, receive: Any, send: Any) -> None:
        nonlocal reached
        more = True
        while more:
            message = await receive()
            reached += len(message.get("body", b""))
            more = message.get("more_body", False)
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"answered"})

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": left.pop(0), "more_body": bool(left)}

    async def send(message: Any) -> None:
        sent.append(message)

    scope = {"type": "http", "headers": [(name.encode(), value.encode()) for name, value in headers.items()]}
    asyncio.run(BodyCap(behind, CAP)(scope, receive, send))
    start, body = sent
    return start["status"], body["body"], reached


@pytest.mark.parametrize(
    ("headers", "pieces", "status", "most"),
    [
        ({"content-length": "1000"}, [b"x" * 1_000], 200, 1_000),
        ({"content-length": "1001"}, [b"x"], 413, 0),
        ({"content-length": "9" * 30}, [b"x"], 413, 0),
        ({"content-length": "5"}, [b"x" * 400] * 1_000, 413, 800),
        ({}, [b"x" * 400] * 1_000, 413, 800),
        ({}, [b"x" * 500] * 2, 200, 1_000),
    ],
)
def test_a_body_is_cut_at_the_cap(headers: dict[str, str], pieces: list[bytes], status: int, most: int) -> None:
    found = asked(headers, pieces)
    body = b"answered" if status == 200 else b'{"error": "the body is over 1000 bytes"}'
    assert found == (status, body, most)


def test_the_shortcut_alone_stands_before_replicas_that_are_spoken_to_directly(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("RAY_SERVE_ENABLE_HA_PROXY", raising=False)
    monkeypatch.setenv("ESPALIER_BODY_BYTES", "7")
    (one,) = middlewares()
    assert (one.cls, one.kwargs) == (BodyCap, {"cap": 7})
    monkeypatch.setenv("RAY_SERVE_ENABLE_HA_PROXY", "1")
    (one,) = middlewares()
    assert one.cls is Shortcut
