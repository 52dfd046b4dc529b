"""The way of a request through a replica that HAProxy speaks to: to our application at once, past Ray Serve's own work.

Serve makes ids, contexts, log records and latencies of its own for each request, which costs several times what our
application does with it. It acts on one of them alone: how many requests are in hand, by which it scales and drains.
That number it is told. Whatever is not for our application (health checks, routes, other applications) goes Serve's
way, and so does everything in a Serve whose insides are not those that are known.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator, MutableMapping
from contextlib import contextmanager
from typing import Any

from jobs.serving.haproxy.whole import whole

Scope = MutableMapping[str, Any]
Application = Callable[[Scope, Any, Any], Awaitable[None]]
OWN = "/-/"  # of Serve: health and routes
_answering: list[Application] = []  # this process's application: one or, where it is not ours, none
_counting: list[Callable[[int], None]] = []  # tells Serve how many more, or fewer, requests this process has in hand


def answer_with(application: Application) -> None:
    """Have this process's requests answered by `application` at once."""
    _answering[:] = [application]


@contextmanager
def in_hand() -> Iterator[None]:
    """Have Serve count a request that did not come through it, as long as the block lasts, where HAProxy is used."""
    for tell in _counting:
        tell(1)
    try:
        yield
    finally:
        for tell in _counting:
            tell(-1)


class Shortcut:
    """The outermost middleware of a replica's server; `app` is Serve's, behind the middleware that gives ids."""

    def __init__(self, app: Any) -> None:
        self._serves = app
        self._replica = known(app)
        self._counted = _counted() if self._replica is not None else None
        if self._replica is not None:
            _counting[:] = [self._tell]

    def _tell(self, more: int) -> None:
        hands = self._replica._metrics_manager
        act = hands.inc_num_ongoing_requests if more > 0 else hands.dec_num_ongoing_requests
        act(self._counted)

    async def __call__(self, scope: Scope, receive: Any, send: Any) -> None:
        """Pass a request on."""
        route = getattr(self._replica, "_route_prefix", None)  # a deployment may change it
        if not route or not _answering or not _is_below(scope, route):
            await self._serves(scope, receive, send)
            return
        assert self._replica is not None
        hands = self._replica._metrics_manager
        if route != "/":
            scope["root_path"] = scope.get("root_path", "") + route
        hands.inc_num_ongoing_requests(self._counted)
        try:
            await _answering[0](scope, receive, whole(send))
        finally:
            hands.dec_num_ongoing_requests(self._counted)


def known(app: Any) -> Any:
    """Return Serve's replica behind `app`; None where there is none, or where it is not as it is known."""
    replica = getattr(getattr(app, "_app", None), "__self__", None)
    manager = getattr(replica, "_metrics_manager", None)
    wanted = ("inc_num_ongoing_requests", "dec_num_ongoing_requests")
    if not hasattr(replica, "_route_prefix") or not all(callable(getattr(manager, name, None)) for name in wanted):
        return None
    return replica


def _counted() -> Any:
    """Return what Serve is to know of each request, the same of all."""
    from ray.serve._private.common import RequestMetadata, RequestProtocol

    return RequestMetadata(
        request_id="", internal_request_id="", _request_protocol=RequestProtocol.HTTP, is_direct_ingress=True
    )


def _is_below(scope: Scope, route: str) -> bool:
    """Say whether a request is for what lies below `route`; Serve's own paths are not."""
    if scope["type"] != "http":
        return False
    path: str = scope["path"]
    root = scope.get("root_path", "")
    if root:
        path = path[len(root) :]
    if path.startswith(OWN):
        return False
    return route == "/" or path == route or path.startswith(f"{route}/")
