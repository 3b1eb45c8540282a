# SPDX-License-Identifier: Apache-2.0
"""Sweeps a fault over the calls that a change makes, in the controller and in the processes that it starts: a death,
or an error of the disk."""

import copy
import errno
import os
import shutil
import sqlite3
import uuid

import faults

MODEL, STEADY = "churn", "steady"  # the latter never changes, and must predict at all times
FAULTS_PER_SERVER = 3  # five deaths in 30 s are too many for its supervisor
DEATH = {"action": faults.KILL}
DEATH_IN_A_WRITE = {"action": faults.TEAR}
ON_DISK = {"action": faults.FAIL, "kinds": faults.WRITE | faults.SYNC | faults.NAME | faults.SIZE, "files": faults.DISK}
ERROR = {**ON_DISK, "error": errno.EIO}
ERRORS = {**ERROR, "sticky": True}
FULL = {**ON_DISK, "error": errno.ENOSPC, "sticky": True, "kinds": faults.WRITE | faults.SIZE | faults.NAME}
VERSIONS_KEPT = 6


class Run:
    """A server on a data directory, killed and started anew now and then."""

    def __init__(self, data_dir):
        data_dir.mkdir(parents=True)
        self.data_dir = data_dir
        self.plan = faults.plan_for(data_dir)
        self.n_files = 0
        self.kept = []  # blobs that must be there
        self.highest = 0  # number of a version that ever was
        self.server = self.client = None
        self.n_faults = 0

    def begin(self):
        self.server = faults.start(self.data_dir)
        self.client = faults.Client(self.server)
        self.n_faults = 0
        if STEADY not in self.client.state():
            self.client.push(STEADY, faults.model_file(STEADY))

    def end(self):
        if self.server:
            self.server.kill()
            self.server.end()
        self.server = None

    def file(self):
        """One that was never pushed."""
        self.n_files += 1
        return faults.model_file(f"file {self.n_files} of {self.data_dir}")

    def push(self, **manifest):
        self.highest = self.client.push(MODEL, self.file(), **manifest)["version"]
        return self.highest

    def numbers(self):
        return sorted(self.client.state().get(MODEL, ({}, {}))[0])


# Each makes ready what it needs, then says what is to be done and what that makes of a state of the registry, given
# the answer, or None where it was lost.

def upload(run):
    data = run.file()
    return lambda: run.client.put_blob(data), lambda state, answer: None


def push(run):
    data = run.file()
    digest = run.client.put_blob(data)

    def effect(state, answer):
        versions, aliases = state.setdefault(MODEL, ({}, {}))
        number = answer["version"] if answer else run.highest + 1
        versions[number] = (digest,)
        aliases["champion"] = number

    return lambda: run.client.add_version(MODEL, data, promote=True), effect


def set_alias(alias):
    def change(run):
        while len(run.numbers()) < 2:
            run.push(promote=True)
        aliases = run.client.state()[MODEL][1]
        number = next(n for n in run.numbers() if n != aliases.get(alias))
        return (lambda: run.client.call("PUT", f"/models/{MODEL}/aliases/{alias}", json={"version": number}),
                lambda state, answer: state[MODEL][1].update({alias: number}))

    return change


def remove_alias(run):
    if "challenger" not in run.client.state().get(MODEL, ({}, {}))[1]:
        do, _ = set_alias("challenger")(run)
        do()
    return (lambda: run.client.call("DELETE", f"/models/{MODEL}/aliases/challenger"),
            lambda state, answer: state[MODEL][1].pop("challenger"))


def roll_back(run):
    before, _ = run.push(promote=True), run.push(promote=True)
    return (lambda: run.client.call("POST", f"/models/{MODEL}/rollback", json={}),
            lambda state, answer: state[MODEL][1].update(champion=before))


def delete_version(run):
    number = run.push(promote=True)

    def effect(state, answer):
        versions, aliases = state[MODEL]
        del versions[number]
        for alias in [a for a, n in aliases.items() if n == number]:
            del aliases[alias]
        if not versions:
            del state[MODEL]

    return lambda: run.client.call("DELETE", f"/models/{MODEL}/versions/{number}?force=true"), effect


def delete_model(run):
    if not run.numbers():
        run.push(promote=True)
    return lambda: run.client.call("DELETE", f"/models/{MODEL}"), lambda state, answer: state.pop(MODEL)


