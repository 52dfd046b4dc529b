"""Starts a worker process as Ray's `setup_worker.py` does, without importing Ray for it: in a twentieth of the time.

Ray's raylet starts each worker by that script, which reads a small JSON text, sets variables and turns into the worker.
To read it, it imports all of Ray, and the worker does so again: 0.4 s each time. Of what Ray's script can do, this one
does what a runtime environment of variables and a Python asks for. For anything else it runs Ray's own.

Only the standard library is imported here, and nothing of ours.
"""

import argparse
import importlib.util
import json
import os
import re
import runpy
import shlex
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

KNOWN = {"command_prefix", "env_vars", "py_executable", "override_worker_entrypoint", "java_jars"}


@contextmanager
def light_setup() -> Iterator[None]:
    """Let clusters that this process starts within the block set up their workers by this file."""
    from ray._private import ray_constants

    name = getattr(ray_constants, "SETUP_WORKER_FILENAME", None)  # joined to a folder: a whole path replaces it
    if name is None or sys.platform == "win32":
        yield
        return
    ray_constants.SETUP_WORKER_FILENAME = str(Path(__file__).resolve())
    try:
        yield
    finally:
        ray_constants.SETUP_WORKER_FILENAME = name


def command_of(arguments: list[str]) -> list[str] | None:
    """Set the variables asked for and return the worker's command line; None, and nothing set, for what is Ray's."""
    parser = argparse.ArgumentParser(allow_abbrev=False)
    parser.add_argument("--serialized-runtime-env-context")
    parser.add_argument("--language")
    asked, worker = parser.parse_known_args(arguments)
    context = json.loads(asked.serialized_runtime_env_context or "{}")
    strange = not isinstance(context, dict) or context.keys() - KNOWN
    if strange or asked.language != "PYTHON" or context.get("command_prefix"):
        return None
    if context.get("override_worker_entrypoint"):
        return None
    for name, value in (context.get("env_vars") or {}).items():
        os.environ[name] = re.sub(r"\$\{[A-Z0-9_]+\}", "", os.path.expandvars(value))
    return [*shlex.split(context.get("py_executable") or shlex.quote(sys.executable)), *worker]


def main(arguments: list[str]) -> None:
    """Turn into the worker."""
    command = None
    with suppress(ValueError, TypeError, SystemExit):
        command = command_of(arguments)
    if command is None:
        found = importlib.util.find_spec("ray")
        assert found is not None, "who else would run this"
        assert found.origin is not None
        runpy.run_path(str(Path(found.origin).parent / "_private/workers/setup_worker.py"), run_name="__main__")
        return
    os.execvp(command[0], command)


if __name__ == "__main__":
    main(sys.argv[1:])
