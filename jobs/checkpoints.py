"""Checkpoints on disk: arrays, history, and a manifest of SHA-256 written last; the newest whole one is found again."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

from cluster.errors import RequestError
from cluster.folder import Folder
from jobs.artifacts import Epoch
from jobs.models.model import read_weights, write_weights

Kept = tuple[list[Epoch], dict[str, Any]]
_NAME = re.compile(r"phase(\d{3})-epoch(\d{6})")
DELETE = "delete that folder to start the step afresh"
_FILES = ("arrays.npz", "state.json")


def write(folder: Path, phase: int, history: list[Epoch], arrays: dict[str, Any]) -> None:
    """Write a checkpoint into `folder`; OSError when the disk is full, and then no manifest is there."""
    write_weights(folder / "arrays.npz", arrays)
    state = {"phase": phase, "history": [epoch.model_dump() for epoch in history]}
    (folder / "state.json").write_text(json.dumps(state))
    sums = {name: hashlib.sha256((folder / name).read_bytes()).hexdigest() for name in _FILES}
    (folder / "manifest.json").write_text(json.dumps(sums))


def newest(root: Folder, phase: int, warn: Callable[[str], None]) -> Folder | None:
    """Return the newest checkpoint of `phase` below `root` whose manifest verifies; warn of each that does not.

    None when there is no checkpoint at all; RequestError when there are some and none is whole.
    """
    found = []
    for run in root.names() if root.exists() else []:
        for name in root.child(run).names():
            if (match := _NAME.fullmatch(name)) and int(match[1]) == phase:
                found.append((int(match[2]), root.child(run, name)))
    for _, folder in sorted(found, key=lambda pair: (pair[0], str(pair[1])), reverse=True):
        try:
            read(folder)
            return folder
        except RequestError as error:
            warn(f"{error}; the checkpoint before it is used")
    if found:
        raise RequestError(f"{root}", f"holds {len(found)} checkpoints, all damaged", "a whole one", DELETE)
    return None


def read(folder: Folder) -> Kept:
    """Return (history, arrays) of a checkpoint; RequestError when it is torn or damaged."""
    try:
        sums = json.loads(folder.read_bytes("manifest.json"))
        parts = {name: folder.read_bytes(name) for name in _FILES}
    except (FileNotFoundError, ValueError) as error:
        raise RequestError(f"checkpoint {folder}", f"is not whole ({error})") from None
    for name, data in parts.items():
        if hashlib.sha256(data).hexdigest() != sums.get(name):
            raise RequestError(f"checkpoint {folder}/{name}", "is damaged: its SHA-256 is not the manifest's")
    state = json.loads(parts["state.json"])
    history = [Epoch.model_validate(epoch) for epoch in state["history"]]
    return history, read_weights(parts["arrays.npz"], f"checkpoint {folder}/arrays.npz")
