#!/usr/bin/env python3
"""Records ten steps of training of the same network with several optimizers. See README.md."""

import json
from pathlib import Path

import keras
import numpy as np
from safetensors.numpy import save_file

HERE = Path(__file__).parent
STEPS, BATCH, FEATURES, CLASSES = 10, 16, 12, 3
SNAPSHOTS = (0, 1, 2, 5, 10)


def data():
    random = np.random.default_rng(3)
    x = (random.standard_normal((STEPS * BATCH, FEATURES)) * 1.5 + 0.5).astype(np.float32)
    return x, (x @ random.standard_normal((FEATURES, CLASSES))).argmax(1)


def network():
    keras.utils.set_random_seed(3)
    l2 = keras.regularizers.L2
    return keras.Sequential(
        [
            keras.Input((FEATURES,)),
            keras.layers.Dense(8, activation="tanh", kernel_regularizer=l2(0.01), name="dense"),
            keras.layers.BatchNormalization(momentum=0.9, name="norm"),
            keras.layers.Dense(6, activation="relu", kernel_regularizer=l2(0.02), name="dense_1"),
            keras.layers.Dense(CLASSES, activation="softmax", name="dense_2"),
        ],
        name="trace",
    )


def trace(name, optimizer):
    model, (x, y) = network(), data()
    tensors = {"x": x, "y": y.astype(np.float32)}

    def snapshot(step):
        if step not in SNAPSHOTS:
            return
        for layer in model.layers:
            tensors.update({f"step_{step:02}/{layer.name}/{v.name}": keras.ops.convert_to_numpy(v) for v in layer.weights})

    model.compile(optimizer, "sparse_categorical_crossentropy")
    snapshot(0)
    losses = []
    for step in range(STEPS):
        rows = slice(step * BATCH, (step + 1) * BATCH)
        model.reset_metrics()
        losses.append(model.train_on_batch(x[rows], y[rows]))
        snapshot(step + 1)
    tensors["loss"] = np.float32(losses)
    settings = {key: value for key, value in optimizer.get_config().items() if isinstance(value, (bool, int, float))}
    metadata = {"config": model.to_json(), "optimizer": type(optimizer).__name__, "settings": json.dumps(settings)}
    save_file(tensors, HERE / f"trace_{name}.safetensors", metadata=metadata | {"keras_version": keras.version()})
    print(name, losses)


trace("sgd_nesterov", keras.optimizers.SGD(0.05, momentum=0.9, nesterov=True))
trace("adam_clipnorm", keras.optimizers.Adam(0.01, clipnorm=0.2))
trace("rmsprop_global_clipnorm", keras.optimizers.RMSprop(0.01, global_clipnorm=0.3))
