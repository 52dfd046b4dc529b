"""Every technique on every backbone it is legal on: trained a little, compressed, its promises checked on the file."""

from __future__ import annotations

from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cluster.errors import StepError
from cluster.folder import Folder
from jobs.artifacts import Model
from jobs.compressing import CompressWork, calibration_rows
from jobs.models import Backbone
from jobs.models.model import ModelSpec, read_weights
from jobs.recipe import TrainRecipe
from jobs.runtime.classifier import Classifier, golden_rows
from jobs.strategies import Single
from jobs.techniques import Teaches, Technique
from jobs.techniques.legality import refusals
from jobs.training import TrainWork
from tests.jobs.data.making import made as prepared
from tests.jobs.models.modules import image_module
from tests.rig import TINY, MemoryKeeper

pytestmark = pytest.mark.training

TEXT_CNN = {"kind": "text_cnn", "vocabulary": 300, "length": 16, "width": 8, "filters": 8}
BACKBONES: dict[str, dict[str, Any]] = {
    "bert": {
        "kind": "bert", "layers": 2, "width": 16, "heads": 2, "feed_forward": 32, "vocabulary": 300, "length": 16,
        "stochastic_depth": 0.1,
    },
    "embedding_bag": {"kind": "embedding_bag", "vocabulary": 300, "length": 16, "width": 8},
    "efficientnet_b0": {"kind": "efficientnet_b0"},
    "ensemble": {"kind": "ensemble", "models": [{"backbone": TINY}, {"backbone": TINY}]},
    "hub": {"kind": "hub", "module": "module", "reads": "image"},  # made in the folder of the training
    "fusion": {
        "kind": "fusion", "image": TINY, "text": TEXT_CNN, "fusion": "gated", "width": 32, "modality_dropout": 0.1,
    },
    "mobilenet_v2": {"kind": "mobilenet_v2", "alpha": 0.35},
    "resnet": TINY | {"stochastic_depth": 0.1, "spatial_dropout": 0.1},
    "resnet50": {"kind": "resnet50"},
    "resnet50_v2": {"kind": "resnet50_v2"},
    "text_cnn": TEXT_CNN | {"spatial_dropout": 0.2},
}  # fmt: skip
TECHNIQUES: dict[str, list[dict[str, Any]]] = {
    "distill": [{"kind": "distill", "epochs": 2, "learning_rate": 0.01, "agreement": 0.3}],
    "factorize": [{"kind": "factorize", "energy": 0.5, "epochs": 1}],
    "prune_structured": [{"kind": "prune_structured", "keep": 0.6, "epochs": 1}],
    "prune": [
        {"kind": "prune", "sparsity": 0.7, "epochs": 1},
        {"kind": "prune", "pattern": "m_by_n", "epochs": 1},
        {"kind": "prune", "pattern": "block", "sparsity": 0.7, "epochs": 1},
    ],
    "quantize": [
        *({"kind": "quantize", "scheme": scheme} for scheme in ("int8", "dynamic", "float16", "int16x8", "int4")),
        {"kind": "quantize", "per_channel": False},
        {"kind": "quantize", "scheme": "int8", "aware": True, "epochs": 1},
    ],
    "share_weights": [{"kind": "share_weights", "clusters": 8, "epochs": 1}],
}
LARGE = {"efficientnet_b0", "mobilenet_v2", "resnet50", "resnet50_v2"}  # on images of 32 by 32; run by make soak
JOINED = {"ensemble"}  # their members are of the list; run by make soak
QUICK = {("mobilenet_v2", "quantize", 0)}  # but for one, on which make test looks too
REPRESENTED = {  # examples that make test tries on these backbones alone
    ("factorize", 0): {"bert"},
    ("prune", 1): {"resnet"},
    ("prune", 2): {"bert"},
    ("prune_structured", 0): {"bert", "resnet"},
    **{("quantize", index): {"resnet"} for index in (3, 4, 5, 6)},
    ("share_weights", 0): {"resnet"},
}

SMALL_CNN = TEXT_CNN | {"width": 4, "filters": 4}
STUDENTS: dict[str, dict[str, Any]] = {
    "image": TINY,
    "text": SMALL_CNN,
    "image_text": {"kind": "fusion", "image": TINY, "text": SMALL_CNN},
}


def chosen_for(fields: dict[str, Any], modality: str) -> Technique:
    """Return the technique of an example; what teaches gets a student that reads the rows."""
    if issubclass(Technique.members()[fields["kind"]], Teaches):
        fields = fields | {"student": {"backbone": STUDENTS[modality]}}
    return Technique.choose(fields)


