"""Where steps' artifacts lie: `<root>/<pipeline>/<step>-<fingerprint>/`, one folder an attempt, one record that counts.

The record is written last and names the attempt whose files are the artifact, with the size and SHA-256 of each. A
place without a record is not done, whatever lies in it; so a failure is never cached and two runs never mix files.
"""

from __future__ import annotations

import json
import logging
import re
import secrets
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any

from pydantic import AfterValidator, ValidationError

from cluster.errors import RequestError, StepError
from cluster.folder import FileFacts, Folder
from cluster.process import Process
from jobs.spec import Spec
from pipelines.digests import Memo, cache_of
from pipelines.lease import Lease

log = logging.getLogger(__name__)

FORMAT = 1
NAME = "record.json"
CHECKPOINTS = "checkpoints"
SHOWN = 12  # characters of a fingerprint in a folder's name

_NAME = re.compile(r"[a-z][a-z0-9_-]*")
_FINGERPRINT = re.compile(rf"[0-9a-f]{{{SHOWN},64}}")
_PLACE = re.compile(rf"(.+)-([0-9a-f]{{{SHOWN}}})")
_ATTEMPT = re.compile(r"\d{8}T\d{6}Z-[0-9a-f]{8}")


def _inside(name: str) -> str:
    if not name or name.startswith("/") or any(part in ("", ".", "..") for part in name.split("/")):
        raise ValueError(f"{name!r} is not a file inside the artifact")
    return name


def _attempt_id(name: str) -> str:
    if not _ATTEMPT.fullmatch(name):
        raise ValueError(f"{name!r} is not an attempt's id")
    return name


class FileSum(Spec):
    """A file's SHA-256 in hexadecimal and its size in bytes."""

    sha256: str
    size: int


class Made(Spec):
    """When (UTC, ISO 8601), where and with which versions and commit an artifact was made."""

    started: str
    finished: str
    versions: dict[str, str] = {}
    commit: str = ""
    host: str


class Record(Spec):
    """What a finished step left: its identity, the attempt that counts, and every file of the artifact."""

    format: int = FORMAT
    pipeline: str
    step: str
    fingerprint: str
    identity: dict[str, Any]
    attempt: Annotated[str, AfterValidator(_attempt_id)]
    type: str
    manifest: dict[Annotated[str, AfterValidator(_inside)], FileSum]
    made: Made


class Store:
    """The places of all steps below `root`, a local folder or one on an object store."""

    def __init__(self, root: Folder) -> None:
        self.root = root
        self.memo = Memo(root)

    def place(self, pipeline: str, step: str, fingerprint: str) -> Place:
        """Return where a step with this fingerprint has its artifact; nothing is created."""
        assert _NAME.fullmatch(pipeline), f"{pipeline!r} was validated as a pipeline's name"
        assert _NAME.fullmatch(step), f"{step!r} was validated as a step's name"
        assert _FINGERPRINT.fullmatch(fingerprint), f"{fingerprint!r} is not a fingerprint"
        return Place(self, pipeline, step, fingerprint)

    def places(self, pipeline: str | None = None) -> Iterator[Place]:
        """Yield every place, finished or not, in the order of the names; each with a shortened fingerprint."""
        for name in [pipeline] if pipeline is not None else self.root.names():
            if not _NAME.fullmatch(name):
                continue
            for place in self.root.child(name).names():
                if (match := _PLACE.fullmatch(place)) and _NAME.fullmatch(match[1]):
                    yield self.place(name, match[1], match[2])

    def records(self, pipeline: str | None = None) -> Iterator[tuple[Place, Record | None]]:
        """Yield every place with its record, None where no attempt has finished."""
        for place in self.places(pipeline):
            yield place, place.record()

    def latest(self, pipeline: str, step: str) -> Record | None:
        """Return the newest record of a step under any fingerprint, None when it never finished."""
        places = (place for place in self.places(pipeline) if place.step == step)
        found = [record for place in places if (record := place.record())]
        return max(found, key=lambda record: record.made.finished, default=None)


