# SPDX-License-Identifier: Apache-2.0
"""A relay between the gateways and the controller that divides a model's requests as a test says, and keeps
what gateways send of it. src/role/ipc.h has the messages, src/os/msg.h their frames."""

import array
import json
import os
import selectors
import socket
import struct
import threading
import time

HELLO, DEPLOY, ROUTES, ACK, COHORTS = 1, 2, 3, 4, 11
SALT = "000102030405060708090a0b0c0d0e0f"
GUARDS = ["errors", "latency", "invalid_output"]


class End:
    """One side of a connection: frames in, with their descriptors."""

    def __init__(self, sock):
        self.sock, self.data, self.fds, self.other, self.is_gateway = sock, b"", [], None, False

    def frames(self):
        """Those that are whole; None at the end of the stream, or where it was closed with its other side."""
        try:
            data, fds, _, _ = socket.recv_fds(self.sock, 1 << 16, 64)
        except OSError:
            data, fds = b"", []
        self.fds += fds
        if not data:
            return None
        self.data += data
        found = []
        while len(self.data) >= 8:
            n, kind, n_fds = struct.unpack("<IHH", self.data[:8])
            if len(self.data) < 8 + n:
                break
            found.append((kind, self.data[8:8 + n], [self.fds.pop(0) for _ in range(n_fds)]))
            self.data = self.data[8 + n:]
        return found

    def send(self, kind, payload, fds=()):
        data = struct.pack("<IHH", len(payload), kind, len(fds)) + payload
        ancillary = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", fds))] if fds else []
        n = self.sock.sendmsg([data], ancillary)
        self.sock.sendall(data[n:])
        for fd in fds:
            os.close(fd)


class Relay:
    """Stands before the controller of a server; its gateways have to connect anew."""

    def __init__(self, server):
        self.path = server.data_dir / "run" / "control.sock"
        self.real = self.path.with_name("real.sock")
        self.path.rename(self.real)
        self.listener = socket.socket(socket.AF_UNIX)
        self.listener.bind(str(self.path))
        self.listener.listen()
        self.selector = selectors.DefaultSelector()
        self.selector.register(self.listener, selectors.EVENT_READ)
        self.split, self.reports, self.routes, self.gateways, self.deployments = {}, [], {}, [], {}
        self.epoch, self.lock, self.ended = 0, threading.Lock(), False
        self.thread = threading.Thread(target=self._run, daemon=True)
        self.thread.start()

    def _run(self):
        while not self.ended:
            for key, _ in self.selector.select(0.05):
                if key.fileobj is self.listener:
                    self._accept()
                else:
                    self._pass_on(key.data)

    def _accept(self):
        client, real = End(self.listener.accept()[0]), End(socket.socket(socket.AF_UNIX))
        real.sock.connect(str(self.real))
        client.other, real.other, client.is_gateway = real, client, True
        for end in (client, real):
            self.selector.register(end.sock, selectors.EVENT_READ, end)

    def _pass_on(self, end):
        frames = end.frames()
        with self.lock:
            for kind, payload, fds in frames or []:
                try:
                    self._pass_one(end, kind, payload, fds)
                except OSError:
                    frames = None
            if frames is None and end.sock.fileno() >= 0 and end.other.sock.fileno() >= 0:
                for e in (end, end.other):
                    self.selector.unregister(e.sock)
                    e.sock.close()
                self.gateways = [g for g in self.gateways if g not in (end, end.other)]

    def _pass_one(self, end, kind, payload, fds):
        if end.is_gateway and kind == COHORTS:
            self.reports.append(json.loads(payload))
            return
        if end.is_gateway and kind == HELLO:
            self.gateways.append(end)
        if not end.is_gateway and end.other in self.gateways and kind == DEPLOY:
            said = json.loads(payload)
            self.deployments[said["model"], said["version"]] = said["deployment"]
        if not end.is_gateway and end.other in self.gateways and kind == ROUTES:
            self.routes[end.other] = payload
            payload = self._divided(payload)
        end.other.send(kind, payload, fds)

    def _divided(self, payload):
        routes = json.loads(payload)
        for model in routes["models"]:
            if model["name"] in self.split:
                model["split"] = self.split[model["name"]]
        return json.dumps(routes).encode()

    def divide(self, model, weight, candidate=2, baseline=1, shadow=None, name="canary", rollout=1, **more):
        """All gateways have the split when this returns."""
        self.epoch += 1
        known = self.deployments
        split = {"rollout": rollout, "epoch": self.epoch, "salt": SALT, "key": "none", "guards": GUARDS,
                 "baseline": known[model, baseline], "timeout_ns": 10**10, "arms": [], **more}
        if weight is not None:
            split["arms"] = [{"name": name, "deployment": known[model, candidate], "weight": weight}]
        if shadow:
            split["shadow"] = {"deployment": known[model, shadow], "share": 10000, "budget_percent": 50}
        with self.lock:
            self.split[model] = split
            self._publish()

    def undivide(self, model):
        with self.lock:
            del self.split[model]
            self._publish()

    def _publish(self):
        for gateway in self.gateways:
            gateway.send(ROUTES, self._divided(self.routes[gateway]))

    def wait(self, true, what, seconds=60):
        end = time.monotonic() + seconds
        while not (got := true()):
            assert time.monotonic() < end, f"{what}; {self.reports[-3:]}"
            time.sleep(0.02)
        return got

    def ticks(self, arm=0):
        with self.lock:
            return [t for r in self.reports for t in r["ticks"] if t["arm"] == arm]

    def counted(self, what="requests", guard=None, arm=0):
        """Of the canary and of stable, over all gateways and seconds so far; of a sticky key what came first."""
        ticks = self.ticks(arm)
        rows = [t["events"][guard] if guard is not None else t[what] for t in ticks]
        firsts = {}
        for entity, of, events in (f for t in ticks for f in t["firsts"] if guard is not None):
            if events >> guard & 1:
                firsts.setdefault(entity, of)
        return [sum(r[of] for r in rows) + list(firsts.values()).count(of) for of in (0, 1)]

    def sum(self, name):
        with self.lock:
            return sum(r[name] for r in self.reports)

    def pairs(self, name):
        with self.lock:
            return sum(r["pairs"][name] for r in self.reports if "pairs" in r)

    def close(self):
        self.ended = True
        self.thread.join()
