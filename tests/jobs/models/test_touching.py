"""Modules whose graphs reach for files are refused before they are loaded; those of the loader's own reach are not."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cluster.errors import RequestError
from jobs.models.saved_model.graph import GRAPH, check, load
from tests.jobs.models.modules import older_module, signature_module

pytestmark = pytest.mark.training

LINES = {"key_index": -2, "value_index": -1}  # a line's text, and its number


def flat(x: Any) -> Any:
    import tensorflow as tf

    return tf.reshape(x, [-1, 64])


def after(op: Any, x: Any) -> Any:
    import tensorflow as tf

    with tf.control_dependencies([op]):
        return flat(x)


def table() -> Any:
    import tensorflow as tf

    return tf.raw_ops.HashTableV2(key_dtype=tf.string, value_dtype=tf.int64)


def filled(path: Any) -> Any:
    import tensorflow as tf

    return tf.raw_ops.InitializeTableFromTextFileV2(table_handle=table(), filename=path, **LINES)


def saved(path: str) -> Any:
    import tensorflow as tf

    return tf.raw_ops.SaveV2(prefix=path, tensor_names=["x"], shape_and_slices=[""], tensors=[tf.constant(1.0)])


def restored(path: str) -> Any:
    import tensorflow as tf

    return tf.raw_ops.RestoreV2(prefix=path, tensor_names=["x"], shape_and_slices=[""], dtypes=[tf.float32])[0]


def mapped(path: str) -> Any:
    import tensorflow as tf

    return tf.raw_ops.ImmutableConst(dtype=tf.float32, shape=[64], memory_region_name=path)


def newer(call: Callable[[Any], Any]) -> Callable[[Path], Path]:
    import tensorflow as tf

    spec = tf.TensorSpec([None, 8, 8, 1], tf.float32, "x")
    return lambda folder: signature_module(folder, lambda x: {"features": call(x)}, spec)


def older(call: Callable[[Any], Any], start: Callable[[], Any] = lambda: None) -> Callable[[Path], Path]:
    return lambda folder: older_module(folder, lambda x: (call(x), start()))


REFUSED: dict[str, tuple[str, Callable[[], Callable[[Path], Path]]]] = {
    "writes at each call": ("SaveV2", lambda: older(lambda x: after(saved("/tmp/x"), x))),
    "writes when it starts": ("SaveV2", lambda: older(flat, lambda: saved("/tmp/x"))),
    "restores at each call": ("RestoreV2", lambda: older(lambda x: flat(x) + restored("/tmp/x"))),
    "restores another checkpoint when it starts": ("RestoreV2", lambda: older(flat, lambda: restored("/tmp/x").op)),
    "maps a file": ("ImmutableConst", lambda: newer(lambda x: flat(x) + mapped("/etc/hostname"))),
    "maps a file in the older format": ("ImmutableConst", lambda: older(lambda x: flat(x) + mapped("/etc/hostname"))),
    "reads lines of a file": ("InitializeTableFromTextFileV2", lambda: newer(lambda x: after(filled("/etc/hosts"), x))),
    "reads lines when it starts": (
        "InitializeTableFromTextFileV2", lambda: older(flat, lambda: filled("/etc/hosts")),
    ),
}  # fmt: skip


def refusal(folder: Path) -> str:
    with pytest.raises(RequestError) as caught:
        check(folder, "the module")
    return str(caught.value)


@pytest.mark.parametrize("case", sorted(REFUSED))
def test_a_graph_that_reaches_for_files_is_refused(case: str, tmp_path: Path) -> None:
    op, made = REFUSED[case]
    assert refusal(made()(tmp_path / "module")) == (
        f"the module: holds the op {op}, which reaches files, the network or Python wherever the module is used, "
        "wanted a graph of tensor operations; export the module without it"
    )


def test_a_table_of_the_file_that_a_text_names_is_refused(tmp_path: Path) -> None:
    import tensorflow as tf

    def call(texts: Any) -> Any:
        return {"features": after(filled(texts[0]), tf.zeros([1, 64]))}

    folder = signature_module(tmp_path / "module", call, tf.TensorSpec([None], tf.string, "texts"))
    assert refusal(folder).startswith("the module: holds the op InitializeTableFromTextFileV2, which reaches")


def vocabulary(folder: Path) -> Path:
    folder.mkdir()
    (folder / "words.txt").write_text("oak\nleaf\n")
    return folder / "words.txt"


def test_a_vocabulary_among_the_assets_is_read_also_once_the_module_was_exported_again(tmp_path: Path) -> None:
    import tensorflow as tf

    words = vocabulary(tmp_path / "words")
    lines = tf.lookup.TextFileInitializer(
        str(words), tf.string, tf.lookup.TextFileIndex.WHOLE_LINE, tf.int64, tf.lookup.TextFileIndex.LINE_NUMBER
    )
    module = tf.Module()
    module.table = tf.lookup.StaticHashTable(lines, -1)
    module.call = tf.function(module.table.lookup, input_signature=[tf.TensorSpec([None], tf.string)])
    tf.saved_model.save(module, str(tmp_path / "first"))
    check(tmp_path / "first", "the module")
    tf.saved_model.save(load(tmp_path / "first"), str(tmp_path / "again"))
    check(tmp_path / "again", "the module")
    words.unlink()
    assert load(tmp_path / "again").call(tf.constant(["leaf", "mast"])).numpy().tolist() == [1, -1]


def older_vocabulary(folder: Path, words: Path) -> Path:
    import tensorflow as tf

    def call(x: Any) -> Any:
        handle = table()
        (asset,) = tf.compat.v1.get_collection(tf.compat.v1.GraphKeys.ASSET_FILEPATHS)
        start = tf.raw_ops.InitializeTableFromTextFileV2(table_handle=handle, filename=asset, **LINES)
        found = tf.raw_ops.LookupTableFindV2(table_handle=handle, keys=["leaf"], default_value=np.int64(-1))
        return flat(x) + tf.cast(found, tf.float32), start

    return older_module(folder, call, [str(words)])


def test_an_older_module_reads_its_checkpoint_and_its_vocabulary(tmp_path: Path) -> None:
    import tensorflow as tf

    words = vocabulary(tmp_path / "words")
    folder = older_vocabulary(tmp_path / "module", words)
    words.unlink()
    check(folder, "the module")
    found = load(folder).signatures["serving_default"](tf.ones([1, 8, 8, 1]))["features"]
    assert (found.numpy() == 3).all()  # twice the pixel, and the line of "leaf"


def test_an_asset_that_leads_out_of_the_module_is_refused(tmp_path: Path) -> None:
    from tensorflow.core.protobuf import meta_graph_pb2, saved_model_pb2

    folder = older_vocabulary(tmp_path / "module", vocabulary(tmp_path / "words"))
    graph = saved_model_pb2.SavedModel.FromString((folder / GRAPH).read_bytes())
    (packed,) = graph.meta_graphs[0].collection_def["saved_model_assets"].any_list.value
    packed.Unpack(asset := meta_graph_pb2.AssetFileDef())
    asset.filename = "../../../etc/passwd"
    packed.Pack(asset)
    (folder / GRAPH).write_bytes(graph.SerializeToString())
    assert refusal(folder) == (
        "the module: has the asset '../../../etc/passwd', which leads out of it, wanted files in its folder of assets"
    )


def test_a_graph_whose_ops_lack_their_inputs_is_refused(tmp_path: Path) -> None:
    from tensorflow.core.protobuf import saved_model_pb2

    folder = older_vocabulary(tmp_path / "module", vocabulary(tmp_path / "words"))
    graph = saved_model_pb2.SavedModel.FromString((folder / GRAPH).read_bytes())
    for node in graph.meta_graphs[0].graph_def.node:
        if node.op.startswith("InitializeTable"):
            node.ClearField("input")
    (folder / GRAPH).write_bytes(graph.SerializeToString())
    assert refusal(folder) == f"the module/{GRAPH}: is damaged, wanted a SavedModel"
