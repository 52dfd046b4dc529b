"""Whether every machine reads and writes the store, and whether it is the same store everywhere."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from contextlib import suppress

from cluster.doctor.check import Check, Finding, Seen
from cluster.folder import Folder


class Store(Check):
    """Writes a small file beside the artifacts, reads it back, and reads the one that the driver wrote."""

    name = "store"

    def __init__(self, store: str) -> None:
        folder = Folder.parse(store)
        self.store = str(folder.path.absolute()) if folder.is_local else store
        self.token = uuid.uuid4().hex
        self.made = False

    @property
    def _folder(self) -> Folder:
        return Folder.parse(self.store) / f"doctor-{self.token}"

    def prepare(self) -> None:
        """Write what nodes look for; that it cannot be written is found by looking."""
        with suppress(Exception):
            self.made = not Folder.parse(self.store).exists()
            self._folder.write_bytes("driver", self.token.encode())

    def look(self) -> dict[str, object]:
        """Return whether a file can be written and read, and whether the driver's is seen."""
        name = uuid.uuid4().hex
        try:
            self._folder.write_bytes(name, b"here")
            written = self._folder.read_bytes(name) == b"here"
        except Exception as error:  # noqa: BLE001  file systems and clouds fail in any way
            return {"why": " ".join(str(error).split())[:300] or type(error).__name__}
        try:
            same = self._folder.read_bytes("driver") == self.token.encode()
        except FileNotFoundError:
            same = False
        return {"written": written, "same": same}

    def judge(self, seen: Seen, here: Seen) -> Iterator[Finding]:
        """Judge access, and that nodes see what the driver wrote."""
        if why := seen.facts.get("why"):
            yield self.error(seen, f"{self.store} cannot be written: {why}", "give the machine access, or name another")
        elif not seen.facts["written"]:
            yield self.error(seen, f"{self.store} gives back other bytes than were written", "use another store")
        elif not seen.facts["same"]:
            remedy = "name a folder that all machines mount, or s3://… or gs://…, with --store"
            yield self.error(seen, f"{self.store} is another folder there than here", remedy)
        else:
            yield self.ok(seen, f"{self.store} is read and written")

    def tidy(self) -> None:
        """Remove what was written."""
        with suppress(Exception):
            self._folder.delete()
            root = Folder.parse(self.store)
            if self.made and root.is_local:
                root.path.rmdir()
