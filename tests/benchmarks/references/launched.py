"""One of several processes of a training that are started by hand: no Ray, no checkpoints."""

import json
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from cluster.folder import Folder
from jobs.models.model import ModelSpec
from jobs.recipe import TrainRecipe
from jobs.strategies import Strategy
from jobs.strategies.devices import set_up_devices
from jobs.training import TrainWork

settings = json.loads(sys.argv[1])


class Keeper:
    """Keeps nothing but what the preprocessing fits."""

    rank = json.loads(os.environ["TF_CONFIG"])["task"]["index"]

    keeps = False

    def tell(self, event: dict[str, Any]) -> None:
        """Say nothing."""

    def resume(self, phase: int) -> None:
        """Start anew."""

    def ahead(self, left: int) -> int:
        """Train to the end of the epoch."""
        return int(left)

    def wanted(self) -> bool:
        """Keep no checkpoint within an epoch."""
        return False

    def epoch_done(self, *_: Any) -> None:
        """Keep no checkpoint after an epoch."""

    def product(self, name: str) -> None:
        """Have nothing from before."""

    def keep(self, name: str, fill: Callable[[Path], None]) -> Folder:
        """Fill a folder of this process."""
        folder = Folder.parse(f"{settings['out']}-{name}-{self.rank}")
        with folder.filling() as path:
            fill(path)
        return folder


set_up_devices(1)
strategy = Strategy.choose(settings["strategy"])
data, out = Folder.parse(settings["data"]), Folder.parse(settings["out"])
model, recipe = ModelSpec.model_validate(settings["model"]), TrainRecipe.model_validate(settings["recipe"])
TrainWork(model, recipe, strategy, data, out)(strategy.engine(), Keeper())
