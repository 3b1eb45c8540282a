# SPDX-License-Identifier: Apache-2.0
"""A real server for each test: port 0, a data directory of its own, ended by its own handle."""

import contextlib
import hashlib
import json
import os
import pathlib
import signal
import subprocess
import threading
import time

import numpy as np
import pytest
import requests

ROOT = pathlib.Path(__file__).resolve().parents[2]
BINARY = os.environ.get("SLIPWAY_BIN", str(ROOT / "build" / "slipway"))
# The real supervisor over children that tests can make crash and hang: tests/fakes/fake_children.c.
FAKE = os.environ.get("SLIPWAY_FAKE", str(ROOT / "build" / "gcc" / "tests" / "fakes" / "fake_children"))
# The real server whose models run in a runtime that crashes and hangs when asked to: tests/fakes/fake_runtime.c.
FAKE_SERVER = os.environ.get("SLIPWAY_FAKE_SERVER", str(ROOT / "build" / "gcc" / "tests" / "fakes" / "fake_server"))
DEADLINE_S = 60  # for what must come, on a machine that is busy


def until(look, wanted=bool, seconds=DEADLINE_S):
    """The first look() that is as wanted, which is a predicate or a value: what other processes do takes its time."""
    end = time.monotonic() + seconds
    while not (wanted(got := look()) if callable(wanted) else (got := look()) == wanted):
        assert time.monotonic() < end, got
        time.sleep(0.02)
    return got


def crc32c(data):
    """As RFC 3720 has it, bit by bit."""
    crc = 0xFFFFFFFF
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ (0x82F63B78 if crc & 1 else 0)
    return crc ^ 0xFFFFFFFF


def row_sum(*values):
    """What a row of the registry carries so that damage is found: each field with its kind and length before it."""
    data = b""
    for value in values:
        if isinstance(value, int):
            data += b"i" + (value & 2**64 - 1).to_bytes(8, "little")
        else:
            text = value if isinstance(value, bytes) else value.encode()
            data += (b"b" if text is value else b"t") + len(text).to_bytes(8, "little") + text
    return crc32c(data)


def restore_sums(database, table, fields):
    """After a test wrote into the database what it wants to be there."""
    database.create_function("row_sum", -1, row_sum)
    database.execute(f"UPDATE {table} SET sum = row_sum({fields})")


class Server:
    """`slipway serve` on a free port. Events are its JSON lines on standard error."""

    def __init__(self, data_dir, *flags, command=(BINARY, "serve"), env=None, ready=True, **popen):
        self.data_dir = pathlib.Path(data_dir)
        self.events = []
        self._changed = threading.Condition()
        self.process = subprocess.Popen(
            [*command, "--listen", "127.0.0.1:0", "--data-dir", str(data_dir), *map(str, flags)],
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
            env={**os.environ, **(env or {})}, **popen,
        )
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()
        if ready:
            self.url = self.wait_event("listening")["url"]
            self.port = int(self.url.rsplit(":", 1)[1])
            self.wait_event("ready")

    def _read(self):
        for line in self.process.stderr:
            try:
                event = json.loads(line)
            except ValueError:
                event = {"event": "text", "line": line.rstrip()}
            with self._changed:
                self.events.append(event)
                self._changed.notify_all()
        with self._changed:
            self.events.append({"event": "end"})
            self._changed.notify_all()

    def find(self, name, **fields):
        """All events of that name with these fields so far."""
        with self._changed:
            return self._find(name, lambda e: all(e.get(k) == v for k, v in fields.items()))

    def _find(self, name, where):
        return [event for event in self.events if event["event"] == name and where(event)]

    def wait_event(self, name, where=lambda event: True, timeout=DEADLINE_S, n=1):
        """The n-th event of that name, also one that came before."""
        end = time.monotonic() + timeout
        with self._changed:
            while len(found := self._find(name, where)) < n:
                if any(event["event"] == "end" for event in self.events) or time.monotonic() > end:
                    raise AssertionError(f"no event {name!r}; there were {self.events}")
                self._changed.wait(0.1)
        return found[n - 1]

    def wait_child(self, event, child, index=0, n=1):
        """The n-th event of that name about one child."""
        return self.wait_event(event, lambda e: (e["child"], e["child_index"]) == (child, index), n=n)

    def child_pid(self, child, index=0):
        """The process id of the one that became ready last."""
        return self.find("child_ready", child=child, child_index=index)[-1]["child_pid"]

    def kill_child(self, child, index=0):
        """kill -9; returns when, in seconds since 1970."""
        pid, when = self.child_pid(child, index), time.time()
        os.kill(pid, signal.SIGKILL)
        return when

    def push(self, model, path, **manifest):
        """Uploads a file and makes a version of it, over the registry's REST API."""
        data = pathlib.Path(path).read_bytes()
        digest = "sha256:" + hashlib.sha256(data).hexdigest()
        requests.put(f"{self.url}/api/v1/blobs/{digest}", data=data, timeout=180).raise_for_status()
        artifact = {"name": pathlib.Path(path).name, "digest": digest, "size": len(data)}
        answer = requests.post(f"{self.url}/api/v1/models/{model}/versions",
                               json={"artifacts": [artifact], "allow_breaking": True, **manifest}, timeout=180)
        assert answer.status_code == 201, answer.text
        return answer.json()

    def predict(self, model, body, **kwargs):
        return requests.post(f"{self.url}/v1/models/{model}:predict", json=body, timeout=180, **kwargs)

    def stop(self, sig=signal.SIGTERM, timeout=DEADLINE_S):
        if self.process.poll() is None:
            self.process.send_signal(sig)
        return self.ended(timeout)

    def ended(self, timeout=DEADLINE_S):
        """Waits for its end; all its events are there then."""
        code = self.process.wait(timeout)
        self._reader.join(timeout)
        return code

    def supervisor_pid(self):
        """Of the process that supervises now: another adopts the children of one that was killed."""
        adopted = self.find("adopted")
        return adopted[-1]["supervisor_pid"] if adopted else self.process.pid

    def pids(self):
        """All processes of this server that run, by their data directory."""
        found = []
        for path in pathlib.Path("/proc").glob("[0-9]*"):
            try:
                words = (path / "cmdline").read_bytes().split(b"\0")
                state = (path / "stat").read_text().rsplit(")", 1)[1].split()[0]
            except (FileNotFoundError, ProcessLookupError):
                continue
            mine = f"--data-dir={self.data_dir}".encode()
            if state != "Z" and (mine in words or int(path.name) == self.process.pid):
                found.append(int(path.name))
        return found

    def kill(self):
        """kill -9 of the whole server at once: none is left who could replace another."""
        supervisor = self.supervisor_pid()
        os.kill(supervisor, signal.SIGSTOP)
        # It is the last: the controller would start a successor.
        for pid in [*(pid for pid in self.pids() if pid != supervisor), supervisor]:
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
        end = time.monotonic() + DEADLINE_S
        self.process.wait(DEADLINE_S)
        while self.pids():
            assert time.monotonic() < end
            time.sleep(0.02)

    def end(self):
        if self.process.poll() is None:
            self.stop()
        elif self.supervisor_pid() in self.pids():
            with contextlib.suppress(ProcessLookupError):  # it may end by itself
                os.kill(self.supervisor_pid(), signal.SIGTERM)
        self._reader.join(DEADLINE_S)
        self.process.stderr.close()


