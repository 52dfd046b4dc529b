"""Techniques that tune in mixed precision: variables stay what they are, promises are kept."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
import pytest

from cluster.folder import Folder
from jobs.artifacts import Model
from jobs.compressing import CompressWork
from jobs.models.model import read_weights
from jobs.strategies import Single
from jobs.techniques import Technique
from tests.rig import TINY, MemoryKeeper

pytestmark = pytest.mark.training

CHAINS: dict[str, dict[str, Any]] = {
    "prune": {"kind": "prune", "sparsity": 0.7, "epochs": 2},
    "distill": {"kind": "distill", "student": {"backbone": TINY}, "epochs": 2, "learning_rate": 0.01},
}


def tuned(kind: str, precision: str, model: Folder, data: Folder, root: Path) -> tuple[Model, dict[str, Any]]:
    root.mkdir()
    out = Folder.parse(str(root / "out"))
    chain = [Technique.choose(CHAINS[kind] | {"precision": precision})]
    CompressWork(chain, Single(), model, data, out)(Single().engine(), MemoryKeeper(root))
    return Model.load(out), read_weights(out.read_bytes("weights.npz"), "weights")


@pytest.mark.parametrize(("kind", "precision"), [("prune", "mixed_bfloat16"), ("distill", "mixed_float16")])
def test_a_technique_tunes_in_mixed_precision(
    kind: str, precision: str, model: Folder, digits: Folder, tmp_path: Path
) -> None:
    import tf_keras as keras

    made, weights = tuned(kind, precision, model, digits, tmp_path / "mixed")
    plain, _ = tuned(kind, "float32", model, digits, tmp_path / "plain")
    assert made.history[-1].loss != plain.history[-1].loss, "another arithmetic"
    assert made.history[-1].loss == pytest.approx(plain.history[-1].loss, rel=0.25)
    assert all(finding.kept for finding in made.findings)
    assert {value.dtype for value in weights.values()} == {np.dtype(np.float32)}
    kernel = weights["logits/kernel"]
    kernel = kernel[kernel != 0]
    for short in (np.float16, ml_dtypes.bfloat16):  # as which masking could round them at every train step
        assert (kernel.astype(short).astype(np.float32) == kernel).mean() < 0.2
    assert keras.mixed_precision.global_policy().name == "float32"
