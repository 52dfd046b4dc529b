"""A training that the cluster can never hold is refused before anything starts."""

from __future__ import annotations

from pathlib import Path

import pytest

from cluster.errors import ClusterError
from cluster.folder import Folder
from cluster.resources import Resources
from pipelines.load import load
from pipelines.plan import check_capacity, plan
from pipelines.store import Store

DEFINITION = """\
name: large
steps:
  data: {{job: dataset, source: {{kind: digits}}}}
  model:
    job: train
    data: data
    model: {{backbone: {{kind: resnet, depth: 8}}}}
    batch_size: 60
    strategy: {{kind: data_parallel, workers: {workers}}}
"""


def check(root: Path, workers: str) -> None:
    (root / "large.yaml").write_text(DEFINITION.format(workers=workers))
    store = Store(Folder.parse(str(root / "runs")))
    check_capacity(plan(load(root / "large.yaml"), store), Resources(2))


def test_five_workers_do_not_fit_where_two_do(tmp_path: Path) -> None:
    with pytest.raises(ClusterError, match=r"^step 'model' needs 5 CPU, the cluster can hold 2 CPU; ") as caught:
        check(tmp_path, "5")
    assert caught.value.exit_code == 4
    assert not list(Store(Folder.parse(str(tmp_path / "runs"))).places("large"))


def test_elastic_workers_fit_where_the_fewest_do(tmp_path: Path) -> None:
    check(tmp_path, "{min: 2, max: 5}")
    with pytest.raises(ClusterError, match=r"^step 'model' needs 3 CPU, the cluster can hold 2 CPU; "):
        check(tmp_path, "{min: 3, max: 5}")
