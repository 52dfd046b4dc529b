"""How much one request, and all requests of a replica together, may ask for."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from jobs.spec import Spec

MOST_BYTES = 8 * 2**20
MOST_ITEMS = 64
DROPPED = 64 * 2**20  # bytes: a body that says it is over the cap, but not over this, is read past, so that its client,
# which sends before it reads, hears why it is refused


class Limits(Spec):
    """What a replica takes of one request, and how many requests it has in hand at once."""

    body_bytes: Annotated[
        int, Field(ge=1024, le=64 * 2**20, description="Of a body as sent, and again once decompressed")
    ] = MOST_BYTES
    items: Annotated[int, Field(ge=1, le=4096, description="Texts, images or rows in one request")] = MOST_ITEMS
    text_characters: Annotated[int, Field(ge=1, le=1_000_000, description="Of one text")] = 100_000
    seconds: Annotated[float, Field(gt=0, le=600, description="Until a request is given up (408)")] = 30.0
    requests: Annotated[
        int, Field(ge=1, le=10_000, description="In hand at once in a replica; more are told to come again (429)")
    ] = 256
