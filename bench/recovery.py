# SPDX-License-Identifier: Apache-2.0
"""How long it takes until a process that was killed or stopped has a successor that is ready, by the server's own log."""

import datetime
import json
import os
import signal
import subprocess
import tempfile
import time

import servers


class Watched:
    """A server with two gateways whose log is read. Its model, pushed as `m`, runs in two replicas."""

    def __init__(self, binary, folder, model):
        self.log = tempfile.TemporaryFile("w+", dir=folder)
        self.process = subprocess.Popen([str(binary), "serve", "--listen", "127.0.0.1:0", "--data-dir", f"{folder}/recovery",
                                         "--gateways", "2"], stdout=subprocess.DEVNULL, stderr=self.log)
        self.wait("ready", 1)
        servers.push(self.wait("listening", 1)["url"], "m", model, replicas=2)
        self.wait("replica_ready", 2, child="replica")

    def wait(self, name, n, **fields):
        """The n-th event of that name."""
        end = time.monotonic() + 60
        while time.monotonic() < end:
            lines = os.pread(self.log.fileno(), 1 << 24, 0).decode().splitlines()
            events = [json.loads(line) for line in lines if line.endswith("}")]
            found = [e for e in events if e["event"] == name and all(e.get(k) == v for k, v in fields.items())]
            if len(found) >= n:
                return found[n - 1]
            time.sleep(0.005)
        raise SystemExit(f"bench: the server says no {name}")

    def successor_ms(self, sig, name, n, **fields):
        """Ends the process that the n-th event is about; the time until the event of its successor."""
        pid, begin = self.wait(name, n, **fields)["child_pid"], time.time()
        os.kill(pid, sig)
        came = datetime.datetime.fromisoformat(self.wait(name, n + 1, **fields)["ts"].replace("Z", "+00:00"))
        return (came.timestamp() - begin) * 1000

    def __enter__(self):
        return self

    def __exit__(self, *ignored):
        self.process.terminate()
        self.process.wait(20)
        self.log.close()


def measure(binary, folder, model, n):
    """Milliseconds by what was done, n times each."""
    took = {"gateway, kill -9": [], "replica, kill -9": [], "replica, stopped": []}
    with Watched(binary, folder, model) as server:
        for i in range(n):
            took["gateway, kill -9"].append(server.successor_ms(signal.SIGKILL, "child_ready", i + 1, child="gateway", child_index=0))
            time.sleep(0.5)
        for i in range(n):
            took["replica, kill -9"].append(server.successor_ms(signal.SIGKILL, "replica_ready", i + 2, child="replica"))
            time.sleep(0.5)
        for i in range(n): # these count: five in 30 s would be too many
            took["replica, stopped"].append(server.successor_ms(signal.SIGSTOP, "replica_ready", n + i + 2, child="replica"))
    return took
