"""Weights files as plain arrays: what is read, what is refused and with which words, and that no code in one is run."""

from __future__ import annotations

import io
import json
import os
import pickle
import tracemalloc
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from safetensors.numpy import save_file

import jobs.models  # noqa: F401  every backbone is registered
from cluster.errors import RequestError
from cluster.folder import Folder
from jobs.models.model import ModelSpec
from jobs.models.weights.reading import weights_in
from jobs.models.weights.shapes import LayerShape

LAYERS = [
    LayerShape("conv2d", "stem", {"kernel": (3, 3, 1, 4)}),
    LayerShape("batch_normalization", "stem_norm", {"gamma": (4,), "moving_mean": (4,)}),
    LayerShape("conv2d", "last", {"kernel": (1, 1, 4, 2), "bias": (2,)}),
    LayerShape("normalization", "normalization", {"mean": (3,), "count": None}),
]
Arrays = dict[str, Any]


def arrays(dtype: str = "float32") -> Arrays:
    draw = np.random.default_rng(0)
    shapes = {f"{layer.name}/{n}": shape for layer in LAYERS for n, shape in layer.weights.items() if shape is not None}
    return {name: draw.random(shape).astype(dtype) for name, shape in shapes.items()}


def by_name(path: Path, values: Arrays, top: str = "", rename: Callable[[str], str] = str) -> Path:
    """Write `values` as `save_weights('x.h5')` of Keras does, below the group `top`."""
    with h5py.File(path, "w") as file:
        root = file.create_group(top) if top else file
        groups: dict[str, list[str]] = {}
        for name, value in values.items():
            layer = rename(name.split("/")[0])
            weight = f"{layer}/{name.split('/')[1]}:0"
            root.create_dataset(f"{layer}/{weight}", data=value)
            groups.setdefault(layer, []).append(weight)
        root.attrs["layer_names"] = [layer.encode() for layer in groups]
        for layer, weights in groups.items():
            root[layer].attrs["weight_names"] = [weight.encode() for weight in weights]
    return path


def by_order(path: Path, values: Arrays, prefix: str = "") -> Path:
    """Write `values` as `save_weights('x.weights.h5')` does."""
    places = {
        "stem": "conv2d",
        "stem_norm": "batch_normalization",
        "last": "conv2d_1",
        "normalization": "normalization",
    }
    with h5py.File(path, "w") as file:
        for layer in LAYERS:
            for index, name in enumerate(layer.weights):
                value = values.get(f"{layer.name}/{name}", np.int64(7))
                file.create_dataset(f"{prefix}layers/{places[layer.name]}/vars/{index}", data=value)
    return path


def npz(path: Path, values: Arrays) -> Path:
    np.savez(path, **values)
    return path


def safetensors(path: Path, values: Arrays) -> Path:
    save_file(values, path)
    return path


def refusal(path: Path) -> str:
    with pytest.raises(RequestError) as caught:
        weights_in(str(path), LAYERS)
    return str(caught.value).removeprefix(str(path))


@pytest.mark.parametrize("dtype", ["float32", "float64", "float16"])
@pytest.mark.parametrize(
    ("name", "write"),
    [
        ("w.h5", by_name),
        ("w.weights.h5", by_order),
        ("w.npz", npz),
        ("w.safetensors", safetensors),
        ("whole.h5", lambda path, values: by_name(path, values, "model_weights")),
        ("counted.h5", lambda path, values: by_name(path, values, rename=lambda layer: f"{layer}_3")),
        ("around.weights.h5", lambda path, values: by_order(path, values, "layers/functional/")),
    ],
)
def test_every_kind_of_file_gives_the_arrays_by_our_names(
    name: str, write: Callable[[Path, Arrays], Path], dtype: str, tmp_path: Path
) -> None:
    values = arrays(dtype)
    read = weights_in(str(write(tmp_path / name, values)), LAYERS)
    assert set(read) == set(values)
    for key, value in values.items():
        assert read[key].dtype == np.float32
        assert np.array_equal(read[key], value.astype(np.float32)), key


def test_layers_of_other_names_are_taken_in_order_as_keras_does(tmp_path: Path) -> None:
    values = arrays() | {"normalization/count": np.int64(0), "fc1000/kernel": np.zeros((2, 9), np.float32)}
    path = by_name(
        tmp_path / "w.h5", values, rename=lambda layer: {"last": "mobl_last", "stem": "c1"}.get(layer, layer)
    )
    read = weights_in(str(path), LAYERS)
    assert all(np.array_equal(read[name], value) for name, value in arrays().items())
    other = values | {"last/kernel": np.zeros((1, 1, 4, 9), np.float32)}
    path = by_name(tmp_path / "w.h5", other, rename=lambda layer: layer.replace("last", "end"))
    assert refusal(path) == ": weight last/kernel: has shape (1, 1, 4, 9), wanted (1, 1, 4, 2)"


