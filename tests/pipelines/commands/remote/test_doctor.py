from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.head import Head

ROOT = Path(__file__).parents[4]


def doctor(head: Head, folder: Path, *more: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "pipelines", "doctor", "--store", str(folder / "runs"), *more]
    environment = {**head.environment, "PYTHONPATH": str(ROOT)}
    return subprocess.run(
        command, env=environment, cwd=folder, capture_output=True, text=True, timeout=180, check=False
    )


@pytest.mark.cluster
def test_a_cluster_is_examined_node_by_node(head: Head, tmp_path: Path) -> None:
    done = doctor(head, tmp_path, "--address", head.address, "--json")
    found = [json.loads(line) for line in done.stdout.splitlines()]
    (node,) = {line["where"] for line in found} - {"here"}
    assert node.endswith(" (head)"), done.stdout + done.stderr
    states = {(line["check"], line["text"]): line["state"] for line in found if line["where"] == node}
    assert states[("store", f"{tmp_path}/runs is read and written")] == "ok"
    assert states[("clock", "agrees with the driver's")] == "ok"
    assert states[("token", f"in {head.token}, closed to others")] == "ok"
    assert states[("dashboard", f"port {head.url.rpartition(':')[2]} is not open on all addresses")] == "ok"
    assert states[("tensorflow", "no GPU there, none seen")] == "ok"
    keras = [text for check, text in states if check == "tensorflow" and " with Keras 2." in text]
    assert len(keras) == 1
    assert {line["check"] for line in found if line["where"] == node} >= {"python", "versions", "code", "disk"}
    errors = [line for line in found if line["state"] == "error"]
    assert (done.returncode, errors) == (0, [])
    assert not (tmp_path / "runs").exists()


@pytest.mark.cluster
def test_an_error_has_its_remedy_and_the_exit_code(head: Head, tmp_path: Path) -> None:
    (tmp_path / "runs").touch()
    done = doctor(head, tmp_path)
    assert done.returncode == 4
    lines = done.stdout.splitlines()
    at = next(number for number, line in enumerate(lines) if line.startswith("error    store, here: "))
    assert lines[at + 1] == "         → give the machine access, or name another"
    assert lines[-1].endswith(" warnings, 1 errors")
