"""Which ops of a SavedModel touch files otherwise than its loader has them do.

The loader itself restores the checkpoint beside the graph and reads vocabularies from the assets beside it; the ops for
that, and those that save, are taken where nothing but the loader reaches them, on those files alone.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator, Sequence
from pathlib import PurePosixPath
from typing import Any

REFUSED = re.compile(
    "File|Reader|PyFunc|TFRecord|TextLine|FixedLengthRecord|CSVDataset|SqlDataset|LMDB|Cache|Snapshot|SummaryWriter"
    "|SaveDataset|LoadDataset|DistributedSave|LoadAndRemap|Debug|ImmutableConst|DumpTensor|Skipgram|RecordInput"
    "|DTensorRestore|SummaryDb|VocabRemapping|FixedUnigram|StatisticsSaver|DatasetFromGraph|DeserializeIterator"
    "|DecodeProto|EncodeProto|Rpc|DataService|RegisterDataset"
)
NAMING = ("ShardedFilename", "ShardedFilespec")
TABLES = ("InitializeTableFromTextFile", "InitializeTableFromTextFileV2")
WRITING = ("Save", "SaveV2", "SaveSlices", "MergeV2Checkpoints")
READING = ("Restore", "RestoreV2", "RestoreSlice")
SAVERS = ("__inference__traced_save", "__inference__traced_restore")
CALLS = ("PartitionedCall", "StatefulPartitionedCall")  # which pass their inputs on in order
DEEPEST = 100  # calls and identities a path is followed through
SWAPPED = "api_implements"  # TensorFlow may run one function for another that has the same value of it
INIT = "__saved_model_init_op"  # a signature
STARTS = ("saved_model_main_op", "legacy_init_op", "table_initializer", "local_variables")  # collections


def ops_that_touch_files(metas: Sequence[Any]) -> Iterator[str]:
    """Yield each op of the meta graphs that touches files, the network or Python where none is taken."""
    by_objects = len(metas) == 1 and metas[0].HasField("object_graph_def")  # as TensorFlow decides how to load it
    for meta in metas:
        functions = {function.signature.name for function in meta.graph_def.library.function}
        for _, node in nodes(meta):
            to_file = node.op == "PrintV2" and node.attr["output_stream"].s.startswith(b"file:")
            if to_file or (REFUSED.search(node.op) and node.op not in (*NAMING, *TABLES, *functions)):
                yield node.op
        yield from Functions(meta, by_objects).strays()
        if not by_objects:  # otherwise the main graph is never run
            yield from MainGraph(meta).strays()


def leading_out(metas: Sequence[Any]) -> Iterator[str]:
    """Yield the names of assets that are no files in the module's folder of assets."""
    for meta in metas:
        for asset in _assets(meta):
            path = PurePosixPath(asset.filename)
            if path.is_absolute() or ".." in path.parts or "://" in asset.filename:
                yield asset.filename


def nodes(meta: Any) -> Iterator[tuple[str, Any]]:
    """Yield (name of the function it stands in, node); the function is empty for the main graph."""
    for node in meta.graph_def.node:
        yield "", node
    for function in meta.graph_def.library.function:
        for node in function.node_def:
            yield function.signature.name, node


def named(attributes: Any) -> Iterator[str]:
    """Yield the functions that the attributes of a node name."""
    for attribute in attributes.values():
        for function in (attribute.func, *attribute.list.func):
            if function.name:
                yield function.name
                yield from named(function.attr)


def _assets(meta: Any) -> list[Any]:
    from tensorflow.core.protobuf import meta_graph_pb2

    if meta.asset_file_def:
        return list(meta.asset_file_def)
    packed = (
        meta.collection_def["saved_model_assets"].any_list.value if "saved_model_assets" in meta.collection_def else []
    )
    return [meta_graph_pb2.AssetFileDef.FromString(one.value) for one in packed]


