# SPDX-License-Identifier: Apache-2.0
"""More versions than are loaded at once: which are, and how the others come when a request names them."""

import concurrent.futures
import http.client
import json
import time

import pytest
import requests

from conftest import until

ROWS = {"instances": [[1, 2, 3, 0, 1, 2]]}


def api(server, method, path, **kwargs):
    return requests.request(method, f"{server.url}/api/v1{path}", timeout=60, **kwargs)


def manifest(server, churn, **more):
    first = server.push("churn", churn.path, promote=True)
    file = first["artifacts"][0]
    return {"artifacts": [{"name": file["name"], "digest": file["digest"], "size": file["size"]}], **more}


def push_again(server, made, model="churn", **more):
    got = api(server, "POST", f"/models/{model}/versions", json={"promote": False, **made, **more})
    assert got.status_code == 201, got.text
    return got.json()["version"]


def loaded(server):
    status = api(server, "GET", "/status").json()
    return {(d["model"], d["version"]) for d in status["deployments"]}, status["slots"]["taken"]


def ask(server, version, **kwargs):
    path = f"/v1/models/churn/versions/{version}:predict" if version else "/v1/models/churn:predict"
    return requests.post(server.url + path, json=ROWS, timeout=60, **kwargs)


def retried(send):
    """As a client sends that does what Retry-After says."""
    end = time.monotonic() + 60
    while (got := send()).status_code == 503 and time.monotonic() < end:
        assert got.json()["code"] == "version_not_deployed" and got.headers["Retry-After"] == "1", got.text
        time.sleep(0.02)
    assert got.status_code == 200, got.text
    return got


def serves(server, version, want=None):
    got = retried(lambda: ask(server, version))
    assert int(got.headers["Slipway-Model-Version"]) == (want or version)


def test_versions_beyond_the_limit_are_taken_and_loaded_when_they_are_named(start_server, churn):
    server = start_server("--max-deployments", "4", "--gateways", "2")
    made = manifest(server, churn)
    for i in range(2, 12):
        assert push_again(server, made, promote=i == 3) == i
    names, _ = until(lambda: loaded(server), lambda got: got[1] == 4)
    assert {("churn", 3), ("churn", 11)} <= names  # the champion, and the newest
    serves(server, None, 3)
    for version in (1, 5, 11, 2, 3):
        serves(server, version)
    # Also by what is no prediction, and by an alias of a version that is not loaded.
    described = retried(lambda: requests.get(f"{server.url}/v2/models/churn/versions/7", timeout=60))
    assert described.json()["versions"] == ["7"]
    listed = api(server, "GET", "/models/churn").json()
    assert listed["default"] == 3 and len(listed["versions"]) == 11
    assert {v["serving"] for v in listed["versions"]} == {"ready", "on_demand"}
    until(lambda: loaded(server)[1], 4)
    # An alias loads what it is given to before it is moved.
    away = next(v["version"] for v in listed["versions"] if v["serving"] == "on_demand")
    moved = api(server, "PUT", "/models/churn/aliases/champion", json={"version": away})
    assert moved.status_code == 200, moved.text
    assert ("churn", away) in loaded(server)[0]
    serves(server, None, away)
    assert api(server, "POST", "/models/churn/rollback").json()["version"] == 3
    serves(server, None, 3)


def test_what_does_not_exist_is_said_so_however_often(start_server, churn):
    server = start_server("--max-deployments", "3", "--gateways", "1")
    made = manifest(server, churn)
    for _ in range(3):
        push_again(server, made)
    for _ in range(3):
        gone = ask(server, 99)
        assert (gone.status_code, gone.json()["code"]) == (404, "unknown_version")
        other = requests.post(f"{server.url}/v1/models/none:predict", json=ROWS, timeout=60)
        assert (other.status_code, other.json()["code"]) == (404, "unknown_model")
    assert push_again(server, made, model="none") == 1  # and is found as soon as it does
    assert requests.post(f"{server.url}/v1/models/none:predict", json=ROWS, timeout=60).status_code == 200
    assert api(server, "DELETE", "/models/churn/versions/2").status_code == 200
    assert ask(server, 2).json()["code"] == "unknown_version"
    serves(server, 3)


def test_where_all_places_are_in_use_the_answer_is_to_try_again(start_server, churn):
    server = start_server("--max-deployments", "2", "--gateways", "1")
    made = manifest(server, churn)
    for _ in range(3):
        push_again(server, made)
    assert api(server, "PUT", "/models/churn/aliases/blue", json={"version": 2}).status_code == 200
    until(lambda: loaded(server)[0], {("churn", 1), ("churn", 2)})  # both have an alias
    full = ask(server, 4)
    assert (full.status_code, full.json()["code"]) == (503, "version_not_deployed"), full.text
    assert full.headers["Retry-After"] == "1" and "max_deployments" in full.json()["hint"]
    serves(server, 1)
    assert push_again(server, made) == 5  # a push always finds a place
    until(lambda: len(loaded(server)[0]), 2)


