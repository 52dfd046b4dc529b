"""Every way to fuse models, on members trained a little: the file that comes out says what was promised."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cluster.errors import FinalError
from cluster.folder import Folder
from jobs.artifacts import Dataset, Model
from jobs.data.encode import encoded
from jobs.fusing.fuse import fuse_here
from jobs.fusing.methods import FuseMethod
from jobs.fusing.methods.method import Fusing
from jobs.fusing.swing import SwaWork
from jobs.models.model import ModelSpec, read_weights
from jobs.recipe import TrainRecipe
from jobs.runtime.classifier import Classifier, golden_rows
from jobs.runtime.measure import logits_of
from jobs.runtime.runner import Runner, softmax
from jobs.strategies import Single
from jobs.training import TrainWork
from tests.rig import TINY, MemoryKeeper

pytestmark = pytest.mark.training

TEXT_CNN = {"kind": "text_cnn", "vocabulary": 300, "length": 16, "width": 8, "filters": 8}
METHODS: dict[str, list[dict[str, Any]]] = {
    "average": [{"kind": "average"}, {"kind": "average", "of": "logits"}, {"kind": "average", "weights": "equal"}],
    "soup": [{"kind": "soup"}, {"kind": "soup", "recipe": "uniform"}],
    "swa": [{"kind": "swa", "epochs": 2, "learning_rate": 0.003}],
    "vote": [{"kind": "vote"}],
}
SLOW = ("average logits", "average equal")  # run by make soak: their arithmetic has tests of its own


def example(fields: dict[str, Any]) -> Any:
    """Return the case of an example, called by what it asks for."""
    name = " ".join(value for value in fields.values() if isinstance(value, str))
    return pytest.param(fields, id=name, marks=[pytest.mark.slow] if name in SLOW else [])


EXAMPLES = [example(fields) for each in METHODS.values() for fields in each]
AVERAGES = [example(fields) for fields in METHODS["average"]]


def test_every_method_is_under_contract() -> None:
    assert set(FuseMethod.members()) == set(METHODS)


def trained(backbone: dict[str, Any], data: Folder, root: Path, **recipe: Any) -> Folder:
    """Train a member below `root`."""
    root.mkdir()
    out = Folder.parse(str(root / "model"))
    asked = TrainRecipe.model_validate({"epochs": 2, "batch_size": 64, "learning_rate": 0.01} | recipe)
    work = TrainWork(ModelSpec.model_validate({"backbone": backbone}), asked, Single(), data, out)
    work(Single().engine(), MemoryKeeper(root))
    return out


@pytest.fixture(scope="module")
def members(digits: Folder, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Folder]:
    """Return two members, which began in different places."""
    root = tmp_path_factory.mktemp("members")
    recipes: dict[str, dict[str, Any]] = {"first": {"learning_rate": 0.003}, "second": {"seed": 1}}
    return {name: trained(TINY, digits, root / name, **recipe) for name, recipe in recipes.items()}


@pytest.fixture(scope="module")
def readers(texts: Folder, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Folder]:
    """Return two members of texts, whose layers have no averages."""
    root = tmp_path_factory.mktemp("readers")
    return {f"reader{seed}": trained(TEXT_CNN, texts, root / f"{seed}", seed=seed) for seed in range(2)}


def fused(fields: dict[str, Any], members: dict[str, Folder], data: Folder, root: Path) -> tuple[Model, list[Any]]:
    """Fuse the members, or the first of them where the method takes one, and return what came of it and was told."""
    method = FuseMethod.choose(fields)
    work = Fusing(dict(list(members.items())[: method.most]), data, Folder.parse(str(root / "out")))
    keeper = MemoryKeeper(root)
    if method.trains:
        SwaWork(method, work)(Single().engine(), keeper)  # type: ignore[arg-type]
    else:
        fuse_here(method, work, keeper.tell)
    return Model.load(work.out), keeper.events


class Made(dict[str, tuple[Model, list[Any]]]):
    """What came of each example over the members, fused when it is first asked for."""

    def __init__(self, members: dict[str, Folder], data: Folder, root: Path) -> None:
        super().__init__()
        self.members, self.data, self.root = members, data, root

    def of(self, **fields: Any) -> tuple[Model, list[Any]]:
        name = json.dumps(fields)
        if name not in self:
            (place := self.root / str(len(self))).mkdir()
            self[name] = fused(fields, self.members, self.data, place)
        return self[name]


@pytest.fixture(scope="module")
def made(members: dict[str, Folder], digits: Folder, tmp_path_factory: pytest.TempPathFactory) -> Made:
    """Return what came of the examples."""
    return Made(members, digits, tmp_path_factory.mktemp("made"))


def answers(folder: Folder, data: Folder) -> tuple[Any, Any]:
    """Return what a served file answers on validation rows, and the labels."""
    model, dataset = Model.load(folder), Dataset.load(data)
    rows = encoded(dataset, model.preprocess, "validation", folder.path)
    return logits_of(Runner(folder.path / model.served), rows)


@pytest.mark.parametrize("fields", EXAMPLES)
def test_what_is_fused_is_an_ordinary_model(fields: dict[str, Any], made: Made, digits: Folder) -> None:
    model, _ = made.of(**fields)
    record = model.fused
    assert record is not None
    assert [member.step for member in record.members] == list(made.members)[: len(record.members)]
    assert sum(member.weight for member in record.members) == pytest.approx(1)
    logits, labels = answers(model.folder, digits)
    assert float((logits.argmax(1) == labels).mean()) == pytest.approx(record.accuracy, abs=1.01 / len(labels))
    assert model.size_bytes == (model.folder.path / model.served).stat().st_size
    replies = Classifier(model, model.folder.path).classify(golden_rows(model.folder.path))
    assert all(reply["label"] in model.classes and 0 < reply["probability"] <= 1 for reply in replies)


def told_by(members: dict[str, Folder], data: Folder) -> Any:
    """Return what each member's file says over its temperature: `float32[members, rows, classes]`."""
    each = members.values()
    return np.stack([answers(folder, data)[0] / np.float32(Model.load(folder).temperature) for folder in each])


