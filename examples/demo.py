# SPDX-License-Identifier: Apache-2.0
"""From training to predictions over HTTP, with real data.

Trains an XGBoost and a LightGBM model on each of scikit-learn's breast-cancer, diabetes, digits and wine sets, starts
a server, pushes the models, sends every held-out row as a request of its own, and compares each answer with what the
training library itself predicts.

    dev/demo [--keep]                 or: build/venv/bin/python examples/demo.py [--keep]
"""

import argparse
import json
import os
import pathlib
import shutil
import signal
import socket
import subprocess
import sys
import time

import lightgbm
import numpy as np
import sklearn.datasets
import xgboost
from sklearn.model_selection import train_test_split

ROOT = pathlib.Path(__file__).resolve().parents[1]
SLIPWAY = pathlib.Path(os.environ.get("SLIPWAY_BIN", ROOT / "build/slipway"))
WORK = ROOT / "build/demo"
TOLERANCE = 1e-6  # relative; what is expected is one rounding of a float32 at most

DATASETS = {
    "breast-cancer": (sklearn.datasets.load_breast_cancer, "binary"),
    "diabetes": (sklearn.datasets.load_diabetes, "regression"),
    "digits": (sklearn.datasets.load_digits, "classes"),
    "wine": (sklearn.datasets.load_wine, "classes"),
}


def train_xgboost(x, y, kind):
    objective = {"binary": "binary:logistic", "regression": "reg:squarederror", "classes": "multi:softprob"}[kind]
    params = {"objective": objective, "max_depth": 6, "seed": 1, "nthread": 1}  # small data: threads only wait
    if kind == "classes":
        params["num_class"] = len(set(y))
    booster = xgboost.train(params, xgboost.DMatrix(x, label=y), num_boost_round=100)
    return booster, "json", lambda rows: booster.predict(xgboost.DMatrix(rows))


def train_lightgbm(x, y, kind):
    objective = {"binary": "binary", "regression": "regression", "classes": "multiclass"}[kind]
    params = {"objective": objective, "num_leaves": 31, "seed": 1, "num_threads": 1, "verbose": -1}
    if kind == "classes":
        params["num_class"] = len(set(y))
    booster = lightgbm.train(params, lightgbm.Dataset(x, label=y), num_boost_round=100)
    return booster, "txt", booster.predict


class Client:
    """One kept-alive connection; little more than a socket, so that the times are the server's."""

    def __init__(self, url):
        host, port = url.removeprefix("http://").rsplit(":", 1)
        self.socket = socket.create_connection((host, int(port)))
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.host = host

    def post(self, path, body):
        """(status, body, seconds until the whole answer was here)"""
        request = (f"POST {path} HTTP/1.1\r\nHost: {self.host}\r\nContent-Type: application/json\r\n"
                   f"Content-Length: {len(body)}\r\n\r\n").encode() + body
        begin = time.perf_counter()
        self.socket.sendall(request)
        answer = b""
        while (end := answer.find(b"\r\n\r\n")) < 0:
            answer += self.receive()
        head = answer[:end].decode("latin-1").split("\r\n")
        fields = dict(line.lower().split(":", 1) for line in head[1:])
        missing = end + 4 + int(fields["content-length"]) - len(answer)
        while missing > 0:
            more = self.receive()
            answer += more
            missing -= len(more)
        return int(head[0].split()[1]), answer[end + 4:], time.perf_counter() - begin

    def receive(self):
        data = self.socket.recv(1 << 16)
        if not data:
            raise ConnectionError("the server closed the connection")
        return data


def start_server(log):
    """The process and its URL, once it is ready."""
    with open(log, "wb") as stderr:
        process = subprocess.Popen([SLIPWAY, "serve", "--listen", "127.0.0.1:0", "--data-dir", WORK / "data"],
                                   stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=stderr,
                                   start_new_session=True)
    while process.poll() is None:
        for line in log.read_text().splitlines(keepends=True):
            event = json.loads(line) if line.endswith("\n") else {}
            if event.get("event") == "ready":
                return process, event["url"], event["startup_ms"]
        time.sleep(0.005)
    sys.exit(f"The server did not start:\n{log.read_text()}")


