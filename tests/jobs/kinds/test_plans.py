"""Plans that must fail are refused when a definition is loaded, with the whole reason; nothing was started."""

from __future__ import annotations

from pathlib import Path

import pytest

from cluster.errors import RequestError
from pipelines.load import load
from tests.jobs.data.making import pair_table
from tests.jobs.data.records import write_parquet
from tests.jobs.models.making import hugging_face

MOBILE = "{kind: mobilenet_v2, alpha: 0.35}"
SMALL = "reads images of 32 pixels a side or more, but step 'data' makes some of"


def refused(root: Path, steps: str) -> list[str]:
    """Return what loading a definition of these steps says, a line for each mistake, without file and line number."""
    file = root / "plan.yaml"
    file.write_text(f"name: plan\nsteps:\n{steps}")
    with pytest.raises(RequestError) as caught:
        load(file)
    return [line.removeprefix(f"{file}:").partition(": ")[2] for line in str(caught.value).splitlines()]


def training(source: str, backbone: str, image: str = "") -> str:
    """Return the steps of a training on `source`."""
    size = f", image: {image}" if image else ""
    return (
        f"  data: {{job: dataset, source: {source}{size}}}\n"
        f"  model: {{job: train, data: data, model: {{backbone: {backbone}}}}}\n"
    )


def test_the_bundled_digits_are_too_small_for_a_mobilenet(tmp_path: Path) -> None:
    assert refused(tmp_path, training("{kind: digits}", MOBILE)) == [f"steps.model.model.backbone: {SMALL} 8"]


def test_a_mobilenet_that_is_part_of_a_fusion_reads_no_smaller_images(tmp_path: Path) -> None:
    pair_table(tmp_path / "pairs.parquet", 4)
    source = f"{{kind: table, path: {tmp_path}/pairs.parquet, image: image, text: text}}"
    backbone = f"{{kind: fusion, image: {MOBILE}, text: {{kind: embedding_bag}}}}"
    steps = training(source, backbone, "{height: 16, width: 16}")
    assert refused(tmp_path, steps) == [f"steps.model.model.backbone: {SMALL} 16"]


def test_a_student_reads_no_smaller_images_and_starts_from_weights_that_are_there(tmp_path: Path) -> None:
    student = f"{{backbone: {MOBILE.replace('}', ', weights: nowhere.h5}')}}}"
    steps = training("{kind: digits}", "{kind: resnet, depth: 8}", "{height: 16, width: 16}")
    distilled = f"techniques: [{{kind: distill, student: {student}}}]"
    steps += f"  small: {{job: compress, model: model, data: data, {distilled}}}\n"
    at = "steps.small.techniques[0].student.backbone"
    assert refused(tmp_path, steps) == [f"{at}: {SMALL} 16; nowhere.h5 does not exist"]


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ("length: 4_096", "has 20 positions, wanted length 4096"),
        ("length: 8, layers: 12", "layers: is 1, wanted 12"),
    ],
)
def test_fields_that_the_weights_contradict(tmp_path: Path, fields: str, message: str) -> None:
    folder = hugging_face(tmp_path / "hf")
    backbone = f"{{kind: bert, weights: {folder}, {fields}}}"
    wrong = f"{folder}: {message}"
    assert refused(tmp_path, training("{kind: docstrings}", backbone)) == [f"steps.model.model.backbone: {wrong}"]


def test_weights_of_another_architecture_inside_a_fusion(tmp_path: Path) -> None:
    pair_table(tmp_path / "pairs.parquet", 4)
    folder = hugging_face(tmp_path / "hf", model_type="gpt2")
    source = f"{{kind: table, path: {tmp_path}/pairs.parquet, image: image, text: text}}"
    text = f"{{kind: bert, weights: {folder}, length: 12}}"
    backbone = f"{{kind: fusion, image: {{kind: resnet, depth: 8}}, text: {text}}}"
    assert refused(tmp_path, training(source, backbone)) == [
        f"steps.model.model.backbone: {folder}/config.json: model_type: is 'gpt2', wanted 'bert'"
    ]


def test_a_source_to_score_that_does_not_tell_its_modality(tmp_path: Path) -> None:
    write_parquet(tmp_path / "news/data/test.parquet", {"text": ["a"]})
    steps = training("{kind: docstrings}", "{kind: text_cnn}")
    steps += f"  scored: {{job: score, model: model, source: {{kind: huggingface, path: {tmp_path}/news}}}}\n"
    assert refused(tmp_path, steps) == [
        f"steps.scored.source.path: {tmp_path}/news/README.md: names no column of texts or images, wanted one; "
        "set text or image, the name of the column"
    ]


@pytest.mark.parametrize("field", ["after: [data]", "best_of: earlier", "timeout: 60"])
def test_what_means_nothing_within_a_sweep_is_refused(tmp_path: Path, field: str) -> None:
    model, space = "model: {backbone: {kind: resnet}}", "space: {seed: {kind: integer, low: 0, high: 9}}"
    steps = (
        "  data: {job: dataset, source: {kind: digits}}\n"
        f"  earlier: {{job: sweep, train: {{data: data, {model}}}, {space}}}\n"
        f"  tuned: {{job: sweep, train: {{data: data, {model}, {field}}}, {space}}}\n"
    )
    name = field.partition(":")[0]
    assert refused(tmp_path, steps) == [f"steps.tuned.train.{name}: means nothing within a sweep: say it of a step"]
