"""Plans that no strategy can carry out are refused when a definition is loaded, with the whole reason."""

from __future__ import annotations

from pathlib import Path

import pytest

from cluster.errors import RequestError
from pipelines.load import load

RESNET, TEXTS = "{kind: resnet, depth: 8}", "{kind: text_cnn}"
DEFINITION = """\
name: refused
steps:
  data: {{job: dataset, source: {{kind: {source}}}}}
  model:
    job: train
    data: data
    model: {{backbone: {backbone}}}
    batch_size: {batch_size}
    strategy: {strategy}
  small:
    job: compress
    model: model
    data: data
    techniques:
      - {technique}
    strategy: {then}
"""
AT, TECHNIQUE = "9: steps.model.strategy", "15: steps.small.techniques[0]"
FLOAT16 = "{kind: quantize, scheme: float16}"
FIELDS = {
    "source": "digits",
    "backbone": RESNET,
    "batch_size": "60",
    "strategy": "{kind: single}",
    "technique": FLOAT16,
    "then": "{kind: single}",
}


def refused(root: Path, **changed: str) -> list[str]:
    """Return what loading the definition with these fields says, a line for each mistake, without the file's name."""
    file = root / "refused.yaml"
    file.write_text(DEFINITION.format(**FIELDS | changed))
    with pytest.raises(RequestError) as caught:
        load(file)
    return [line.removeprefix(f"{file}:") for line in str(caught.value).splitlines()]


def test_the_definition_is_good_but_for_what_is_changed(tmp_path: Path) -> None:
    (tmp_path / "good.yaml").write_text(DEFINITION.format(**FIELDS))
    assert load(tmp_path / "good.yaml").name == "refused"


@pytest.mark.parametrize(
    ("strategy", "message"),
    [
        ("{kind: parameter_server, servers: 0}", f"{AT}.servers: 0 is not 1 or more"),
        ("{kind: parameter_server, gpus_per_worker: 2}", f"{AT}.gpus_per_worker: 2 is not 1 or less"),
        ("{kind: single, gpus_per_worker: 4}", f"{AT}.gpus_per_worker: 4 is not 1 or less"),
        ("{kind: federated, workers: 2, gpus_per_worker: 4}", f"{AT}.gpus_per_worker: 4 is not 1 or less"),
        ("{kind: single, workers: 2}", f"{AT}.workers: 2 is not 1 or less"),
        ("{kind: data_parallel, workers: 0}", f"{AT}.workers: 0 is not 1 or more or a mapping of fields"),
        (
            "{kind: data_parallel, workers: 7}",
            f"{AT}: 60 rows a global batch do not divide evenly among 7 workers; take 56 or 63",
        ),
        (
            "{kind: data_parallel, workers: 2, gpus_per_worker: 4}",
            f"{AT}: 60 rows a global batch do not divide evenly among the 8 GPUs of 2 workers; take 56 or 64",
        ),
        (
            "{kind: single, gpus_per_worker: 0.3}",
            f"{AT}.gpus_per_worker: leaves 0.1 of each GPU unused: 3 at once on it could have 0.333 each",
        ),
        (
            "{kind: single, gpus_per_worker: 0.6}",
            f"{AT}.gpus_per_worker: leaves 0.4 of each GPU unused: 1 at once on it could have 1 each",
        ),
        (
            "{kind: data_parallel, workers: 2, gpus_per_worker: 1.5}",
            f"{AT}.gpus_per_worker: is more than one GPU and not whole: take whole ones, or a share of one",
        ),
        ("{kind: data_parallel, workers: 61}", f"{AT}: 60 rows a global batch cannot feed 61 workers"),
    ],
)
def test_a_strategy_that_cannot_be(strategy: str, message: str, tmp_path: Path) -> None:
    assert refused(tmp_path, strategy=strategy) == [message]


def test_batches_of_one_row_under_federated_where_batches_are_normalised(tmp_path: Path) -> None:
    assert refused(tmp_path, strategy="{kind: federated, workers: 2}", batch_size="1") == [
        f"{AT}: resnet normalises batches, and batches of one row are all zeros then; raise batch_size"
    ]


@pytest.mark.parametrize(
    ("technique", "then", "message"),
    [
        (
            "{kind: prune}",
            "{kind: federated, workers: 2}",
            "federated cannot carry prune: it shapes weights, which would come out otherwise with each client and not "
            "outlast their mean",
        ),
        (
            "{kind: quantize, scheme: int8}",
            "{kind: federated, workers: 2}",
            "federated cannot carry quantize: it sets its ranges on training rows, which only clients read; quantize "
            "in a step of another strategy",
        ),
        (
            "{kind: prune, batch_size: 50}",
            "{kind: data_parallel, workers: 4}",
            "50 rows a global batch do not divide evenly among 4 workers; take 48 or 52",
        ),
    ],
)
def test_a_technique_that_the_strategy_cannot_carry(technique: str, then: str, message: str, tmp_path: Path) -> None:
    assert refused(tmp_path, technique=technique, then=then) == [f"{TECHNIQUE}: {message}"]


def test_elastic_workers_may_divide_a_batch_unevenly(tmp_path: Path) -> None:
    elastic = "{kind: data_parallel, workers: {min: 1, max: 7}}"
    (tmp_path / "good.yaml").write_text(DEFINITION.format(**FIELDS | {"strategy": elastic}))
    assert load(tmp_path / "good.yaml").name == "refused"
