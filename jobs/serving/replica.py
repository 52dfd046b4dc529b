"""A replica of the Serve application: loads a Model artifact, checks its file, and answers requests."""

from __future__ import annotations

import asyncio
import hashlib
import os
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse

from cluster.errors import EspalierError, StepError
from cluster.folder import Folder
from jobs.artifacts import Model
from jobs.data.rows import BadRow
from jobs.runtime.classifier import Classifier
from jobs.serving.http import Refused, items_of, read_body


class Replica:
    """Answers `POST /v1/classify`, `GET /v1/model` and `GET /health`."""

    def __init__(self, name: str, folder: str, sha256: str, reject_below: float | None = None) -> None:
        place = Folder.parse(folder)
        model = Model.load(place)
        path = place.fetch()
        found = hashlib.sha256((path / model.served).read_bytes()).hexdigest()
        if found != sha256:
            raise StepError(f"{place}/{model.served}", f"has SHA-256 {found[:12]}…", f"{sha256[:12]}…")
        self.name, self.sha256 = name, sha256
        self.classifier = Classifier(model, path, reject_below=reject_below)

    async def __call__(self, request: Request) -> JSONResponse:
        """Answer one request."""
        try:
            return await self._answer(request)
        except Refused as refusal:
            return JSONResponse({"error": refusal.reason}, refusal.status)
        except (BadRow, EspalierError) as error:
            return JSONResponse({"error": str(error)}, 422)

    async def _answer(self, request: Request) -> JSONResponse:
        place = (request.method, request.url.path.removeprefix(request.scope.get("root_path", "")))
        if place == ("GET", "/health"):
            return JSONResponse({"status": "ok"})
        if place == ("GET", "/v1/model"):
            return JSONResponse(self.card())
        if place != ("POST", "/v1/classify"):
            raise Refused(404, "ask POST /v1/classify, GET /v1/model or GET /health")
        body = await read_body(request.headers, request.stream())
        items = items_of(request.headers.get("content-type", ""), body)
        predictions = await asyncio.to_thread(self.classifier.classify, items)
        return JSONResponse({"model": self.name, "version": self.sha256[:12], "predictions": predictions})

    def card(self) -> dict[str, Any]:
        """Return what is known of the model that answers, and the process it answers in."""
        model = self.classifier.model
        facts = model.model_dump(
            mode="json", include={"classes", "preprocess", "chain", "parameters", "size_bytes", "temperature"}
        )
        facts["reject_below"] = self.classifier.reject_below
        return {"model": self.name, "version": self.sha256[:12], "process": os.getpid(), **facts}
