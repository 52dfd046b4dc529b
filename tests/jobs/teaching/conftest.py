"""A teacher that the tests share."""

from __future__ import annotations

import pytest

from cluster.folder import Folder
from jobs.models.model import ModelSpec
from jobs.recipe import TrainRecipe
from jobs.strategies import Single
from jobs.training import TrainWork
from tests.rig import TINY, MemoryKeeper


@pytest.fixture(scope="package")
def teacher(digits: Folder, tmp_path_factory: pytest.TempPathFactory) -> Folder:
    root = tmp_path_factory.mktemp("teacher")
    spec = ModelSpec.model_validate({"backbone": TINY | {"width": 8}})
    out = Folder.parse(str(root / "model"))
    recipe = TrainRecipe(epochs=3, learning_rate=0.01)
    TrainWork(spec, recipe, Single(), digits, out)(Single().engine(), MemoryKeeper(root))
    return out
