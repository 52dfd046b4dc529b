"""A whole run whose store is on S3: workers, checkpoints and artifacts go through it; a second run reuses all."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from cluster.folder import Folder

ROOT = Path(__file__).parent.parent.parent
pytestmark = [pytest.mark.cluster, pytest.mark.timeout(400)]

DEFINITION = """
name: remote
steps:
  data: {job: dataset, source: {kind: digits}}
  model: {job: train, data: data, model: {backbone: {kind: resnet, depth: 8, width: 4}}, epochs: 2}
  small: {job: compress, model: model, data: data, techniques: [{kind: quantize}]}
  verdict: {job: evaluate, models: [model, small], data: data}
"""


def test_a_run_on_an_object_store_is_done_and_reused(s3_root: Folder, tmp_path: Path) -> None:
    (tmp_path / "remote.yaml").write_text(DEFINITION)
    command = [
        sys.executable,
        "-m",
        "pipelines",
        "run",
        str(tmp_path / "remote.yaml"),
        "--json",
        "--store",
        str(s3_root),
    ]
    for wanted in ("done", "reused"):
        done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT)
        assert done.returncode == 0, done.stdout + done.stderr
        *events, _ = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]
        states = {event["step"]: event["state"] for event in events if event["state"] != "event"}
        assert states == dict.fromkeys(("data", "model", "small", "verdict"), wanted)
    names = s3_root.files()
    assert not [name for name in names if "checkpoint" in name]
    assert len([name for name in names if name.endswith("record.json")]) == 4