def test_long_lists_of_names_are_put_together(tmp_path: Path) -> None:
    path = by_name(tmp_path / "w.h5", arrays())
    with h5py.File(path, "a") as file:
        names = list(file.attrs.pop("layer_names"))
        file.attrs["layer_names0"], file.attrs["layer_names1"] = names[:2], names[2:]
    assert set(weights_in(str(path), LAYERS)) == set(arrays())


@pytest.mark.parametrize(("name", "write"), [("w.npz", npz), ("w.safetensors", safetensors), ("w.h5", by_name)])
def test_a_tensor_that_does_not_fit_is_named(name: str, write: Callable[[Path, Arrays], Path], tmp_path: Path) -> None:
    path = tmp_path / name
    good = arrays()
    without = {name: value for name, value in good.items() if name != "last/bias"}
    other = good | {"stem/kernel": np.zeros((3, 3, 3, 4), np.float32)}
    assert refusal(write(path, other)) == ": weight stem/kernel: has shape (3, 3, 3, 4), wanted (3, 3, 1, 4)"
    assert refusal(write(path, without)) == (
        ": weight last/bias: is missing, wanted shape (2,); a file of the same architecture"
    )
    assert refusal(write(path, good | {"more/kernel": np.zeros(2, np.float32)})) == (
        ": weight more/kernel: belongs to no layer of the backbone"
    )
    assert refusal(write(path, good | {"last/bias": np.array([1, np.nan], np.float32)})) == (
        ": weight last/bias: holds NaN or infinity, wanted finite numbers"
    )
    assert refusal(write(path, good | {"last/bias": np.array([1, 2])})) == (
        ": weight last/bias: does not hold floating-point numbers"
    )


@pytest.mark.parametrize("top", ["predictions", "fc1000", "logits", "dense_2", "probs"])
def test_a_classification_top_is_left_out_and_said(top: str, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = by_name(tmp_path / "w.h5", arrays() | {f"{top}/kernel": np.zeros((2, 5), np.float32)})
    assert set(weights_in(str(path), LAYERS)) == set(arrays())
    assert caplog.messages == [f"{path}: the classification top is not used: {top}/kernel"]


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("m.keras", "m.keras is an archive with code in its config; export its weights: save_weights('x.h5')"),
        ("m.pt", "m.pt may hold pickled code, which is not read; wanted a .h5 or .weights.h5 of Keras, a .npz or"),
        ("saved_model", "saved_model is no weights file; wanted a .h5 or .weights.h5 of Keras, a .npz or"),
    ],
)
def test_other_kinds_of_file_are_refused_before_anything_runs(name: str, reason: str) -> None:
    with pytest.raises(ValueError, match=r"backbone\.weights") as caught:
        ModelSpec.model_validate({"backbone": {"kind": "resnet", "weights": f"models/{name}"}})
    assert reason in str(caught.value)


def test_no_weights_is_said_by_leaving_them_empty() -> None:
    spec = ModelSpec.model_validate({"backbone": {"kind": "resnet", "weights": ""}})
    assert spec == ModelSpec.model_validate({"backbone": {"kind": "resnet"}})
    assert spec.backbone.inputs() == []


class Bomb:
    def __init__(self, sentinel: Path) -> None:
        self.sentinel = sentinel

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (str(self.sentinel),)


def test_pickles_inside_an_npz_are_never_opened(tmp_path: Path) -> None:
    sentinel = tmp_path / "sentinel"
    objects = np.array([Bomb(sentinel)], object)
    path = npz(tmp_path / "w.npz", arrays() | {"last/bias": objects})
    assert refusal(path) == ": weight last/bias: has shape (1,), wanted (2,)"
    both = npz(tmp_path / "w.npz", arrays() | {"last/bias": np.array([Bomb(sentinel)] * 2, object)})
    assert refusal(both) == ": weight last/bias: does not hold floating-point numbers"
    (tmp_path / "p.npz").write_bytes(pickle.dumps(Bomb(sentinel)))
    assert refusal(tmp_path / "p.npz").startswith(": is damaged, or no weights file (File is not a zip file)")
    assert not sentinel.exists()


