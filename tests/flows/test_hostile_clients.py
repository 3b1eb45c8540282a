# SPDX-License-Identifier: Apache-2.0
"""Clients that go away, do not read, do not send or send too much: the gateways serve on, and forget them."""

import json
import os
import signal
import socket
import struct
import time

import pytest
import requests

from test_http import Raw, body_of, post, sized

LIVE = b"GET /v2/health/live HTTP/1.1\r\nHost: x\r\n\r\n"


@pytest.fixture
def one(start_server, churn):
    """A server whose one gateway sees all connections, and so in order."""
    server = start_server("--gateways", "1")
    server.push("churn", churn.path)
    return server


def leave(server, client, data):
    """Sends and is gone before the gateway looks: it can still read what was sent, but writes fail."""
    gateway = server.child_pid("gateway")
    os.kill(gateway, signal.SIGSTOP)
    client.send(data)
    client.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    client.sock.close()
    os.kill(gateway, signal.SIGCONT)


def seen(server):
    """Returns when the gateway has read what was sent before."""
    assert requests.get(f"{server.url}/v2/health/live", timeout=60).status_code == 200


def unharmed(server):
    """Whether the gateway that served all this is still the same and answers."""
    seen(server)
    assert not server.find("child_ended"), server.events


def test_a_large_request_and_then_its_version_deleted(one, churn):
    rows = churn.instances() * 10
    assert one.predict("churn", {"instances": rows}).status_code == 200
    assert requests.delete(f"{one.url}/api/v1/models/churn", timeout=60).status_code == 200
    assert one.predict("churn", {"instances": rows}).status_code == 404
    unharmed(one)


def test_gone_before_it_is_told_to_send_an_upload(one):
    leave(one, Raw(one), b"PUT /api/v1/blobs/wrong HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n")
    unharmed(one)


# In each case the first request comes in two parts, so that the connection holds memory of its own.
GONE = [
    post(b"", "Transfer-Encoding: chunked", "Expect: 100-continue"),
    sized(b"{", "X-Request-Id: " + "r" * 5000),
    b"GET /v2/models HTTP/1.1\r\nHost: x\r\nX-Request-Id: a\r\n\r\n",
    b"PUT /api/v1/blobs/x HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
    b"PUT /api/v1/blobs/x HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nab",
]


@pytest.mark.parametrize("last", GONE)
def test_gone_before_the_answers(one, churn, last):
    first, client = sized(body_of(churn)), Raw(one)
    client.send(first[:50])
    seen(one)
    leave(one, client, first[50:] + first + last)
    unharmed(one)


def test_an_error_is_json_however_long_the_request_id(one, churn):
    client = Raw(one)
    client.send(sized(b"{", "X-Request-Id: " + '"' * 12000))
    status, headers, body = client.response()
    assert status == 400 and json.loads(body)["request_id"] == headers["x-request-id"] == '"' * 12000


def test_requests_whose_answers_nobody_reads_are_not_worked_on(one):
    """The kernel's buffers take a few megabytes; beyond them at most one answer may wait."""
    page = requests.get(f"{one.url}/metrics", timeout=60).content
    client = Raw(one)
    n = 4000
    request = b"GET /metrics HTTP/1.1\r\nHost:\r\n\r\n"
    client.sock.setblocking(False)
    sent = client.sock.send(request * n) // len(request)
    assert sent * len(page) > 30 << 20
    seen(one)
    counted = requests.get(f"{one.url}/metrics", timeout=60).text
    done = int(next(line for line in counted.splitlines() if line.startswith('slipway_other_requests_total{code="2xx"')).split()[1])
    assert done < sent / 2
    client.sock.settimeout(60)
    for _ in range(sent):
        assert client.response()[0] == 200


def test_a_head_that_begins_behind_each_answer_has_its_own_time(start_server):
    server = start_server("--gateways", "1", "--header-timeout", "5s")
    client = Raw(server)
    client.send(LIVE[:10])
    end = time.monotonic() + 11
    while time.monotonic() < end:
        client.send(LIVE[10:] + LIVE[:10])
        assert client.response()[0] == 200
        client.sock.settimeout(0.2)  # nothing comes in between
        with pytest.raises(TimeoutError):
            client.sock.recv(1)
        client.sock.settimeout(60)


def test_an_upload_that_stops_times_out(start_server):
    server = start_server("--gateways", "1", "--body-timeout", "300ms")
    digest = "sha256:" + "0" * 64
    client = Raw(server)
    client.send(f"PUT /api/v1/blobs/{digest} HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nab".encode())
    status, headers, body = client.response()
    assert status == 408 and json.loads(body)["code"] == "request_timeout" and headers["connection"] == "close"
    assert client.response() is None