@pytest.mark.parametrize("fields", AVERAGES)
def test_an_average_says_what_its_members_files_say_together(
    fields: dict[str, Any], made: Made, digits: Folder
) -> None:
    model, _ = made.of(**fields)
    assert model.fused is not None
    told = told_by(made.members, digits)
    weights = [member.weight for member in model.fused.members]
    if model.fused.method["of"] == "logits":
        wanted = np.tensordot(weights, told, 1)
    else:
        wanted = np.log(np.tensordot(weights, np.stack([softmax(each) for each in told]), 1) + 1e-7)
    found, labels = answers(model.folder, digits)
    np.testing.assert_allclose(found, wanted, atol=1e-2, rtol=1e-3)
    if model.fused.method["weights"] == "learned":
        likely = [float(np.log(softmax(each)[np.arange(len(labels)), labels]).mean()) for each in [found, *told]]
        assert likely[0] >= max(likely) - 1e-3


def test_a_vote_is_won_by_the_majority_and_a_draw_by_the_mean(made: Made, digits: Folder) -> None:
    likely = np.stack([softmax(each) for each in told_by(made.members, digits)])
    named, found = likely.argmax(2), answers(made.of(kind="vote")[0].folder, digits)[0].argmax(1)
    agreed = named[0] == named[1]
    assert 0 < agreed.sum() < len(agreed)
    assert (found[agreed] == named[0][agreed]).all()
    either = likely.mean(0)
    either[(np.arange(either.shape[1]) != named[0][:, None]) & (np.arange(either.shape[1]) != named[1][:, None])] = 0
    assert (found == either.argmax(1)).all()