def test_an_array_that_would_fill_the_memory_is_refused_by_its_header(tmp_path: Path) -> None:
    path = npz(tmp_path / "w.npz", arrays())
    head = io.BytesIO()
    np.lib.format.write_array_header_1_0(head, {"descr": "<f4", "fortran_order": False, "shape": (2**20, 2**12)})
    with zipfile.ZipFile(path, "a", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("logits/kernel.npy", head.getvalue() + bytes(10**8))
        archive.writestr("more/kernel.npy", head.getvalue() + bytes(10**8))
    tracemalloc.start()
    try:
        assert refusal(path) == ": weight more/kernel: belongs to no layer of the backbone"
        assert tracemalloc.get_traced_memory()[1] < 10**7
    finally:
        tracemalloc.stop()


def test_the_config_of_a_whole_model_is_never_acted_on(tmp_path: Path) -> None:
    path = by_name(tmp_path / "w.h5", arrays(), "model_weights")
    layer = {"class_name": "function", "config": {"function": "os.mkdir", "module": "os", "name": str(tmp_path / "x")}}
    with h5py.File(path, "a") as file:
        file.attrs["model_config"] = json.dumps({"class_name": "Sequential", "config": {"layers": [layer]}})
    assert set(weights_in(str(path), LAYERS)) == set(arrays())
    assert not (tmp_path / "x").exists()


def _replaced(path: Path, put: Callable[[h5py.File, str], None]) -> Path:
    with h5py.File(by_name(path, arrays()), "a") as file:
        name = "last/last/bias:0"
        del file[name]
        put(file, name)
    return path


def test_arrays_outside_of_the_file_are_not_followed(tmp_path: Path) -> None:
    other = npz(tmp_path / "other.npz", {})
    by_name(tmp_path / "other.h5", arrays())

    def external_link(file: h5py.File, name: str) -> None:
        file[name] = h5py.ExternalLink("other.h5", name)

    def soft_link(file: h5py.File, name: str) -> None:
        file[name] = h5py.SoftLink("/stem/stem/kernel:0")

    def external_bytes(file: h5py.File, name: str) -> None:
        file.create_dataset(name, (2,), "f4", external=[(str(other), 0, 8)])

    def virtual(file: h5py.File, name: str) -> None:
        layout = h5py.VirtualLayout((2,), "f4")
        layout[:] = h5py.VirtualSource("other.h5", name, (2,))
        file.create_virtual_dataset(name, layout)

    link = ": last/bias:0: is a link, wanted an array in the file itself"
    elsewhere = ": weight last/bias: lies in another file, wanted an array in the file itself"
    assert refusal(_replaced(tmp_path / "a.h5", external_link)) == link
    assert refusal(_replaced(tmp_path / "b.h5", soft_link)) == link
    assert refusal(_replaced(tmp_path / "c.h5", external_bytes)) == elsewhere
    assert refusal(_replaced(tmp_path / "d.h5", virtual)) == elsewhere


@pytest.mark.parametrize(("name", "write"), [("w.h5", by_name), ("w.npz", npz), ("w.safetensors", safetensors)])
def test_damaged_files_are_refused(name: str, write: Callable[[Path, Arrays], Path], tmp_path: Path) -> None:
    path = write(tmp_path / name, arrays())
    whole = path.read_bytes()
    for keep in (0, 7, len(whole) // 2, len(whole) - 40):
        path.write_bytes(whole[:keep])
        assert refusal(path).startswith(": is damaged, or no "), keep


def test_an_hdf5_file_of_something_else_is_refused(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "w.h5", "w") as file:
        file["samples"] = np.zeros(3)
    assert refusal(tmp_path / "w.h5") == ": holds samples, wanted layers, as Keras writes them"


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    assert refusal(tmp_path / "w.h5").startswith(": does not exist")


def test_weights_are_read_from_an_object_store(s3_root: Folder, tmp_path: Path) -> None:
    for name, write in (("w.h5", by_name), ("w.npz", npz)):
        s3_root.write_bytes(name, write(tmp_path / name, arrays()).read_bytes())
        assert set(weights_in(str(s3_root / name), LAYERS)) == set(arrays())


def test_a_circle_of_links_ends(tmp_path: Path) -> None:
    path = by_order(tmp_path / "w.weights.h5", arrays())
    with h5py.File(path, "a") as file:
        file["layers/functional"] = file["/"]
    assert set(weights_in(str(path), LAYERS)) == set(arrays())
