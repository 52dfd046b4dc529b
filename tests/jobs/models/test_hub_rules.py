"""What is said of hub modules when a definition is read, before anything is started."""

from __future__ import annotations

from pathlib import Path

import pytest

from pipelines.language.mistakes import DefinitionError
from pipelines.load import load
from tests.jobs.models.modules import GUESSLANG

DEFINITION = f"""
name: rules
steps:
  data: {{job: dataset, source: {{kind: docstrings}}}}
  teacher:
    job: train
    data: data
    model: {{backbone: {{kind: hub, module: {GUESSLANG}, reads: text}}}}
  pictures: {{job: dataset, source: {{kind: digits}}}}
  seen:
    job: train
    data: pictures
    model: {{backbone: {{kind: hub, module: {GUESSLANG}, reads: image}}}}
"""

MORE = {
    "prune": "  more: {job: compress, model: seen, data: pictures, techniques: [{kind: prune}]}",
    "quantize": "  more: {job: compress, model: teacher, data: data, techniques: [{kind: quantize}]}",
    "deploy": "  more: {job: deploy, model: teacher}",
    "modality": "  more: {job: evaluate, models: [seen], data: data}",
}
SAID = {
    "prune": "steps.more.techniques[0]: a hub module is a black box to TFMOT: use it as a teacher for distillation, "
    "or quantize it whole",
    "quantize": "steps.more.techniques[0]: a hub backbone that takes strings has no LiteRT file: use it as a teacher "
    "for distillation",
    "deploy": "steps.more.model: 'teacher' takes strings, which only TensorFlow runs, and replicas have no TensorFlow; "
    "distill it into a backbone with a tokenizer of its own",
    "modality": "steps.more.models[0]: 'seen' reads image rows, but step 'data' makes text rows",
}


@pytest.mark.parametrize("case", sorted(MORE))
def test_what_a_hub_module_cannot_do_is_refused_at_load(case: str, tmp_path: Path) -> None:
    file = tmp_path / "rules.yaml"
    file.write_text(DEFINITION + MORE[case])
    with pytest.raises(DefinitionError) as caught:
        load(file)
    assert str(caught.value) == f"{file}:14: {SAID[case]}"


def test_fields_that_do_not_go_together_are_refused(tmp_path: Path) -> None:
    file = tmp_path / "rules.yaml"
    file.write_text(DEFINITION.replace("reads: image", "reads: image, preprocessor: x"))
    with pytest.raises(DefinitionError, match="has a preprocessor, which is of texts, but reads image"):
        load(file)
    file.write_text(DEFINITION.replace("reads: image", "reads: image, trainable: true, signature: serving_default"))
    with pytest.raises(DefinitionError, match="signature serving_default cannot be trained"):
        load(file)
    file.write_text(DEFINITION.replace(str(GUESSLANG), "http://modules.example/text"))
    with pytest.raises(DefinitionError) as caught:
        load(file)
    assert "http://modules.example/text is not encrypted: what comes from there can be exchanged on its way; " in str(
        caught.value
    )
    file.write_text(DEFINITION.replace(str(GUESSLANG), "nowhere"))
    with pytest.raises(DefinitionError, match="nowhere does not exist"):
        load(file)
