"""Removes a step's place from a store, unless a process works in it."""

from __future__ import annotations

import threading

from cluster.work import Stopped
from pipelines.commands.app import shown
from pipelines.console import say
from pipelines.store import Place


def forget(place: Place) -> bool:
    """Delete the place with all that is in it; False, and a line that says so, when another process works there."""
    at_once = threading.Event()
    at_once.set()
    try:
        place.lease.acquire(lambda text: say(f"kept: {shown(text).partition(';')[0]}"), at_once)
    except Stopped:
        return False
    try:
        place.folder.delete()
        place.log_path.unlink(missing_ok=True)  # of a store elsewhere, it lies here
    finally:
        place.lease.release()
    return True
