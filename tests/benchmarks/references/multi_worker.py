"""MultiWorkerMirroredStrategy as a skilled user writes it: an epoch is one traced call, batches are gathered whole."""

import json
import os
import sys
import time
from typing import Any

import numpy as np
import tensorflow as tf
import tf_keras as keras

from jobs.data.preprocess import ImagePixels
from jobs.models.model import ModelSpec, build, weights_of, write_weights

settings = json.loads(sys.argv[1])
epochs, batch, seed = settings["epochs"], settings["batch"], settings["seed"]
config = json.loads(os.environ["TF_CONFIG"])
rank, workers = config["task"]["index"], len(config["cluster"]["worker"])
tf.config.threading.set_intra_op_parallelism_threads(1)
strategy = tf.distribute.MultiWorkerMirroredStrategy()
x, y = (tf.constant(np.load(settings["data"])[name]) for name in ("x", "y"))
steps = len(x) // batch
with strategy.scope():
    model = build(ModelSpec.model_validate(settings["model"]), ImagePixels(height=32, width=32, channels=3), 10, seed)
    optimizer = keras.optimizers.Adam(settings["rate"])


def batches(_: Any) -> Any:
    order = [np.random.Generator(np.random.Philox(key=[seed, epoch])).permutation(len(x)) for epoch in range(epochs)]
    rows = tf.data.Dataset.from_tensor_slices(np.reshape(order, (epochs * steps, workers, -1))[:, rank])
    return rows.map(lambda i: (tf.cast(tf.gather(x, i), tf.float32), tf.gather(y, i))).prefetch(4)


def train(rows: Any, labels: Any) -> Any:
    variables = model.trainable_variables
    with tf.GradientTape() as tape:
        losses = tf.nn.sparse_softmax_cross_entropy_with_logits(labels, model(rows, training=True))
        loss = tf.reduce_sum(losses) / batch
    optimizer.apply_gradients(zip(tape.gradient(loss, variables), variables, strict=True))
    return loss


@tf.function  # type: ignore[untyped-decorator]
def train_epoch(iterator: Any) -> Any:
    total = tf.zeros([])
    for _ in tf.range(steps):
        total += strategy.run(train, args=next(iterator))
    return strategy.reduce("SUM", total, axis=None) / steps


iterator, rates, loss = iter(strategy.distribute_datasets_from_function(batches)), [], 0.0
for _ in range(epochs):
    started = time.perf_counter()
    loss = float(train_epoch(iterator))
    rates.append(steps * batch / (time.perf_counter() - started))
weights = weights_of(model)  # batch statistics are averaged as they are read: every worker must
if rank == 0:
    write_weights(settings["out"], weights)
    print(json.dumps({"rates": rates, "loss": loss}))
