# SPDX-License-Identifier: Apache-2.0
"""The number of replicas follows the load: from zero, up, down, and what one model cannot do to another.

The runtime is fake (tests/fakes/fake_runtime.c); windows are short by settings of the version."""

import json
import threading
import time

import requests

from test_replicas import SLEEP, Prober, answer, model, replicas, row, server # noqa: F401 (fixtures)

SHORT = {"scale_window_s": 4, "idle_s": 3}


def deployment(server, name="m"):
    status = requests.get(f"{server.url}/api/v1/status", timeout=60).json()
    return next(d for d in status["deployments"] if d["model"] == name)


def wait_until(what, timeout=60):
    end = time.monotonic() + timeout
    while not (found := what()):
        assert time.monotonic() < end, "it did not come to pass"
        time.sleep(0.05)
    return found


def metric(server, name):
    lines = requests.get(f"{server.url}/metrics", timeout=60).text.splitlines()
    return [float(line.rsplit(" ", 1)[1]) for line in lines if line.startswith(name + "{")]


def is_at_zero(server):
    return deployment(server)["replicas"]["wanted"] == 0 and not replicas(server)


def at_zero(server):
    wait_until(lambda: is_at_zero(server))


class Load(Prober):
    """Asks for slow answers all the time: n requests are under way."""

    def _run(self, k):
        session = requests.Session()
        while not self.stopping:
            got = session.post(self.url, json={"instances": [[SLEEP, 20, 0]]}, timeout=30)
            if got.status_code != 200:
                self.wrong.append((got.status_code, got.text))
            self.asked += 1


def test_without_requests_nothing_runs_and_the_next_one_starts_it(server, model):
    server.push("m", model, replicas="0:2", **SHORT)
    server.wait_event("replica_ready") # it was tried
    at_zero(server)
    wait_until(lambda: deployment(server)["replicas"] == {"wanted": 0, "ready": 0, "min": 0, "max": 2})
    assert requests.get(f"{server.url}/v2/health/ready", timeout=60).status_code == 200
    assert requests.get(f"{server.url}/api/v1/status", timeout=60).json()["ready"] is True
    answers = []
    asking = [threading.Thread(target=lambda i=i: answers.append(server.predict("m", {"instances": [row(i)]})))
              for i in range(8)]
    for thread in asking:
        thread.start()
    for thread in asking:
        thread.join()
    assert [a.status_code for a in answers] == [200] * 8, [a.text for a in answers]
    assert sorted(a.json()["predictions"][0] for a in answers) == sorted(answer(i) for i in range(8))
    assert deployment(server)["cold_starts"] == 1
    started = server.wait_event("scaled", lambda e: (e["from"], e["to"]) == (0, 1))
    assert started["reason"] == "request" # its gateway said so, before the controller looked for itself
    wait_until(lambda: metric(server, "slipway_cold_starts_total") == [1])
    at_zero(server)


def test_a_restart_at_zero_stays_there_and_answers(start_fake_server, model, tmp_path):
    server = start_fake_server("--gateways", 1, data_dir=tmp_path / "d")
    server.push("m", model, replicas="0:2", **SHORT)
    at_zero(server)
    server.stop()
    server = start_fake_server("--gateways", 1, data_dir=tmp_path / "d")
    assert deployment(server)["replicas"]["wanted"] == 0
    assert requests.get(f"{server.url}/api/v1/status", timeout=60).json()["ready"] is True
    assert server.predict("m", {"instances": [row(5)]}).json()["predictions"] == [answer(5)]


def test_a_request_that_waits_while_the_controller_is_away_is_answered(server, model):
    server.push("m", model, replicas="0:2", **SHORT)
    at_zero(server)
    server.kill_child("controller")
    assert server.predict("m", {"instances": [row(5)]}).json()["predictions"] == [answer(5)]


def test_load_brings_replicas_and_its_end_takes_them_and_nobody_notices(start_fake_server, model):
    server = start_fake_server("--gateways", 2, "--replica-cores", 3)
    server.push("m", model, replicas="1:4", **SHORT)
    with Load(server, "m", n=8) as load:
        wait_until(lambda: len(replicas(server)) == 3)
        wait_until(lambda: deployment(server)["starved"]) # four were asked for
        wait_until(lambda: metric(server, "slipway_starved") == [1])
        wait_until(lambda: metric(server, "slipway_inflight")[0] > 0)
    wait_until(lambda: len(replicas(server)) == 1)
    assert load.wrong == []
    wait_until(lambda: metric(server, "slipway_inflight") == [0] and metric(server, "slipway_queue_depth") == [0])
    assert server.predict("m", {"instances": [row(5)]}).json()["predictions"] == [answer(5)]