def test_requests_wait_together_and_are_answered_in_order(start_server, churn):
    server = start_server("--max-deployments", "3", "--gateways", "1")
    made = manifest(server, churn)
    for _ in range(4):
        push_again(server, made)
    until(lambda: loaded(server)[0], {("churn", 1), ("churn", 4), ("churn", 5)})
    # The second and the fourth of a connection's requests wait; all are answered in their order.
    body = json.dumps(ROWS).encode()
    head = "POST /v1/models/churn{}:predict HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n" % len(body)
    conn = http.client.HTTPConnection("127.0.0.1", server.port, timeout=60)
    conn.connect()
    conn.sock.sendall(b"".join(head.format(v).encode() + body for v in ("", "/versions/3", "", "/versions/99", "")))
    seen, stream = [], conn.sock.makefile("rb")
    for _ in range(5):
        status = int(stream.readline().split()[1])
        fields = http.client.parse_headers(stream)
        stream.read(int(fields["Content-Length"]))
        seen.append((status, fields["Slipway-Model-Version"]))
    assert seen == [(200, "1"), (200, "3"), (200, "1"), (404, None), (200, "1")]
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda _: serves(server, 2), range(32)))
    assert len(server.find("version_released", version=2)) == 1  # as it was pushed


def test_a_start_loads_what_is_named_and_a_new_controller_what_was_asked_for(start_server, churn):
    server = start_server("--max-deployments", "3", "--gateways", "1")
    made = manifest(server, churn)
    for _ in range(5):
        push_again(server, made)
    serves(server, 2)
    until(lambda: loaded(server)[0], {("churn", 1), ("churn", 2), ("churn", 6)})
    server.kill_child("controller")
    server.wait_child("child_ready", "controller", n=2)
    serves(server, None, 1)
    until(lambda: loaded(server)[0], {("churn", 1), ("churn", 2), ("churn", 6)})
    counted = requests.get(f"{server.url}/metrics", timeout=60).text
    assert 'slipway_requests_total{model="churn",version="2",arm="stable",code="2xx"} 1' in counted
    serves(server, 2)
    server.stop()
    server = start_server("--max-deployments", "3", "--gateways", "1", data_dir=server.data_dir)
    until(lambda: loaded(server)[0], {("churn", 1), ("churn", 6)})
    serves(server, 2)


def test_what_was_not_asked_for_the_longest_makes_room(start_server, churn):
    server = start_server("--max-deployments", "4", "--gateways", "1")
    made = manifest(server, churn)
    for _ in range(4):
        push_again(server, made)

    def ask_for(seconds, version, answers):
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            serves(server, version, answers)

    serves(server, 2)
    serves(server, 3)
    until(lambda: loaded(server)[0], {("churn", v) for v in (1, 2, 3, 5)})
    ask_for(4, 2, 2)  # what was asked for is looked up once a second, later on a busy machine
    ask_for(2.5, None, 1)  # until 2 may leave as well
    serves(server, 4)
    until(lambda: loaded(server)[0], {("churn", v) for v in (1, 2, 4, 5)})


def test_pushes_at_once_find_places(start_server, churn):
    server = start_server("--max-deployments", "12", "--gateways", "1")
    made = manifest(server, churn)
    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        numbers = list(pool.map(lambda _: push_again(server, made), range(29)))
    assert sorted(numbers) == list(range(2, 31))
    until(lambda: loaded(server)[1], 12)
    for version in (1, 2, 15, 30):
        serves(server, version)


@pytest.mark.parametrize("stop", [False, True])
def test_deleting_the_newest_leaves_the_one_before(start_server, churn, stop):
    server = start_server("--max-deployments", "2", "--gateways", "1")
    made = manifest(server, churn)
    for _ in range(4):
        push_again(server, made)
    assert api(server, "DELETE", "/models/churn/aliases/champion").status_code == 200
    serves(server, None, 5)
    for version in (5, 4):
        assert api(server, "DELETE", f"/models/churn/versions/{version}").status_code == 200
    if stop:
        server.stop()
        server = start_server("--max-deployments", "2", "--gateways", "1", data_dir=server.data_dir)
    serves(server, None, 3)
    assert api(server, "GET", "/models/churn").json()["default"] == 3
