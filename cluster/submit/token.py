"""The token that a cluster's owner and its users share: where it is, and that nobody else may read it.

A cluster that this machine starts makes one by itself; at an address that is given, Ray presents it only when told to.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Mapping
from pathlib import Path

from cluster.errors import RequestError

MODE = "RAY_AUTH_MODE"
ITSELF = "RAY_AUTH_TOKEN"
AT = "RAY_AUTH_TOKEN_PATH"
OWN = Path(".ray/auth_token")  # below the home folder
PRIVATE = 0o600
OTHERS = stat.S_IRWXG | stat.S_IRWXO


def token_file(environ: Mapping[str, str] = os.environ) -> Path | None:
    """Return the file of the token; None when the environment holds the token itself, or there is no file."""
    if environ.get(ITSELF):
        return None
    if named := environ.get(AT):
        return Path(named).expanduser()
    path = Path(environ.get("HOME") or Path.home()) / OWN
    return path if path.is_file() else None


def find_token(environ: Mapping[str, str] = os.environ) -> str:
    """Return the token, empty when there is none; its file is closed to others.

    Raises RequestError when the file that the environment names cannot be read.
    """
    path = token_file(environ)
    if path is None:
        return environ.get(ITSELF, "").strip()
    try:
        text = path.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise RequestError(f"{AT} {path}", f"cannot be read ({error})", "the file of the cluster's token") from None
    close_to_others(path)
    return text


def is_open(path: Path) -> bool:
    """Say whether others than its owner may read or write the file."""
    return bool(path.stat().st_mode & OTHERS)


def close_to_others(path: Path) -> bool:
    """Let only the owner read the file; say whether that had to be done. Another user's file is left as it is."""
    if not is_open(path) or path.stat().st_uid != os.getuid():
        return False
    path.chmod(PRIVATE)
    return True


def present_token() -> None:
    """Have Ray present the token at addresses this process connects to, where it has one and was not told otherwise."""
    if find_token():
        os.environ.setdefault(MODE, "token")


def close_own_token() -> None:
    """Close the file that Ray made when it started a cluster here."""
    path = token_file()
    if path is not None and path.is_file():
        close_to_others(path)