def measure(client, name, rows, expected):
    """Sends each row alone; (largest relative difference, seconds of each request, seconds of all)."""
    path = f"/v1/models/{name}:predict"
    bodies = [json.dumps({"instances": [row]}).encode() for row in rows.tolist()]
    answers, seconds = [], []
    for body in bodies[:50]:
        client.post(path, body)  # warm caches, ours and the processor's
    begin = time.perf_counter()
    for body in bodies:
        status, answer, took = client.post(path, body)
        if status != 200:
            sys.exit(f"{path} answered {status}: {answer.decode()}")
        answers.append(answer)
        seconds.append(took)
    all_seconds = time.perf_counter() - begin
    want = np.asarray(expected).reshape(len(rows), -1)
    # XGBoost predicts float32: the shortest decimal that reads back as that float32 is what JSON carries.
    got = np.array([json.loads(a)["predictions"][0] for a in answers]).reshape(want.shape).astype(want.dtype)
    difference = np.max(np.abs(got - want) / np.maximum(np.abs(want), 1e-3))
    return difference, np.array(seconds), all_seconds


def train_all():
    """name -> (model file, held-out rows, the library's predictions for them)"""
    models = {}
    for data_name, (load, kind) in DATASETS.items():
        x, y = load(return_X_y=True)
        x_train, x_test, y_train, _ = train_test_split(x, y, test_size=0.25, random_state=1)
        for library, train in (("xgboost", train_xgboost), ("lightgbm", train_lightgbm)):
            booster, suffix, predict = train(x_train, y_train, kind)
            file = WORK / f"{data_name}-{library}.{suffix}"
            booster.save_model(str(file))
            models[f"{data_name}-{library}"] = (file, x_test, predict(x_test))
    return models


def show_next_steps(process, url):
    row = json.dumps(sklearn.datasets.load_wine().data[0].tolist())
    print(f"""
The server is still running (process {process.pid}). Try:

  export SLIPWAY_URL={url}
  build/slipway models
  build/slipway show wine-xgboost
  curl -s $SLIPWAY_URL/v1/models/wine-xgboost:predict -d '{{"instances": [{row}]}}'
  curl -s $SLIPWAY_URL/metrics
  kill {process.pid}                # stops it""")


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--keep", action="store_true", help="leave the server running")
    keep = parser.parse_args().keep

    shutil.rmtree(WORK, ignore_errors=True)
    WORK.mkdir(parents=True)
    print(f"Training 8 models with XGBoost {xgboost.__version__} and LightGBM {lightgbm.__version__} …", flush=True)
    models = train_all()
    process, url, startup_ms = start_server(WORK / "server.log")
    print(f"The server started in {startup_ms} ms. Pushing the models and sending every held-out row …\n", flush=True)
    wrong = []
    try:
        print(f"{'model':<24} {'rows':>5} {'largest difference':>19} {'p50':>9} {'p99':>9} {'requests/s':>11}")
        for name, (file, rows, expected) in models.items():
            subprocess.run([SLIPWAY, "push", name, file, "--url", url], check=True, stdout=subprocess.DEVNULL)
            difference, seconds, all_seconds = measure(Client(url), name, rows, expected)
            p50, p99 = np.percentile(seconds * 1e6, [50, 99])
            print(f"{name:<24} {len(rows):>5} {difference:>19.2g} {p50:>6.0f} us {p99:>6.0f} us "
                  f"{len(rows) / all_seconds:>11,.0f}", flush=True)
            if not difference <= TOLERANCE:
                wrong.append(name)
        print("\nOne request at a time over one connection; differences are relative to the library's prediction.")
        if wrong:
            print(f"These differ by more than {TOLERANCE}: {', '.join(wrong)}", file=sys.stderr)
    except BaseException:
        keep = False
        raise
    finally:
        if not keep:
            process.send_signal(signal.SIGTERM)
            process.wait()
    if keep:
        show_next_steps(process, url)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
