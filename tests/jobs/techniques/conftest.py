"""A small trained model that techniques are tried on."""

from __future__ import annotations

import pytest

from cluster.folder import Folder
from jobs.models.model import ModelSpec
from jobs.recipe import TrainRecipe
from jobs.strategies.single import Single
from jobs.training import TrainWork
from tests.rig import TINY, MemoryKeeper


@pytest.fixture(scope="package")
def model(digits: Folder, tmp_path_factory: pytest.TempPathFactory) -> Folder:
    root = tmp_path_factory.mktemp("model")
    out = Folder.parse(str(root / "model"))
    spec, recipe = ModelSpec.model_validate({"backbone": TINY}), TrainRecipe(epochs=2, learning_rate=0.01)
    TrainWork(spec, recipe, Single(), digits, out)(Single().engine(), MemoryKeeper(root))
    return out
