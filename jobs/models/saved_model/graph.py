"""Reads what a SavedModel's graph is made of before it is loaded, and loads it.

Loading a SavedModel runs no Python of its author, but a graph is a program: its ops can read and write files. Ops that
do so, or that call Python, are refused wherever they stand; those that save and restore checkpoints are taken in
the functions TensorFlow's own saver leaves, which nothing else may call. Vocabulary files are read by table ops, from
the module's assets.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from cluster.errors import RequestError, StepError

GRAPH = "saved_model.pb"
REFUSED = re.compile(
    "File|Reader|PyFunc|TFRecord|TextLine|FixedLengthRecord|CSVDataset|SqlDataset|LMDB|Cache|Snapshot|SummaryWriter"
    "|SaveDataset|LoadDataset|DistributedSave|LoadAndRemap|Debug"
)
TAKEN = ("ShardedFilename", "ShardedFilespec", "InitializeTableFromTextFile", "InitializeTableFromTextFileV2")
SAVING = ("Save", "SaveV2", "SaveSlices", "Restore", "RestoreV2", "RestoreSlice", "MergeV2Checkpoints")
SAVERS = ("__inference__traced_save", "__inference__traced_restore")


def check(folder: Path, subject: str) -> None:
    """Raise RequestError when `folder` holds no SavedModel, or one whose graph touches files or runs Python."""
    for op in sorted(_ops_that_touch_files(_read(folder, subject))):
        found = f"holds the op {op}, which reads or writes files, or runs Python, wherever the module is used"
        raise RequestError(subject, found, "a graph of tensor operations", "export the module without it")


def load(folder: Path) -> Any:
    """Load the SavedModel in `folder` with tensorflow_hub, and first the text ops its graph asks for.

    StepError when an op is missing, or the rest of the module is.
    """
    import tensorflow as tf
    import tensorflow_hub as hub

    require_ops(folder)
    try:
        return hub.load(str(folder))
    except (OSError, ValueError, RuntimeError, tf.errors.OpError) as error:
        said = str(error).splitlines()[0]
        raise StepError(str(folder), f"could not be loaded ({said})", "a whole SavedModel") from None


def require_ops(folder: Path) -> None:
    """Register every op of the SavedModel in `folder`; StepError names one that nothing here has."""
    unknown = sorted(_unknown_ops(folder))
    if not unknown:
        return
    try:
        import tensorflow_text  # noqa: F401  registers its ops
    except ImportError:
        remedy = "most likely it tokenises: pip install 'espalier-ray[text]', which brings tensorflow-text"
        raise StepError(str(folder), f"needs the op {unknown[0]}, which TensorFlow lacks", remedy=remedy) from None
    if unknown := sorted(_unknown_ops(folder)):
        raise StepError(str(folder), f"needs the op {unknown[0]}, which neither TensorFlow nor tensorflow-text has")


def _unknown_ops(folder: Path) -> set[str]:
    from tensorflow.python.framework import op_def_registry

    metas = _read(folder, str(folder))
    functions = {function.signature.name for meta in metas for function in meta.graph_def.library.function}
    used = {node.op for meta in metas for _, node in _nodes(meta)}
    return {op for op in used - functions if op_def_registry.get(op) is None}


def _read(folder: Path, subject: str) -> Iterable[Any]:
    file = folder / GRAPH
    if not file.is_file():
        raise RequestError(subject, f"holds no {GRAPH}", "the folder of a SavedModel")
    from google.protobuf.message import DecodeError
    from tensorflow.core.protobuf import saved_model_pb2

    graph = saved_model_pb2.SavedModel()
    try:
        graph.ParseFromString(file.read_bytes())
    except DecodeError:
        raise RequestError(f"{subject}/{GRAPH}", "is damaged", "a SavedModel") from None
    if not graph.meta_graphs:
        raise RequestError(f"{subject}/{GRAPH}", "holds no graph", "a SavedModel")
    return list(graph.meta_graphs)


def _nodes(meta: Any) -> Iterator[tuple[str, Any]]:
    """Yield (name of the function it stands in, node); the function is empty for the main graph."""
    for node in meta.graph_def.node:
        yield "", node
    for function in meta.graph_def.library.function:
        for node in function.node_def:
            yield function.signature.name, node


def _ops_that_touch_files(metas: Iterable[Any]) -> Iterator[str]:
    for meta in metas:
        called = _called(meta)
        functions = {function.signature.name for function in meta.graph_def.library.function}
        for function, node in _nodes(meta):
            saver = not function or (function.startswith(SAVERS) and function not in called)
            to_file = node.op == "PrintV2" and node.attr["output_stream"].s.startswith(b"file:")
            refused = REFUSED.search(node.op) and node.op not in TAKEN and node.op not in functions
            if refused or (node.op in SAVING and not saver) or to_file:
                yield node.op


def _called(meta: Any) -> set[str]:
    """Return the functions that a module's own functions, or its objects' methods, call."""
    called = set()
    for function, node in _nodes(meta):
        if function:
            called.add(node.op)
            for attribute in node.attr.values():
                called.update(f.name for f in (attribute.func, *attribute.list.func) if f.name)
    for thing in meta.object_graph_def.nodes:
        called.update(thing.function.concrete_functions)
        if thing.bare_concrete_function.concrete_function_name:
            called.add(thing.bare_concrete_function.concrete_function_name)
    return called
