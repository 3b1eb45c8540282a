# SPDX-License-Identifier: Apache-2.0
"""The prediction log of a server under test: its numbers, its lines, and a load whose answers are remembered."""

import http.client
import json
import threading
import time

import requests

DEADLINE_S = 60


def status(server):
    return requests.get(f"{server.url}/api/v1/log/status", timeout=30).json()


def settled(server, at_least=0):
    """The numbers once nothing waits any more."""
    end = time.monotonic() + DEADLINE_S
    while True:
        try:
            s = status(server)
        except (requests.RequestException, ValueError):
            s = None
        if s and s.get("waiting") == 0 and s["accepted"] >= at_least:
            break
        assert time.monotonic() < end, s
        time.sleep(0.05)
    assert s["accepted"] == s["committed"] + s["dropped"], s
    return s


def lines(server, **parameters):
    answer = requests.get(f"{server.url}/api/v1/log", params=parameters, timeout=120)
    assert answer.status_code == 200, answer.text
    return [json.loads(line) for line in answer.text.splitlines()]


class Load:
    """Clients that predict as fast as they are answered, over connections that are opened anew when they end."""

    def __init__(self, server, model, instances, clients=4):
        self.port, self.model = server.port, model
        self.body = json.dumps({"instances": instances}).encode()
        self.answers = {}  # prediction id -> what Slipway-Log-Committed says
        self.slowest_s = 0.0
        self._stop = threading.Event()
        self._lock = threading.Lock()
        self._threads = [threading.Thread(target=self._run, daemon=True) for _ in range(clients)]
        for t in self._threads:
            t.start()

    def _run(self):
        connection = None
        while not self._stop.is_set():
            try:
                if connection is None:
                    connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
                began = time.monotonic()
                connection.request("POST", f"/v1/models/{self.model}:predict", self.body)
                answer = connection.getresponse()
                answer.read()
                took = time.monotonic() - began
            except (OSError, http.client.HTTPException):
                connection = None
                time.sleep(0.005)
                continue
            with self._lock:
                if answer.status == 200:
                    self.answers[answer.headers["Slipway-Prediction-Id"]] = answer.headers.get("Slipway-Log-Committed")
                    self.slowest_s = max(self.slowest_s, took)

    def count(self):
        with self._lock:
            return len(self.answers)

    def more(self, n):
        end, want = time.monotonic() + DEADLINE_S, self.count() + n
        while self.count() < want:
            assert time.monotonic() < end, self.count()
            time.sleep(0.01)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._stop.set()
        for t in self._threads:
            t.join(DEADLINE_S)
