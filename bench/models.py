# SPDX-License-Identifier: Apache-2.0
"""Models and rows that the benchmark uses: made once per version of this file, kept in build/bench."""

import json
import pathlib

import numpy as np


def table(n, n_features, seed=7, missing=0.03):
    """Rows like a business table: normal, integer-like and flag columns, some values missing; and a binary label."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(n, n_features)).astype(np.float32)
    third = n_features // 3
    x[:, third:2 * third] = np.round(x[:, third:2 * third] * 3)
    x[:, 2 * third:] = np.where(rng.random((n, n_features - 2 * third)) < 0.5, x[:, 2 * third:], x[:, 2 * third:] > 0.3)
    w = rng.normal(size=n_features) / np.sqrt(n_features)
    z = x @ w * 2 + np.sin(x[:, 0] * x[:, 1]) * 2 + np.where(x[:, 2] > 0, x[:, 3], -x[:, 4]) * 1.5 + rng.normal(size=n)
    x[rng.random(x.shape) < missing] = np.nan
    return x, (z > np.median(z)).astype(np.float32)


class Model:
    def __init__(self, folder, name, library, features):
        self.name, self.library, self.features = name, library, features
        self.path = folder / (name + (".json" if library == "xgboost" else ".txt"))
        self.rows_path = folder / f"rows{features}.{'f32' if library == 'xgboost' else 'f64'}"
        self.onnx_path = folder / (name + ".onnx")


def make(folder, name, library, features, trees, **params):
    """Trains unless it is there already."""
    m = Model(pathlib.Path(folder), name, library, features)
    if m.path.exists() and m.rows_path.exists():
        return m
    x, y = table(40000, features)
    train = slice(0, 30000)
    if library == "xgboost":
        import xgboost
        params = {"objective": "binary:logistic", "eta": 0.1, "nthread": 2, **params}
        xgboost.train(params, xgboost.DMatrix(x[train], label=y[train]), trees).save_model(m.path)
        x[30000:].astype("<f4").tofile(m.rows_path)
    else:
        import lightgbm
        params = {"objective": "binary", "verbose": -1, "num_threads": 2, **params}
        lightgbm.train(params, lightgbm.Dataset(x[train].astype("f8"), y[train]), trees).save_model(m.path)
        x[30000:].astype("<f8").tofile(m.rows_path)
    return m


def to_onnx(m):
    """The same XGBoost trees as an ONNX TreeEnsembleRegressor and a Sigmoid, for ONNX Runtime."""
    if m.onnx_path.exists():
        return m.onnx_path
    import onnx
    from onnx import TensorProto, helper

    learner = json.loads(m.path.read_text())["learner"]
    base = float(str(learner["learner_model_param"]["base_score"]).strip("[]"))
    a = {k: [] for k in ("nodes_treeids nodes_nodeids nodes_featureids nodes_values nodes_modes nodes_truenodeids "
                         "nodes_falsenodeids nodes_missing_value_tracks_true target_treeids target_nodeids target_ids "
                         "target_weights").split()}
    for t, tree in enumerate(learner["gradient_booster"]["model"]["trees"]):
        for i, left in enumerate(tree["left_children"]):
            leaf, value = left == -1, float(np.float32(tree["split_conditions"][i]))
            a["nodes_treeids"].append(t)
            a["nodes_nodeids"].append(i)
            a["nodes_featureids"].append(0 if leaf else tree["split_indices"][i])
            a["nodes_values"].append(0.0 if leaf else value)
            a["nodes_modes"].append("LEAF" if leaf else "BRANCH_LT")
            a["nodes_truenodeids"].append(0 if leaf else left)
            a["nodes_falsenodeids"].append(0 if leaf else tree["right_children"][i])
            a["nodes_missing_value_tracks_true"].append(0 if leaf else int(tree["default_left"][i]))
            if leaf:
                a["target_treeids"].append(t)
                a["target_nodeids"].append(i)
                a["target_ids"].append(0)
                a["target_weights"].append(value)
    margin = float(np.log(base / (1 - base)))
    nodes = [helper.make_node("TreeEnsembleRegressor", ["x"], ["z"], domain="ai.onnx.ml", n_targets=1, aggregate_function="SUM",
                              post_transform="NONE", base_values=[margin], **a),
             helper.make_node("Sigmoid", ["z"], ["y"])]
    value = lambda name, width: helper.make_tensor_value_info(name, TensorProto.FLOAT, ["N", width])
    graph = helper.make_graph(nodes, "trees", [value("x", m.features)], [value("y", 1)])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13), helper.make_opsetid("ai.onnx.ml", 1)])
    model.ir_version = 8
    onnx.save(model, m.onnx_path)
    return m.onnx_path


def bodies(m, folder, n_requests, rows_per_request):
    """A file of request bodies, one a line, and a file of the predictions each must be answered with."""
    import xgboost

    body_path = pathlib.Path(folder) / f"{m.name}-{rows_per_request}.jsonl"
    expect_path = pathlib.Path(folder) / f"{m.name}-{rows_per_request}.expect"
    if body_path.exists() and expect_path.exists():
        return body_path, expect_path
    x = np.fromfile(m.rows_path, dtype="<f4").reshape(-1, m.features)
    booster = xgboost.Booster({"nthread": 1})
    booster.load_model(m.path)
    out = booster.inplace_predict(x)
    with open(body_path, "w") as b, open(expect_path, "w") as w:
        for i in range(n_requests):
            at = i * rows_per_request % (len(x) - rows_per_request + 1)
            rows = [[None if np.isnan(v) else round(float(v), 9) for v in row] for row in x[at:at + rows_per_request]]
            # what the server reads is the text: the expectation is of the rows as they are written
            exact = booster.inplace_predict(np.array(rows, dtype=np.float64).astype(np.float32))
            b.write(json.dumps({"instances": rows}, separators=(",", ":")) + "\n")
            w.write(json.dumps([float(v) for v in exact]) + "\n")
    return body_path, expect_path


def make_network(folder, name, widths):
    """A dense network in ONNX with random weights, x [N, widths[0]] -> y [N, widths[-1]]: ReLU inside, a sigmoid at the end."""
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    path = pathlib.Path(folder) / f"{name}.onnx"
    if path.exists():
        return path
    rng, nodes, weights, at = np.random.default_rng(3), [], [], "x"
    for k, (n, m) in enumerate(zip(widths, widths[1:])):
        weights += [numpy_helper.from_array((rng.normal(size=(n, m)) / np.sqrt(n)).astype(np.float32), f"w{k}"),
                    numpy_helper.from_array(rng.normal(size=m).astype(np.float32), f"b{k}")]
        last = k == len(widths) - 2
        nodes += [helper.make_node("Gemm", [at, f"w{k}", f"b{k}"], [f"z{k}"]),
                  helper.make_node("Sigmoid" if last else "Relu", [f"z{k}"], ["y" if last else f"a{k}"])]
        at = f"a{k}"
    value = lambda name, width: helper.make_tensor_value_info(name, TensorProto.FLOAT, ["N", width])
    graph = helper.make_graph(nodes, name, [value("x", widths[0])], [value("y", widths[-1])], weights)
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9), path)
    return path


def network_bodies(path, n_features, n_requests):
    """As bodies, for a network: rows of its own and what onnxruntime answers."""
    import onnxruntime

    rows = np.random.default_rng(5).normal(size=(n_requests, n_features)).round(4).astype(np.float32)
    answers = onnxruntime.InferenceSession(str(path)).run(None, {"x": rows})[0]
    body_path, expect_path = path.with_suffix(".jsonl"), path.with_suffix(".expect")
    body_path.write_text("".join(json.dumps({"instances": [[round(float(v), 4) for v in r]]}) + "\n" for r in rows))
    expect_path.write_text("".join(json.dumps([float(v) for v in a]) + "\n" for a in answers))
    return body_path, expect_path
