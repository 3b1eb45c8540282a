# SPDX-License-Identifier: Apache-2.0
"""Processes are killed in every state of rollouts under traffic: the weight is always a declared one, what was recorded
comes out of its replay to the byte, no request fails but the candidate's own, and in the end everything is at the old version
or at the new one, as the record says.

The controller is killed 200 times; now and then the monitor, a gateway or the supervisor besides. A request that a gateway took
with it is asked again, as clients do: it must be answered then, and there are at most as many as that gateway had connections.

The supervisor gives up what dies five times in 30 s, so it takes half an hour on one server; several share the kills. Without a
supervisor, and at once: the unit test role/controller/rollouts with ROLLOUT_TEST_KILLS=200, which this runs first.

A rollout that has ended is followed by the next. In one of four the controller dies at random moments; every third of these has
a candidate that errs. The others are each led to the state in which it was killed least often so far, and it dies there. States
that pass at once are held open: the replica of the candidate is killed, too, which those wait for that need it ready, or a gateway
is stopped, whose word those wait for that end when all have the new table. In which state a kill really fell is told by the
rollout's record, afterwards, and there must be so many in each.
"""

import argparse
import collections
import contextlib
import http.client
import json
import os
import pathlib
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
import uuid

import requests

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests" / "flows"))

import conftest  # noqa: E402
import proc  # noqa: E402
from test_replicas import ERROR  # noqa: E402
from test_rollouts import BAD, Rollouts  # noqa: E402

DECLARED = {0, 2000, 5000, 9500, 10000}
PACE_S = 7.6  # five deaths in 30 s and the supervisor gives up
OTHERS_EVERY = 3  # kills of the controller to one of another process
ROLLOUT_S = 600  # by then it has ended, whatever is killed: it takes 13 s
ENDS = ("promoted", "rolled_back", "settled", "superseded")
# Where kills have to fall; `advance`: at most ADVANCE_S after somebody asked for it; `undo`: back from promoted.
AIMS = ("warming", "shadow", "running", "advance", "scaling", "baking", "held", "paused", "frozen", "promoting", "promoted",
        "rolling_back", "rolling_back by itself", "undo")
AT_RANDOM_IN = 4  # one of so many rollouts
FLOOR = 25        # of so many kills at least one falls in each state
ADVANCE_S = 0.1
BY_ITSELF_S = 15
AWAY_S = 0.06     # a replica that was killed twice is away for longer
GATEWAYS, CONNECTIONS = 2, 4


class Traffic:
    """Asks all the time, and once more where an answer was lost with its connection."""

    def __init__(self, server, pace):
        self.url, self.pace, self.over = f"{server.url}/v1/models/m:predict", pace, threading.Event()
        self.lock, self.n, self.repeated, self.failed, self.failed_of_canary = threading.Lock(), 0, 0, [], 0
        self.threads = [threading.Thread(target=self._run, args=(k,)) for k in range(CONNECTIONS)]

    def _ask(self, session, k, i):
        row = [BAD if i % 2 == 0 else 1, 1, 1]
        return session.post(self.url, json={"instances": [row]}, timeout=60, headers={"X-User": f"u{k}-{i}"})

    def _run(self, k):
        session, i = requests.Session(), k
        while not self.over.wait(self.pace):
            i += 1
            repeated, got = 0, None
            try:
                try:
                    got = self._ask(session, k, i)
                except (requests.ConnectionError, requests.exceptions.ChunkedEncodingError):
                    repeated, session = 1, requests.Session()
                    got = self._ask(session, k, i)
                status, arm, what = got.status_code, got.headers.get("Slipway-Arm"), got.text
            except requests.RequestException as e:
                status, arm, what = 0, None, str(e)
            with self.lock:
                self.n += 1
                self.repeated += repeated
                if status != 200 and arm == "canary":
                    self.failed_of_canary += 1
                elif status != 200:
                    self.failed.append((time.strftime("%H:%M:%S"), status, arm, what[:300]))

    def __enter__(self):
        for t in self.threads:
            t.start()
        return self

    def __exit__(self, *_):
        self.over.set()
        for t in self.threads:
            t.join()


