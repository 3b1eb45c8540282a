# SPDX-License-Identifier: Apache-2.0
"""Small networks built with onnx.helper and weights from a seed: what frameworks export, without a framework."""

import numpy as np
from onnx import TensorProto, helper, numpy_helper

OPSET = 17


class Graph:
    def __init__(self, seed):
        self.rng = np.random.default_rng(seed)
        self.nodes, self.initializers = [], []

    def weight(self, *shape, scale=None):
        scale = scale if scale is not None else 1 / np.sqrt(np.prod(shape[1:]) or 1)
        return self.constant((self.rng.normal(size=shape) * scale).astype(np.float32))

    def constant(self, array):
        name = f"w{len(self.initializers)}"
        self.initializers.append(numpy_helper.from_array(np.asarray(array), name))
        return name

    def op(self, kind, *inputs, n_outputs=1, **attributes):
        outputs = [f"t{len(self.nodes)}_{i}" for i in range(n_outputs)]
        self.nodes.append(helper.make_node(kind, list(inputs), outputs, **attributes))
        return outputs[0] if n_outputs == 1 else outputs

    def linear(self, x, n_in, n_out):
        return self.op("Add", self.op("MatMul", x, self.weight(n_in, n_out, scale=1 / np.sqrt(n_in))), self.weight(n_out, scale=0.1))

    def model(self, inputs, outputs, functions=()):
        def info(name, element, shape):
            return helper.make_tensor_value_info(name, element, shape)

        for (name, _, _), tensor in outputs:
            self.nodes.append(helper.make_node("Identity", [tensor], [name]))
        graph = helper.make_graph(self.nodes, "g", [info(*i) for i in inputs], [info(*o) for o, _ in outputs], self.initializers)
        return helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=8)


def mlp(n_features=20, hidden=(64, 32), n_out=1, seed=1):
    g = Graph(seed)
    x, n = "x", n_features
    for h in hidden:
        x, n = g.op("Relu", g.linear(x, n, h)), h
    return g.model([("x", TensorProto.FLOAT, ["n", n_features])], [(("y", TensorProto.FLOAT, ["n", n_out]), g.linear(x, n, n_out))])


def convolutional(seed=2):
    """(n, 3, 32, 32) images to 10 scores: three blocks of convolution, batch normalisation and pooling."""
    g = Graph(seed)
    x, c = "x", 3
    for width in (16, 32, 32):
        x = g.op("Conv", x, g.weight(width, c, 3, 3), g.weight(width, scale=0.1), pads=[1, 1, 1, 1])
        norm = [g.constant(np.full(width, v, np.float32)) for v in (1.1, 0.1, 0.05, 0.9)]
        x = g.op("MaxPool", g.op("Relu", g.op("BatchNormalization", x, *norm)), kernel_shape=[2, 2], strides=[2, 2])
        c = width
    x = g.op("Flatten", g.op("GlobalAveragePool", x))
    y = g.op("Softmax", g.linear(x, c, 10), axis=-1)
    return g.model([("x", TensorProto.FLOAT, ["n", 3, 32, 32])], [(("y", TensorProto.FLOAT, ["n", 10]), y)])


def transformer(n_layers=2, d=64, heads=4, words=100, seed=3):
    """Word numbers (n, length) and a mask to hidden states (n, length, d) and a pooled one (n, d)."""
    g = Graph(seed)
    int64 = lambda *v: g.constant(np.array(v, np.int64))  # noqa: E731
    mask = g.op("Unsqueeze", g.op("Cast", "mask", to=TensorProto.FLOAT), int64(1, 2))
    bias = g.op("Mul", g.op("Sub", g.constant(np.float32(1)), mask), g.constant(np.float32(-1e4)))
    x = g.op("Gather", g.weight(words, d, scale=1), "words")
    split = lambda t: g.op("Transpose", g.op("Reshape", t, int64(0, 0, heads, d // heads)), perm=[0, 2, 1, 3])  # noqa: E731
    for _ in range(n_layers):
        q, k, v = (split(g.linear(x, d, d)) for _ in range(3))
        scores = g.op("MatMul", q, g.op("Transpose", k, perm=[0, 1, 3, 2]))
        scores = g.op("Add", g.op("Div", scores, g.constant(np.float32(np.sqrt(d // heads)))), bias)
        mixed = g.op("Transpose", g.op("MatMul", g.op("Softmax", scores, axis=-1), v), perm=[0, 2, 1, 3])
        mixed = g.linear(g.op("Reshape", mixed, int64(0, 0, d)), d, d)
        norm = lambda t: g.op("LayerNormalization", t, g.weight(d, scale=1), g.weight(d, scale=0.1), axis=-1)  # noqa: E731
        x = norm(g.op("Add", x, mixed))
        x = norm(g.op("Add", x, g.linear(g.op("Relu", g.linear(x, d, 4 * d)), 4 * d, d)))
    pooled = g.op("Tanh", g.linear(g.op("ReduceMean", x, axes=[1], keepdims=0), d, d))
    return g.model(
        [("words", TensorProto.INT64, ["n", "length"]), ("mask", TensorProto.INT64, ["n", "length"])],
        [(("states", TensorProto.FLOAT, ["n", "length", d]), x), (("pooled", TensorProto.FLOAT, ["n", d]), pooled)],
    )


def of_nodes(nodes, inputs, outputs, initializers=(), opsets=(("", OPSET),), ir_version=8):
    """A model of few nodes, as onnx.helper makes them."""
    info = lambda i: i if not isinstance(i, tuple) else helper.make_tensor_value_info(*i)  # noqa: E731
    graph = helper.make_graph(nodes, "g", [info(i) for i in inputs], [info(o) for o in outputs], list(initializers))
    return helper.make_model(graph, opset_imports=[helper.make_opsetid(*o) for o in opsets], ir_version=ir_version)
