"""Who may ask, and how many at once: the one door of a replica, for HTTP and gRPC alike.

It holds on the replica's own ports, whatever stands before them. Without keys only this machine is let in.
"""

from __future__ import annotations

import ipaddress
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache

from jobs.serving.keys import KeyRing
from jobs.serving.limits import Limits
from jobs.serving.refused import Refused

ENCODINGS = {"gzip": 31, "deflate": 47}  # zlib's window bits: a gzip header; any header


class Guard:
    """Counts the requests in hand and asks each for its key; `own` are addresses of this machine."""

    def __init__(self, limits: Limits, keys: KeyRing, own: frozenset[str] = frozenset()) -> None:
        self.limits = limits
        self.keys = keys
        self.in_hand = 0
        self._own = own

    @contextmanager
    def admitted(self, authorization: bytes | None, peer: str | None) -> Iterator[str]:
        """Count a request as in hand, and yield the name of its key; Refused when it is not let in."""
        name = self.enter(authorization, peer)
        try:
            yield name
        finally:
            self.leave()

    def enter(self, authorization: bytes | None, peer: str | None) -> str:
        """Count a request as in hand until it is to `leave`; return its key's name, or Refused."""
        name = self.known(authorization, peer)
        if self.in_hand >= self.limits.requests:
            raise Refused(429, f"{self.limits.requests} requests are in hand already", 1)
        self.in_hand += 1
        return name

    def leave(self) -> None:
        """Count a request that entered as answered."""
        self.in_hand -= 1

    def known(self, authorization: bytes | None, peer: str | None, take: bool = True) -> str:
        """Return the name of the key; Refused(401) without one, 403 where there are no keys and another asks.

        Unless the request is to `take` of the key's rate, it is only looked at.
        """
        if not self.keys and not self._local(peer):
            raise Refused(403, "without keys only this machine is answered")
        return self.keys.whose(authorization, take)

    def _local(self, peer: str | None) -> bool:
        return not peer or peer in self._own or is_loopback(peer)  # none: a socket of this machine's file system

    def decompressed(self, body: bytes, encoding: str) -> bytes:
        """Return a body without its `Content-Encoding`; Refused(413) as soon as it grows over the cap."""
        if encoding in ("", "identity"):
            return body
        if encoding not in ENCODINGS:
            raise Refused(415, f"the encoding {encoding[:20]} is not known")
        cap = self.limits.body_bytes
        reader = zlib.decompressobj(ENCODINGS[encoding])
        try:
            whole = reader.decompress(body, cap + 1)
        except zlib.error:
            raise Refused(400, f"the body is not {encoding}") from None
        if len(whole) > cap:
            raise Refused(413, f"the body is over {cap} bytes")
        if not reader.eof:
            raise Refused(400, f"the body is not {encoding}")
        return whole


@lru_cache(maxsize=1024)
def is_loopback(peer: str) -> bool:
    """Say whether an address is this machine's own."""
    try:
        address = ipaddress.ip_address(peer)
    except ValueError:
        return False
    mapped = getattr(address, "ipv4_mapped", None)
    return (mapped or address).is_loopback
