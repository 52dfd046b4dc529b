"""What a model is exported as beside its served file; each file is run on real rows and must answer the same."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from cluster.errors import FinalError, StepError
from jobs.exporting.forms import Export
from jobs.runtime.inputs import as_read, count, each

ROWS = 64  # of the validation split
TOLERANCE = 1e-3  # of logits, beside the largest of them: float32 in another order of operations
OPSET = 17
LEFT_OUT = "leave onnx out: tf2onnx does not convert all that the backbone is made of"
EXPERIMENTAL = "tf2onnx has no maintainer: experimental"
FOLDERS = {"saved_model": "saved_model", "onnx": "model.onnx"}


def export(form: str, model: Any, rows: Any, folder: Path) -> Export:
    """Write the plain `model` (rows in, logits out) into `folder` as `form`, and return it with how far it differs.

    StepError when its logits of prepared validation `rows` are not the model's.
    """
    x, _ = rows.gather(np.arange(min(ROWS, len(rows))))
    given = as_read(x)
    wanted = np.asarray(model(given, training=False))
    target = folder / FOLDERS[form]
    found = _saved_model(model, given, target) if form == "saved_model" else _onnx(model, given, target)
    difference = float(np.abs(found - wanted).max())
    allowed = TOLERANCE * max(1.0, float(np.abs(wanted).max()))
    if not difference <= allowed:
        raise StepError(f"the {form} file", f"answers otherwise: logits differ by {difference:g}", f"<= {allowed:g}")
    warning = EXPERIMENTAL if form == "onnx" else ""
    return Export(form=form, path=FOLDERS[form], rows=count(given), difference=difference, warning=warning)


def _saved_model(model: Any, given: Any, target: Path) -> Any:
    """Write a SavedModel whose signature takes each input by name, and return its answers from disk."""
    import tensorflow as tf

    inputs = _inputs(model)

    @tf.function(input_signature=list(inputs.values()))  # type: ignore[untyped-decorator]
    def serve(*parts: Any) -> dict[str, Any]:
        named = dict(zip(inputs, parts, strict=True))
        return {"logits": model(named if len(named) > 1 else parts[0], training=False)}

    tf.saved_model.save(model, str(target), signatures=serve)
    loaded = tf.saved_model.load(str(target))
    parts = given if isinstance(given, dict) else dict.fromkeys(inputs, given)
    return loaded.signatures["serving_default"](**each(parts, tf.constant))["logits"].numpy()


def _inputs(model: Any) -> dict[str, Any]:
    """Return the specs of the model's inputs by name, each without a fixed number of rows."""
    import tensorflow as tf

    return {given.name: tf.TensorSpec(given.shape, given.dtype, name=given.name) for given in model.inputs}


def _onnx(model: Any, given: Any, target: Path) -> Any:
    """Write an ONNX file, and return its answers from onnxruntime."""
    try:
        import onnx
        import onnxruntime
        import tf2onnx
    except ImportError as error:
        raise StepError("exports", f"asks for onnx ({error})", "pip install 'espalier-ray[onnx]'") from None

    signature = list(_inputs(model).values())
    proto, _ = tf2onnx.convert.from_keras(model, input_signature=signature, opset=OPSET)
    try:
        onnx.checker.check_model(proto)
    except onnx.checker.ValidationError as error:
        why = str(error).splitlines()[0]
        raise FinalError("the onnx file", f"has an operator that ONNX has not ({why})", remedy=LEFT_OUT) from None
    target.write_bytes(proto.SerializeToString())
    session = onnxruntime.InferenceSession(str(target), providers=["CPUExecutionProvider"])
    names = [given.name for given in session.get_inputs()]
    parts = given if isinstance(given, dict) else dict.fromkeys(names, given)
    return session.run(None, {name: np.asarray(parts[name]) for name in names})[0]
