"""Reads classification requests and writes their answers: which bodies are taken, and what is said of the others."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from typing import Any

from jobs.runtime.classifier import Raw, from_json

MOST_BYTES = 8 * 2**20
MOST_ITEMS = 64
IMAGE_TYPES = ("image/png", "image/jpeg", "image/bmp", "image/webp", "image/gif", "application/octet-stream")


class Refused(Exception):  # noqa: N818  the client is at fault
    """A request that is not answered: an HTTP status and the reason."""

    def __init__(self, status: int, reason: str) -> None:
        super().__init__(status, reason)
        self.status = status
        self.reason = reason


async def read_body(headers: Any, chunks: AsyncIterator[bytes]) -> bytes:
    """Return the body; Refused(413) as soon as it is, or says it is, over the cap."""
    stated = headers.get("content-length", "0")
    if stated.isdecimal() and int(stated) > MOST_BYTES:
        raise Refused(413, f"the body is over {MOST_BYTES} bytes")
    body = bytearray()
    async for chunk in chunks:
        body += chunk
        if len(body) > MOST_BYTES:
            raise Refused(413, f"the body is over {MOST_BYTES} bytes")
    return bytes(body)


def items_of(content_type: str, body: bytes) -> list[Raw]:
    """Return the texts or images of a request.

    JSON `{"text": …}`, `{"texts": […]}`, `{"image": …, "text": …}` with the image's file in base64, or the bytes of
    one image. Forms (`multipart/form-data`) are not taken: they would need a parser of their own in every replica.
    """
    kind = content_type.split(";")[0].strip().lower()
    if kind in IMAGE_TYPES:
        return [body]
    if kind not in ("application/json", ""):
        raise Refused(415, f"{kind} is neither application/json nor an image")
    try:
        document = json.loads(body)
    except (ValueError, RecursionError):
        raise Refused(400, "the body is not JSON") from None
    if not isinstance(document, dict) or set(document) not in ({"text"}, {"texts"}, {"image", "text"}):
        raise Refused(422, 'the body is none of {"text": …}, {"texts": […]} and {"image": …, "text": …}')
    if "image" in document:
        return [_pair(document)]
    texts = document.get("texts", [document.get("text")])
    if not isinstance(texts, list) or not texts or not all(isinstance(text, str) for text in texts):
        raise Refused(422, "a text is not a string, or there is none")
    if len(texts) > MOST_ITEMS:
        raise Refused(422, f"{len(texts)} texts in one request, at most {MOST_ITEMS}")
    return list(texts)


def _pair(document: dict[str, Any]) -> Raw:
    if not all(isinstance(value, str) for value in document.values()):
        raise Refused(422, "the image or the text is not a string")
    try:
        return from_json(document)
    except ValueError:
        raise Refused(422, "the image is not in base64") from None
