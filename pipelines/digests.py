"""SHA-256 of files and folders, remembered by place, size and time so that unchanged files are not read again.

The memo is a cache and nothing more: a damaged one is ignored, one that cannot be saved costs time only.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import threading
import time
from pathlib import Path
from typing import Any

from cluster.errors import RequestError
from cluster.folder import FileFacts, Folder

log = logging.getLogger(__name__)

NAME = ".digests.json"
SETTLED_NS = 2_000_000_000
ABANDONED = 60.0

Entry = list[Any]  # size, mtime_ns, sha256: a list, as JSON has it


class Memo:
    """Remembers the SHA-256 of files for the store at `root`; safe to use from several threads."""

    def __init__(self, root: Folder) -> None:
        self._home = root if root.is_local else cache_of(root)
        self._known: dict[str, dict[str, Entry]] | None = None
        self._changed = False
        self._lock = threading.RLock()

    def file(self, where: Folder | Path | str, name: str) -> str:
        """Return the SHA-256 of the file `name` in a folder; FileNotFoundError when it is missing."""
        folder = _folder(where)
        facts = folder.facts(name)
        if facts is None:
            raise FileNotFoundError(f"{folder}/{name}")
        return self.known_file(folder, name, facts)

    def known_file(self, folder: Folder, name: str, facts: FileFacts) -> str:
        """Return the SHA-256 of a file whose facts the caller has just read."""
        remembered = self._entries(folder).get(name)
        if remembered is not None and (remembered[0], remembered[1]) == facts:
            return str(remembered[2])
        before = time.time_ns()
        digest = folder.sha256(name)
        # A file changed twice within one tick of the clock keeps its time: only a settled time tells contents apart.
        if before - facts.mtime_ns > SETTLED_NS:
            with self._lock:
                self._entries(folder)[name] = [*facts, digest]
                self._changed = True
        return digest

    def digest(self, thing: Folder | Path | str) -> str:
        """Return the SHA-256 of a file, or one over a folder's relative names and contents; RequestError if missing."""
        place = _folder(thing)
        home = place.parent
        facts = home.facts(place.name) if place.name else None
        if facts is not None:
            digest = self.known_file(home, place.name, facts)
        elif place.exists():
            digest = self._folder_digest(place)
        else:
            raise RequestError(str(place), "does not exist", "a file or a folder")
        self.save()
        return digest

    def save(self) -> None:
        """Write what was learnt since the last time, atomically."""
        with self._lock:
            if not self._changed:
                return
            self._changed = False
            known = {where: entries for where, entries in self._load().items() if _may_exist(where)}
            document = json.dumps(known, separators=(",", ":")).encode()
        try:
            self._home.sweep(older_than=ABANDONED)
            self._home.write_bytes(NAME, document)
        except OSError as error:
            # A store that may only be read can still be planned against; it is merely read again next time.
            log.debug("%s/%s was not saved: %s", self._home, NAME, error)

    def _folder_digest(self, folder: Folder) -> str:
        files = folder.files()
        whole = hashlib.sha256()
        for name, facts in files.items():
            whole.update(f"{self.known_file(folder, name, facts)} {name}\0".encode("utf-8", "surrogateescape"))
        entries = self._entries(folder)
        with self._lock:
            for gone in entries.keys() - files.keys():
                del entries[gone]
        return whole.hexdigest()

    def _entries(self, folder: Folder) -> dict[str, Entry]:
        with self._lock:
            return self._load().setdefault(str(folder), {})

    def _load(self) -> dict[str, dict[str, Entry]]:
        if self._known is None:
            try:
                self._known = _checked(json.loads(self._home.read_bytes(NAME)))
            except (OSError, ValueError):
                self._known = {}
        return self._known


def _checked(document: Any) -> dict[str, dict[str, Entry]]:
    """Return the document as the memo's; ValueError when it is something else."""
    if not isinstance(document, dict):
        raise ValueError("not a mapping of folders")  # noqa: TRY004 - damage, not a programmer's mistake
    for where, entries in document.items():
        sound = isinstance(entries, dict) and all(isinstance(e, list) and len(e) == 3 for e in entries.values())
        if not sound or not all(isinstance(sha256, str) for _, _, sha256 in entries.values()):
            raise ValueError(f"not the entries of {where}")
    return document


def _folder(thing: Folder | Path | str) -> Folder:
    return thing if isinstance(thing, Folder) else Folder.parse(str(thing))


def _may_exist(where: str) -> bool:
    folder = Folder(where)
    return not folder.is_local or folder.exists()


def cache_of(root: Folder) -> Folder:
    """Return the folder of this user's cache that stands for a remote store."""
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    key = hashlib.sha256(str(root).encode()).hexdigest()[:16]
    return Folder.parse(str(base)).child("espalier", "stores", key)
