"""Keys that requests carry: kept as hashes, compared in constant time, each with a name and perhaps a rate.

A key is a random token of 43 characters or a secret of at least 24, so that its SHA-256 tells nothing of it. A file of
keys holds, a line each, `NAME HASH` or `NAME HASH REQUESTS_PER_SECOND`; `espalier key NAME` makes such a line.
"""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated

from pydantic import Field

from cluster.errors import RequestError
from jobs.serving.refused import Refused
from jobs.spec import Secret, Spec

SHORTEST = 24  # characters of a secret that people choose
NAME = r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,62}$"
SCHEME = b"bearer "


class Key(Spec):
    """A key whose secret is in the environment of whoever deploys."""

    name: Annotated[str, Field(pattern=NAME)]
    secret: Annotated[Secret, Field(description="${env.NAME}: at least 24 characters")]
    requests_per_second: Annotated[float | None, Field(gt=0, description="Of each replica; none: no limit")] = None


class HashedKey(Spec):
    """A key as it is kept: its name, the SHA-256 of its secret, and its rate."""

    name: Annotated[str, Field(pattern=NAME)]
    sha256: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
    requests_per_second: Annotated[float | None, Field(gt=0)] = None


def hashed(secret: str) -> str:
    """Return what is kept of a secret."""
    return hashlib.sha256(secret.encode()).hexdigest()


def new_key(name: str) -> tuple[str, HashedKey]:
    """Return a new random secret, which nobody else knows, and what is kept of it."""
    secret = secrets.token_urlsafe(32)
    return secret, HashedKey(name=name, sha256=hashed(secret))


def hashed_key(key: Key) -> HashedKey:
    """Return what is kept of `key`; RequestError when its secret is not set or too short to be one."""
    try:
        secret = key.secret.value()
    except KeyError as missing:
        raise RequestError(f"key {key.name}", f"{missing.args[0]} is not set in the environment") from None
    if len(secret) < SHORTEST:
        raise RequestError(f"key {key.name}", f"has {len(secret)} characters", f"at least {SHORTEST}")
    return HashedKey(name=key.name, sha256=hashed(secret), requests_per_second=key.requests_per_second)


def read_keys(path: Path) -> list[HashedKey]:
    """Return the keys a file holds; RequestError, which never repeats a line, for what is no line of keys."""
    found = []
    try:
        lines = path.read_text().splitlines()
    except (OSError, ValueError) as error:
        raise RequestError(str(path), f"cannot be read ({type(error).__name__})", "a file of keys") from None
    for number, line in enumerate(lines, 1):
        parts = line.split("#")[0].split()
        if not parts:
            continue
        rate = parts[2] if len(parts) == 3 else None
        if len(parts) not in (2, 3) or not re.fullmatch(r"[0-9a-f]{64}", parts[1]) or not re.match(NAME, parts[0]):
            raise RequestError(f"{path}:{number}", "is no key", "NAME HASH [REQUESTS_PER_SECOND]")
        try:
            per_second = None if rate is None else float(rate)
            found.append(HashedKey(name=parts[0], sha256=parts[1], requests_per_second=per_second))
        except ValueError:
            raise RequestError(f"{path}:{number}", "has no rate", "requests a second, above 0") from None
    if not found:
        raise RequestError(str(path), "holds no key", "a line from `espalier key NAME`")
    return found


class KeyRing:
    """Tells whose key a request carries, and holds each to its rate; empty, it lets everybody in as `anonymous`."""

    def __init__(self, keys: Iterable[HashedKey]) -> None:
        self._keys = [(bytes.fromhex(key.sha256), key.name, _bucket(key)) for key in keys]

    def __bool__(self) -> bool:
        return bool(self._keys)

    def whose(self, authorization: bytes | None, take: bool = True) -> str:
        """Return the name of the key in an Authorization header; Refused(401) without one, 429 over its rate."""
        if not self._keys:
            return "anonymous"
        given = authorization or b""
        if given[: len(SCHEME)].lower() != SCHEME:
            raise Refused(401, "a key is needed: Authorization: Bearer KEY")
        digest = hashlib.sha256(given[len(SCHEME) :].strip()).digest()
        found = [(name, bucket) for kept, name, bucket in self._keys if hmac.compare_digest(kept, digest)]
        if not found:
            raise Refused(401, "the key is not known")
        name, bucket = found[0]
        if bucket is not None and take:
            bucket.take()
        return name


class Bucket:
    """A token bucket: `rate` requests a second, and as many saved up, at least one."""

    def __init__(self, rate: float) -> None:
        self.rate = rate
        self._most = max(1.0, rate)
        self._left, self._at = self._most, time.monotonic()

    def take(self) -> None:
        """Take a token; Refused(429) when there is none."""
        now = time.monotonic()
        self._left = min(self._most, self._left + (now - self._at) * self.rate)
        self._at = now
        if self._left < 1:
            seconds = int((1 - self._left) / self.rate) + 1
            raise Refused(429, f"the key's rate is {self.rate:g} requests a second", seconds)
        self._left -= 1


def _bucket(key: HashedKey) -> Bucket | None:
    return None if key.requests_per_second is None else Bucket(key.requests_per_second)