def test_an_upload_that_goes_on_is_not_timed_out(start_server):
    server = start_server("--gateways", "1", "--body-timeout", "5s")
    digest = "sha256:" + "0" * 64
    client = Raw(server)
    client.send(f"PUT /api/v1/blobs/{digest} HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\n".encode())
    for byte in b"a", b"b", b"cd":  # together longer than what is borne of silence
        client.sock.settimeout(2)
        with pytest.raises(TimeoutError):
            client.sock.recv(1)
        client.send(byte)
    client.sock.settimeout(60)
    client.send(b"e")
    assert json.loads(client.response()[2])["code"] == "digest_mismatch"


def test_a_connection_answered_during_the_drain_does_not_delay_the_end(start_server, churn):
    server = start_server("--gateways", "1", "--drain-timeout", "100s")
    server.push("churn", churn.path)
    client = Raw(server)
    client.send(sized(body_of(churn, 200)[:-2] + b"," + b",".join([body_of(churn, 200)[15:-2]] * 100) + b"]}"))
    seen(server)
    begin = time.monotonic()
    server.process.terminate()
    assert client.response()[0] == 200
    assert server.ended() == 0 and time.monotonic() - begin < 50


def test_no_connection_is_taken_that_will_not_be_answered(start_server, churn):
    server = start_server("--gateways", "1", "--drain-timeout", "100s", "--header-timeout", "60s")
    client = Raw(server)
    client.send(LIVE[:10])
    seen(server)
    server.process.terminate()
    server.wait_event("draining")
    end = time.monotonic() + 30
    while time.monotonic() < end:
        try:
            Raw(server).sock.close()
        except (ConnectionRefusedError, ConnectionResetError):
            break
    else:
        raise AssertionError("still taking connections")
    client.send(LIVE[10:])
    assert client.response()[1]["connection"] == "close"
    assert server.ended() == 0


@pytest.mark.parametrize("version,header,stays", [("1.0", "", False), ("1.0", "Connection: keep-alive\r\n", True),
                                                   ("1.1", "", True), ("1.1", "Connection: close\r\n", False)])
def test_what_the_answer_says_of_the_connection_holds(one, churn, version, header, stays):
    body = body_of(churn)
    for head in ("GET /v2/health/live", "POST /v1/models/churn:predict"):
        client = Raw(one)
        request = f"{head} HTTP/{version}\r\nHost: x\r\n{header}Content-Length: {len(body)}\r\n\r\n".encode() + body
        client.send(request)
        said = client.response()[1].get("connection", "keep-alive" if version == "1.1" else "close").lower()
        assert said == ("keep-alive" if stays else "close")
        if stays:
            client.send(request)
        assert bool(client.response()) == stays


def test_hidden_letters_in_names_are_the_letters(one, churn):
    client = Raw(one)
    client.send(post(body_of(churn), f"Content-Length: {len(body_of(churn))}", path="/v1/models/ch%75rn:predict"))
    assert client.response()[0] == 200
    client.send(b"GET /v2/models/ch%75rn/ready HTTP/1.1\r\nHost: x\r\n\r\n")
    assert client.response()[0] == 200


@pytest.fixture(scope="session")
def wide(tmp_path_factory):
    """A model of so many features that rows take much more memory than their text."""
    import numpy as np
    import xgboost

    x = np.zeros((4, 20000), np.float32)
    x[2:, 0] = 1
    booster = xgboost.train({"max_depth": 1, "nthread": 1}, xgboost.DMatrix(x, label=x[:, 0]), 1)
    path = tmp_path_factory.mktemp("models") / "wide.json"
    booster.save_model(path)
    return path


def test_memory_of_rows_is_limited_however_short_they_are(one, wide):
    one.push("wide", wide)
    answer = one.predict("wide", {"instances": [{}] * 10000})
    assert (answer.status_code, answer.json()["code"]) == (413, "too_large")
    # Wide rows are computed in several steps, one after the other, and in order.
    rows = [{"f0": i % 2} for i in range(300)]
    alone = one.predict("wide", {"instances": rows[:2]}).json()["predictions"]
    client, body = Raw(one), json.dumps({"instances": [{}] * 250}).encode()
    client.sock.settimeout(300)
    client.send(post(body, f"Content-Length: {len(body)}", path="/v1/models/wide:predict") * 3 + LIVE)
    assert [len(json.loads(client.response()[2]).get("predictions", [])) for _ in range(4)] == [250, 250, 250, 0]
    assert one.predict("wide", {"instances": rows}).json()["predictions"] == alone * 150
    unharmed(one)
