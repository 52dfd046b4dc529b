"""The types of numbers that `.safetensors` files hold."""

from __future__ import annotations

from pathlib import Path

import ml_dtypes
import numpy as np
import pytest
from safetensors.numpy import save_file

from cluster.errors import RequestError
from jobs.models.weights.reading import weights_in
from jobs.models.weights.shapes import LayerShape

LAYERS = [LayerShape("dense", "last", {"kernel": (4, 2), "bias": (2,)})]
SHORT = {
    "last/kernel": np.arange(8).reshape(4, 2).astype(ml_dtypes.bfloat16) / 3,
    "last/bias": np.ones(2, ml_dtypes.bfloat16),
}


def test_bfloat16_becomes_float32(tmp_path: Path) -> None:
    save_file(SHORT, tmp_path / "w.safetensors")
    read = weights_in(str(tmp_path / "w.safetensors"), LAYERS)
    for name, value in SHORT.items():
        assert read[name].dtype == np.float32
        assert np.array_equal(read[name], value.astype(np.float32)), name


def test_shorter_floats_are_refused(tmp_path: Path) -> None:
    save_file(SHORT | {"last/bias": np.zeros(2, ml_dtypes.float8_e4m3fn)}, tmp_path / "w.safetensors")
    with pytest.raises(RequestError) as caught:
        weights_in(str(tmp_path / "w.safetensors"), LAYERS)
    assert str(caught.value) == (
        f"{tmp_path}/w.safetensors: weight last/bias: is of type F8_E4M3, wanted F64, F32, F16, BF16"
    )