class Functions:
    """The functions of a meta graph; where it is loaded by its objects, its main graph calls none."""

    def __init__(self, meta: Any, by_objects: bool) -> None:
        self.objects = meta.object_graph_def
        self.all = {function.signature.name: function for function in meta.graph_def.library.function}
        self.callers: dict[str, list[tuple[str, Any]]] = defaultdict(list)
        for function, node in nodes(meta):
            for name in (node.op, *named(node.attr)):
                if name in self.all and (function or not by_objects):
                    self.callers[name].append((function, node))
        self.bound = set()  # what objects have as their methods
        for thing in self.objects.nodes:
            self.bound.update(thing.function.concrete_functions)
            self.bound.add(thing.bare_concrete_function.concrete_function_name)
        self.swapped = {name for name, function in self.all.items() if SWAPPED in function.attr}
        library = meta.graph_def.library
        self.swapped.update(g.gradient_func for g in (*library.gradient, *library.registered_gradients))

    def strays(self) -> Iterator[str]:
        """Yield ops that save and restore outside the saver's functions, and tables of what is no asset."""
        for name, function in self.all.items():
            called = name in self.callers or name in self.bound or name in self.swapped
            for node in function.node_def:
                if node.op in WRITING + READING and (called or not name.startswith(SAVERS)):
                    yield node.op
                if node.op in TABLES and not self._is_asset(name, node.input[1], frozenset()):
                    yield node.op

    def _is_asset(self, function: str, tensor: str, seen: frozenset[tuple[str, str]]) -> bool:
        """Say whether `tensor`, inside `function`, can only be the path of an asset."""
        if (function, tensor) in seen or len(seen) == DEEPEST:
            return (function, tensor) in seen
        seen |= {(function, tensor)}
        name = tensor.split(":")[0]
        arguments = [argument.name for argument in self.all[function].signature.input_arg]
        if name in arguments:
            return self._is_given_assets(function, arguments.index(name), seen)
        made = [node for node in self.all[function].node_def if node.name == name]
        through = [node.op == "Identity" and self._is_asset(function, node.input[0], seen) for node in made]
        return bool(through) and all(through)

    def _is_given_assets(self, function: str, place: int, seen: frozenset[tuple[str, str]]) -> bool:
        """Say whether the argument at `place` is bound to an asset, and all callers hand one on."""
        arguments = self.all[function].signature.input_arg
        if function in self.swapped or any(a.number_attr or a.type_list_attr for a in arguments):
            return False
        if function in self.bound:
            captured = self.objects.concrete_functions[function].bound_inputs
            first = len(arguments) - len(captured)
            if place < first or self.objects.nodes[captured[place - first]].WhichOneof("kind") != "asset":
                return False
        for caller, node in self.callers[function]:
            calls = node.op == function or (node.op in CALLS and node.attr["f"].func.name == function)
            if not caller or not calls or not self._is_asset(caller, node.input[place], seen):
                return False
        return True


class MainGraph:
    """The main graph of a meta graph in the older format, whose parts the loader runs by their names."""

    def __init__(self, meta: Any) -> None:
        self.meta = meta
        self.users = defaultdict(list)
        for node in meta.graph_def.node:
            for name in node.input:
                self.users[_node(name)].append(node.name)
        self.runs: dict[str, set[str]] = defaultdict(set)
        for run, name in _runs(meta):
            self.runs[_node(name)].add(run)
        self.assets = {_output(asset.tensor_info.name) for asset in _assets(meta)}

    def strays(self) -> Iterator[str]:
        """Yield ops that touch other files than the loader gives them, or are run by others than the loader."""
        checkpoint = {_output(self.meta.saver_def.filename_tensor_name)}
        for node in self.meta.graph_def.node:
            if node.op in READING:
                stray = self._strays(node, "restore", node.input[0], checkpoint)
            elif node.op in TABLES:
                stray = self._strays(node, "start", node.input[1], self.assets)
            else:
                stray = node.op in WRITING and bool(self._reached(node.name))
            if stray:
                yield node.op

    def _strays(self, node: Any, run: str, path: str, given: set[str]) -> bool:
        """Say whether `node` is part of another run than `run`, or of another path than the loader gives it."""
        return _output(path) not in given or not self._reached(node.name) <= {run}

    def _reached(self, name: str) -> set[str]:
        """Return which runs of the loader, or of who calls a signature, the node is part of."""
        found, seen, ahead = set(), {name}, [name]
        while ahead:
            name = ahead.pop()
            found |= self.runs[name]
            new = [user for user in self.users[name] if user not in seen]
            seen.update(new)
            ahead += new
        return found


def _runs(meta: Any) -> Iterator[tuple[str, str]]:
    """Yield (what runs it, name of a tensor or node): restoring, starting, or the call of a signature."""
    from google.protobuf.message import DecodeError
    from tensorflow.core.framework import variable_pb2

    yield "restore", meta.saver_def.restore_op_name
    for name, signature in meta.signature_def.items():
        for info in signature.outputs.values():
            yield from (("start" if name == INIT else "call", tensor) for tensor in _tensors(info))
    for name, collection in meta.collection_def.items():
        run = "start" if name in STARTS else "call"
        yield from ((run, tensor) for tensor in collection.node_list.value)
        for packed in collection.bytes_list.value if name == "local_variables" else ():
            try:
                yield "start", variable_pb2.VariableDef.FromString(packed).initializer_name
            except DecodeError:
                continue


def _tensors(info: Any) -> Iterator[str]:
    """Yield the names of the tensors one output of a signature is made of."""
    sparse = info.coo_sparse
    yield from (info.name, sparse.values_tensor_name, sparse.indices_tensor_name, sparse.dense_shape_tensor_name)
    for part in info.composite_tensor.components:
        yield from _tensors(part)


def _node(tensor: str) -> str:
    return tensor.removeprefix("^").split(":")[0]


def _output(tensor: str) -> str:
    return tensor if ":" in tensor else f"{tensor}:0"
