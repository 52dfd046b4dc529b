"""Fusions that make no sense are refused when they are loaded, with the whole reason."""

from __future__ import annotations

from pathlib import Path

import pytest

from pipelines.load import load
from tests.jobs.kinds.test_plans import refused

STEPS = (
    "  data: {job: dataset, source: {kind: digits}}\n"
    "  other: {job: dataset, source: {kind: digits}, split: {seed: 1}}\n"
    "  words: {job: dataset, source: {kind: docstrings}}\n"
    "  a: {job: train, data: data, model: {backbone: {kind: resnet, depth: 8}}}\n"
    "  b: {job: train, data: data, model: {backbone: {kind: resnet, depth: 8}}, seed: 1}\n"
    "  wide: {job: train, data: data, model: {backbone: {kind: resnet, depth: 8, width: 32}}}\n"
    "  far: {job: train, data: other, model: {backbone: {kind: resnet, depth: 8}}}\n"
    "  text: {job: train, data: words, model: {backbone: {kind: text_cnn}}}\n"
)


def fuse(fields: str) -> str:
    return f"{STEPS}  fused: {{job: fuse, data: data, {fields}}}\n"


@pytest.mark.parametrize(
    ("fields", "messages"),
    [
        ("models: [a]", ["steps.fused.models: has 1, and average takes 2 to 64"]),
        ("models: [a, b], method: {kind: swa}", ["steps.fused.models: has 2, and swa takes 1"]),
        ("models: [a, b, a]", ["steps.fused.models[2]: 'a' is a member already"]),
        (
            "models: [a, far]",
            [
                "steps.fused.models[1]: 'far' learnt from step 'other', not 'data': its classes may be others, and "
                "rows that members are chosen on may be among those it learnt from"
            ],
        ),
        (
            "models: [a, text]",
            [
                "steps.fused.models[1]: 'text' reads text rows, but step 'data' makes image rows; 'text' learnt from "
                "step 'words', not 'data': its classes may be others, and rows that members are chosen on may be among "
                "those it learnt from"
            ],
        ),
        (
            "models: [a, wide], method: {kind: soup}",
            [
                "steps.fused.models[1]: has another backbone than the first member: weights of both have no mean; "
                "average their answers"
            ],
        ),
        (
            "models: [a], method: {kind: swa, batch_size: 1, strategy: {kind: data_parallel, workers: 2}}",
            ["steps.fused.method.strategy: 1 rows a global batch cannot feed 2 workers"],
        ),
        (
            "models: [a], method: {kind: swa, strategy: {kind: parameter_server, workers: 2}}",
            [
                "steps.fused.method.strategy: averages weights at the end of epochs, which all workers must come to "
                "together: take a strategy without a coordinator"
            ],
        ),
    ],
)
def test_members_that_do_not_go_together(tmp_path: Path, fields: str, messages: list[str]) -> None:
    assert refused(tmp_path, fuse(fields)) == messages


def test_an_ensemble_is_made_of_trained_models_and_not_trained(tmp_path: Path) -> None:
    backbone = "{kind: ensemble, models: [{backbone: {kind: resnet, depth: 8}}]}"
    steps = STEPS + f"  whole: {{job: train, data: data, model: {{backbone: {backbone}}}}}\n"
    assert refused(tmp_path, steps) == [
        "steps.whole.model.backbone: an ensemble is what a fuse step makes of models that were trained: "
        "train its members"
    ]


def test_what_is_fused_is_compressed_teaches_and_is_fused_again(tmp_path: Path) -> None:
    steps = fuse("models: [a, b, wide]") + (
        "  soup: {job: fuse, data: data, models: [a, b], method: {kind: soup}}\n"
        "  both: {job: fuse, data: data, models: [fused, soup]}\n"
        "  student: {job: compress, model: both, data: data, techniques: "
        "[{kind: distill, student: {backbone: {kind: resnet, depth: 8}}}]}\n"
        "  small: {job: compress, model: fused, data: data, techniques: [{kind: prune}, {kind: quantize}]}\n"
    )
    (tmp_path / "plan.yaml").write_text(f"name: plan\nsteps:\n{steps}")
    pipeline = load(tmp_path / "plan.yaml")
    spec = pipeline.steps["both"].model_spec(pipeline.steps)
    assert spec.model_dump(mode="json")["backbone"]["kind"] == "ensemble"
    assert pipeline.steps["soup"].model_spec(pipeline.steps) == pipeline.steps["a"].model_spec(pipeline.steps)
