"""Ray's dashboard of a cluster on which a training ran: what `espalier status` points to, in headless Chromium."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import urllib.request
from pathlib import Path
from typing import Any

import pytest

from tests.head import Head, head_node

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
ROOT = Path(__file__).parents[3]
LONGEST = 60_000  # milliseconds until a page shows what it should
FEW = 50  # colours that a page which drew nothing has at most
DEFINITION = """
name: shown
steps:
  data: {job: dataset, source: {kind: digits}}
  model:
    job: train
    data: data
    model: {backbone: {kind: resnet, depth: 8, width: 4}}
    epochs: 1
    batch_size: 256
    strategy: {kind: data_parallel, workers: 2, cpus_per_worker: 0.5}
"""


def told(head: Head, path: str) -> Any:
    request = urllib.request.Request(head.url + path, headers={"Authorization": f"Bearer {head.token.read_text()}"})
    with urllib.request.urlopen(request, timeout=30) as answer:
        return json.load(answer)


def pictured(head: Head, page: str, text: str, file: Path) -> str:
    """Return the text of the dashboard's page once it shows `text`, and keep a picture of it."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        token = {"Authorization": f"Bearer {head.token.read_text()}"}
        opened = browser.new_page(extra_http_headers=token, viewport={"width": 1400, "height": 900})
        opened.goto(page)
        opened.get_by_text(text).first.wait_for(timeout=LONGEST)
        opened.screenshot(path=str(file))
        shown = str(opened.inner_text("body"))
        browser.close()
    return shown


@pytest.mark.slow
@pytest.mark.cluster
@pytest.mark.skipif(CHROMIUM is None, reason="install chromium (Debian's package) to look at the dashboard")
def test_the_dashboard_shows_the_job_and_tells_of_the_training(tmp_path: Path) -> None:
    (tmp_path / "shown.yaml").write_text(DEFINITION)
    with head_node() as head:
        command = [sys.executable, "-m", "pipelines", "run", "shown.yaml", "--address", head.address]
        environment = {**head.environment, "PYTHONPATH": str(ROOT)}
        ran = subprocess.run(command, env=environment, cwd=tmp_path, capture_output=True, text=True, timeout=200)
        assert ran.returncode == 0, ran.stderr + ran.stdout
        (log,) = tmp_path.glob("runs/shown/model-*/log.txt")
        page = json.loads(log.read_text().splitlines()[0])["page"]
        assert page.startswith(f"{head.url}/#/jobs/")
        (run,) = told(head, "/api/train/v2/runs/v1")["train_runs"]
        assert run["status"] == "FINISHED"
        assert run["job_id"] == page.rpartition("/")[2]
        (attempt,) = run["attempts"]
        assert len(attempt["workers"]) == 2
        shown = pictured(head, page, run["job_id"], tmp_path / "job.png")
    assert "SUCCEEDED" in shown
    from PIL import Image

    with Image.open(tmp_path / "job.png") as picture:
        assert picture.size == (1400, 900)
        colours = picture.convert("RGB").getcolors(2**24)
    assert colours is not None
    assert len(colours) > FEW