def test_a_greedy_soup_is_no_worse_than_its_best_member_and_a_uniform_one_of_strangers_is(made: Made) -> None:
    greedy, told = made.of(kind="soup")
    uniform, warned = made.of(kind="soup", recipe="uniform")
    assert greedy.fused is not None
    assert uniform.fused is not None
    best = max(member.accuracy for member in greedy.fused.members)
    assert greedy.fused.accuracy >= best
    assert not [event for event in told if "warning" in event]
    assert uniform.fused.accuracy < best
    assert [event["warning"] for event in warned if "warning" in event] == [
        f"the fused model has {uniform.fused.accuracy:.4f} on validation rows, its best member {best:.4f}"
    ]
    assert greedy.size_bytes == uniform.size_bytes == Model.load(made.members["first"]).size_bytes


def weights_in(folder: Folder) -> dict[str, Any]:
    return read_weights((folder.path / "weights.npz").read_bytes(), "weights")


def test_a_uniform_soup_holds_the_mean_of_its_members_weights(
    readers: dict[str, Folder], texts: Folder, tmp_path: Path
) -> None:
    model, _ = fused({"kind": "soup", "recipe": "uniform"}, readers, texts, tmp_path)
    each = [weights_in(folder) for folder in readers.values()]
    for name, value in weights_in(model.folder).items():
        np.testing.assert_allclose(value, np.mean([own[name] for own in each], axis=0), atol=1e-6)


def test_texts_are_averaged_by_one_file_with_one_tokenizer(
    readers: dict[str, Folder], texts: Folder, tmp_path: Path
) -> None:
    model, _ = fused({"kind": "average"}, readers, texts, tmp_path)
    assert Classifier(model, model.folder.path).classify(["oak and leaf"], top=1)[0]["label"] == "trees"


def test_members_with_other_vocabularies_and_of_other_classes_are_refused(
    readers: dict[str, Folder], texts: Folder, digits: Folder, tmp_path: Path
) -> None:
    short = trained(TEXT_CNN | {"length": 8}, texts, tmp_path / "short")
    with pytest.raises(FinalError, match=r"^'short' and 'reader0': prepare rows in different ways"):
        fused({"kind": "average"}, readers | {"short": short}, texts, tmp_path)
    with pytest.raises(FinalError, match=r"^'reader0' and the data: have other classes"):
        fused({"kind": "average"}, readers, digits, tmp_path)


class Stopping(MemoryKeeper):
    """Ends the work after an epoch, as a killed process would, and keeps the weights at each epoch's end."""

    def __init__(self, root: Path, last: int) -> None:
        super().__init__(root)
        self.last = last
        self.ends: list[dict[str, Any]] = []

    def epoch_done(self, phase: int, history: list[Any], arrays: dict[str, Any]) -> None:
        super().epoch_done(phase, history, arrays)
        self.ends.append(arrays)
        if len(history) == self.last:
            raise KeyboardInterrupt


def test_stochastic_weight_averaging_is_the_mean_of_where_epochs_ended_also_when_it_goes_on(
    readers: dict[str, Folder], texts: Folder, tmp_path: Path
) -> None:
    method: Any = FuseMethod.choose({"kind": "swa", "epochs": 3, "learning_rate": 0.01, "batch_size": 64})
    start = {"reader0": readers["reader0"]}
    ended = {}
    for name, last in (("unbroken", 0), ("broken", 2)):
        work = Fusing(start, texts, Folder.parse(str(tmp_path / name)))
        keeper = Stopping(tmp_path, last)
        if last:
            with pytest.raises(KeyboardInterrupt):
                SwaWork(method, work)(Single().engine(), keeper)
            keeper.last = 0
        SwaWork(method, work)(Single().engine(), keeper)
        assert [epoch.phase for epoch in Model.load(work.out).history] == ["train"] * 2 + ["swa"] * 3
        ended[name], ends = weights_in(work.out), keeper.ends
    for number, (name, value) in enumerate(ended["unbroken"].items()):
        came_by = [weights_in(readers["reader0"])[name], *(end[f"w/{number}"] for end in ends)]
        np.testing.assert_allclose(value, np.mean(came_by, axis=0), atol=1e-5)
        np.testing.assert_allclose(value, ended["broken"][name], atol=1e-6)
