"""An endpoint that is asked: Prometheus scrapes its replica, and every panel about serving has what it draws."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from cluster.folder import Folder
from jobs.runtime.classifier import golden_rows
from jobs.serving.metrics.declared import METRICS
from tests.cluster.monitoring.test_live_run import assert_drawn, scraping
from tests.jobs.serving.clients import Clients
from tests.jobs.serving.conftest import model  # noqa: F401  a fixture
from tests.jobs.serving.test_replacing import deployed


@pytest.fixture
def url(ray_cluster: None, model: Folder) -> Iterator[str]:  # noqa: F811
    yield deployed(model, application="watched")["url"]
    from ray import serve

    serve.shutdown()


@pytest.mark.slow
@pytest.mark.cluster
def test_every_panel_about_serving_has_data(url: str, model: Folder, tmp_path: Path) -> None:  # noqa: F811
    rows = [row for row in golden_rows(model.path) if isinstance(row, bytes)]
    with scraping(tmp_path) as server, Clients(url, [*rows, b"no image"]) as clients:
        assert_drawn(server, METRICS)
    assert {status for status, *_ in clients.found} == {200, 422}
