"""Who may ask an endpoint that a command starts or writes."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from cluster.errors import RequestError
from jobs.kinds.deploy import LOOPBACK

if TYPE_CHECKING:
    from jobs.serving.keys import HashedKey


def keys_for(host: str, keys_file: Path | None) -> list[HashedKey]:
    """Return the keys of a file, none without; RequestError where other machines reach `host` and there is no file."""
    from jobs.serving.keys import read_keys

    if host not in LOOPBACK and keys_file is None:
        raise RequestError(f"--host {host}", "is reached from other machines", remedy="give --keys-file")
    return [] if keys_file is None else read_keys(keys_file)