class Run:
    """One server, its rollouts, and what is killed under them. wanted(): whether another kill of the controller is to be;
    aim(): in which state."""

    def __init__(self, seed, wanted, aim, say, pace):
        self.dice, self.wanted, self.aim, self.say = random.Random(seed), wanted, aim, say
        self.base = pathlib.Path(tempfile.mkdtemp(prefix="rollout_kills"))
        library = ROOT / "build" / "onnxruntime" / "libonnxruntime.so"
        self.server = conftest.Server(self.base / "data", "--onnxruntime-library", library, "--gateways", GATEWAYS,
                                      command=[conftest.FAKE_SERVER, "serve"])
        self.rollouts, self.pace = Rollouts(self.server, self.base), pace
        self.kills, self.ends, self.states, self.n = collections.Counter(), collections.Counter(), collections.Counter(), 0
        self.due, self.others_due, self.last_kill = self.soon(), None, 0

    # ---- asking ----

    def ask(self, method, path, **how):
        """The controller may be away, and a gateway may die with the question."""
        end = time.monotonic() + conftest.DEADLINE_S
        while True:
            try:
                answer = requests.request(method, f"{self.server.url}/api/v1/{path}", timeout=30, **how)
                if answer.status_code < 500:
                    return answer
            except requests.RequestException:
                pass
            assert time.monotonic() < end, "the controller does not come back"
            time.sleep(0.02)

    def get(self, number):
        now = self.ask("GET", f"rollouts/{number}").json()
        assert round(now["weight"] * 100) in DECLARED, now["weight"]
        return now

    def wait(self, number, *states):
        end = time.monotonic() + ROLLOUT_S
        while (now := self.get(number))["state"] not in states:
            assert time.monotonic() < end and now["state"] not in ENDS, f"rollout {number} is not in {states}: {now}"
            time.sleep(0.02)

    def move(self, number, what):
        """By hand, however often it has to be asked for: it is done once."""
        answer = self.ask("POST", f"rollouts/{number}:{what}", headers={"Idempotency-Key": str(uuid.uuid4())})
        assert answer.status_code == 200, answer.text

    @contextlib.contextmanager
    def moving(self, number, what, index=0):
        """The same while something else is done, asked by way of one of the gateways: the other may be stopped."""
        key, path = {"Idempotency-Key": str(uuid.uuid4())}, f"rollouts/{number}:{what}"
        client, answers = self.connect(index), []

        def run():
            try:
                client.request("POST", f"/api/v1/{path}", headers=key)
                status, text = (got := client.getresponse()).status, got.read()
            except (OSError, http.client.HTTPException) as e:
                status, text = 0, str(e)
            if status == 0 or status >= 500:
                status, text = (got := self.ask("POST", path, headers=key)).status_code, got.text
            answers.append((status, text))

        thread = threading.Thread(target=run)
        thread.start()
        yield
        thread.join()
        assert answers and answers[0][0] == 200, answers

    def connect(self, index):
        """To one of the gateways."""
        gateway, end = self.server.child_pid("gateway", index), time.monotonic() + conftest.DEADLINE_S
        while True:
            client = http.client.HTTPConnection("127.0.0.1", self.server.port, timeout=60)
            client.connect()
            if has_connection(gateway, self.server.port, client.sock.getsockname()[1]):
                return client
            client.close()
            assert time.monotonic() < end, f"no connection to gateway {index}"
            time.sleep(0.01)

    def champion(self):
        aliases = self.ask("GET", "models/m/aliases").json()["aliases"]
        return next(a["version"] for a in aliases if a["alias"] == "champion")

    # ---- rollouts ----

    def begin(self, errs=False, undo_s=0, shadow=False, **step):
        """The next rollout: from the champion to the other version that is as good, or to one that errs."""
        now = self.champion()
        candidate = 3 if errs else self.other_than(now)
        step = {"min_seconds": 4, "min_requests": 20, "on_undecided": "wait", **step}
        body = {"model": "m", "candidate": str(candidate), "steps": [{"weight": 20, **step}, {"weight": 50, **step}],
                "guardrails": [{"metric": "errors", "slo": 0.05}], "bake": {"holdback": 5, "seconds": 3}, "undo_seconds": undo_s,
                **({"shadow": {"min_seconds": 600}} if shadow else {})}
        answer = self.ask("POST", "rollouts", json=body)
        if answer.status_code == 409:  # a try before this one was heard
            return self.ask("GET", "rollouts?limit=1").json()["rollouts"][0]["id"], now, candidate
        assert answer.status_code == 201, answer.text
        return answer.json()["id"], now, candidate

    def other_than(self, champion):
        return 2 if champion == 1 else 1

    def check_end(self, number, old, new):
        state = self.get(number)["state"]
        events = self.ask("GET", f"rollouts/{number}/events?verify=true").json()
        assert events["replay"]["sound"], events["replay"]
        assert {e["to_weight_bp"] for e in events["events"]} <= DECLARED, events["events"]
        assert self.champion() == (new if state in ("promoted", "settled") else old), (state, number)
        self.ends[state] += 1

    # ---- kills ----

    def soon(self):
        """Some time within the next rollout, whatever it does then."""
        return time.monotonic() + PACE_S + 6 * self.dice.random()

    def kill(self, child, index=0):
        before = len(self.server.find("child_ready", child=child, child_index=index))
        self.server.kill_child(child, index)
        self.kills[child] += 1
        self.server.wait_child("child_ready", child, index, n=before + 1)

    def kill_supervisor(self):
        before = len(self.server.find("supervisor_replaced"))
        os.kill(self.server.supervisor_pid(), signal.SIGKILL)
        self.kills["supervisor"] += 1
        self.server.wait_event("supervisor_replaced", n=before + 1)
        self.server.wait_event("adopted", n=before + 1)

    def kill_another(self):
        what = self.dice.choice(["monitor", "gateway", "gateway", "supervisor"])
        if what == "supervisor":
            self.kill_supervisor()
        else:
            self.kill(what, self.dice.randrange(GATEWAYS) if what == "gateway" else 0)

    def kill_controller(self, number, then=lambda: None):
        """Counts the kill where the record says that the rollout was. then: what is done before anything is asked."""
        when = time.time()
        self.kill("controller")
        then()
        self.last_kill = time.monotonic()
        events = [e for e in self.ask("GET", f"rollouts/{number}/events").json()["events"] if e["wall_ns"] / 1e9 <= when]
        state = events[-1]["to"] if events else "created"
        if state == "rolling_back" and events[-1]["event"] == "guard_failed":
            state = "rolling_back by itself"
        elif state == "rolling_back" and events[-1]["from"] == "promoted":
            state = "undo"
        elif any(e["event"] == "advance" and when - e["wall_ns"] / 1e9 < ADVANCE_S for e in events) and state != "scaling":
            state = "advance"
        self.states[state] += 1
        self.due = self.soon()
        # Far from both: the supervisor's successor comes from the controller.
        self.others_due = time.monotonic() + PACE_S / 2 if self.dice.randrange(OTHERS_EVERY) == 0 else None
        self.say()

    def kill_others(self):
        if self.others_due and time.monotonic() >= self.others_due:
            self.others_due = None
            self.kill_another()

    @contextlib.contextmanager
    def stopped_gateway(self):
        """It confirms nothing meanwhile; its requests wait."""
        pid = self.server.child_pid("gateway", 1)
        os.kill(pid, signal.SIGSTOP)
        try:
            yield
        finally:
            os.kill(pid, signal.SIGCONT)

    def kill_replica(self, version):
        """The candidate's only one. Its successor is there at once; that one's comes later, as it died within a second."""
        for again in (True, False):
            ready = self.server.find("replica_ready", version=version)
            if b"replica" in b" ".join(proc.words(ready[-1]["child_pid"])):
                os.kill(ready[-1]["child_pid"], signal.SIGKILL)
                if again:
                    self.server.wait_event("replica_ready", lambda e: e["version"] == version, n=len(ready) + 1)

    # ---- ways to a state, and a kill there ----

    def rest(self, most_s):
        time.sleep(most_s * self.dice.random())

    def in_warming(self):
        self.kill_replica(self.other_than(self.champion()))
        rollout = self.begin()
        self.rest(AWAY_S)
        self.kill_controller(rollout[0])
        return rollout

    def in_shadow(self):
        rollout = self.begin(shadow=True)
        self.wait(rollout[0], "shadow")
        self.rest(1)
        self.kill_controller(rollout[0])
        return rollout

    def in_running(self):
        rollout = self.begin()
        self.wait(rollout[0], "running")
        self.rest(4)
        self.kill_controller(rollout[0])
        return rollout

    def in_advance(self):
        rollout = self.begin(min_seconds=60)
        self.wait(rollout[0], "running")
        for _ in range(self.dice.randrange(2)):
            self.move(rollout[0], "advance")
        with self.moving(rollout[0], "advance"):
            self.rest(ADVANCE_S / 2)
            self.kill_controller(rollout[0])
        return rollout

    def in_scaling(self):
        rollout = self.begin(min_seconds=60)
        self.wait(rollout[0], "running")
        for _ in range(self.dice.randrange(2)):
            self.move(rollout[0], "advance")
        self.wait(rollout[0], "running")
        self.kill_replica(rollout[2])
        with self.moving(rollout[0], "advance"):
            self.rest(AWAY_S)
            self.kill_controller(rollout[0])
        return rollout

    def in_baking(self):
        rollout = self.begin(min_seconds=60)
        self.wait(rollout[0], "running")
        for _ in range(2):
            self.move(rollout[0], "advance")
        self.wait(rollout[0], "baking")
        self.rest(2)
        self.kill_controller(rollout[0])
        return rollout

    def in_held(self):
        rollout = self.begin(min_seconds=1, max_seconds=1, min_requests=10**9)
        self.wait(rollout[0], "held")
        self.rest(0.5)
        self.kill_controller(rollout[0])
        self.wait(rollout[0], "held")
        return rollout

    def waiting(self, what, state):
        rollout = self.begin()
        self.wait(rollout[0], "running")
        self.rest(1)
        self.move(rollout[0], what)
        self.rest(0.5)
        self.kill_controller(rollout[0])
        self.wait(rollout[0], state)
        if self.dice.randrange(2):
            self.move(rollout[0], "resume")
        return rollout

    def in_paused(self):
        return self.waiting("pause", "paused")

    def in_frozen(self):
        return self.waiting("freeze", "frozen")

    def held_open(self, number, what):
        """A move that a gateway does not confirm."""
        with contextlib.ExitStack() as gateway:
            gateway.enter_context(self.stopped_gateway())
            with self.moving(number, what):
                self.server.wait_event("rollout_moved", lambda e: (e["rollout"], e["by"]) == (number, what))
                self.rest(0.3)
                self.kill_controller(number, gateway.close)

    def in_promoting(self):
        rollout = self.begin()
        self.wait(rollout[0], "running")
        self.held_open(rollout[0], "promote")
        return rollout

    def in_promoted(self):
        rollout = self.begin(undo_s=600)
        self.wait(rollout[0], "running")
        self.move(rollout[0], "promote")
        self.rest(1)
        self.kill_controller(rollout[0])
        return rollout

    def in_rolling_back(self):
        rollout = self.begin()
        self.wait(rollout[0], "running")
        self.rest(1)
        self.held_open(rollout[0], "rollback")
        return rollout

    def in_rolling_back_by_itself(self):
        rollout = self.begin(errs=True)
        self.wait(rollout[0], "running")
        with contextlib.ExitStack() as gateway:
            # After two seconds of silence it is judged without this gateway.
            gateway.enter_context(self.stopped_gateway())
            self.ask_until_it_goes_back(rollout[0])
            self.rest(0.3)
            self.kill_controller(rollout[0], gateway.close)
        return rollout

    def ask_until_it_goes_back(self, number):
        """By way of the gateway that runs: all other connections may be to the one that is stopped."""
        client, end = self.connect(0), time.monotonic() + conftest.DEADLINE_S
        while not self.server.find("rollout_moved", rollout=number, to="rolling_back"):
            client.request("POST", "/v1/models/m:predict", json.dumps({"instances": [[BAD, 1, 1]]}))
            client.getresponse().read()
            assert time.monotonic() < end, f"rollout {number} does not go back"
            time.sleep(0.005)
        client.close()

    def in_undo(self):
        rollout = self.begin(undo_s=600)
        self.wait(rollout[0], "running")
        self.move(rollout[0], "promote")
        assert self.get(rollout[0])["state"] == "promoted"
        self.held_open(rollout[0], "rollback")
        return rollout

    # ---- one after the other ----

    def finish(self, number):
        """By hand, to one side or the other, or for a while of itself; others die meanwhile."""
        begin, wanted = time.monotonic(), self.dice.choice(["promote", "rollback", None])
        while (now := self.get(number))["state"] not in ENDS:
            assert time.monotonic() < begin + ROLLOUT_S, f"rollout {number} does not end: {now}"
            self.kill_others()
            possible = [what for what in ("promote", "rollback") if what in now["possible"]]
            if possible and (wanted or time.monotonic() > begin + BY_ITSELF_S):
                self.move(number, wanted if wanted in possible else possible[0])
            time.sleep(0.05)

    def at_random(self):
        self.n += 1
        number, old, new = self.begin(errs=self.n % 3 == 0)
        end = time.monotonic() + ROLLOUT_S
        while (now := self.get(number))["state"] not in ENDS:
            assert time.monotonic() < end, f"rollout {number} does not end: {now}"
            self.kill_others()
            if self.wanted() and time.monotonic() >= self.due:
                self.kill_controller(number)
            time.sleep(0.05 * self.dice.random())
        return number, old, new

    def through_one_rollout(self):
        if self.dice.randrange(AT_RANDOM_IN) == 0:
            self.check_end(*self.at_random())
            return
        while time.monotonic() < self.last_kill + PACE_S:
            self.kill_others()
            time.sleep(0.05)
        rollout = getattr(self, "in_" + self.aim().replace(" ", "_"))()
        self.finish(rollout[0])
        self.check_end(*rollout)

    def go(self):
        try:
            self.rollouts.push(replicas=1)
            self.rollouts.push("plain", promote=False, replicas=1)
            self.rollouts.push(f"twist {BAD} {ERROR} 0", promote=False, replicas=1)
            with Traffic(self.server, self.pace) as self.traffic:
                while self.wanted():
                    self.through_one_rollout()
            t = self.traffic
            assert not t.failed, t.failed[:3]
            assert t.repeated <= self.kills["gateway"] * CONNECTIONS, (t.repeated, self.kills)
            verified = self.ask("GET", "audit/verify").json()
            assert verified["sound"], verified
            self.say()
        finally:
            self.server.end()
        subprocess.run([conftest.BINARY, "fsck", str(self.base / "data")], check=True, stdout=subprocess.DEVNULL)
        shutil.rmtree(self.base, ignore_errors=True)


