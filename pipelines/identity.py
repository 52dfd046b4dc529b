"""What a step was asked to make: its identity, the fingerprint of it, and how two identities differ. Pure.

Inputs count by their fingerprints and not by their steps' names, so renaming a step changes nothing that depends on it.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from typing import Any

from jobs.job import Job
from jobs.spec import Path, counted, references

MISSING = object()
LONGEST = 60


def identity(job: Job, fingerprints: Mapping[str, str], data_digest: str) -> dict[str, Any]:
    """Return what counts of a step: job, version, definition, inputs by fingerprint, and the data read from outside."""
    definition = counted(job)
    tag = definition.pop(job.tag)
    for path, step, _ in references(job):
        _replace(definition, path, {"fingerprint": fingerprints[step]})
    return {"job": tag, "version": job.version, "definition": definition, "data": data_digest}


def fingerprint(what: Mapping[str, Any]) -> str:
    """Return the SHA-256 of an identity's canonical JSON, in hexadecimal."""
    canonical = json.dumps(what, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(canonical.encode()).hexdigest()


def changes(old: Mapping[str, Any], new: Mapping[str, Any], job: Job | None = None) -> list[str]:
    """Say in plain words what differs; with the `job` of `new`, inputs are called by their steps' names."""
    steps = {_dotted(path): step for path, step, _ in references(job)} if job is not None else {}
    if old["job"] != new["job"]:
        return [f"the job {old['job']} -> {new['job']}"]
    found = []
    if old["version"] != new["version"]:
        found.append(f"the job's version {old['version']} -> {new['version']}")
    found += dict.fromkeys(_differences(old["definition"], new["definition"], (), steps))
    if old["data"] != new["data"]:
        found.append("the input data changed")
    return found


def _replace(definition: Any, path: Path, value: dict[str, str]) -> None:
    """Put `value` at `path`, if the path counts at all: what lies below an incidental field is not there."""
    *above, last = path
    for part in above:
        if not _has(definition, part):
            return
        definition = definition[part]
    if _has(definition, last):
        definition[last] = value


def _has(container: Any, key: str | int) -> bool:
    return not isinstance(container, dict) or key in container


def _differences(old: object, new: object, path: Path, steps: Mapping[str, str]) -> Iterator[str]:
    where = _dotted(path)
    if old == new and type(old) is type(new):
        return
    if _is_input(old) and _is_input(new):
        yield f"input '{steps.get(where, where)}' changed"
    elif isinstance(old, Mapping) and isinstance(new, Mapping) and not (_is_input(old) or _is_input(new)):
        # Of another kind, the other fields are other fields: the kind says it all.
        same = old.get("kind") == new.get("kind")
        for key in dict.fromkeys([*old, *new]) if same else ["kind"]:
            yield from _differences(old.get(key, MISSING), new.get(key, MISSING), (*path, key), steps)
    elif isinstance(old, list) and isinstance(new, list):
        for index in range(max(len(old), len(new))):
            before, after = (values[index] if index < len(values) else MISSING for values in (old, new))
            yield from _differences(before, after, (*path, index), steps)
    elif old is MISSING or new is MISSING:
        yield _one_sided(old, new, where, steps)
    else:
        yield f"{where}: {_shown(old)} -> {_shown(new)}"


def _one_sided(old: object, new: object, where: str, steps: Mapping[str, str]) -> str:
    if old is MISSING:
        return f"input '{steps.get(where, where)}' added" if _is_input(new) else f"{where}: added {_shown(new)}"
    return f"input '{where}' removed" if _is_input(old) else f"{where}: removed {_shown(old)}"


def _is_input(value: object) -> bool:
    return isinstance(value, Mapping) and value.keys() == {"fingerprint"}


def _dotted(path: Path) -> str:
    text = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in path)
    return text.removeprefix(".")


def _shown(value: object) -> str:
    if _is_input(value):
        return "a step"
    text = value if isinstance(value, str) and value else json.dumps(value, ensure_ascii=False)
    return text if len(text) <= LONGEST else f"{text[: LONGEST - 1]}…"
