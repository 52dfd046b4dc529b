"""What sets a worker process up in place of Ray's own script does the same, or leaves it to that."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from cluster.resources import Resources
from cluster.starting import setup_worker
from cluster.work import run_remote

TELL = (
    "import json, os, sys; "
    "print(json.dumps({'pid': os.getpid(), 'arguments': sys.argv[1:], 'own': os.environ.get('OWN')}))"
)


def started(folder: Path, script: str, *arguments: str) -> dict[str, Any]:
    """Run a set-up script as a raylet does, on a worker that tells what it was given."""
    (folder / "worker.py").write_text(TELL)
    command = [sys.executable, script, str(folder / "worker.py"), "--node=1 2", *arguments]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env={**os.environ, "HERE": "there"}) as process:
        said, _ = process.communicate(timeout=60)
    assert not process.returncode
    facts: dict[str, Any] = json.loads(said)
    return facts | {"same process": facts.pop("pid") == process.pid}


def rays() -> str:
    import ray

    return str(Path(ray.__file__).parent / "_private/workers/setup_worker.py")


@pytest.mark.parametrize(
    "context",
    [
        {},
        {"env_vars": {"OWN": "mine, ${HERE}${NOWHERE}, $HERE"}},
        {"py_executable": f"{sys.executable} -B", "command_prefix": [], "java_jars": []},
        {"command_prefix": ["OWN=prefixed", "&&", "export", "OWN", "&&"]},  # is left to Ray's own script
        {"override_worker_entrypoint": None, "env_vars": None},
    ],
)
def test_a_worker_is_started_as_by_rays_own_script(context: dict[str, Any], tmp_path: Path) -> None:
    arguments = [f"--serialized-runtime-env-context={json.dumps(context)}", "--language=PYTHON", "--hash=5"]
    found = started(tmp_path, setup_worker.__file__, *arguments)
    assert found == started(tmp_path, rays(), *arguments)
    assert found["arguments"] == ["--node=1 2", "--hash=5"]


def test_what_is_not_known_is_left_to_ray_and_sets_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OWN", raising=False)
    for context in ({"env_vars": {"OWN": "x"}, "container": {}}, {"command_prefix": ["a"], "env_vars": {"OWN": "x"}}):
        asked = [f"--serialized-runtime-env-context={json.dumps(context)}", "--language=PYTHON"]
        assert setup_worker.command_of(asked) is None
        assert "OWN" not in os.environ
    assert setup_worker.command_of(["--language=JAVA"]) is None


def test_ray_still_has_what_this_hooks_into() -> None:
    from ray._private import ray_constants
    from ray._private.runtime_env.context import RuntimeEnvContext

    name = ray_constants.SETUP_WORKER_FILENAME
    assert Path(rays()).name == name
    with setup_worker.light_setup():
        assert str(Path(setup_worker.__file__).resolve()) == ray_constants.SETUP_WORKER_FILENAME
    assert name == ray_constants.SETUP_WORKER_FILENAME
    assert set(vars(RuntimeEnvContext())) == setup_worker.KNOWN


def launched(tell: Any) -> list[str]:
    """Return the parts of this process's raylet's command line that say how workers are started."""
    raylet = Path(f"/proc/{os.getppid()}/cmdline").read_text().split("\0")
    return [part for part in raylet if "setup_worker.py" in part]


@pytest.mark.cluster
def test_a_cluster_started_here_sets_its_workers_up_so(ray_cluster: None) -> None:
    commands = run_remote(launched, resources=Resources(cpus=1), tell=lambda event: None)
    assert any(str(Path(setup_worker.__file__).resolve()) in command for command in commands)
    assert not any(rays() in command for command in commands)
