"""Trains with parameter servers that live in this process, and without: `python -m tests.jobs.strategies.served DATA`.

One worker and two servers: with one worker nothing is stale, and the train steps are those of a single process. Prints
what was found as JSON. A process that has joined a TensorFlow cluster stays in it, so no test does this in its own.
"""

from __future__ import annotations

import json
import os
import socket
import sys
from contextlib import ExitStack
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import tensorflow as tf

from cluster.folder import Folder
from cluster.gang import Gang
from jobs.artifacts import Epoch, Model
from jobs.compressing import CompressWork
from jobs.models.model import ModelSpec, read_weights
from jobs.models.weights.wholes import wholes
from jobs.recipe import TrainRecipe
from jobs.strategies import Single
from jobs.strategies.parameter_server.engine import Scheduled
from jobs.strategies.parameter_server.tasks import FAIL_FAST, THREADS, Watch, strategy_over
from jobs.strategies.strategy import Place
from jobs.techniques import Technique
from jobs.training import TrainWork
from tests.rig import TINY, MemoryKeeper

MODEL = ModelSpec.model_validate({"backbone": TINY, "dropout": 0.3, "l2": 1e-4})
STUDENT = ModelSpec.model_validate({"backbone": TINY})
RECIPE = TrainRecipe(epochs=3, batch_size=128, learning_rate=0.02, optimizer="sgd", weight_decay=1e-3, clip_norm=5.0)
CHAINS: dict[str, list[dict[str, Any]]] = {
    "prune": [{"kind": "prune", "sparsity": 0.7, "epochs": 2}, {"kind": "quantize"}],
    "share": [
        {"kind": "share_weights", "clusters": 8, "epochs": 1},
        {"kind": "quantize", "aware": True, "epochs": 1, "learning_rate": 0.001},
    ],
    "distill": [{"kind": "distill", "student": STUDENT.model_dump(mode="json"), "epochs": 1, "learning_rate": 0.01}],
}


class Interrupted(Exception):  # noqa: N818
    """The training was cut short."""


class Interrupting(MemoryKeeper):
    """Interrupts the training after the second epoch, once."""

    def epoch_done(self, phase: int, history: list[Epoch], arrays: dict[str, Any]) -> None:
        super().epoch_done(phase, history, arrays)
        if len(history) == 2 and {"cut": 1} not in self.events:
            self.tell({"cut": 1})
            raise Interrupted


class Noting(Scheduled):
    """Notes on which servers the weights lie, and how many of them in parts."""

    def read(self, training: Any) -> dict[str, Any]:
        weights = training.model.weights
        self.placed = {"servers": sorted({v.device for v in weights}), "parts": len(weights) - len(wholes(weights))}
        return super().read(training)


def engine() -> Noting:
    """Start one worker and two servers here, and return the engine over them."""
    with ExitStack() as probes:
        ports = []
        for _ in range(4):
            probe = probes.enter_context(socket.socket())
            probe.bind(("127.0.0.1", 0))
            ports.append(f"127.0.0.1:{probe.getsockname()[1]}")
    cluster = {"worker": ports[:1], "ps": ports[1:3], "chief": ports[3:]}
    config = tf.compat.v1.ConfigProto(inter_op_parallelism_threads=THREADS)
    for job, index in (("worker", 0), ("ps", 0), ("ps", 1)):
        SERVERS.append(tf.distribute.Server(tf.train.ClusterSpec(cluster), job, index, protocol="grpc", config=config))
    watch = Watch(Gang("served", {("worker", 0): None}), Place("served", lambda event: None))
    return Noting(strategy_over(cluster, shard_bytes=200), watch, 1, steps_per_closure=4, in_flight=2)


SERVERS: list[Any] = []


class Trainings:
    """Trainings of one model on `data`, by engine."""

    def __init__(self, data: Folder, root: Path) -> None:
        self.data, self.root = data, root

    def run(self, name: str, driver: Any, keeper: MemoryKeeper | None = None) -> tuple[Model, dict[str, Any]]:
        out = Folder.parse(str(self.root / name))
        keeper = keeper or MemoryKeeper(self.root / f"{name}-kept")
        TrainWork(MODEL, RECIPE, Single(), self.data, out)(driver, keeper)
        return Model.load(out), read_weights(out.read_bytes("weights.npz"), name)

    def resumed(self, driver: Any) -> tuple[Model, dict[str, Any]]:
        keeper = Interrupting(self.root / "resumed-kept")
        try:
            self.run("resumed", driver, keeper)
        except Interrupted:
            return self.run("resumed", driver, keeper)
        raise AssertionError("nothing was interrupted")

    def compressed(self, name: str, driver: Any) -> Model:
        out = Folder.parse(str(self.root / f"small-{name}"))
        chain = [Technique.choose(fields) for fields in CHAINS[name]]
        keeper = MemoryKeeper(self.root / f"{name}-kept")
        CompressWork(chain, Single(), Folder.parse(str(self.root / "served")), self.data, out)(driver, keeper)
        return Model.load(out)


def apart(one: dict[str, Any], other: dict[str, Any]) -> float:
    """Return the largest ‖a−b‖/‖b‖ of weights of the same name."""
    assert one.keys() == other.keys()
    return max(float(np.linalg.norm(one[n] - other[n])) / max(1e-9, float(np.linalg.norm(other[n]))) for n in other)


def main(data: str, root: Path) -> dict[str, Any]:
    """Train every way, and say what was found."""
    trainings = Trainings(Folder.parse(data), root)
    alone, wanted = trainings.run("alone", Single().engine())
    driver = engine()
    served, weights = trainings.run("served", driver)
    placed = driver.placed
    resumed, again = trainings.resumed(driver)
    small = {name: trainings.compressed(name, driver) for name in CHAINS}
    return {
        "apart": apart(weights, wanted),
        "resumed apart": apart(again, weights),
        "losses": [[epoch.loss for epoch in model.history] for model in (alone, served, resumed)],
        "epochs": [epoch.epoch for epoch in resumed.history],
        "facts": [epoch.facts for epoch in served.history],
        "timings": [epoch.timing and epoch.timing.model_dump() for epoch in served.history],
        "placed": placed,
        "promises": {name: [finding.kept for finding in model.findings] for name, model in small.items()},
        "phases": {name: [epoch.phase for epoch in model.history[3:]] for name, model in small.items()},
    }


if __name__ == "__main__":
    os.environ.update(FAIL_FAST)
    with TemporaryDirectory() as folder:
        found = main(sys.argv[1], Path(folder))
    print(json.dumps(found), flush=True)
    os._exit(0)  # servers of a process have no end
