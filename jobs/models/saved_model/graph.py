"""Reads what a SavedModel's graph is made of before it is loaded, and loads it.

Loading a SavedModel runs no Python of its author, but a graph is a program: its ops can read and write files. Ops that
do so, or that call Python, are refused wherever they stand, but for those by which the loader itself restores the
checkpoint and reads vocabularies, from the module's own folder.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from cluster.errors import RequestError, StepError
from jobs.models.saved_model.touching import leading_out, nodes, ops_that_touch_files

GRAPH = "saved_model.pb"


def check(folder: Path, subject: str) -> None:
    """Raise RequestError when `folder` holds no SavedModel, or one whose graph touches files or runs Python."""
    metas = _read(folder, subject)
    try:
        touching = sorted(ops_that_touch_files(metas))
    except IndexError:  # an op without its inputs
        raise RequestError(f"{subject}/{GRAPH}", "is damaged", "a SavedModel") from None
    for op in touching:
        found = f"holds the op {op}, which reaches files, the network or Python wherever the module is used"
        raise RequestError(subject, found, "a graph of tensor operations", "export the module without it")
    for name in sorted(leading_out(metas)):
        raise RequestError(subject, f"has the asset {name!r}, which leads out of it", "files in its folder of assets")


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
    used = {node.op for meta in metas for _, node in nodes(meta)}
    return {op for op in used - functions if op_def_registry.get(op) is None}


def _read(folder: Path, subject: str) -> Sequence[Any]:
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
