from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

DEFINITIONS = Path(__file__).parents[3] / "pipelines/definitions"


def test_the_committed_schema_is_the_one_printed() -> None:
    # In a process of its own: here, other tests have made toys known.
    done = subprocess.run([sys.executable, "-m", "pipelines", "schema"], capture_output=True, text=True, check=True)
    assert done.stdout == (DEFINITIONS / "pipeline.schema.json").read_text()
    assert "Job" in json.loads(done.stdout)["$defs"]


def test_every_definition_names_the_schema_to_editors() -> None:
    for path in DEFINITIONS.glob("*.yaml"):
        assert path.read_text().splitlines()[0] == "# yaml-language-server: $schema=pipeline.schema.json"
