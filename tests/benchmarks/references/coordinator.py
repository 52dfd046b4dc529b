"""ParameterServerStrategy as a skilled user writes it: workers read rows in tf.data, closures take several steps."""

import json
import sys
import time
from typing import Any

import numpy as np
import tensorflow as tf
import tf_keras as keras

from jobs.data.preprocess import WordPieces
from jobs.models.model import ModelSpec, build

settings = json.loads(sys.argv[1])
job, index, cluster = settings["job"], settings["index"], tf.train.ClusterSpec(settings["cluster"])
if job != "chief":
    threads = tf.compat.v1.ConfigProto(intra_op_parallelism_threads=1, inter_op_parallelism_threads=4)
    tf.distribute.Server(cluster, job, index, protocol="grpc", config=threads).join()
tf.config.threading.set_intra_op_parallelism_threads(1)
epochs, batch, taken = settings["epochs"], settings["batch"], settings["steps_per_closure"]
rows = np.load(settings["data"])
steps = len(rows["x"]) // batch
resolver = tf.distribute.cluster_resolver.SimpleClusterResolver(cluster, task_type="chief", task_id=0, rpc_layer="grpc")
strategy = tf.distribute.ParameterServerStrategy(resolver)
coordinator = tf.distribute.coordinator.ClusterCoordinator(strategy)
with strategy.scope():
    words = WordPieces.model_validate(settings["preprocess"])
    model = build(ModelSpec.model_validate(settings["model"]), words, settings["classes"], settings["seed"])
    optimizer = keras.optimizers.Adam(settings["rate"])
    optimizer.build(model.trainable_variables)


def batches() -> Any:
    data = tf.data.Dataset.from_tensor_slices((rows["x"], rows["y"])).shuffle(len(rows["x"])).repeat()
    return data.batch(batch, drop_remainder=True).prefetch(4)


def train(x: Any, y: Any) -> None:
    with tf.GradientTape() as tape:
        loss = tf.reduce_mean(tf.nn.sparse_softmax_cross_entropy_with_logits(y, model(x, training=True)))
    variables = model.trainable_variables
    optimizer.apply_gradients(zip(tape.gradient(loss, variables), variables, strict=True))


@tf.function  # type: ignore[untyped-decorator]
def closure(iterator: Any) -> None:
    for _ in tf.range(taken):
        strategy.run(train, args=next(iterator))


iterator, rates = iter(coordinator.create_per_worker_dataset(batches)), []
for _ in range(epochs):
    started = time.perf_counter()
    for _ in range(steps // taken):
        coordinator.schedule(closure, args=(iterator,))
    coordinator.join()
    rates.append(steps // taken * taken * batch / (time.perf_counter() - started))
found = np.argmax(model(rows["test_x"], training=False), 1)
print(json.dumps({"rates": rates, "accuracy": float(np.mean(found == rows["test_y"]))}), flush=True)
