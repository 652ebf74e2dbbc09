#!/usr/bin/env python3
"""Exports a Keras 3 model to safetensors: python export_keras.py model.keras model.safetensors

Weights are named `<layer>/<variable>`, for instance `dense/kernel` or `batch_normalization/moving_mean`.
Metadata: `config` (the architecture, as JSON) and `keras_version`.
`self_test/input/<k>` and `self_test/output/<k>` hold a few rows of random inputs and what the model makes of them in inference mode,
so that whoever reads the file can check that it computes the same function.

Needs keras (with any backend), numpy and safetensors.
"""

import argparse

import keras
import numpy as np
from safetensors.numpy import save_file


def export(model, path, rows=4, seed=0):
    tensors = {}
    for layer in model.layers:
        if isinstance(layer, keras.Model):
            raise SystemExit(f"{layer.name}: a model inside of a model cannot be exported")
        for variable in layer.weights:
            tensors[f"{layer.name}/{variable.name}"] = np.ascontiguousarray(variable, dtype=np.float32)

    generator = np.random.default_rng(seed)
    inputs = [generator.standard_normal((rows, *tensor.shape[1:])).astype(np.float32) for tensor in model.inputs]
    outputs = model(inputs if len(inputs) > 1 else inputs[0], training=False)
    outputs = outputs if isinstance(outputs, (list, tuple)) else [outputs]
    for kind, arrays in (("input", inputs), ("output", outputs)):
        for k, array in enumerate(arrays):
            tensors[f"self_test/{kind}/{k}"] = np.array(array, dtype=np.float32, order="C")

    save_file(tensors, path, metadata={"config": model.to_json(), "keras_version": keras.version()})


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", help="a .keras file")
    parser.add_argument("safetensors", help="the file to write")
    arguments = parser.parse_args()
    export(keras.saving.load_model(arguments.model), arguments.safetensors)