@pytest.fixture
def start_server(tmp_path):
    """A function that starts servers, each on its own or a given data directory."""
    servers = []

    def start(*flags, data_dir=None, **how):
        server = Server(data_dir or tmp_path / f"data{len(servers)}", *flags, **how)
        servers.append(server)
        return server

    yield start
    for server in servers:
        server.end()


@pytest.fixture
def start_fake(tmp_path):
    """A function that starts servers with fake children; all on one data directory unless told otherwise."""
    servers = []

    def start(*flags, data_dir=None, **how):
        servers.append(Server(data_dir or tmp_path / "data", *flags, command=[FAKE], **how))
        return servers[-1]

    yield start
    for server in servers:
        server.end()


@pytest.fixture
def start_fake_server(tmp_path):
    """A function that starts servers with the fake runtime."""
    servers = []

    def start(*flags, data_dir=None, **how):
        # The check of a pushed file opens the real library before it knows whose the file is.
        library = ROOT / "build" / "onnxruntime" / "libonnxruntime.so"
        servers.append(Server(data_dir or tmp_path / "data", "--onnxruntime-library", library, *flags,
                              command=[FAKE_SERVER, "serve"], **how))
        return servers[-1]

    yield start
    for server in servers:
        server.end()


@pytest.fixture
def server(start_server):
    return start_server()


class Trained:
    """A model file with the library's own predictions for its held-out rows."""

    def __init__(self, path, names, rows, expected):
        self.path, self.names, self.rows, self.expected = path, names, rows, expected

    def instances(self, n=None):
        """Rows as JSON lists, missing values as null."""
        return [[None if np.isnan(v) else float(v) for v in row] for row in self.rows[:n]]


@pytest.fixture(scope="session")
def churn(tmp_path_factory):
    """XGBoost, binary, 6 named features, some missing values."""
    import xgboost

    rng = np.random.default_rng(1)
    x = rng.normal(size=(800, 6)).astype(np.float32)
    y = (x[:, 0] + x[:, 1] * x[:, 2] > 0).astype(np.float32)
    x[rng.random(x.shape) < 0.1] = np.nan
    names = ["age", "income", "tenure", "plan", "calls", "spend"]
    train = xgboost.DMatrix(x[:600], label=y[:600], feature_names=names)
    booster = xgboost.train({"objective": "binary:logistic", "max_depth": 4, "nthread": 1}, train, 20)
    path = tmp_path_factory.mktemp("models") / "churn.json"
    booster.save_model(path)
    held_out = x[600:]
    expected = booster.predict(xgboost.DMatrix(held_out, feature_names=names))
    return Trained(path, names, held_out, expected)


@pytest.fixture(scope="session")
def price(tmp_path_factory):
    """LightGBM, regression, trained without missing values: it has no rule for them."""
    import lightgbm

    rng = np.random.default_rng(2)
    x = rng.normal(size=(800, 4))
    y = x[:, 0] * 3 + np.abs(x[:, 1]) + rng.normal(size=800) * 0.1
    names = ["area", "rooms", "floor", "year"]
    train = lightgbm.Dataset(x[:600], y[:600], feature_name=names)
    booster = lightgbm.train({"objective": "regression", "verbose": -1, "num_threads": 1}, train, 15)
    path = tmp_path_factory.mktemp("models") / "price.txt"
    booster.save_model(path)
    return Trained(path, names, x[600:], booster.predict(x[600:]))


@pytest.fixture(scope="session")
def species(tmp_path_factory):
    """XGBoost, three classes, in UBJSON, features without names."""
    import sklearn.datasets
    import xgboost

    x, y = sklearn.datasets.load_iris(return_X_y=True)
    x = x.astype(np.float32)
    booster = xgboost.train({"objective": "multi:softprob", "num_class": 3, "max_depth": 3, "nthread": 1},
                            xgboost.DMatrix(x, label=y), 10)
    path = tmp_path_factory.mktemp("models") / "species.ubj"
    booster.save_model(path)
    return Trained(path, [f"f{i}" for i in range(4)], x, booster.predict(xgboost.DMatrix(x)))
