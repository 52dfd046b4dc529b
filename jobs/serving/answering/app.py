"""The application a replica answers HTTP with: which path is whose, the guard before all, and what is seen of it."""

from __future__ import annotations

import asyncio
import logging
import random
import re
import time
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any

from jobs.runtime.inputs import Inputs
from jobs.serving.answering import classify, open_inference
from jobs.serving.answering.guard import Guard
from jobs.serving.answering.messages import Receive, Request, Response, Scope, Send, as_json, refusal, respond
from jobs.serving.answering.observing import Observer, Seen
from jobs.serving.answering.openapi import document, page
from jobs.serving.answering.patience import within
from jobs.serving.answering.tensors import infer, labels
from jobs.serving.page import FILES, piece
from jobs.serving.refused import Refused
from jobs.serving.versions.models import Models
from jobs.serving.versions.version import Version

Handler = Callable[["App", Request], Coroutine[Any, Any, Response]]
MODEL = re.compile(r"/(v[12])/models/([^/]+)(?:/versions/([^/]+))?(?:/(ready|infer|classify))?")
IDENTITY = re.compile(rb"[A-Za-z0-9._:-]{1,64}")
FAILED = Refused(500, "the model failed; its log says how")
log = logging.getLogger("ray.serve")


class App:
    """An ASGI application. `routes` holds what answers a (method, path); those `open` need no key."""

    def __init__(self, models: Models, guard: Guard, observers: list[Observer] | None = None) -> None:
        self.models, self.roster, self.guard = models, models.own, guard
        self.observers: list[Observer] = [] if observers is None else observers
        self.routes: dict[tuple[str, str], Handler] = dict(ROUTES)
        self.open = set(OPEN)
        self.closing: list[Callable[[], Awaitable[None]]] = []  # what ends with the replica

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request; every failure has a status and a reason."""
        if scope["type"] == "lifespan":
            await self._live(receive, send)
            return
        if scope["type"] != "http":
            await send({"type": "websocket.close", "code": 1003})
            return
        begun = time.perf_counter()
        request = _request(scope, receive)
        response = await self._answered(request)
        await respond(send, request, response)
        if self.observers:
            route, seconds = request.route or "none", time.perf_counter() - begun
            model = request.model or self.roster.plan.model
            told = (response.status, seconds, request.rows, request.version, request.key, request.id, model)
            self.observe(Seen("http", route, *told))

    async def _live(self, receive: Receive, send: Send) -> None:
        while True:
            message = await receive()
            if message["type"] == "lifespan.shutdown":
                for close in self.closing:
                    await close()
            await send({"type": f"{message['type']}.complete"})
            if message["type"] == "lifespan.shutdown":
                return

    async def _answered(self, request: Request) -> Response:
        try:
            handler = self._known(request)
            if request.route in self.open:
                return await handler(self, request)
            request.key = self.guard.enter(request.headers.get(b"authorization"), request.peer)
            try:
                await asyncio.sleep(0)  # often the only pause: what came together is in hand together
                return await within(self.guard.limits.seconds, handler(self, request))
            finally:
                self.guard.leave()
        except Refused as refused:
            return refusal(refused)
        except TimeoutError:
            return refusal(Refused(408, f"the request took longer than {self.guard.limits.seconds:g} s"))
        except Exception:
            log.exception("request %s to %s failed", request.id, request.route)
            return refusal(FAILED)

    def _known(self, request: Request) -> Handler:
        """Return what answers the request; who has no key is not told what there is."""
        try:
            return self._handler(request)
        except Refused:
            self.guard.known(request.headers.get(b"authorization"), request.peer, take=False)
            raise

    def _handler(self, request: Request) -> Handler:
        """Return what answers the request; Refused(404 or 405)."""
        method = "GET" if request.method == "HEAD" else request.method
        found = self.routes.get((method, request.path))
        if found is not None:
            request.route = request.path
            return found
        place = MODEL.fullmatch(request.path)
        if place is None:
            if any(path == request.path for _, path in self.routes):
                raise Refused(405, f"{request.path} is not for {request.method[:16]}")
            raise Refused(404, "there is nothing here: see /docs")
        kind, name, version, act = place.groups()
        request.route = f"/{kind}/models/{{name}}{'/versions/{version}' if version else ''}{f'/{act}' if act else ''}"
        if method != ("POST" if act in ("infer", "classify") else "GET"):
            raise Refused(405, f"{request.route} is not for {request.method[:16]}")
        request.model = self.models.named(name).plan.model
        request.version = version or ""
        return ACTS.get((kind, act), _nothing)

    def predicted(self, version: str, rows: Inputs, probabilities: Any) -> None:
        """Let those who observe know what a version said of prepared rows."""
        for observer in self.observers:
            observer.predicted(version, rows, probabilities)

    def observe(self, seen: Seen) -> None:
        """Let those who observe know of a request."""
        for observer in self.observers:
            observer.seen(seen)


def _request(scope: Scope, receive: Receive) -> Request:
    root = scope.get("root_path", "")
    headers = dict(scope["headers"])
    client = scope.get("client")
    path, peer = scope["path"].removeprefix(root) or "/", client[0] if client else None
    request = Request(scope["method"], path, headers, peer, receive, root=root)
    given = headers.get(b"x-request-id", b"")
    request.id = given.decode() if IDENTITY.fullmatch(given) else f"{random.getrandbits(128):032x}"
    return request


async def _classify(app: App, request: Request) -> Response:
    body = await request.body(app.guard)
    question = classify.question_of(request.header(b"content-type"), body, app.guard.limits)
    request.rows = len(question.items)

    def ask(version: Version) -> Coroutine[Any, Any, list[dict[str, Any]]]:
        return classify.answer(version, question, app.predicted)

    roster = app.models.named(request.model)
    version, predictions = await roster.answered(request.version, ask, classify.labels)
    request.version = version.name
    return as_json({"model": roster.plan.model, "version": version.name, "predictions": predictions})


async def _infer(app: App, request: Request) -> Response:
    body = await request.body(app.guard)
    wanted = open_inference.read(body, request.header(open_inference.HEADER), app.guard.limits)
    roster = app.models.named(request.model)
    version, outputs = await roster.answered(
        request.version, lambda version: infer(version, wanted.asked, app.predicted), labels
    )
    request.version, request.rows = version.name, len(next(iter(outputs.values())))
    return open_inference.written(roster.plan.model, version, wanted, outputs)


async def _metadata(app: App, request: Request) -> Response:
    roster = app.models.named(request.model)
    return as_json(open_inference.metadata(roster.plan.model, roster.chosen(request.version), list(roster.versions)))


async def _model_ready(app: App, request: Request) -> Response:
    roster = app.models.named(request.model)
    roster.chosen(request.version)
    return as_json({"name": roster.plan.model, "ready": True})


async def _card(app: App, request: Request) -> Response:
    return as_json(app.models.named(request.model).card(request.version))


async def _server(app: App, request: Request) -> Response:
    return as_json(open_inference.server())


async def _live_now(app: App, request: Request) -> Response:
    return as_json({"live": True})


async def _ready(app: App, request: Request) -> Response:
    app.roster.chosen()
    return as_json({"ready": True})


async def _health(app: App, request: Request) -> Response:
    serving = app.roster.plan.serving()
    return as_json({"status": "ok", "version": serving.version if serving else None})


async def _openapi(app: App, request: Request) -> Response:
    return as_json(document(app.models.names(), app.guard))


async def _docs(app: App, request: Request) -> Response:
    return page(app.models.names(), app.guard)


async def _piece(app: App, request: Request) -> Response:
    body, kind, headers = piece(request.path, request.root)
    return Response(200, body, kind, headers)


async def _nothing(app: App, request: Request) -> Response:
    raise Refused(404, "there is nothing here: see /docs")


ROUTES: dict[tuple[str, str], Handler] = {
    ("POST", "/v1/classify"): _classify,
    ("GET", "/v1/model"): _card,
    ("GET", "/v2"): _server,
    ("GET", "/v2/health/live"): _live_now,
    ("GET", "/v2/health/ready"): _ready,
    ("GET", "/health"): _health,
    ("GET", "/openapi.json"): _openapi,
    ("GET", "/docs"): _docs,
    **{("GET", path): _piece for path in FILES},
}
ACTS: dict[tuple[str, str | None], Handler] = {
    ("v1", None): _card,
    ("v1", "classify"): _classify,
    ("v2", None): _metadata,
    ("v2", "ready"): _model_ready,
    ("v2", "infer"): _infer,
}
OPEN = ("/v2/health/live", "/v2/health/ready", "/health", "/openapi.json", "/docs", *FILES)