@dataclass(frozen=True)
class Place:
    """Where one step with one fingerprint has its attempts, its checkpoints, its log and its record."""

    store: Store = field(repr=False)
    pipeline: str
    step: str
    fingerprint: str

    @property
    def folder(self) -> Folder:
        """The folder of the place."""
        return self.store.root.child(self.pipeline, f"{self.step}-{self.fingerprint[:SHOWN]}")

    @property
    def checkpoints(self) -> Folder:
        """What outlives a failed attempt, for the next one to go on from."""
        return self.folder / CHECKPOINTS

    @property
    def log_path(self) -> Path:
        """The step's log, always a local file; its folder may have to be made."""
        folder = self.folder
        local = folder if folder.is_local else cache_of(self.store.root).child(self.pipeline, folder.name)
        return local.path / "log.txt"

    @cached_property
    def lease(self) -> Lease:
        """The right to work here."""
        return Lease(self.folder)

    def record(self) -> Record | None:
        """Return what the finished attempt left, None when there is none; RequestError for a newer format."""
        where = f"{self.folder}/{NAME}"
        try:
            data = self.folder.read_bytes(NAME)
        except FileNotFoundError:
            return None
        try:
            _refuse_newer(where, data)
            record = Record.model_validate_json(data)
        except RequestError:
            raise
        except ValueError as error:
            log.warning("%s is damaged and does not count: %s", where, _first_line(error))
            return None
        # Two fingerprints that begin alike share a folder; the full one says whose record this is.
        return record if record.fingerprint.startswith(self.fingerprint) else None

    def artifact(self, record: Record) -> Folder:
        """Return the folder of the attempt that counts."""
        return self.folder / record.attempt

    def verify(self, record: Record) -> list[str]:
        """Say which files of the artifact are missing or changed; an empty list when all is as recorded."""
        folder = self.artifact(record)
        found = folder.files()
        problems = []
        for name, wanted in record.manifest.items():
            if problem := self._problem(folder, name, found.get(name), wanted):
                problems.append(problem)
        self.store.memo.save()
        return problems

    def _problem(self, folder: Folder, name: str, facts: FileFacts | None, wanted: FileSum) -> str:
        if facts is None:
            return f"{name} is missing"
        if facts.size != wanted.size:
            return f"{name} is {facts.size} bytes, wanted {wanted.size}"
        sha256 = self.store.memo.known_file(folder, name, facts)
        return "" if sha256 == wanted.sha256 else f"{name} has SHA-256 {sha256}, wanted {wanted.sha256}"

    def begin(self) -> Attempt:
        """Start an attempt in a folder of its own."""
        started = datetime.now(UTC)
        attempt = Attempt(self, f"{started:%Y%m%dT%H%M%SZ}-{secrets.token_hex(4)}", started)
        if attempt.folder.is_local:
            attempt.folder.path.mkdir(parents=True)
        return attempt

    def attempts(self) -> list[str]:
        """Return the ids of the attempts that lie here, the oldest first."""
        return [name for name in self.folder.names() if _ATTEMPT.fullmatch(name)]

    def sweep(self) -> None:
        """Delete what dead runs left, attempts and half-written files; only the holder of the lease may."""
        record = self.record()
        self._delete_attempts(record.attempt if record else "")
        self.folder.sweep()

    def _delete_attempts(self, kept: str) -> None:
        for name in self.attempts():
            if name != kept:
                self.folder.child(name).delete()


@dataclass(frozen=True)
class Attempt:
    """One try at a step: its folder is filled, then it is finished or discarded."""

    place: Place
    id: str
    started: datetime

    @property
    def folder(self) -> Folder:
        """Where this attempt's files go."""
        return self.place.folder / self.id

    def finish(
        self,
        artifact_type: str,
        identity: Mapping[str, Any],
        versions: Mapping[str, str] | None = None,
        commit: str = "",
    ) -> Record:
        """Write the record, which makes this attempt count; then delete what it makes needless.

        StepError when another run took the lease over meanwhile: that run's attempt counts, not this one.
        """
        place = self.place
        if place.lease.lost:
            holder = place.lease.holder() or "another run"
            raise StepError(place.step, f"lost its lease to {holder}", remedy="run again to reuse what that run makes")
        record = Record(
            pipeline=place.pipeline,
            step=place.step,
            fingerprint=place.fingerprint,
            identity=dict(identity),
            attempt=self.id,
            type=artifact_type,
            manifest=self._manifest(),
            made=self._made(versions or {}, commit),
        )
        place.folder.write_bytes(NAME, record.model_dump_json(indent=1).encode())
        place._delete_attempts(self.id)
        place.checkpoints.delete()
        return record

    def discard(self) -> None:
        """Delete this attempt's files; checkpoints and log stay."""
        self.folder.delete()

    def _manifest(self) -> dict[str, FileSum]:
        memo = self.place.store.memo
        found = self.folder.files()
        sums = {name: memo.known_file(self.folder, name, facts) for name, facts in found.items()}
        return {name: FileSum(sha256=sums[name], size=facts.size) for name, facts in found.items()}

    def _made(self, versions: Mapping[str, str], commit: str) -> Made:
        finished = datetime.now(UTC)
        return Made(
            started=self.started.isoformat(timespec="seconds"),
            finished=finished.isoformat(timespec="microseconds"),
            versions=dict(versions),
            commit=commit,
            host=Process.this().host,
        )


def _refuse_newer(where: str, data: bytes) -> None:
    document = json.loads(data)
    found = document.get("format") if isinstance(document, dict) else None
    if isinstance(found, int) and found > FORMAT:
        raise RequestError(where, f"has format {found}", f"{FORMAT} or older", "use a newer espalier")


def _first_line(error: Exception) -> str:
    if isinstance(error, ValidationError):
        first = error.errors()[0]
        return f"{'.'.join(map(str, first['loc']))}: {first['msg']}"
    return str(error)
