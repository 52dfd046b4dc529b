"""Answers `inference.GRPCInferenceService` from a replica, behind the same guard as HTTP.

The server is the replica's own. Serve's would listen on every address of the machine and read messages of two
gigabytes before anybody is asked for a key. Here the address is the one asked for, and the message, which is of a
single call, is taken as a stream's first: it is read only once the guard has let the call in, and one that is over the
cap, as sent or decompressed, is not read to its end. Replicas on a node share the port (SO_REUSEPORT).
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from typing import Any
from urllib.parse import unquote

import grpc
import numpy as np
from google.protobuf.message import DecodeError

from jobs.serving.answering import open_inference
from jobs.serving.answering.app import App
from jobs.serving.answering.observing import Seen
from jobs.serving.answering.tensors import Inference, from_raw, from_values, infer, labels, packed
from jobs.serving.haproxy.shortcut import in_hand
from jobs.serving.refused import Refused
from jobs.serving.rpc.protocol import METHODS, SERVICE, messages
from jobs.serving.versions.roster import Roster

CODES = {
    400: grpc.StatusCode.INVALID_ARGUMENT,
    401: grpc.StatusCode.UNAUTHENTICATED,
    403: grpc.StatusCode.PERMISSION_DENIED,
    404: grpc.StatusCode.NOT_FOUND,
    408: grpc.StatusCode.DEADLINE_EXCEEDED,
    413: grpc.StatusCode.RESOURCE_EXHAUSTED,
    422: grpc.StatusCode.INVALID_ARGUMENT,
    429: grpc.StatusCode.RESOURCE_EXHAUSTED,
    503: grpc.StatusCode.UNAVAILABLE,
}
OPEN = ("ServerLive", "ServerReady")
CONTENTS = {
    "BOOL": "bool_contents",
    **dict.fromkeys(("INT8", "INT16", "INT32"), "int_contents"),
    "INT64": "int64_contents",
    **dict.fromkeys(("UINT8", "UINT16", "UINT32"), "uint_contents"),
    "UINT64": "uint64_contents",
    "FP32": "fp32_contents",
    "FP64": "fp64_contents",
    "BYTES": "bytes_contents",
}
FRAMING = 64 * 2**10  # bytes of a message beside its tensors
Method = Callable[[Any, dict[str, Any]], Awaitable[Any]]
log = logging.getLogger("ray.serve")


def authorization(metadata: Any) -> bytes | None:
    """Return the Authorization of a call's metadata."""
    return next((_bytes(value) for key, value in metadata or () if key == "authorization"), None)


def _bytes(value: str | bytes) -> bytes:
    return value.encode() if isinstance(value, str) else value


