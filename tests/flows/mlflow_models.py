# SPDX-License-Identifier: Apache-2.0
"""Run by test_mlflow.py in the environment of the real MLflow: waits for the server, trains and logs models with the
real client, and writes what they predict as JSON into says.json of the folder given."""

import json
import logging
import sys
import time
import warnings

import lightgbm
import mlflow
import numpy as np
import onnx
import onnx.helper
import onnx.numpy_helper
import pandas
import requests
import xgboost
from mlflow.models import infer_signature
from sklearn.compose import ColumnTransformer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

warnings.simplefilter("ignore")
logging.getLogger("mlflow").setLevel(logging.ERROR)
url = sys.argv[1]
rng = np.random.default_rng(3)
frame = pandas.DataFrame({"age": rng.integers(18, 80, 200), "income": rng.normal(size=200)})
target = (frame.age + 10 * frame.income > 45).astype(int)
rows = frame.head(5)
says = {}

end = time.monotonic() + 600
while True:
    try:
        if requests.get(url + "/health", timeout=30).ok:
            break
    except (requests.ConnectionError, requests.Timeout):
        time.sleep(0.1)
    assert time.monotonic() < end, "the MLflow server does not start"

mlflow.set_tracking_uri(url)
client = mlflow.MlflowClient()
bare = {"pip_requirements": []}  # else MLflow loads each model in a process of its own to see what it imports


def keep(name, expected, uri):
    says[name] = {"expected": np.asarray(expected, dtype=float).tolist(), "uri": uri}


def log(flavor, model, name, **how):
    how = {"name": name, **bare, **how}
    return getattr(mlflow, flavor).log_model(model, **how).model_uri


def network():
    """y = x W + b, with a weight large enough to lie in a file of its own."""
    weight = rng.normal(size=(2, 300)).astype(np.float32)
    sums = rng.normal(size=(300, 1)).astype(np.float32)
    graph = onnx.helper.make_graph(
        [onnx.helper.make_node("MatMul", ["x", "w"], ["h"]), onnx.helper.make_node("MatMul", ["h", "s"], ["y"])], "g",
        [onnx.helper.make_tensor_value_info("x", 1, ["rows", 2])],
        [onnx.helper.make_tensor_value_info("y", 1, ["rows", 1])],
        [onnx.numpy_helper.from_array(weight, "w"), onnx.numpy_helper.from_array(sums, "s")])
    model = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 17)], ir_version=9)
    return model, (rows.values.astype(np.float32) @ weight @ sums)


with mlflow.start_run() as run:
    mlflow.log_metrics({"auc": 0.91, "loss": 1e-7})
    says["run"] = run.info.run_id

    booster = xgboost.XGBClassifier(n_estimators=5, max_depth=2, n_jobs=1).fit(frame, target)
    uri = log("xgboost", booster, "model", model_format="json", registered_model_name="churn",
              signature=infer_signature(frame, booster.predict(frame)), input_example=rows.head(2))
    keep("xgboost", booster.predict_proba(rows)[:, 1], uri)
    client.set_registered_model_alias("churn", "champion", 1)
    client.update_model_version("churn", 1, description="the first one")

    uri = log("xgboost", booster.get_booster(), "as_ubj", model_format="ubj")
    keep("ubj", booster.predict_proba(rows)[:, 1], uri)

    trees = lightgbm.train({"objective": "binary", "verbose": -1, "num_threads": 1}, lightgbm.Dataset(frame, target), 5)
    log("lightgbm", trees, "trees", registered_model_name="price tag")
    keep("lightgbm", trees.predict(rows), "models:/price tag/1")

    estimator = lightgbm.LGBMClassifier(n_estimators=5, verbose=-1, n_jobs=1).fit(frame, target)
    keep("estimator", estimator.predict_proba(rows)[:, 1], log("lightgbm", estimator, "estimator"))

    model, expected = network()
    keep("onnx", expected, log("onnx", model, "network", save_as_external_data=True))

    linear = LogisticRegression().fit(frame.values, target)
    keep("sklearn", linear.predict_proba(rows.values)[:, 1], log("sklearn", linear, "linear"))

    mixed = frame.assign(city=rng.choice(["Ulm", "Bern"], 200))
    pipeline = make_pipeline(ColumnTransformer([("n", StandardScaler(), ["age", "income"]),
                                                ("c", OneHotEncoder(), ["city"])]), LogisticRegression())
    pipeline.fit(mixed, target)
    uri = log("sklearn", pipeline, "pipeline", signature=infer_signature(mixed))
    keep("pipeline", pipeline.predict_proba(mixed.head(5))[:, 1], uri)
    says["cities"] = mixed.city.head(5).tolist()

    # A plain folder of the run, as MLflow 2 has it.
    mlflow.xgboost.save_model(booster, "/".join([sys.argv[2], "plain"]), model_format="ubj", **bare)
    mlflow.log_artifacts("/".join([sys.argv[2], "plain"]), "folder/plain")
    mlflow.log_metric("odd", float("nan"))  # not before: MLflow fails to log a model beside it
    client.create_registered_model("far")
    client.create_model_version("far", "s3://bucket/model", run.info.run_id)

says["rows"] = rows.values.tolist()
with open("/".join([sys.argv[2], "says.json"]), "w") as out:
    json.dump(says, out)
