"""Files that run code or fill the memory of whoever opens them carelessly; what would run makes `sentinel`."""

from __future__ import annotations

import io
import json
import os
import pickle
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

PIECE = 10 << 20  # bytes of zeros that are compressed once and then repeated
PIECES = 1_024  # 10 GB of them, in 10 MB


@dataclass(frozen=True)
class Sentinel:
    """Makes the folder `path` when it is unpickled."""

    path: Path

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (str(self.path),)


def npy_of_pickles(path: Path, sentinel: Path) -> None:
    """Write an `.npy` of one object."""
    np.save(path, np.array([Sentinel(sentinel)], object), allow_pickle=True)


def npz_of_pickles(path: Path, sentinel: Path) -> None:
    """Write an `.npz` whose one array, called as a weight of the model, is of objects."""
    arrays: dict[str, Any] = {"logits/bias": np.array([Sentinel(sentinel)] * 2, object)}
    np.savez(path, **arrays)


def pickle_alone(path: Path, sentinel: Path) -> None:
    """Write a pickle under whatever name."""
    path.write_bytes(pickle.dumps(Sentinel(sentinel)))


def npz_of_zeros(path: Path, sentinel: Path) -> None:
    """Write an `.npz` of 10 MB that unpacks to an array of 10 GB."""
    size = PIECE * PIECES
    _bomb(path, "logits/bias.npy", _npy_header(size // 4), size)


def npz_with_a_long_header(path: Path, sentinel: Path) -> None:
    """Write an `.npz` of 10 MB whose array has a header of 4 GB, of a version that may."""
    _bomb(path, "logits/bias.npy", b"\x93NUMPY\x02\x00" + struct.pack("<I", 2**32 - 1), PIECE * PIECES)


def npz_that_promises(path: Path, sentinel: Path) -> None:
    """Write an `.npz` of a few bytes whose array says that it has 2^40 numbers."""
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("logits/bias.npy", _npy_header(1 << 40))


def _npy_header(count: int) -> bytes:
    file = io.BytesIO()
    np.lib.format.write_array_header_1_0(file, {"descr": "<f4", "fortran_order": False, "shape": (count,)})
    return file.getvalue()


def _bomb(path: Path, name: str, start: bytes, size: int) -> None:
    """Write a zip with one member of `start` and then zeros, `size` bytes in all once it is unpacked."""
    squeeze = zlib.compressobj(9, zlib.DEFLATED, -15)
    head = squeeze.compress(start + bytes(PIECE - len(start))) + squeeze.flush(zlib.Z_FULL_FLUSH)
    piece = squeeze.compress(bytes(PIECE)) + squeeze.flush(zlib.Z_FULL_FLUSH)  # knows nothing of what is before it
    body = head + piece * (size // PIECE - 1) + squeeze.flush()
    extra = struct.pack("<HHQQ", 1, 16, size, len(body))  # zip64: real size, and size in the file
    common = (0, zipfile.ZIP_DEFLATED, 0, 33, 0, 2**32 - 1, 2**32 - 1, len(name), len(extra))
    local = struct.pack("<4sHHHHHIIIHH", b"PK\3\4", 45, *common) + name.encode() + extra
    entry = struct.pack("<4sHHHHHHIIIHHHHHII", b"PK\1\2", 45, 45, *common, 0, 0, 0, 0, 0) + name.encode() + extra
    end = struct.pack("<4sHHHHIIH", b"PK\5\6", 0, 0, 1, 1, len(entry), len(local) + len(body), 0)
    path.write_bytes(local + body + entry + end)


def keras_of_a_function(path: Path, sentinel: Path) -> None:
    """Write a `.keras` archive whose config names `os.system` where a class belongs."""
    call = {"module": "os", "class_name": "function", "config": "system", "registered_name": "system"}
    layer = {"class_name": "Lambda", "config": {"function": call, "arguments": {"command": f"mkdir {sentinel}"}}}
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("config.json", json.dumps({"class_name": "Sequential", "config": {"layers": [layer]}}))
        archive.writestr("metadata.json", json.dumps({"keras_version": "2.15.0"}))
        archive.writestr("model.weights.h5", b"")


def hdf5_of_a_lambda(path: Path, sentinel: Path) -> None:
    """Write the `.h5` of a whole model with a Lambda layer, its weights beside it."""
    import h5py

    code = {"class_name": "Lambda", "config": {"function": ["4wEAAAA=", None, None], "module": str(sentinel)}}
    with h5py.File(path, "w") as file:
        file.attrs["model_config"] = json.dumps({"class_name": "Sequential", "config": {"layers": [code]}})
        weights = file.create_group("model_weights")
        weights.attrs["layer_names"] = [b"logits"]
        weights.create_group("logits").attrs["weight_names"] = [b"logits/bias:0"]
        weights["logits/logits/bias:0"] = np.zeros(2, np.float32)


def parquet_of_pickles(path: Path, sentinel: Path) -> None:
    """Write a Parquet file with texts of an Arrow extension type that Ray Data would unpickle."""
    import pyarrow as pa
    from pyarrow import parquet

    marks = {"ARROW:extension:name": "ray.data.arrow_pickled_object", "ARROW:extension:metadata": b""}
    fields = [pa.field("text", pa.large_binary(), metadata=marks), pa.field("label", pa.string())]
    pickled = pickle.dumps(Sentinel(sentinel))
    parquet.write_table(pa.table([[pickled] * 2, ["a", "b"]], pa.schema(fields)), path)


def tar_that_leads_out(path: Path, sentinel: Path) -> None:
    """Write a tar with `../<sentinel>`, an absolute name, and a file behind a symbolic link."""
    with tarfile.open(path, "w:gz") as archive:
        link = tarfile.TarInfo("inside")
        link.type, link.linkname = tarfile.SYMTYPE, str(sentinel.parent)
        archive.addfile(link)
        for name in (f"../{sentinel.name}", str(sentinel), f"inside/{sentinel.name}"):
            archive.addfile(tarfile.TarInfo(name), io.BytesIO())


def zip_that_leads_out(path: Path, sentinel: Path) -> None:
    """Write a zip with `../<sentinel>`, and a file behind a symbolic link."""
    with zipfile.ZipFile(path, "w") as archive:
        link = zipfile.ZipInfo("inside")
        link.create_system, link.external_attr = 3, 0o120777 << 16
        archive.writestr(link, str(sentinel.parent))
        for name in (f"../{sentinel.name}", str(sentinel), f"inside/{sentinel.name}"):
            archive.writestr(name, b"")


def tfrecord_of_2_to_40(path: Path, sentinel: Path) -> None:
    """Write a TFRecord file whose first record says, with a true checksum, that it has 2^40 bytes."""
    from tests.jobs.data.records import masked

    length = struct.pack("<Q", 1 << 40)
    path.write_bytes(length + masked(length) + b"and no more")


def bert_of_pickles(path: Path, sentinel: Path) -> None:
    """Fill a Hugging Face folder whose weights are a pickle."""
    path.mkdir()
    (path / "vocab.txt").write_text("\n".join(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "a", "b", "c", "d"]))
    config = {"model_type": "bert", "num_hidden_layers": 1, "hidden_size": 8, "num_attention_heads": 2}
    config |= {"intermediate_size": 16, "vocab_size": 9, "max_position_embeddings": 64}
    (path / "config.json").write_text(json.dumps(config))
    pickle_alone(path / "pytorch_model.bin", sentinel)


Maker = Callable[[Path, Path], None]
