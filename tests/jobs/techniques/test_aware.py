"""Fine-tuning with rounded weights: what pruning and sharing left is kept, and without keeping it is lost."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cluster.errors import StepError
from cluster.folder import Folder
from jobs.artifacts import Epoch, Model
from jobs.compressing import CompressWork
from jobs.convert import constants
from jobs.models.model import ModelSpec, read_weights
from jobs.progress import Progress
from jobs.recipe import TrainRecipe
from jobs.strategies import Single
from jobs.techniques import Technique
from jobs.training import TrainWork
from tests.rig import TINY, MemoryKeeper

pytestmark = pytest.mark.training

PRUNE = {"kind": "prune", "sparsity": 0.6, "epochs": 1}
SHARE = {"kind": "share_weights", "clusters": 8, "epochs": 1}
AWARE = {"kind": "quantize", "scheme": "int8", "aware": True, "epochs": 2, "learning_rate": 0.003}
CLUSTERS = 8


@pytest.fixture(scope="module")
def model(digits: Folder, tmp_path_factory: pytest.TempPathFactory) -> Folder:
    root = tmp_path_factory.mktemp("model")
    out = Folder.parse(str(root / "model"))
    spec, recipe = ModelSpec.model_validate({"backbone": TINY}), TrainRecipe(epochs=4, learning_rate=0.01)
    TrainWork(spec, recipe, Single(), digits, out)(Single().engine(), MemoryKeeper(root))
    return out


class FirstEpochs(MemoryKeeper):
    """Remembers the checkpoint of each phase's first epoch."""

    def __init__(self, root: Path) -> None:
        super().__init__(root)
        self.first: dict[int, Progress] = {}

    def epoch_done(self, phase: int, history: list[Epoch], arrays: dict[str, Any]) -> None:
        super().epoch_done(phase, history, arrays)
        self.first.setdefault(phase, self.kept[phase])


class Compressed:
    """What a chain leaves: the artifact, its kernels, and the weights after each technique."""

    def __init__(
        self, fields: list[dict[str, Any]], model: Folder, data: Folder, root: Path, first: Progress | None = None
    ) -> None:
        out, self.keeper = Folder.parse(str(root / "out")), FirstEpochs(root)
        if first is not None:
            self.keeper.kept[len(fields) - 1] = first
        chain = [Technique.choose(technique) for technique in fields]
        CompressWork(chain, Single(), model, data, out)(Single().engine(), self.keeper)
        self.made = Model.load(out)
        self.file = (out.path / self.made.served).read_bytes()
        self.kernels = _kernels(out.read_bytes("weights.npz"))

    def after(self, technique: int) -> dict[str, Any]:
        return _kernels(self.keeper.root.read_bytes(f"tuned{technique + 1:03d}/weights.npz"))

    def in_file(self) -> dict[str, Any]:
        """Return the int8 kernels of the file by layer: `[channels, …]`."""
        found = {}
        for tensor in constants(self.file):
            if tensor.type == "int8" and len(tensor.shape) > 1:
                found[tensor.name.split("/")[1]] = np.frombuffer(tensor.data, np.int8).reshape(tensor.shape)
        return found


def _kernels(data: bytes) -> dict[str, Any]:
    return {name: value for name, value in read_weights(data, "weights").items() if name.endswith("/kernel")}


@pytest.mark.slow
def test_zeros_of_a_pruning_outlast_the_training(digits: Folder, model: Folder, tmp_path: Path) -> None:
    found = Compressed([PRUNE, AWARE], model, digits, tmp_path)
    pruned = found.after(0)
    for name, kernel in found.kernels.items():
        assert ((kernel == 0) | (pruned[name] != 0)).all(), name
        assert not np.allclose(kernel, pruned[name], atol=1e-5), f"{name} has not learnt"
    stored = found.in_file()
    assert len(stored) == len(found.kernels)
    assert all((kernel == 0).mean() >= 0.59 for kernel in stored.values()), "in the file, too"
    assert found.made.history[-1].validation_accuracy > 0.5


@pytest.mark.slow
def test_shared_values_outlast_the_training(digits: Folder, model: Folder, tmp_path: Path) -> None:
    found = Compressed([SHARE, AWARE], model, digits, tmp_path)
    for name, kernel in found.kernels.items():
        assert len(np.unique(kernel)) == len(np.unique(found.after(0)[name])) <= CLUSTERS, name
    for name, kernel in found.in_file().items():
        assert max(len(np.unique(channel)) for channel in kernel) <= CLUSTERS, name


def test_both_outlast_the_training_and_no_convolution_is_emptied(digits: Folder, model: Folder, tmp_path: Path) -> None:
    found = Compressed([PRUNE, SHARE, AWARE], model, digits, tmp_path)
    pruned = found.after(0)
    for name, kernel in found.kernels.items():
        assert len(np.unique(kernel)) <= CLUSTERS, name
        zeros = (pruned[name] == 0).sum()
        assert ((kernel == 0) & (pruned[name] == 0)).sum() >= 0.99 * zeros, name
        assert (kernel != 0).mean() > 0.3, name
    pointwise = [name for name, kernel in found.kernels.items() if kernel.shape[:2] == (1, 1)]
    assert pointwise, "1×1 convolutions, which TFMOT's own preserving scheme may empty"
    assert {f.technique for f in found.made.findings} == {"prune", "share_weights", "quantize", "convert"}
    assert found.made.skipped == []
    shutil.rmtree(tmp_path / "tuned003")
    shutil.rmtree(tmp_path / "out")
    resumed = Compressed([PRUNE, SHARE, AWARE], model, digits, tmp_path, found.keeper.first[2])
    for name, kernel in resumed.kernels.items():
        np.testing.assert_allclose(kernel, found.kernels[name], atol=1e-6, rtol=0, err_msg="resumed after an epoch")


LOST = [
    pytest.param(PRUNE, r"^prune broke its promise: sparsity of layer '\w+' is 0\."),
    pytest.param(SHARE, r"^share_weights broke its promise", marks=pytest.mark.slow),
]


@pytest.mark.parametrize(("first", "broken"), LOST)
def test_without_keeping_them_they_are_lost_and_the_step_fails(
    first: dict[str, Any], broken: str, digits: Folder, model: Folder, tmp_path: Path
) -> None:
    with pytest.raises(StepError, match=broken):
        Compressed([first, AWARE | {"preserve": False}], model, digits, tmp_path)


def test_a_model_trained_in_four_bits_is_stored_in_four(digits: Folder, model: Folder, tmp_path: Path) -> None:
    (tmp_path / "after").mkdir()
    aware = Compressed([AWARE | {"scheme": "int4"}], model, digits, tmp_path)
    plain = Compressed([{"kind": "quantize", "scheme": "int4"}], model, digits, tmp_path / "after")
    assert {tensor.type for tensor in constants(plain.file) if tensor.elements > 1000} == {"int4"}
    assert aware.made.size_bytes == plain.made.size_bytes


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"aware": True, "scheme": "float16"}, "has nothing to learn with float16, which rounds by a ten-thousandth"),
        ({"epochs": 2}, "sets epochs and does not train; add aware: true"),
        ({"preserve": False}, "sets preserve and does not train; add aware: true"),
        ({"scheme": "int4", "per_channel": False}, "of int4 is always true"),
    ],
)
def test_fields_that_would_do_nothing_are_refused(fields: dict[str, Any], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        Technique.choose({"kind": "quantize"} | fields)
