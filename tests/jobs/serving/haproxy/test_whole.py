"""What uvicorn sends of an answer through the shortcut's `whole`: one packet, whatever the request."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from typing import Any

import pytest
import uvicorn

from jobs.serving.haproxy.whole import whole


async def echo(scope: Any, receive: Any, send: Any) -> None:
    """Answer with the body, in one piece."""
    sends, message = whole(send), await receive()
    body = b"" if scope["method"] == "HEAD" else b"got " + message["body"]
    headers = [(b"content-length", str(len(body)).encode())]
    await sends({"type": "http.response.start", "status": 200, "headers": headers})
    await sends({"type": "http.response.body", "body": body})


@pytest.fixture(scope="module", params=["uvloop", "asyncio"])
def port(request: pytest.FixtureRequest) -> Iterator[int]:
    server = uvicorn.Server(
        uvicorn.Config(echo, host="127.0.0.1", port=0, log_level="error", loop=request.param, lifespan="off")
    )
    thread = threading.Thread(target=server.run)
    thread.start()
    while not server.started:
        thread.join(0.01)
    yield server.servers[0].sockets[0].getsockname()[1]
    server.should_exit = True
    thread.join()


def test_an_answer_is_one_packet(port: int) -> None:
    with socket.create_connection(("127.0.0.1", port), timeout=30) as client:
        for number in range(200):
            body = f"number {number}".encode()
            client.sendall(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body))
            answer = client.recv(65536)
            assert answer.startswith(b"HTTP/1.1 200 OK\r\n")
            assert answer.endswith(b"\r\n\r\ngot " + body)


def test_other_forms_of_requests_are_answered_as_ever(port: int) -> None:
    with socket.create_connection(("127.0.0.1", port), timeout=30) as client:
        client.sendall(b"HEAD / HTTP/1.1\r\nHost: a\r\n\r\n")
        assert client.recv(65536).endswith(b"\r\n\r\n")
        client.sendall(b"POST / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n")
        assert client.recv(65536) == b"HTTP/1.1 100 Continue\r\n\r\n"
        client.sendall(b"hi")
        assert client.recv(65536).endswith(b"\r\n\r\ngot hi")
        client.sendall(b"GET / HTTP/1.1\r\nHost: a\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
        both = b""
        while piece := client.recv(65536):
            both += piece
        assert both.count(b"\r\n\r\ngot ") == 2


def test_what_is_no_uvicorn_sends_as_it_does() -> None:
    async def send(message: Any) -> None:
        pass

    assert whole(send) is send
