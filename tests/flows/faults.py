# SPDX-License-Identifier: Apache-2.0
"""A server that fails as planned: tests/faults/io_shim.h, whose struct io_plan is Plan here."""

import ctypes
import hashlib
import json
import mmap
import os
import pathlib
import subprocess
import tempfile
import time

import requests

from conftest import DEADLINE_S, ROOT, Server

FAULTS = pathlib.Path(os.environ.get("SLIPWAY_FAULTS", ROOT / "build" / "gcc" / "tests" / "faults"))
ROOT_DIR, DB, WAL, BLOBS, SHA256, SHARD, BLOB, OTHER, SOCKET = (1 << i for i in range(9))
DISK = DB | WAL | BLOB | ROOT_DIR | BLOBS | SHA256 | SHARD | OTHER
WRITE, SYNC, NAME, SIZE, SEND = (1 << i for i in range(5))
NONE, KILL, TEAR, FAIL, STALL = range(5)


class Plan(ctypes.Structure):
    """What goes wrong and when; shared with the controller and its helpers."""

    _fields_ = [(name, ctypes.c_uint32) for name in (
        "is_armed", "action", "kinds", "files", "error", "is_sticky", "at", "count", "n_fired", "fired_kind",
        "fired_file", "ignored_syncs", "has_room", "is_recording")] + [("room_bytes", ctypes.c_int64)]

    def arm(self, action, at=1, kinds=WRITE | SYNC | NAME | SIZE | SEND, files=DISK | SOCKET, error=0, sticky=False):
        self.action, self.at, self.kinds, self.files = action, at, kinds, files
        self.error, self.is_sticky, self.count, self.n_fired = error, int(sticky), 0, 0
        self.is_armed = 1

    def disarm(self):
        self.action = NONE
        self.is_armed = self.is_recording or self.has_room

    def record(self):
        self.is_recording = self.is_armed = 1


def plan_for(data_dir, suffix=""):
    """The plan of the servers on that data directory, which are started later; with "-log" the monitor's."""
    path = pathlib.Path(f"{data_dir}.faults{suffix}")
    path.write_bytes(bytes(ctypes.sizeof(Plan)))
    with path.open("r+b") as file:
        return Plan.from_buffer(mmap.mmap(file.fileno(), 0))


def digest_of(data):
    return "sha256:" + hashlib.sha256(data).hexdigest()


def fast_dir(tmp_path):
    """A new folder in memory: where faults are ours there is no need to wait for a disk."""
    if os.access("/dev/shm", os.W_OK):
        return pathlib.Path(tempfile.mkdtemp(prefix="slipway-faults-", dir="/dev/shm"))
    return tmp_path


def start(data_dir, *flags, ready=True):
    return Server(data_dir, "--gateways", 1, *flags, command=[FAULTS / "faulty_server", "serve"], ready=ready)


def fsck(data_dir):
    """What a data directory is said to be while no server runs."""
    run = subprocess.run([FAULTS / "faulty_server", "fsck", str(data_dir)], capture_output=True, text=True,
                         timeout=DEADLINE_S, check=False)
    assert run.returncode == 0, run.stdout + run.stderr


class Lost(Exception):
    """No answer came: the operation was done, or it was not."""


class Refused(Exception):
    """The answer says that it was not done."""

    def __init__(self, answer):
        super().__init__(f"{answer.status_code} {answer.text}")
        self.status = answer.status_code
        self.code = answer.json().get("code")


class Client:
    """The registry's REST API, whose errors tell a refusal from an answer that was lost."""

    def __init__(self, server):
        self.url = server.url
        self.base = f"{server.url}/api/v1"
        self.session = requests.Session()
        self.key = None  # Idempotency-Key of all changes

    def call(self, method, path, ok=(200, 201), **kwargs):
        headers = {"Idempotency-Key": self.key} if self.key and method != "GET" else {}
        try:
            answer = self.session.request(method, self.base + path, timeout=DEADLINE_S, headers=headers, **kwargs)
        except requests.RequestException as e:
            raise Lost(str(e)) from e
        if answer.status_code in ok:
            return answer
        if answer.status_code in (502, 503, 504) or "Whether the change was kept" in answer.text:
            raise Lost(answer.text)
        raise Refused(answer)

    def insist(self, do):
        """Again until there is an answer: the controller, or its registry, is coming back."""
        end = time.monotonic() + DEADLINE_S
        while True:
            try:
                return do()
            except Lost as e:
                assert time.monotonic() < end, e
                time.sleep(0.005)

    def get(self, path):
        return self.insist(lambda: self.call("GET", path, ok=(200, 404)).json())

    def put_blob(self, data):
        digest = digest_of(data)
        self.call("PUT", f"/blobs/{digest}", data=data)
        return digest

    def add_version(self, model, data, others=(), **manifest):
        """others: files of it that are not the model, (role, bytes)."""
        artifacts = [{"name": "model.json", "digest": digest_of(data), "size": len(data)}]
        artifacts += [{"name": role, "role": role, "digest": digest_of(b), "size": len(b)} for role, b in others]
        return self.call("POST", f"/models/{model}/versions",
                         json={"artifacts": artifacts, "allow_breaking": True, **manifest}).json()

    def push(self, model, data, **manifest):
        self.put_blob(data)
        return self.add_version(model, data, **manifest)

    def predict(self, model):
        """The version that answered, 0 where there is none."""
        answer = self.session.post(f"{self.url}/v1/models/{model}:predict", json={"instances": [[1.0, 2.0, 3.0]]},
                                   timeout=DEADLINE_S)
        if answer.status_code == 404:
            return 0
        assert answer.status_code == 200 and len(answer.json()["predictions"]) == 1, answer.text
        return int(answer.headers["Slipway-Model-Version"])

    def state(self):
        """What there is: {model: ({number: digests}, {alias: number})}."""
        found = {}
        for listed in self.get("/models")["models"]:
            shown = self.get(f"/models/{listed['name']}")
            if "versions" not in shown:
                continue
            versions = {v["version"]: tuple(sorted(a["digest"] for a in v["artifacts"])) for v in shown["versions"]}
            found[listed["name"]] = (versions, shown["aliases"])
        return found

    def check_blobs(self, *digests):
        """These and those of all versions are there and whole: a GET that is answered was checked."""
        wanted = {d for versions, _ in self.state().values() for ds in versions.values() for d in ds}
        for digest in wanted | set(digests):
            answer = self.call("GET", f"/blobs/{digest}")
            assert digest_of(answer.content) == digest

    def check_audit(self):
        """No row was changed or is missing."""
        report = self.get("/audit/verify")
        assert report["sound"] and not report["findings"], report


def model_file(name):
    """A small model that computes the same as the others, in a file of its own for that name."""
    model = json.loads((ROOT / "tests" / "parity" / "fixtures" / "xgboost-1.5.2-forest.json").read_bytes())
    model["learner"]["attributes"]["name"] = name
    return json.dumps(model).encode()
