"""Every technique that trains, ended after an epoch and gone on with: it comes to the weights of an unbroken one."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cluster.folder import Folder
from jobs.artifacts import Epoch, Model
from jobs.compressing import CompressWork
from jobs.models.model import ModelSpec, read_weights
from jobs.recipe import TrainRecipe
from jobs.strategies import Single
from jobs.techniques import Technique
from jobs.training import TrainWork
from tests.contracts.test_compression import TECHNIQUES, chosen_for
from tests.rig import TINY, MemoryKeeper

pytestmark = [pytest.mark.training, pytest.mark.slow]  # make test kills one technique, and breaks off what teaches

EPOCHS = 3
FIELDS: dict[str, dict[str, Any]] = {"distill": {"features": 0.5}}  # beside those of the examples
CASES = [
    (kind, index)
    for kind, examples in TECHNIQUES.items()
    for index, fields in enumerate(examples)
    if fields.get("pattern") != "block"  # of matrices, which images' models have none of
    and chosen_for(fields, "image").recipe() is not None
]


class StopsOnce(MemoryKeeper):
    """Ends the first attempt after an epoch, as a killed process would; what it kept stays."""

    stopped = False

    def epoch_done(self, phase: int, history: list[Epoch], arrays: dict[str, Any]) -> None:
        super().epoch_done(phase, history, arrays)
        if not self.stopped:
            self.stopped = True
            raise InterruptedError


@pytest.fixture(scope="module")
def whole(digits: Folder, tmp_path_factory: pytest.TempPathFactory) -> Folder:
    root = tmp_path_factory.mktemp("whole")
    out = Folder.parse(str(root / "model"))
    spec, recipe = ModelSpec.model_validate({"backbone": TINY | {"width": 8}}), TrainRecipe(epochs=2)
    TrainWork(spec, recipe, Single(), digits, out)(Single().engine(), MemoryKeeper(root))
    return out


def weights(out: Folder) -> dict[str, Any]:
    return read_weights(out.read_bytes("weights.npz"), "weights")


@pytest.mark.parametrize(("kind", "index"), CASES)
def test_what_was_broken_off_comes_to_the_same_weights(
    kind: str, index: int, whole: Folder, digits: Folder, tmp_path: Path
) -> None:
    fields = TECHNIQUES[kind][index] | {"epochs": EPOCHS} | FIELDS.get(kind, {})
    chosen: Technique = chosen_for(fields, "image")
    outs = [Folder.parse(str(tmp_path / name)) for name in ("unbroken", "broken")]
    for out, keeper in zip(outs, (MemoryKeeper(tmp_path / "a"), StopsOnce(tmp_path / "b")), strict=True):
        work = CompressWork([chosen], Single(), whole, digits, out)
        if isinstance(keeper, StopsOnce):
            with pytest.raises(InterruptedError):
                work(Single().engine(), keeper)
        work(Single().engine(), keeper)
    unbroken, broken = (weights(out) for out in outs)
    assert unbroken.keys() == broken.keys()
    for name, value in unbroken.items():
        np.testing.assert_allclose(broken[name], value, atol=1e-5, err_msg=name)
    assert [epoch.epoch for epoch in Model.load(outs[1]).history[-EPOCHS:]] == [1, 2, 3]
