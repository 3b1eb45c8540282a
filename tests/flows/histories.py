# SPDX-License-Identifier: Apache-2.0
"""Histories of a registry under several clients at once, and what one model of it is to do (linearizable.py)."""

import math
import random
import threading
import time
from typing import NamedTuple

import faults
from linearizable import Operation, explain

MODELS = ["churn", "fraud", "price"]
ALIASES = ["champion", "challenger"]
ERRORS = ["unknown_model", "unknown_version", "not_found", "conflict"]


class State(NamedTuple):
    """One model: its versions, the highest number that ever was, and for each alias its way: the versions that it
    named, 0 for none, without the steps that were taken back. The last is what it names."""

    versions: frozenset = frozenset()
    highest: int = 0
    ways: frozenset = frozenset()

    def way(self, alias):
        return dict(self.ways).get(alias, ())

    def target(self, alias):
        return (self.way(alias) or (0,))[-1]

    def aliases(self):
        return frozenset((alias, way[-1]) for alias, way in self.ways if way[-1])

    def going(self, alias, way):
        return self._replace(ways=frozenset({**dict(self.ways), alias: way}.items()))

    def pointing(self, alias, number):
        return self if self.target(alias) == number else self.going(alias, (*self.way(alias), number))


def _push(state, operation):
    promote, = operation.args
    number = operation.result if operation.result else state.highest + 1
    if number != state.highest + 1:
        return None
    state = state._replace(versions=state.versions | {number}, highest=number)
    return state.pointing("champion", number) if promote else state


def _missing(state, number):
    return "unknown_model" if not state.versions else "unknown_version" if number not in state.versions else None


def _set(state, operation):
    alias, number = operation.args
    error = _missing(state, number)
    if operation.result not in (None, error or "done"):
        return None
    return state if error else state.pointing(alias, number)


def _delete(state, operation):
    number, force = operation.args
    named = [alias for alias, n in state.aliases() if n == number]
    error = _missing(state, number) or ("conflict" if named and not force else None)
    if operation.result not in (None, error or "done"):
        return None
    if error:
        return state
    for alias in named:
        state = state.pointing(alias, 0)
    return state._replace(versions=state.versions - {number})


def _remove(state, operation):
    alias, = operation.args
    error = "unknown_model" if not state.versions else None if state.target(alias) else "not_found"
    if operation.result not in (None, error or "done"):
        return None
    return state if error else state.pointing(alias, 0)


def _roll_back(state, operation):
    alias, = operation.args
    way = state.way(alias)
    back = next((i for i in reversed(range(len(way))) if way[i] in state.versions and way[i] != way[-1]), None)
    error = "unknown_model" if not state.versions else "not_found" if not way else "conflict" if back is None else None
    if operation.result not in (None, error or way[back]):
        return None
    return state if error else state.going(alias, way[:back + 1])


def _read(state, operation):
    return state if operation.result in (None, (state.versions, state.aliases())) else None


def _predict(state, operation):
    return state if operation.result in (None, state.target("champion")) else None


APPLY = {"push": _push, "set": _set, "delete": _delete, "remove": _remove, "roll_back": _roll_back, "read": _read,
         "predict": _predict}


def apply(state, operation):
    return APPLY[operation.kind](state, operation)


class Worker:
    """One client. Notes (model, operation) of all it does."""

    def __init__(self, server, name, seed):
        self.client, self.name, self.dice = faults.Client(server), name, random.Random(seed)
        self.history, self.n_files, self.is_done = [], 0, False
        self.seen = {model: 1 for model in MODELS}  # the highest number it knows of

    def do(self, model, kind, args, call):
        begin = time.monotonic()
        try:
            result, end = call(), time.monotonic()
        except faults.Lost:
            result, end = None, math.inf
            self.client.get("/models") # waits for the controller
        except faults.Refused as e:
            result, end = e.code, time.monotonic()
        self.history.append((model, Operation(begin, end, kind, args, result)))

    def push(self, model):
        promote = self.dice.random() < 0.5
        self.n_files += 1
        data = faults.model_file(f"{self.name} {self.n_files}")
        try:
            self.client.put_blob(data)
        except faults.Lost:
            self.client.get("/models")
            return
        self.do(model, "push", (promote,),
                lambda: self.client.add_version(model, data, promote=promote)["version"])

    def any_number(self, model):
        return max(1, self.seen[model] - self.dice.randrange(4))

    def set(self, model):
        alias, number = self.dice.choice(ALIASES), self.any_number(model)
        self.do(model, "set", (alias, number), lambda: self.client.call(
            "PUT", f"/models/{model}/aliases/{alias}", json={"version": number}) and "done")

    def delete(self, model):
        number, force = self.any_number(model), self.dice.random() < 0.5
        self.do(model, "delete", (number, force), lambda: self.client.call(
            "DELETE", f"/models/{model}/versions/{number}?force={str(force).lower()}") and "done")

    def remove(self, model):
        alias = self.dice.choice(ALIASES)
        self.do(model, "remove", (alias,), lambda: self.client.call(
            "DELETE", f"/models/{model}/aliases/{alias}") and "done")

    def roll_back(self, model):
        alias = self.dice.choice(ALIASES)
        self.do(model, "roll_back", (alias,), lambda: self.client.call(
            "POST", f"/models/{model}/rollback", json={"alias": alias}).json()["version"])

    def read(self, model):
        def call():
            shown = self.client.call("GET", f"/models/{model}", ok=(200, 404)).json()
            numbers = frozenset(v["version"] for v in shown.get("versions", []))
            self.seen[model] = max([self.seen[model], *numbers])
            return numbers, frozenset(shown.get("aliases", {}).items())

        self.do(model, "read", (), call)

    def predict(self, model):
        """The champion that answered, 0 where there was none."""
        self.do(model, "predict", (), lambda: self.client.predict(f"{model}/versions/champion"))

    def run(self, n_operations):
        for _ in range(n_operations):
            kind = self.dice.choice(["push", "set", "set", "roll_back", "roll_back", "delete", "remove", "read", "read", "read",
                                    "predict", "predict"])
            getattr(self, kind)(self.dice.choice(MODELS))
        self.is_done = True


def record(server, n_clients, n_operations, seed, n_deaths=0):
    """{model: its operations} of so many clients at once, while the controller is killed so often."""
    workers = [Worker(server, f"client {i} of {seed}", seed * 1000 + i) for i in range(n_clients)]
    threads = [threading.Thread(target=w.run, args=(n_operations,)) for w in workers]
    for thread in threads:
        thread.start()
    for death in range(1, n_deaths + 1):
        while sum(len(w.history) for w in workers) < death * n_clients * n_operations / (n_deaths + 2):
            threads[0].join(0.001)
        server.kill_child("controller")
        server.wait_child("child_ready", "controller", n=death + 1)
    for thread in threads:
        thread.join()
    assert all(w.is_done for w in workers)
    return {model: [o for w in workers for m, o in w.history if m == model] for model in MODELS}


def check(histories):
    """The registry is one object. What its only gateway predicts with is another, which follows the changes of the first."""
    for model, operations in histories.items():
        changes = [o for o in operations if o.kind not in ("read", "predict")]
        for name, history in {
            "registry": [o for o in operations if o.kind != "predict"],
            "champion": [o for o in changes if o.result not in ERRORS] +
                        [o for o in operations if o.kind == "predict"],
        }.items():
            left = explain(history, State(), apply)
            assert left is None, f"{name} of {model}: no order of {len(history)} operations; not placed: {left[:20]}"