def collect(run):
    """Garbage: an upload of long ago. What versions need is as old, what was just uploaded is not."""
    run.push(promote=True)
    run.client.put_blob(run.file())
    for path in (run.data_dir / "blobs" / "sha256").glob("*/*"):
        os.utime(path, (1, 1))
    run.kept = [run.client.put_blob(run.file())]
    return lambda: run.client.call("POST", "/housekeeping/gc", json={}), lambda state, answer: None


CHANGES = {
    "upload": upload,
    "push": push,
    "promote": set_alias("champion"),
    "set_alias": set_alias("challenger"),
    "remove_alias": remove_alias,
    "roll_back": roll_back,
    "delete_version": delete_version,
    "delete_model": delete_model,
    "collect": collect,
}


def outcomes(run, do, effect, before):
    """Tries it while faults happen. Returns (states that may be, digest of an upload or None)."""
    done, answer = copy.deepcopy(before), None
    try:
        answer = do()
        may_be = [done]
    except faults.Lost:
        may_be = [before, done]
    except faults.Refused as e:
        assert run.plan.n_fired, e
        may_be = [before]
    effect(done, answer)
    return may_be, answer if isinstance(answer, str) else None


def attempt(run, change, at, fault):
    """Does it with a fault at one call; False when there were fewer calls."""
    if len(run.numbers()) > VERSIONS_KEPT:
        run.client.call("DELETE", f"/models/{MODEL}")
    run.kept = []
    do, effect = CHANGES[change](run)
    before = run.client.state()
    run.client.key = str(uuid.uuid4())
    run.plan.arm(at=at, **fault)
    may_be, uploaded = outcomes(run, do, effect, before)
    assert run.client.predict(STEADY) == 1
    n_fired = run.plan.n_fired
    run.plan.disarm()
    where = f"{fault} at call {at} of {change}"
    after = run.client.state()
    assert after in may_be, f"{where}: {after}, not one of {may_be}"
    run.client.check_blobs(*run.kept, *([uploaded] if uploaded else []))
    # Whatever came of it: the same request with the same key leads to what it was to do, once.
    effect(before, run.client.insist(do))
    after = run.client.state()
    assert after == before, f"{where}, repeated: {after}, not {before}"
    run.client.key = None
    run.client.check_audit()
    run.highest = max([run.highest, *after.get(MODEL, ({}, {}))[0]])
    run.n_faults += n_fired > 0
    if run.n_faults >= FAULTS_PER_SERVER:
        run.end()
        faults.fsck(run.data_dir)
        run.begin()
        assert run.client.state() == after, f"{where}: another state after a restart"
    return n_fired > 0


def sweep(data_dir, change, fault, first=1, stride=1):
    """The fault at call first, first + stride … until there is none. Returns (calls of the change, faults)."""
    run = Run(data_dir)
    run.begin()
    try:
        at, n_faults = first, 0
        while attempt(run, change, at, fault):
            at += stride
            n_faults += 1
        return at - 1, n_faults
    finally:
        run.end()


OLD = [faults.model_file(f"old {i}") for i in range(3)]
OLD_STATE = {MODEL: ({i + 1: (faults.digest_of(data),) for i, data in enumerate(OLD)}, {"champion": 2})}


def write_old(data_dir):
    """A data directory that Slipway left when its registry had schema 2."""
    database = sqlite3.connect(data_dir / "registry.db")
    database.executescript((faults.ROOT / "tests" / "fixtures" / "registry" / "schema_2.sql").read_text())
    database.close()
    for data in OLD:
        digest = faults.digest_of(data).removeprefix("sha256:")
        path = data_dir / "blobs" / "sha256" / digest[:2] / digest
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)


def start_once(data_dir, is_old, at, fault):
    """A server's first start on an empty or an old data directory, with a death at one call."""
    data_dir.mkdir()
    if is_old:
        write_old(data_dir)
    plan = faults.plan_for(data_dir)
    plan.arm(at=at, **fault)
    server = faults.start(data_dir)
    try:
        plan.disarm()
        client = faults.Client(server)
        assert client.state() == (OLD_STATE if is_old else {}), f"killed at call {at} of the start"
        client.check_blobs()
        client.check_audit()
        number = client.push(MODEL, faults.model_file("new"), promote=True)["version"]
        assert number == (4 if is_old else 1)
        assert client.predict(MODEL) == number
    finally:
        server.kill()
        server.end()
        shutil.rmtree(data_dir)
    return plan.n_fired > 0


def sweep_start(data_dir, is_old, fault, first=1, stride=1):
    at, n_faults = first, 0
    while start_once(data_dir, is_old, at, fault):
        at += stride
        n_faults += 1
    return at - 1, n_faults
