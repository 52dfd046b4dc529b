from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from pyarrow import parquet

from cluster.folder import Folder
from tests.jobs.data.making import image_folder, jpeg, png

CLASSES, EACH = ("cat", "dog"), 300
BROKEN = ("cat/100.png", "cat/299.png", "dog/000.png")


def write_sources(root: Path) -> None:
    """Write the same images, a few of them broken, as a folder and as Parquet of several row groups."""
    pets = image_folder(root / "pets", CLASSES, EACH)
    for name in BROKEN:
        (pets / name).write_bytes(jpeg(0, 64, 64)[:500])
    mixed = image_folder(root / "mixed", CLASSES, EACH)
    (mixed / "dog" / "150.png").write_bytes(png(0, 20, 30))
    files = [(name, file.read_bytes()) for name in CLASSES for file in sorted((pets / name).iterdir())]
    table = pa.table({"image": [raw for _, raw in files], "label": [name for name, _ in files]})
    parquet.write_table(table, root / "pets.parquet", row_group_size=70)


@pytest.fixture(scope="module")
def outcomes(tmp_path_factory: pytest.TempPathFactory, s3_address: str) -> dict[str, Any]:
    root = tmp_path_factory.mktemp("spread")
    write_sources(root)
    bucket = Folder.parse(f"s3://espalier/spread?endpoint_override={s3_address}&scheme=http")
    for file in (root / "pets").rglob("*.png"):
        bucket.write_bytes(str(file.relative_to(root / "pets")), file.read_bytes())
    (root / "out").mkdir()
    command = [sys.executable, "-m", "tests.jobs.data.intake.two_nodes", str(root), str(bucket)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    found = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]
    return {outcome.pop("name"): outcome for outcome in found}


pytestmark = [pytest.mark.cluster, pytest.mark.timeout(400)]


@pytest.mark.parametrize("name", ["images", "remote", "table", "mixed"])
def test_two_nodes_make_the_same_bytes_as_one_process(outcomes: dict[str, Any], name: str) -> None:
    assert outcomes[name]["alike"]


@pytest.mark.parametrize("name", ["images", "remote", "table"])
def test_both_nodes_prepare_rows(outcomes: dict[str, Any], name: str) -> None:
    nodes = outcomes[name]["nodes"]
    assert len(nodes) == 2
    assert sum(nodes) == len(CLASSES) * EACH


def test_rejected_rows_are_listed_in_the_order_of_the_source(outcomes: dict[str, Any]) -> None:
    listed = [{"row": name, "reason": "is truncated or corrupt"} for name in BROKEN]
    assert outcomes["images"]["rejected"] == listed
    assert outcomes["remote"]["rejected"] == listed


def test_the_first_image_of_another_size_is_named_wherever_it_was_read(outcomes: dict[str, Any]) -> None:
    assert outcomes["mixed"]["error"] == (
        "dog/150.png: is 20x30x3, wanted 16x12x3 as the images before it; "
        "set image: {height, width, channels} to bring all to one size"
    )
