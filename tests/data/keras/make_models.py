#!/usr/bin/env python3
"""Makes the models of this directory, their exports, and their predictions and scores. See README.md."""

import sys
from pathlib import Path

import keras
import numpy as np
from safetensors.numpy import save_file

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parents[2] / "scripts"))
from export_keras import export  # noqa: E402

ROWS = 16


def save(name, model, inputs, labels, names):
    """The model, its export, and what it says about the first `ROWS` rows."""
    model.save(HERE / f"{name}.keras")
    export(model, HERE / f"{name}.safetensors")
    inputs, labels = [x[:ROWS] for x in inputs], [y[:ROWS] for y in labels]
    one = lambda arrays: arrays if len(arrays) > 1 else arrays[0]
    outputs = model.predict(one(inputs), verbose=0)
    outputs = outputs if isinstance(outputs, list) else [outputs]
    scores = model.evaluate(one(inputs), one(labels), batch_size=ROWS, verbose=0, return_dict=True)
    tensors = {f"score/{key}": np.float32([scores[key]]) for key in names}
    for kind, arrays in (("input", inputs), ("label", labels), ("output", outputs)):
        tensors |= {f"{kind}/{k}": np.asarray(array, dtype=np.float32) for k, array in enumerate(arrays)}
    save_file(tensors, HERE / f"{name}.expected.safetensors")


def sequential():
    keras.utils.set_random_seed(1)
    random = np.random.default_rng(1)
    x = (random.standard_normal((96, 12)) * 1.5 + 0.5).astype(np.float32)
    y = (x @ random.standard_normal((12, 3))).argmax(1)
    model = keras.Sequential(
        [
            keras.Input((12,)),
            keras.layers.Dense(8, activation="selu", kernel_initializer="lecun_normal"),
            keras.layers.BatchNormalization(momentum=0.9),
            keras.layers.Dense(5, activation="relu", kernel_regularizer=keras.regularizers.L2(0.01)),
            keras.layers.Dropout(0.2),
            keras.layers.Dense(3, activation="softmax"),
        ],
        name="sequential",
    )
    model.compile(keras.optimizers.SGD(0.05, momentum=0.9), "sparse_categorical_crossentropy", metrics=["accuracy"])
    model.fit(x, y, batch_size=16, epochs=4, verbose=0)
    save("sequential", model, [x], [y], ["loss", "accuracy"])


def wide_and_deep():
    keras.utils.set_random_seed(2)
    random = np.random.default_rng(2)
    wide = random.standard_normal((96, 5)).astype(np.float32)
    deep = random.standard_normal((96, 6)).astype(np.float32)
    target = (wide[:, :1] - deep[:, 1:2] * deep[:, 2:3]).astype(np.float32)
    wide_input, deep_input = keras.Input((5,), name="wide"), keras.Input((6,), name="deep")
    normalized = keras.layers.BatchNormalization(name="normalize")(deep_input)
    hidden1 = keras.layers.Dense(7, use_bias=False, name="hidden1")(normalized)
    hidden1 = keras.layers.PReLU(name="slopes")(hidden1)
    hidden2 = keras.layers.Dense(7, name="hidden2")(hidden1)
    hidden2 = keras.layers.LeakyReLU(name="leaky")(hidden2)
    residual = keras.layers.Add(name="residual")([hidden1, hidden2])
    residual = keras.layers.AlphaDropout(0.1, name="drop")(residual)
    joined = keras.layers.Concatenate(name="join")([wide_input, residual])
    main = keras.layers.Dense(1, name="main")(joined)
    auxiliary = keras.layers.Dense(1, name="auxiliary")(keras.layers.Activation("tanh", name="squash")(residual))
    model = keras.Model([wide_input, deep_input], [main, auxiliary], name="wide_and_deep")
    model.compile(keras.optimizers.Adam(0.02), loss=["mse", "mse"], loss_weights=[0.9, 0.1])
    model.fit([wide, deep], [target, target], batch_size=16, epochs=4, verbose=0)
    save("wide_and_deep", model, [wide, deep], [target, target], ["loss", "main_loss", "auxiliary_loss"])


sequential()
wide_and_deep()
