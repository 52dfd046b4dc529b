"""Checkpoints on disk: arrays, history, and a manifest of SHA-256 written last; the newest whole one is found again."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from cluster.errors import RequestError
from cluster.folder import Folder
from jobs.artifacts import Epoch, Finding, Rewrite
from jobs.models.model import read_weights, write_weights
from jobs.progress import Begun, Progress
from jobs.spec import Spec

_NAME = re.compile(r"phase(\d{3})-epoch(\d{6})(?:-step(\d{6,}))?(?:-[0-9a-f]{8})?")
DELETE = "delete that folder to start the step afresh"
SEAL = "whole.json"
LINK = "link.json"
MANIFEST = "manifest.json"
_FILES = ("arrays.npz", "state.json")


class Torn(RequestError):  # noqa: N818  a state more than a mistake
    """A checkpoint whose writing was cut short: it never counted."""


def name_of(phase: int, progress: Progress) -> str:
    """Return the name of a checkpoint's folder; an attempt may be added to it."""
    step = progress.begun.train_steps
    return f"phase{phase:03d}-epoch{len(progress.history):06d}" + (f"-step{step:06d}" if step else "")


def write(folder: Path, phase: int, progress: Progress) -> None:
    """Write a checkpoint into `folder`; OSError when the disk is full, and then no manifest is there."""
    (folder / MANIFEST).unlink(missing_ok=True)
    write_weights(folder / "arrays.npz", progress.arrays)
    history = [epoch.model_dump() for epoch in progress.history]
    (folder / "state.json").write_text(
        json.dumps({"phase": phase, "history": history, "begun": asdict(progress.begun)})
    )
    parts = {name: (folder / name).read_bytes() for name in _FILES}
    sums = {name: {"sha256": hashlib.sha256(data).hexdigest(), "size": len(data)} for name, data in parts.items()}
    (folder / MANIFEST).write_text(json.dumps(sums))


def newest(root: Folder, phase: int, warn: Callable[[str], None]) -> Folder | None:
    """Return the newest checkpoint of `phase` below `root` whose manifest verifies; warn of each that does not.

    One that was torn while it was written is passed over. None when no other is left; RequestError when one was
    damaged after it was whole and none before it is good.
    """
    found, damaged = [], 0
    for run in root.names() if root.exists() else []:
        for name in root.child(run).names():
            if (match := _NAME.fullmatch(name)) and int(match[1]) == phase:
                found.append((int(match[2]), int(match[3] or 0), root.child(run, name)))
    for *_, folder in sorted(found, key=lambda entry: (*entry[:2], str(entry[2])), reverse=True):
        try:
            read(folder)
            return folder
        except Torn as error:
            warn(f"{error}; it is passed over")
        except RequestError as error:
            damaged += 1
            warn(f"{error}; the checkpoint before it is used")
    if damaged:
        raise RequestError(f"{root}", f"holds {len(found)} checkpoints, none of them good", "a whole one", DELETE)
    return None


def read(folder: Folder) -> Progress:
    """Return what a checkpoint holds; Torn when it was never whole, RequestError when it is damaged."""
    try:
        sums = json.loads(folder.read_bytes(MANIFEST))
        parts = {name: folder.read_bytes(name) for name in _FILES}
    except (FileNotFoundError, ValueError) as error:
        raise Torn(f"checkpoint {folder}", f"is not whole ({error})") from None
    for name, data in parts.items():
        if len(data) != sums[name]["size"]:
            raise Torn(f"checkpoint {folder}/{name}", f"is {len(data)} bytes of {sums[name]['size']}")
        if hashlib.sha256(data).hexdigest() != sums[name]["sha256"]:
            raise RequestError(f"checkpoint {folder}/{name}", "is damaged: its SHA-256 is not the manifest's")
    state = json.loads(parts["state.json"])
    history = [Epoch.model_validate(epoch) for epoch in state["history"]]
    begun = state["begun"]
    sums = Begun(begun["train_steps"], tuple(begun["sums"]), begun["seconds"])
    return Progress(history, sums, read_weights(parts["arrays.npz"], f"checkpoint {folder}/arrays.npz"))


def seal(folder: Folder) -> None:
    """Write the SHA-256 of every file in `folder` into its seal, which makes it whole."""
    sums = {name: folder.sha256(name) for name in folder.files() if name != SEAL}
    folder.write_bytes(SEAL, json.dumps(sums).encode())


def is_whole(folder: Folder) -> bool:
    """Say whether `folder` was sealed and every file is still what was sealed."""
    if not folder.exists(SEAL):
        return False
    sums = json.loads(folder.read_bytes(SEAL))
    return bool(sums) and all(folder.exists(name) and folder.sha256(name) == sha256 for name, sha256 in sums.items())


class Link(Spec):
    """What one finished stage leaves for the next: history, findings and rewrites so far; the weights lie beside it."""

    history: list[Epoch]
    findings: list[Finding] = []
    rewrites: list[Rewrite] = []


def write_link(path: Path, link: Link, weights: Mapping[str, Any]) -> None:
    """Write what a stage leaves into the folder `path`."""
    (path / LINK).write_text(link.model_dump_json())
    write_weights(path / "weights.npz", weights)


def read_link(kept: Folder) -> tuple[Link, dict[str, Any]]:
    """Return what `write_link` wrote."""
    path = kept.fetch()
    link = Link.model_validate_json((path / LINK).read_text())
    return link, read_weights((path / "weights.npz").read_bytes(), str(kept))


def read_history(kept: Folder) -> list[Epoch]:
    """Return the epochs that led to what `write_link` wrote."""
    return Link.model_validate_json(kept.read_bytes(LINK)).history
