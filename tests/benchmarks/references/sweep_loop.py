"""Sixteen trainings one after another in tf_keras, as a user writes a sweep by hand; the model is a ResNet-8."""

import json
import sys
from typing import Any

import numpy as np
import tf_keras as keras


def block(x: Any, width: int, stride: int, penalty: Any) -> Any:
    """Two 3×3 convolutions and a shortcut."""
    shortcut, layers = x, keras.layers
    if stride != 1:
        shortcut = normalised(x, width, 1, stride, penalty)
    y = layers.ReLU()(normalised(x, width, 3, stride, penalty))
    return layers.ReLU()(layers.Add()([shortcut, normalised(y, width, 3, 1, penalty)]))


def normalised(x: Any, width: int, side: int, stride: int, penalty: Any) -> Any:
    """A convolution and what normalises its batches."""
    options = {"padding": "same", "use_bias": False, "kernel_regularizer": penalty}
    x = keras.layers.Conv2D(width, side, stride, **options)(x)
    return keras.layers.BatchNormalization(momentum=0.9)(x)


def compiled(width: int, classes: int, values: dict[str, float]) -> Any:
    """Return the model of a trial."""
    penalty = keras.regularizers.L2(values["model.l2"])
    inputs = keras.Input((8, 8, 1))
    x = keras.layers.Rescaling(1 / 255)(inputs)
    x = keras.layers.ReLU()(normalised(x, width, 3, 1, penalty))
    for stage in range(3):
        x = block(x, width * 2**stage, 1 if stage == 0 else 2, penalty)
    x = keras.layers.Dropout(values["model.dropout"])(keras.layers.GlobalAveragePooling2D()(x))
    model = keras.Model(inputs, keras.layers.Dense(classes, kernel_regularizer=penalty)(x))
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.Adam(values["learning_rate"]), loss, metrics=["accuracy"])
    return model


if __name__ == "__main__":
    settings = json.loads(sys.argv[1])
    rows = np.load(settings["data"])
    held, found = (rows["validation_x"], rows["validation_y"]), []
    for number, values in enumerate(settings["values"]):
        keras.utils.set_random_seed(number)
        model = compiled(settings["width"], settings["classes"], values)
        options = {"epochs": settings["epochs"], "batch_size": settings["batch"], "verbose": 0}
        history = model.fit(rows["train_x"], rows["train_y"], validation_data=held, **options).history
        found.append(history["val_accuracy"][-1])
    print(json.dumps({"accuracy": max(found), "parameters": model.count_params()}))