def test_every_backbone_and_technique_is_under_contract() -> None:
    ours = {tag for tag, cls in Backbone.members().items() if cls.__module__.startswith("jobs.")}
    assert ours == set(BACKBONES)
    assert {tag for tag, cls in Technique.members().items() if cls.__module__.startswith("jobs.")} == set(TECHNIQUES)


def marked(kind: str, technique: str = "quantize", index: int = 0) -> list[Any]:
    """Return the marks of a case."""
    quick = (
        kind in REPRESENTED.get((technique, index), set(BACKBONES) - LARGE - JOINED)
        or (kind, technique, index) in QUICK
    )
    return [] if quick else [pytest.mark.slow]


class Trained(dict[str, tuple[Folder, Folder]]):
    """(data, model) by backbone, each trained when it is first asked for."""

    def __init__(self, data: dict[str, Folder], root: Path) -> None:
        super().__init__()
        self.data, self.root = data, root

    def __missing__(self, kind: str) -> tuple[Folder, Folder]:
        spec = ModelSpec.model_validate({"backbone": BACKBONES[kind]})
        (root := self.root / kind).mkdir()
        if spec.backbone.inputs():
            image_module(root / "module", filters=64)  # larger than the student
            spec = spec.model_copy(update={"backbone": spec.backbone.located(root)})
        data = self.data["large" if kind in LARGE else spec.backbone.modality]
        out = Folder.parse(str(root / "model"))
        rate = 0.002 if kind in LARGE else 0.01
        work = TrainWork(spec, TrainRecipe(epochs=2, batch_size=64, learning_rate=rate), Single(), data, out)
        work(Single().engine(), MemoryKeeper(root))
        self[kind] = (data, out)
        return self[kind]


@pytest.fixture(scope="module")
def trained(digits: Folder, texts: Folder, pairs: Folder, tmp_path_factory: pytest.TempPathFactory) -> Trained:
    """Return (data, model) by backbone."""
    root = tmp_path_factory.mktemp("trained")
    (root / "large").mkdir()
    size, split = {"height": 32, "width": 32}, {"validation": 0.1, "test": 0.7}
    prepared(root / "large", {"kind": "digits"}, image=size, split=split)[0].save(Folder.parse(str(root / "large")))
    large = Folder.parse(str(root / "large"))
    return Trained({"image": digits, "text": texts, "image_text": pairs, "large": large}, root)


@pytest.mark.timeout(900)
@pytest.mark.parametrize("kind", [pytest.param(kind, marks=marked(kind)) for kind in sorted(BACKBONES)])
def test_a_trained_artifact_is_whole_and_answers(kind: str, trained: Trained) -> None:
    _, folder = trained[kind]
    model = Model.load(folder)
    assert [epoch.epoch for epoch in model.history] == [1, 2]
    assert model.history[1].loss < model.history[0].loss
    assert model.size_bytes == (folder.path / model.served).stat().st_size
    answers = Classifier(model, folder.path).classify(golden_rows(folder.path))
    assert all(answer["label"] in model.classes and 0 < answer["probability"] <= 1 for answer in answers)


CASES = [
    pytest.param(b, t, i, marks=marked(b, t, i))
    for b, t in product(sorted(BACKBONES), sorted(TECHNIQUES))
    for i, fields in enumerate(TECHNIQUES[t])
    if not [*refusals(chosen_for(fields, (own := Backbone.choose(BACKBONES[b])).modality), [], own, Single())]
]


@pytest.mark.timeout(900)
@pytest.mark.parametrize(("backbone", "technique", "index"), CASES)
def test_a_technique_keeps_its_promise(
    backbone: str, technique: str, index: int, trained: Trained, tmp_path: Path
) -> None:
    data, model = trained[backbone]
    spec = ModelSpec.model_validate(Model.load(model).spec)
    fields = TECHNIQUES[technique][index]
    if backbone in LARGE and "agreement" in fields:
        fields = fields | {"agreement": 0.0}  # a dozen train steps teach them nothing a student could agree with
    chosen = chosen_for(fields, spec.backbone.modality)
    out = Folder.parse(str(tmp_path / "out"))
    CompressWork([chosen], Single(), model, data, out)(Single().engine(), MemoryKeeper(tmp_path))
    made = Model.load(out)
    assert made.findings
    assert all(finding.kept for finding in made.findings)
    assert Classifier(made, out.path).classify(golden_rows(out.path))
    whole = Model.load(model)
    if chosen.reshapes:  # of a tiny model one more operator takes more bytes than a layer of low rank saves
        assert made.parameters < whole.parameters
    else:
        assert made.size_bytes <= whole.size_bytes