def has_connection(pid, port, from_port):
    """Whether the process holds our end's other end."""
    for line in pathlib.Path("/proc/net/tcp").read_text().splitlines()[1:]:
        fields = line.split()
        local, remote, inode = fields[1], fields[2], fields[9]
        if (int(local.split(":")[1], 16), int(remote.split(":")[1], 16)) == (port, from_port):
            with contextlib.suppress(OSError):
                return any(os.readlink(fd) == f"socket:[{inode}]" for fd in pathlib.Path(f"/proc/{pid}/fd").iterdir())
    return False


def sum_of(counters):
    return dict(sum(counters, collections.Counter()))


def run_servers(args):
    """Whether all held."""
    begin, lock, wrong = time.monotonic(), threading.Lock(), []
    given, aimed, floor = [0], collections.Counter(), args.kills // FLOOR

    def missing():
        states = sum_of(r.states for r in runs)
        return [a for a in AIMS if states.get(a, 0) < floor]

    def wanted():
        """Servers that ask at once may each do the last one: there are at least as many as asked for."""
        return not wrong and (given[0] < args.kills or (missing() and given[0] < 2 * args.kills))

    def aim():
        with lock:
            states = sum_of(r.states for r in runs)
            found = min(missing() or AIMS, key=lambda a: states.get(a, 0) + aimed[a])
            aimed[found] += 1
            return found

    def say():
        with lock:
            given[0] = sum(r.kills["controller"] for r in runs)
            print(f"{time.monotonic() - begin:5.0f} s: {sum_of(r.kills for r in runs)}, rollouts: {sum_of(r.ends for r in runs)}",
                  flush=True)

    def go(run):
        try:
            run.go()
        except BaseException as e:  # the others stop, too
            wrong.append(e)
            raise

    runs = [Run(args.seed + i, wanted, aim, say, args.pace) for i in range(args.servers)]
    threads = [threading.Thread(target=go, args=(r,)) for r in runs]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    if wrong:
        return False
    say()
    traffic = [r.traffic for r in runs]
    print(f"the controller was killed in the states {sum_of(r.states for r in runs)}")
    print(f"{sum(t.n for t in traffic)} requests, of which {sum(t.failed_of_canary for t in traffic)} failed, all of them at a candidate; "
          f"{sum(t.repeated for t in traffic)} were asked again because their gateway was killed")
    if missing():
        print(f"fewer than {floor} kills in the states {missing()}")
    return not missing()


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=200, help="of the controller, over all servers")
    parser.add_argument("--servers", type=int, default=1, help="that run at once and share the kills")
    parser.add_argument("--pace", type=float, default=0.01, help="seconds between two requests of a connection")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--skip-unit", action="store_true", help="leaves the unit test out")
    args = parser.parse_args()
    if not args.skip_unit:
        test = ROOT / "build" / "gcc" / "tests" / "unit" / "test_role_controller_rollouts"
        subprocess.run([test], env={**os.environ, "ROLLOUT_TEST_KILLS": str(args.kills), "CK_TIMEOUT_MULTIPLIER": "10"}, check=True)
    return 0 if run_servers(args) else 1


if __name__ == "__main__":
    sys.exit(main())
