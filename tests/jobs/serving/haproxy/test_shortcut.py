"""Which requests go to our application at once, which Serve's way, and what Serve is told."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest
from ray.serve._private.common import RequestProtocol
from ray.serve._private.http_util import RequestIdMiddleware

from jobs.serving.haproxy import shortcut
from jobs.serving.haproxy.shortcut import Shortcut


class Hands:
    """Serve's count of requests in hand, as far as it is known."""

    def __init__(self) -> None:
        self.now, self.most = 0, 0

    def inc_num_ongoing_requests(self, request: Any) -> None:
        assert (request.protocol, request.is_direct_ingress) == (RequestProtocol.HTTP, True)
        self.now += 1
        self.most = max(self.most, self.now)

    def dec_num_ongoing_requests(self, request: Any) -> None:
        self.now -= 1


class Serve:
    """Serve's replica, as far as it is known."""

    def __init__(self, route: str | None) -> None:
        self._route_prefix, self._metrics_manager = route, Hands()
        self.seen: list[Any] = []

    async def answer(self, scope: Any, receive: Any, send: Any) -> None:
        self.seen.append((scope["type"], scope["path"]))


@pytest.fixture
def ours() -> Iterator[list[Any]]:
    """Answer from here; return what was asked: (path, root path)."""
    shortcut._counting.clear()
    seen: list[Any] = []

    async def answer(scope: Any, receive: Any, send: Any) -> None:
        seen.append((scope["path"], scope.get("root_path", "")))
        if scope["path"].endswith("/fails"):
            raise RuntimeError

    shortcut.answer_with(answer)
    yield seen
    shortcut._answering.clear()
    shortcut._counting.clear()


def ask(way: Shortcut, path: str, kind: str = "http", root: str = "") -> None:
    asyncio.run(way({"type": kind, "path": path, "headers": [], "root_path": root}, None, None))


def test_what_is_for_our_application_goes_there_and_is_counted(ours: list[Any]) -> None:
    serve = Serve("/")
    way = Shortcut(RequestIdMiddleware(serve.answer))
    ask(way, "/v1/classify")
    with pytest.raises(RuntimeError):
        ask(way, "/fails")
    assert ours == [("/v1/classify", ""), ("/fails", "")]
    assert (serve._metrics_manager.now, serve._metrics_manager.most) == (0, 1)
    ask(way, "/-/healthz")
    ask(way, "/v1/classify", "websocket")
    assert serve.seen == [("http", "/-/healthz"), ("websocket", "/v1/classify")]


def test_below_a_route_the_application_lies_where_serve_would_put_it(ours: list[Any]) -> None:
    serve = Serve("/digits")
    way = Shortcut(RequestIdMiddleware(serve.answer))
    for path in ("/digits", "/digits/v1/classify", "/digitsand/more", "/other"):
        ask(way, path)
    assert ours == [("/digits", "/digits"), ("/digits/v1/classify", "/digits")]
    assert serve.seen == [("http", "/digitsand/more"), ("http", "/other")]
    ask(way, "/behind/digits/v1/classify", root="/behind")
    assert ours[-1] == ("/behind/digits/v1/classify", "/behind/digits")


def test_a_serve_that_is_not_as_it_is_known_answers_itself(ours: list[Any]) -> None:
    serve = Serve("/")
    del serve._metrics_manager
    ask(Shortcut(RequestIdMiddleware(serve.answer)), "/v1/classify")

    async def proxy(scope: Any, receive: Any, send: Any) -> None:
        serve.seen.append("proxy")

    ask(Shortcut(RequestIdMiddleware(proxy)), "/v1/classify")
    no_route = Serve(None)
    ask(Shortcut(RequestIdMiddleware(no_route.answer)), "/v1/classify")
    assert serve.seen == [("http", "/v1/classify"), "proxy"]
    assert no_route.seen == [("http", "/v1/classify")]
    assert ours == []


def test_another_application_of_the_cluster_is_left_to_serve() -> None:
    serve = Serve("/")
    ask(Shortcut(RequestIdMiddleware(serve.answer)), "/v1/classify")
    assert serve.seen == [("http", "/v1/classify")]


def test_what_does_not_come_through_serve_is_counted_as_what_does(ours: list[Any]) -> None:
    with shortcut.in_hand():
        assert shortcut._counting == []  # nobody to tell
    serve = Serve("/")
    Shortcut(RequestIdMiddleware(serve.answer))
    with pytest.raises(RuntimeError), shortcut.in_hand(), shortcut.in_hand():
        raise RuntimeError
    assert (serve._metrics_manager.most, serve._metrics_manager.now) == (2, 0)
