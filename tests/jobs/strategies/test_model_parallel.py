from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from cluster.errors import StepError
from cluster.folder import Folder
from cluster.resources import Resources
from cluster.work import run_remote
from jobs.artifacts import Model
from jobs.kinds.compress import Compress
from jobs.kinds.train import Train
from jobs.models.model import ModelSpec
from jobs.recipe import TrainRecipe
from jobs.strategies import Strategy
from jobs.strategies.model_parallel.model_parallel import ModelParallel
from jobs.training import TrainWork

TINY = {"kind": "bert", "size": "tiny"}


@pytest.mark.parametrize(
    ("fields", "mesh"),
    [
        ({}, (2, 1, 2)),
        ({"model": 4}, (4, 1, 4)),
        ({"batch": 2, "model": 3}, (6, 2, 3)),
        ({"batch": 2}, (4, 2, 2)),
        ({"workers": 4}, (4, 1, 4)),
        ({"workers": 4, "batch": 2}, (4, 2, 2)),
    ],
)
def test_workers_follow_from_the_mesh_or_the_mesh_from_them(fields: dict[str, int], mesh: tuple[int, int, int]) -> None:
    made = ModelParallel.model_validate({**fields, "cpus_per_worker": 2.0})
    assert (made.workers, made.batch, made.model) == mesh
    assert made.resources() == Resources(2.0 * mesh[0])
    assert ModelParallel.model_validate(made.model_dump()) == made


def test_workers_that_are_not_the_meshs_are_refused() -> None:
    with pytest.raises(ValidationError) as caught:
        ModelParallel.model_validate({"workers": 3, "batch": 2, "model": 2})
    (error,) = caught.value.errors()
    assert error["msg"] == "Value error, has 3 workers, but batch 2 × model 2 makes 4; leave workers out"


def problems(backbone: dict[str, Any], strategy: dict[str, Any], **fields: Any) -> list[str]:
    step = {"job": "train", "data": "data", "model": {"backbone": backbone}, **fields}
    train = Train.model_validate({**step, "strategy": {"kind": "model_parallel", **strategy}})
    return [text for path, text in train.problems({}) if path == ("strategy",)]


def test_what_divides_is_taken() -> None:
    assert problems(TINY, {"batch": 2, "model": 2}) == []
    assert problems({"kind": "embedding_bag"}, {"model": 4}) == []
    assert problems({"kind": "text_cnn"}, {"batch": 2, "model": 1}) == []


def test_what_does_not_divide_is_refused_before_anything_starts() -> None:
    whole = "no layer of {} has a rule for dividing it: 0 % of its parameters divide, and 50 % must"
    normalises = (
        "resnet normalises batches, which has no rule for a mesh, and rows that fill up a batch would enter "
        "its statistics: take data_parallel"
    )
    assert problems({"kind": "text_cnn"}, {}) == [whole.format("text_cnn")]
    assert problems({"kind": "resnet"}, {"batch": 2, "model": 1}) == [normalises]
    assert problems({"kind": "resnet"}, {}) == [normalises, whole.format("resnet")]
    assert problems({**TINY, "heads": 4, "feed_forward": 130}, {"model": 3}) == [
        "width 128 of the backbone does not divide by model 3",
        "heads 4 of the backbone does not divide by model 3",
        "feed_forward 130 of the backbone does not divide by model 3",
    ]
    assert problems(TINY, {"batch": 4, "model": 1}, batch_size=3) == [
        "3 rows a global batch do not divide into 4 parts"
    ]
    assert problems(TINY, {"model": 1}) == ["a mesh of one worker divides nothing; say kind: single"]
    assert problems(TINY, {"batch": 4, "model": 1}, batch_size=62) == [
        "62 rows a global batch do not divide evenly into 4 parts; take 60 or 64"
    ]
    assert problems(TINY, {"gpus_per_worker": 2.0}) == [
        "2 GPUs a worker: a place in the mesh has one; raise model or batch instead"
    ]
    assert problems(TINY, {}, precision="mixed_float16") == [
        "precision mixed_float16 scales the loss, which has no rule for a mesh: take mixed_bfloat16"
    ]


def test_fine_tuning_under_a_technique_is_refused() -> None:
    train = Train.model_validate({"job": "train", "data": "data", "model": {"backbone": TINY}})
    techniques = [{"kind": "prune", "sparsity": 0.5}, {"kind": "quantize", "scheme": "dynamic"}]
    step = {"job": "compress", "model": "big", "data": "data", "techniques": techniques}
    compress = Compress.model_validate({**step, "strategy": {"kind": "model_parallel"}})
    assert list(compress.problems({"big": train})) == [
        (
            ("techniques", 0),
            "cannot fine-tune under a technique: its losses, masks and wrapped layers have no rule for a mesh",
        ),
        (("techniques",), "the nearest chain that may be: quantize"),
    ]


WIDE = {"kind": "bert", "layers": 3, "width": 512, "heads": 2, "feed_forward": 2560, "vocabulary": 300, "length": 8}
LIMIT = 150 * 2**20  # bytes: weights, gradients and Adam's two moments of WIDE are 179 MB


def train(data: Folder, root: Path, backbone: dict[str, Any], strategy: dict[str, Any]) -> Model:
    from jobs.strategies.ray_train import Group, run_group

    chosen = Strategy.choose(strategy)
    out = Folder.parse(str(root / "out"))
    spec = ModelSpec.model_validate({"backbone": backbone})
    work = TrainWork(spec, TrainRecipe(epochs=2, batch_size=20), chosen, data, out)
    group = Group(work, chosen, "run", Folder.parse(str(root / "checkpoints")), retries=0, keep=1)
    run_remote(run_group, group, resources=Resources(), tell=lambda event: None)
    return Model.load(out)


@pytest.mark.slow
@pytest.mark.cluster
@pytest.mark.timeout(480)
def test_a_model_too_large_for_one_worker_trains_on_two(ray_cluster: None, texts: Folder, tmp_path: Path) -> None:
    with pytest.raises(StepError) as caught:
        train(texts, tmp_path / "one", WIDE, {"kind": "single", "memory_per_worker": LIMIT})
    assert str(caught.value) == (
        "worker 0 of 1: needs more memory for tensors than its memory_per_worker, 157,286,400 bytes; "
        "raise it, or divide the model over more workers"
    )
    model = train(texts, tmp_path / "two", WIDE, {"kind": "model_parallel", "memory_per_worker": LIMIT})
    assert [epoch.epoch for epoch in model.history] == [1, 2]
    assert model.history[1].loss < model.history[0].loss