def test_a_new_controller_ends_no_replica(start_fake_server, model):
    server = start_fake_server("--gateways", 1, "--replica-cores", 3)
    server.push("m", model, replicas="1:3", scale_window_s=40)
    with Load(server, "m", n=8):
        wait_until(lambda: len(replicas(server)) == 3)
        before = replicas(server)
        server.kill_child("controller")
        server.wait_event("child_ready", lambda e: e["child"] == "controller", n=2)
    wait_until(lambda: deployment(server)["replicas"]["ready"] == 3)
    n = len(server.find("scaled"))
    time.sleep(6) # three decisions
    assert len(server.find("scaled")) == n and replicas(server) == before


def test_a_flood_to_one_model_does_not_starve_another(start_fake_server, model):
    server = start_fake_server("--gateways", 1, "--max-queue", 50)
    server.push("noisy", model, replicas=1)
    server.push("m", model, replicas=1)
    with Prober(server, "m", n=2) as quiet:
        stopping, statuses = [], []
        body = json.dumps({"instances": [[SLEEP, 20, 0]]})

        def flood():
            session = requests.Session()
            while not stopping:
                got = session.post(f"{server.url}/v1/models/noisy:predict", data=body, timeout=60)
                statuses.append(got.status_code if got.status_code == 200 else (got.status_code, got.headers.get("Retry-After")))
                time.sleep(0.05 if got.status_code != 200 else 0) # else this program would starve the quiet ones itself

        threads = [threading.Thread(target=flood) for _ in range(70)]
        for thread in threads:
            thread.start()
        wait_until(lambda: statuses.count((429, "1")) > 20)
        noisy, asked = statuses.count(200), quiet.asked
        quiet.wait_for(200)
        answered, asked = statuses.count(200) - noisy, quiet.asked - asked
        stopping.append(True)
        for thread in threads:
            thread.join()
    assert quiet.wrong == [] and set(statuses) == {200, (429, "1")}
    # It was answered while the noisy one was busy, and not after it: of that one 50 wait at any time, so that the two
    # clients of the quiet one would see 25 of its answers for one of their own. Alone they see fewer than one.
    assert answered <= 10 * asked, (asked, answered)


def test_a_request_says_how_long_it_waits(start_fake_server, model):
    server = start_fake_server("--gateways", 1, "--request-timeout", "10s")
    server.push("m", model, replicas=1, hang_ms=60000)
    slow = threading.Thread(target=server.predict, args=("m", {"instances": [[SLEEP, 8000, 0]]}))
    slow.start()
    wait_until(lambda: metric(server, "slipway_inflight") == [1])
    got = server.predict("m", {"instances": [row(1)]}, headers={"Slipway-Timeout-Ms": "300"})
    assert got.status_code == 504 and got.json()["code"] == "deadline_exceeded", got.text
    assert slow.is_alive()
    slow.join()
    got = server.predict("m", {"instances": [row(1)]}, headers={"Slipway-Timeout-Ms": "9000"})
    assert got.json()["predictions"] == [answer(1)]
    for bad in ("0", "-1", "1.5", "soon", "10001", "99999999999999999999"):
        got = server.predict("m", {"instances": [row(1)]}, headers={"Slipway-Timeout-Ms": bad})
        assert got.status_code == 400 and "Slipway-Timeout-Ms" in got.json()["error"], got.text


def test_a_model_at_ten_times_its_capacity_takes_nothing_from_another(start_fake_server, model):  # noqa: F811
    server = start_fake_server("--gateways", 2, "--max-queue", 8)
    server.push("noisy", model, batch_budget_ms=1)
    server.push("quiet", model, batch_budget_ms=1)
    cost_ms, seconds, seen, late = {"noisy": 50, "quiet": 5}, 3, {"noisy": [], "quiet": []}, []
    rate = {"noisy": 10 * 1000 / 50, "quiet": 0.2 * 1000 / 5}  # a second
    begin = time.monotonic() + 0.3

    def ask(name, k, n_threads):
        session, i = requests.Session(), k
        while (due := begin + i / rate[name]) < begin + seconds:
            time.sleep(max(0, due - time.monotonic()))
            got = session.post(f"{server.url}/v1/models/{name}:predict", timeout=60,
                               json={"instances": [[SLEEP, cost_ms[name], 0]]})
            seen[name].append(got.status_code)
            if name == "quiet":
                late.append(time.monotonic() - due)
            i += n_threads

    threads = [threading.Thread(target=ask, args=(name, k, n))
               for name, n in (("noisy", 40), ("quiet", 8)) for k in range(n)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    # Every request of the quiet one was answered, and at the rate at which they came; only the noisy one was refused.
    assert seen["quiet"] == [200] * int(rate["quiet"] * seconds), seen["quiet"]
    assert sorted(late)[len(late) // 2] < 15, sorted(late)
    assert set(seen["noisy"]) == {200, 429} and seen["noisy"].count(429) > seen["noisy"].count(200), seen["noisy"]
    assert seen["noisy"].count(200) >= 0.5 * seconds * 1000 / cost_ms["noisy"]
    metrics = requests.get(f"{server.url}/metrics", timeout=60).text
    refused = [line for line in metrics.splitlines() if 'code="429"' in line or 'status="429"' in line]
    assert all('model="noisy"' in line for line in refused if not line.endswith(" 0")), refused
