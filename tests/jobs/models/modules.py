"""Makes SavedModels with plain TensorFlow, as another team's exporter would, and data for them."""

from __future__ import annotations

import argparse
import inspect
import json
import shutil
import tarfile
import textwrap
from pathlib import Path
from typing import Any

import numpy as np

from cluster.folder import Folder

GUESSLANG = Path(__file__).parent / "guesslang"  # not ours; see its README


def image_module(folder: Path, height: int = 8, width: int | None = 8, channels: int = 1, filters: int = 8) -> Path:
    """Export a convolution that says of itself what can be trained, with dropout in training."""
    import tensorflow as tf

    draws = np.random.default_rng(0)
    module = tf.train.Checkpoint()
    module.kernel = tf.Variable(draws.normal(0, 0.4, (3, 3, channels, filters)).astype("float32"), name="logits/kernel")
    module.shift = tf.Variable(draws.normal(0, 0.4, filters).astype("float32"), name="logits/kernel", trainable=False)
    module.variables, module.trainable_variables = [module.kernel, module.shift], [module.kernel]

    @tf.function  # type: ignore[untyped-decorator]
    def call(images: Any, training: bool = False) -> Any:
        made = tf.nn.relu(tf.nn.conv2d(images, module.kernel, 1, "SAME") + module.shift)
        made = tf.nn.dropout(made, 0.1) if training else made
        return tf.reshape(tf.nn.max_pool2d(made, 2, 2, "SAME"), [-1, 16 * filters])

    for training in (True, False):
        call.get_concrete_function(
            tf.TensorSpec([None, height, width, channels], tf.float32, name="images"), training=training
        )
    module.__call__ = call
    tf.saved_model.save(module, str(folder))
    return folder


def signature_module(folder: Path, call: Any, spec: Any, name: str = "serving_default") -> Path:
    """Export one function as the signature `name` of a module that cannot be called itself."""
    import tensorflow as tf

    module = tf.Module()
    tf.saved_model.save(module, str(folder), {name: tf.function(call, input_signature=[spec])})
    return folder


def write_sources(root: Path, rows: int = 240) -> Path:
    """Write texts of two kinds: functions of the standard library, and what they say of themselves."""
    functions = [
        value
        for module in (argparse, inspect, json, shutil, tarfile, textwrap)
        for _, value in inspect.getmembers(module, inspect.isfunction)
        if value.__code__.co_filename == module.__file__  # Ray puts functions of its own into `inspect`
    ]
    pairs = [(inspect.getsource(function), inspect.getdoc(function)) for function in functions]
    code = [(body, "code") for body, said in pairs if said][: rows // 2]
    prose = [(said, "prose") for _, said in pairs if said][: rows // 2]
    lines = [json.dumps({"text": text, "label": label}) for text, label in code + prose]
    (root / "sources.jsonl").write_text("\n".join(lines))
    return root / "sources.jsonl"


def sources(root: Path) -> Folder:
    """Return the texts of `write_sources` as a data set."""
    from jobs.data.prepare import prepare
    from jobs.kinds.dataset import DatasetJob

    source = {"kind": "table", "path": str(write_sources(root)), "text": "text", "label": "label"}
    folder = Folder.parse(str(root / "data"))
    job = {"job": "dataset", "source": source, "split": {"validation": 0.2, "test": 0.2}}
    with folder.filling() as path:
        prepare(DatasetJob.model_validate(job), path, lambda event: None).save(folder)
    return folder


def older_module(folder: Path, call: Any, assets: list[str] | None = None) -> Path:
    """Export, in the older format without objects, what `call` makes of images `x`: (features, init op or None).

    A variable is part of it, so that there is a checkpoint; `assets` are the paths of files it reads when it starts.
    """
    import tensorflow as tf

    v1 = tf.compat.v1
    with tf.Graph().as_default(), v1.Session() as session:
        x = v1.placeholder(tf.float32, [None, 8, 8, 1], name="x")
        scale = v1.get_variable("scale", initializer=2.0, use_resource=True)
        for path in assets or []:
            v1.add_to_collection(v1.GraphKeys.ASSET_FILEPATHS, tf.constant(path, name="asset"))
        features, start = call(x * scale)
        session.run(v1.global_variables_initializer())
        builder = v1.saved_model.Builder(str(folder))
        signature = v1.saved_model.predict_signature_def({"x": x}, {"features": features})
        builder.add_meta_graph_and_variables(
            session, ["serve"], {"serving_default": signature}, main_op=start,
            assets_collection=v1.get_collection(v1.GraphKeys.ASSET_FILEPATHS),
        )  # fmt: skip
        builder.save()
    return folder
