"""Brings a SavedModel from where its handle says to a folder of ours, once its graph was looked over."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path
from urllib.parse import urlsplit

from cluster.errors import RequestError
from cluster.folder import Folder
from jobs.models.saved_model.graph import check

WEB = ("https://", "http://")
LOOPBACK = ("localhost", "127.0.0.1", "::1")
CLEAR = "is not encrypted: what comes from there can be exchanged on its way"


def in_the_clear(address: str) -> bool:
    """Say whether what comes from the web address can be exchanged on its way."""
    parts = urlsplit(address)
    return parts.scheme != "https" and not (parts.scheme == "http" and parts.hostname in LOOPBACK)


def keep(handle: str, target: Path) -> None:
    """Copy the SavedModel that `handle` names to `target`.

    A handle is a folder, a URI of one, or a web address, which is asked each time. RequestError when nothing is there,
    it is no SavedModel, or its graph touches files or runs Python.
    """
    with tempfile.TemporaryDirectory() as fresh:  # which nobody else can put anything into
        if handle.startswith(WEB):
            from jobs.models.saved_model.downloading import download

            download(handle, source := Path(fresh) / "module")
        else:
            source = _fetched(handle)
        check(source, handle)
        shutil.rmtree(target, ignore_errors=True)  # an attempt that was killed may have begun it
        shutil.copytree(source, target)


def _fetched(handle: str) -> Path:
    try:
        path = Folder.parse(handle).fetch()
    except FileNotFoundError:
        raise _missing(handle) from None
    if not path.exists():
        raise _missing(handle)
    return path


def _missing(handle: str) -> RequestError:
    return RequestError(handle, "does not exist", "the folder of a SavedModel, or a TensorFlow Hub handle")