class Service:
    """The methods of the protocol, each of a message and a context."""

    def __init__(self, app: App) -> None:
        self.app, self._own = app, app.roster.plan.model
        self._messages = messages()

    def handlers(self) -> Any:
        """Return what a server takes."""
        found = {}
        for name in METHODS:
            found[name] = grpc.stream_unary_rpc_method_handler(  # of a unary one the message would be read at once
                self._guarded(name, getattr(self, name)),
                response_serializer=self._messages[f"{name}Response"].SerializeToString,
            )
        return grpc.method_handlers_generic_handler(SERVICE, found)

    def _guarded(self, name: str, answer: Method) -> Callable[[Any, Any], Awaitable[Any]]:
        async def guarded(requests: Any, context: Any) -> Any:
            begun = time.perf_counter()
            seen: dict[str, Any] = {"status": 200, "rows": 0, "version": "", "key": "", "model": self._own}
            with in_hand():
                found = await self._outcome(name, answer, context, seen)
            if isinstance(found, Refused):
                seen["status"] = found.status
            self.app.observe(Seen("grpc", name, seconds=time.perf_counter() - begun, request_id="", **seen))
            if not isinstance(found, Refused):
                return found
            if found.retry_after:
                context.set_trailing_metadata((("retry-after", str(found.retry_after)),))
            return await context.abort(CODES.get(found.status, grpc.StatusCode.INTERNAL), found.reason)

        return guarded

    async def _outcome(self, name: str, answer: Method, context: Any, seen: dict[str, Any]) -> Any:
        """Return the answer, or the Refused that says why there is none."""
        try:
            return await self._admitted(name, answer, context, seen)
        except Refused as refused:
            return refused
        except TimeoutError:
            return Refused(408, f"the request took longer than {self.app.guard.limits.seconds:g} s")
        except Exception:
            log.exception("call of %s failed", name)
            return Refused(500, "the model failed; its log says how")

    async def _admitted(self, name: str, answer: Method, context: Any, seen: dict[str, Any]) -> Any:
        if name in OPEN:
            return await answer(None, seen)  # there is nothing in its message
        given = authorization(context.invocation_metadata())
        with self.app.guard.admitted(given, peer(context.peer())) as seen["key"]:
            await asyncio.sleep(0)  # as of HTTP: calls that came together are in hand together
            async with asyncio.timeout(self.app.guard.limits.seconds):
                return await answer(await self._message(name, context), seen)

    async def _message(self, name: str, context: Any) -> Any:
        """Read the message of a call; Refused(400) when there is none, or none that is under the server's cap."""
        read = await context.read()
        if read is grpc.aio.EOF:
            raise Refused(400, "the call brings no message that is read")
        try:
            return self._messages[f"{name}Request"].FromString(read)
        except DecodeError:
            raise Refused(400, f"the message is no {name}Request") from None

    async def ServerLive(self, request: Any, seen: dict[str, Any]) -> Any:  # noqa: N802  the protocol's names
        """Say that the server lives."""
        return self._messages["ServerLiveResponse"](live=True)

    async def ServerReady(self, request: Any, seen: dict[str, Any]) -> Any:  # noqa: N802
        """Say whether a version is loaded."""
        self.app.roster.chosen()
        return self._messages["ServerReadyResponse"](ready=True)

    async def ModelReady(self, request: Any, seen: dict[str, Any]) -> Any:  # noqa: N802
        """Say whether a model's version is loaded."""
        self._named(request.name, seen).chosen(request.version)
        return self._messages["ModelReadyResponse"](ready=True)

    async def ServerMetadata(self, request: Any, seen: dict[str, Any]) -> Any:  # noqa: N802
        """Return the server's metadata."""
        return self._messages["ServerMetadataResponse"](**open_inference.server())

    async def ModelMetadata(self, request: Any, seen: dict[str, Any]) -> Any:  # noqa: N802
        """Return a model's metadata."""
        roster = self._named(request.name, seen)
        found = open_inference.metadata(request.name, roster.chosen(request.version), list(roster.versions))
        return self._messages["ModelMetadataResponse"](**found)

    async def ModelInfer(self, request: Any, seen: dict[str, Any]) -> Any:  # noqa: N802
        """Return a version's outputs, packed."""
        roster, asked = self._named(request.model_name, seen), self._read(request)
        version, outputs = await roster.answered(
            request.model_version, lambda version: infer(version, asked, self.app.predicted), labels
        )
        seen["version"], seen["rows"] = version.name, len(next(iter(outputs.values())))
        response = self._messages["ModelInferResponse"](
            model_name=request.model_name, model_version=version.name, id=request.id
        )
        for name, array in outputs.items():
            kind = "BYTES" if array.dtype == np.object_ else "FP32"
            response.outputs.add(name=name, datatype=kind, shape=array.shape)
            response.raw_output_contents.append(packed(array))
        return response

    def _named(self, name: str, seen: dict[str, Any]) -> Roster:
        if not name:
            raise Refused(404, "there is no model without a name")
        roster = self.app.models.named(name)
        seen["model"] = name
        return roster

    def _read(self, request: Any) -> Inference:
        """Return the inference a message asks for: tensors packed beside it, or in it."""
        raw, limits = list(request.raw_input_contents), self.app.guard.limits
        if raw and len(raw) != len(request.inputs):
            raise Refused(400, f"there are {len(raw)} raw inputs, but {len(request.inputs)} described")
        asked = Inference(request.id, outputs=[one.name for one in request.outputs])
        for index, given in enumerate(request.inputs):
            name, datatype, shape = given.name, given.datatype, list(given.shape)
            if name in asked.inputs:
                raise Refused(400, f"input {name[:64]} is given twice")
            if raw:
                asked.inputs[name] = from_raw(name, datatype, shape, raw[index], limits)
                continue
            if datatype not in CONTENTS:
                raise Refused(400, f"input {name[:64]} has a datatype that comes only as raw input: {datatype[:20]}")
            values = list(getattr(given.contents, CONTENTS[datatype]))
            asked.inputs[name] = from_values(name, datatype, shape, values, limits)
        return asked


def peer(text: str) -> str | None:
    """Return the address in a peer as gRPC writes it; None for a socket of this machine's file system."""
    kind, _, rest = unquote(text).partition(":")
    if kind == "unix":
        return None
    return rest.rpartition(":")[0].strip("[]") or "unknown"


async def listen(app: App, host: str, port: int) -> Any:
    """Start a server on `host`:`port` and return it; RuntimeError when the port is taken.

    Its cap of messages, which grpc holds decompressed ones to as well, is that of now as long as it runs.
    """
    largest = app.guard.limits.body_bytes + FRAMING
    options = [("grpc.max_receive_message_length", largest), ("grpc.so_reuseport", 1), ("grpc.max_metadata_size", 8192)]
    server = grpc.aio.server(options=options)
    server.add_generic_rpc_handlers([Service(app).handlers()])
    server.add_insecure_port(f"[{host}]:{port}" if ":" in host else f"{host}:{port}")
    await server.start()
    return server
