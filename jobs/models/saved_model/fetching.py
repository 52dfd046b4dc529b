"""Brings a SavedModel from where its handle says to a folder of ours, once its graph was looked over."""

from __future__ import annotations

import shutil
from pathlib import Path

from cluster.errors import RequestError
from cluster.folder import Folder
from jobs.models.saved_model.graph import check

WEB = ("https://", "http://")  # downloaded by tensorflow_hub itself


def keep(handle: str, target: Path) -> None:
    """Copy the SavedModel that `handle` names to `target`.

    A handle is a folder, a URI of one, or a web address that tensorflow_hub downloads. RequestError when nothing is
    there, it is no SavedModel, or its graph touches files or runs Python.
    """
    source = _downloaded(handle) if handle.startswith(WEB) else _fetched(handle)
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


def _downloaded(handle: str) -> Path:
    import tarfile

    import tensorflow_hub as hub

    try:
        return Path(hub.resolve(handle))
    except (OSError, RuntimeError, ValueError, tarfile.TarError) as error:
        remedy = "mend the handle, or download the module elsewhere and name its folder"
        raise RequestError(handle, f"could not be downloaded ({error})", remedy=remedy) from None
