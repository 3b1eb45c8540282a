# SPDX-License-Identifier: Apache-2.0
"""What the flows of upgrades share: new connections at a steady rate, every answer's value checked."""

import json
import pathlib
import socket
import subprocess
import threading
import time

from conftest import BINARY, ROOT

FAKE = pathlib.Path(BINARY).resolve().parents[1] / "tests" / "fakes" / "fake_upgrade"
assert ROOT


class Connections:
    """A prediction over a new connection each, `rate` a second over some threads."""

    def __init__(self, server, churn, rate=1000, n_threads=4):
        self.server, self.rate, self.n_threads = server, rate / n_threads, n_threads
        body = json.dumps({"instances": churn.instances(1)}).encode()
        head = (f"POST /v1/models/churn:predict HTTP/1.1\r\nHost: x\r\nConnection: close\r\n"
                f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n")
        self.request, self.expected = head.encode() + body, float(churn.expected[0])
        self.stop, self.lock = threading.Event(), threading.Lock()
        self.answered, self.failed = 0, []
        self.threads = [threading.Thread(target=self.run) for _ in range(n_threads)]

    def one(self):
        with socket.create_connection(("127.0.0.1", self.server.port), timeout=60) as s:
            s.sendall(self.request)
            data = b""
            while piece := s.recv(65536):
                data += piece
        head, _, body = data.partition(b"\r\n\r\n")
        if not head.startswith(b"HTTP/1.1 200") or abs(json.loads(body)["predictions"][0] - self.expected) > 1e-6:
            raise AssertionError(data)

    def run(self):
        due = time.monotonic()
        while not self.stop.is_set():
            due += 1 / self.rate
            self.stop.wait(max(0, due - time.monotonic()))
            try:
                self.one()
                with self.lock:
                    self.answered += 1
            except Exception as e:  # whatever it is, it is a request that failed
                self.failed.append(repr(e))

    def more(self, n):
        wanted, end = self.answered + n, time.monotonic() + 60
        while self.answered < wanted and not self.failed:
            assert time.monotonic() < end
            time.sleep(0.005)

    def __enter__(self):
        for t in self.threads:
            t.start()
        return self

    def __exit__(self, *_):
        self.stop.set()
        for t in self.threads:
            t.join()


def upgrade(server, *flags):
    return subprocess.run([BINARY, "upgrade", "--url", server.url, *flags], capture_output=True, text=True,
                          timeout=180)
