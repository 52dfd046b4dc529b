"""Removes a step's place from a store, unless a process works in it."""

from __future__ import annotations

from pipelines.commands.app import shown
from pipelines.console import say
from pipelines.store import Place


def forget(place: Place) -> bool:
    """Delete the place with all that is in it; False, and a line that says so, when another process works there."""
    if not place.lease.try_acquire():
        say(f"kept: {shown(place.folder)}: {place.lease.holder() or 'another process'} works here")
        return False
    try:
        place.folder.delete()
        place.log_path.unlink(missing_ok=True)  # of a store elsewhere, it lies here
    finally:
        place.lease.release()
    return True
