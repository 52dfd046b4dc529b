"""Whether TensorFlow has Keras 2 and sees the GPUs, in a worker: the driver has neither, and is not asked."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from cluster.doctor.check import Check, Finding, Seen
from cluster.environment import training_variables

IMPORT_S = 80.0  # seconds TensorFlow may take to be imported on a busy machine
# A process of its own: the one that asks would otherwise keep TensorFlow and its GPUs' memory.
PROGRAM = """
import json, sys
import tensorflow as tf
import tf_keras
gpus = tf.config.list_physical_devices("GPU")
growth = []
for gpu in gpus:
    try:
        tf.config.experimental.set_memory_growth(gpu, True)
        growth.append(bool(tf.config.experimental.get_memory_growth(gpu)))
    except (RuntimeError, ValueError):
        growth.append(False)
print(json.dumps({
    "tensorflow": tf.__version__, "keras": tf_keras.__version__, "legacy": tf.keras.Model is tf_keras.Model,
    "gpus": len(gpus), "growth": growth, "cuda": tf.test.is_built_with_cuda(),
}))
"""


class TensorFlow(Check):
    """TensorFlow as a worker imports it: its Keras, its GPUs, and whether their memory may grow."""

    name = "tensorflow"
    on_gpu = True

    def look(self) -> dict[str, Any]:
        """Return what TensorFlow says in a fresh process with the variables of one that trains, and the GPUs there."""
        command = [sys.executable, "-c", PROGRAM]
        environment = {**os.environ, **training_variables()}
        try:
            done = subprocess.run(
                command, env=environment, capture_output=True, text=True, timeout=IMPORT_S, check=False
            )
        except subprocess.TimeoutExpired:
            return {"why": f"was not imported within {IMPORT_S:g} s"}
        if done.returncode:
            lines = done.stderr.strip().splitlines() or [f"ended with {done.returncode}"]
            return {"why": lines[-1][:300]}
        there = len(list(Path("/proc/driver/nvidia/gpus").glob("*")))
        return {**json.loads(done.stdout.strip().splitlines()[-1]), "there": there}

    def judge(self, seen: Seen, here: Seen) -> Iterator[Finding]:
        """Judge Keras, then GPUs."""
        facts = seen.facts
        if why := facts.get("why"):
            remedy = "pip install --constraint constraints.txt espalier-ray"
            yield self.error(seen, f"TensorFlow cannot be imported: {why}", remedy)
            return
        if facts["legacy"] and facts["keras"].startswith("2."):
            yield self.ok(seen, f"TensorFlow {facts['tensorflow']} with Keras {facts['keras']}")
        else:
            remedy = "unset TF_USE_LEGACY_KERAS, which Espalier sets to 1, and install tf-keras"
            yield self.error(seen, f"TensorFlow {facts['tensorflow']} takes Keras 3, wanted 2", remedy)
        yield from self._gpus(seen)

    def _gpus(self, seen: Seen) -> Iterator[Finding]:
        facts = seen.facts
        if facts["there"] and not facts["gpus"]:
            why = "" if facts["cuda"] else ": it is built without CUDA"
            remedy = "pip install 'tensorflow[and-cuda]', and see whether nvidia-smi works there"
            yield self.error(seen, f"TensorFlow sees none of the machine's {facts['there']} GPU{why}", remedy)
        elif not facts["gpus"]:
            yield self.ok(seen, "no GPU there, none seen")
        elif all(facts["growth"]):
            yield self.ok(seen, f"TensorFlow sees {facts['gpus']} GPU, whose memory grows as it is needed")
        else:
            remedy = "unset what sets a fixed share, or give memory_limit_mb in the strategy"
            yield self.warning(seen, f"TensorFlow takes all memory of {facts['gpus']} GPU at once", remedy)
