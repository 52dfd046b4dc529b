"""A chain is chosen that keeps a promise; where none does, the nearest is named."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from cluster.errors import FinalError
from cluster.folder import Folder
from jobs.artifacts import Model
from jobs.budget.chains import PARTS, parts_of, space_over
from jobs.budget.trying import BudgetWork
from jobs.budget.within import Within
from jobs.compressing import CompressWork
from jobs.models.model import ModelSpec
from jobs.recipe import TrainRecipe
from jobs.runtime.classifier import Classifier, golden_rows
from jobs.strategies import Single
from jobs.sweeping.judged import judged
from jobs.techniques import Technique
from jobs.training import TrainWork
from tests.jobs.kinds.test_plans import refused
from tests.rig import MemoryKeeper

TEXT_CNN = {"kind": "text_cnn", "vocabulary": 300, "length": 16, "width": 16, "filters": 16}
CHAIN = [{"kind": "prune", "sparsity": 0.5, "epochs": 1, "batch_size": 64}, {"kind": "quantize", "scheme": "dynamic"}]
SPACE = {"techniques[1].scheme": {"kind": "choice", "values": ["dynamic", "float16"]}}


def techniques() -> list[Technique]:
    return [Technique.choose(fields) for fields in CHAIN]


def test_parts_of_a_chain_are_those_that_are_legal_by_themselves() -> None:
    backbone = ModelSpec.model_validate({"backbone": {"kind": "resnet", "depth": 8}}).backbone
    assert parts_of(techniques(), backbone, Single()) == ["0+1", "0", "1"]
    student = {"kind": "distill", "student": {"backbone": {"kind": "resnet", "depth": 8}}}
    twice = [Technique.choose(fields) for fields in (CHAIN[0], student)]
    assert parts_of(twice, backbone, Single()) == ["0", "1"]  # what is pruned first would be lost


def test_a_field_is_drawn_only_where_its_technique_is_in() -> None:
    space = space_over(["0+1", "0", "1"], Within.model_validate({"size_bytes": 1, "space": SPACE}).space)
    assert space[PARTS].every() == ["0+1", "0", "1"]
    assert space["techniques[1].scheme"].when == {PARTS: ["0+1", "1"]}


STEPS = (
    "  data: {job: dataset, source: {kind: digits}}\n"
    "  large: {job: train, data: data, model: {backbone: {kind: resnet, depth: 8}}}\n"
)


@pytest.mark.parametrize(
    ("within", "message"),
    [
        ("{choose: smallest}", "within: promises nothing; set accuracy_drop, accuracy, size_bytes or p99_ms"),
        (
            "{size_bytes: 1, space: {learning_rate: {kind: choice, values: [1, 2]}}}",
            "within.space.learning_rate: lies in no technique; name one as techniques[0].sparsity",
        ),
        (
            "{size_bytes: 1, space: {'techniques[0].sparse': {kind: choice, values: [0.1, 0.2]}}}",
            "within.space['techniques[0].sparse']: 'techniques[0]' has no field 'sparse'; did you mean 'sparsity'?",
        ),
        (
            "{size_bytes: 1, space: {'techniques[0].sparsity': {kind: choice, values: [0.5, 1.0]}}}",
            "within.space['techniques[0].sparsity']: 1.0 is not a value this field can take "
            "(Input should be less than 1)",
        ),
    ],
)
def test_a_promise_that_makes_no_sense(tmp_path: Path, within: str, message: str) -> None:
    chain = "techniques: [{kind: prune}, {kind: quantize}]"
    steps = f"{STEPS}  small: {{job: compress, model: large, data: data, {chain}, within: {within}}}\n"
    assert refused(tmp_path, steps) == [f"steps.small.{message}"]


@pytest.fixture(scope="module")
def large(texts: Folder, tmp_path_factory: pytest.TempPathFactory) -> Folder:
    """Return a model of texts to be compressed."""
    root = tmp_path_factory.mktemp("large")
    out = Folder.parse(str(root / "model"))
    recipe = TrainRecipe(epochs=2, batch_size=64, learning_rate=0.02)
    work = TrainWork(ModelSpec.model_validate({"backbone": TEXT_CNN}), recipe, Single(), texts, out)
    work(Single().engine(), MemoryKeeper(root))
    return out


def budget(large: Folder, data: Folder, out: Path, **within: Any) -> BudgetWork:
    asked = Within.model_validate({"searcher": {"kind": "grid"}, "space": SPACE} | within)
    return BudgetWork(CompressWork(techniques(), Single(), large, data, Folder.parse(str(out))), asked, "small")


class Ending(MemoryKeeper):
    """Ends the work once it was told of a chain, as a killed process would."""

    last: int | None = None

    def tell(self, event: dict[str, Any]) -> None:
        super().tell(event)
        if event.get("tried") == self.last is not None:
            raise KeyboardInterrupt


@pytest.mark.training
def test_the_smallest_chain_that_keeps_the_promise_is_made_and_a_broken_search_goes_on(
    large: Folder, texts: Folder, tmp_path: Path
) -> None:
    keeper = Ending(tmp_path)
    keeper.last = 1
    work = budget(large, texts, tmp_path / "out", accuracy_drop=0.5)
    with pytest.raises(KeyboardInterrupt):
        work(Single().engine(), keeper)
    keeper.last = None
    told = len(keeper.events)
    work(Single().engine(), keeper)
    again = [event for event in keeper.events[told:] if event.get("start") == "prune"]
    assert not again  # every chain that prunes shares the one pruning, made before it was ended
    made = Model.load(work.work.out)
    assert made.budget is not None
    tried = made.budget.tried
    assert [(trial.chain, trial.values.get("techniques[1].scheme")) for trial in tried] == [
        (["prune", "quantize"], "dynamic"),
        (["prune", "quantize"], "float16"),
        (["prune"], None),
        (["quantize"], "dynamic"),
        (["quantize"], "float16"),
    ]
    kept = [t for t in tried if t.measured["accuracy"] >= made.budget.limits["accuracy"]]
    (chosen,) = [trial for trial in tried if trial.chosen]
    assert chosen.measured["size_bytes"] == min(trial.measured["size_bytes"] for trial in kept) == made.size_bytes
    assert chosen.front
    assert judged(work.work.out, texts, False)["accuracy"] == chosen.measured["accuracy"]
    assert [link["kind"] for link in made.chain] == chosen.chain
    assert Classifier(made, made.folder.path).classify(golden_rows(made.folder.path))
    assert made.budget.before["size_bytes"] == Model.load(large).size_bytes


@pytest.mark.training
def test_chains_with_one_teacher_ask_it_once(large: Folder, texts: Folder, tmp_path: Path) -> None:
    student = {"backbone": TEXT_CNN | {"width": 4, "filters": 4}}
    distill = Technique.choose({"kind": "distill", "student": student, "epochs": 1, "learning_rate": 0.01})
    softer = {"techniques[0].temperature": {"kind": "choice", "values": [4.0, 2.0]}}
    asked = Within.model_validate({"searcher": {"kind": "grid"}, "space": softer, "size_bytes": 10**7})
    keeper = MemoryKeeper(tmp_path)
    work = CompressWork([distill], Single(), large, texts, Folder.parse(str(tmp_path / "out")))
    BudgetWork(work, asked, "small")(Single().engine(), keeper)
    assert len([event for event in keeper.events if "tried" in event]) == 2
    assert keeper.events.count({"start": "asking the teacher"}) == 1


@pytest.mark.training
def test_a_promise_that_no_chain_keeps_names_the_nearest(large: Folder, texts: Folder, tmp_path: Path) -> None:
    work = budget(large, texts, tmp_path / "out", size_bytes=100, trials=2)
    with pytest.raises(FinalError) as caught:
        work(Single().engine(), MemoryKeeper(tmp_path))
    found = [json.loads((tmp_path / f"ended{n:03d}" / "agreed.json").read_text())["measured"] for n in range(2)]
    near = min(range(2), key=lambda number: found[number]["size_bytes"])
    scheme = ("dynamic", "float16")[near]
    assert str(caught.value) == (
        f"step 'small': no chain keeps the promise; the nearest, chain {near} (prune → quantize, "
        f"techniques[1].scheme {scheme}), has size_bytes {found[near]['size_bytes']:g}, wanted size_bytes at most 100; "
        "loosen within, or widen its space"
    )
    assert not (tmp_path / "out" / "artifact.json").exists()