def test_pruned_weights_are_zero_in_the_artifact(trained: Trained, tmp_path: Path) -> None:
    data, model = trained["resnet"]
    out = Folder.parse(str(tmp_path / "out"))
    chain = [Technique.choose(TECHNIQUES["prune"][0])]
    CompressWork(chain, Single(), model, data, out)(Single().engine(), MemoryKeeper(tmp_path))
    weights = read_weights((out.path / "weights.npz").read_bytes(), "weights")
    for name, value in weights.items():
        if name.endswith("/kernel"):
            assert (value == 0).mean() == pytest.approx(0.7, abs=1.5 / value.size), name


def test_a_quantized_image_model_takes_the_pixels_themselves(trained: Trained, tmp_path: Path) -> None:
    data, model = trained["resnet"]
    out = Folder.parse(str(tmp_path / "out"))
    chain = [Technique.choose({"kind": "quantize", "scheme": "int8", "calibration": 3})]
    keeper = MemoryKeeper(tmp_path)
    CompressWork(chain, Single(), model, data, out)(Single().engine(), keeper)
    runner = Classifier(Model.load(out), out.path).runner
    assert list(runner.input_types.values()) == [np.uint8]
    (warning,) = (event["warning"] for event in keeper.events if "warning" in event)
    assert warning.startswith("none of the 3 calibration rows is of ")
    assert warning.endswith(": ranges may be too narrow; raise calibration")


def test_a_quantized_model_of_pairs_takes_pixels_and_token_ids(
    trained: dict[str, tuple[Folder, Folder]], tmp_path: Path
) -> None:
    data, model = trained["fusion"]
    out = Folder.parse(str(tmp_path / "out"))
    chain = [Technique.choose({"kind": "quantize", "scheme": "int8"})]
    CompressWork(chain, Single(), model, data, out)(Single().engine(), MemoryKeeper(tmp_path))
    runner = Classifier(Model.load(out), out.path).runner
    assert runner.input_types == {"image": np.uint8, "tokens": np.int32}


class Numbers:
    """Rows that are their own indices."""

    def __init__(self, count: int) -> None:
        self.count = count

    def __len__(self) -> int:
        return self.count

    def gather(self, indices: Any) -> tuple[Any, Any]:
        return np.asarray(indices), np.asarray(indices)


def test_calibration_rows_span_the_training_split() -> None:
    rows = Numbers(10_000)
    assert calibration_rows(rows, 5).tolist() == [0, 2499, 4999, 7499, 9999]
    assert len(calibration_rows(rows, 256)) == 256
    assert calibration_rows(Numbers(3), 256).tolist() == [0, 1, 2]


def test_a_model_is_not_compressed_on_rows_of_another_kind_or_other_classes(trained: Trained, tmp_path: Path) -> None:
    chain = [Technique.choose({"kind": "quantize"})]
    work = CompressWork(chain, Single(), trained["resnet"][1], trained["text_cnn"][0], Folder.parse(str(tmp_path)))
    with pytest.raises(StepError, match=r"^the model and the data: have other classes"):
        work(Single().engine(), MemoryKeeper(tmp_path))


@pytest.mark.parametrize(
    ("chain", "reason"),
    [
        (
            [{"kind": "quantize"}, {"kind": "prune"}],
            "weights cannot be pruned once the file is quantized; put prune before",
        ),
        ([{"kind": "prune"}, {"kind": "prune"}], "the chain prunes already; set one sparsity"),
        ([{"kind": "quantize", "aware": True}, {"kind": "quantize"}], "the chain quantizes already; choose one scheme"),
        (
            [{"kind": "share_weights"}, {"kind": "prune"}],
            "pruning parts weights that share a value; put prune before share_weights, which keeps zeros",
        ),
        (
            [{"kind": "share_weights"}, {"kind": "share_weights"}],
            "the chain shares weights already; set one number of clusters",
        ),
        (
            [{"kind": "quantize"}, {"kind": "share_weights"}],
            "weights cannot be shared once the file is quantized; put share_weights before quantize",
        ),
        (
            [{"kind": "prune"}, {"kind": "distill", "student": {"backbone": TINY}}],
            "distill starts another model, and what stands before it is lost; put distill first",
        ),
        (
            [{"kind": "prune"}, {"kind": "distill", "student": {"backbone": {"kind": "text_cnn"}}}],
            "the student reads text rows, its teacher image rows",
        ),
        (
            [{"kind": "prune"}, {"kind": "distill", "student": {"backbone": TINY}, "augment": [{"kind": "mixup"}]}],
            "the teacher answers for single rows, and augment mixes them; leave the mixing out",
        ),
    ],
)
def test_an_illegal_chain_is_refused_with_the_reason(chain: list[dict[str, Any]], reason: str) -> None:
    first, second = (Technique.choose(fields) for fields in chain)
    backbone = ModelSpec.model_validate({"backbone": TINY}).backbone
    assert any(text.startswith(reason) for text in second.legal([first], backbone, Single()))
