# SPDX-License-Identifier: Apache-2.0
"""Settings that change while the server runs: SIGHUP takes them from the file again, or says why not."""

import gzip
import http.client
import json
import signal
import socket

import pytest
import requests


class Configured:
    """A server on a configuration file that can be rewritten."""

    def __init__(self, start_server, path, gateways=1, **settings):
        self.path, self.gateways, self.n_applied = path, gateways, 0
        self.write(**settings)
        self.server = start_server("--config", path, "--gateways", gateways, "--log-level", "debug")

    def write(self, **settings):
        self.path.write_text("".join(f"{key}: {value}\n" for key, value in settings.items()))

    def hangup(self, event):
        n = len(self.server.find(event)) + 1
        self.server.process.send_signal(signal.SIGHUP)
        return self.server.wait_event(event, n=n)

    def reload(self, **settings):
        """Returns what was said of it, once every child has applied it."""
        self.write(**settings)
        said = self.hangup("settings_reloaded")
        self.n_applied += self.gateways + 2  # and controller and monitor
        self.server.wait_event("settings_applied", n=self.n_applied)
        return said


@pytest.fixture
def configured(start_server, tmp_path):
    return lambda **settings: Configured(start_server, tmp_path / "slipway.yaml", **settings)


def big_body(churn, n_bytes):
    row = json.dumps(churn.instances(1)[0])
    body = '{"instances":[' + ",".join([row] * (n_bytes // len(row))) + "]}"
    return body.encode()


def test_a_larger_body_is_taken_on_connections_that_are_open_already(configured, churn):
    c = configured(max_body="2KiB")
    c.server.push("churn", churn.path)
    body = big_body(churn, 300_000)
    connection = http.client.HTTPConnection("127.0.0.1", c.server.port, timeout=60)

    def post(data, **headers):
        connection.request("POST", "/v1/models/churn:predict", data, headers)
        answer = connection.getresponse()
        answer.read()
        return answer.status

    small = big_body(churn, 500)
    assert post(small) == 200
    sock = connection.sock
    assert requests.post(f"{c.server.url}/v1/models/churn:predict", data=body, timeout=60).status_code == 413
    assert c.reload(max_body="1MiB")["changed"] == "max_body"
    assert post(body) == 200
    assert post(iter([body[:1000], body[1000:]])) == 200  # chunked
    assert post(gzip.compress(body), **{"Content-Encoding": "gzip"}) == 200
    assert connection.sock is sock  # the same connection all the while
    c.reload(max_body="2KiB")
    assert post(gzip.compress(body), **{"Content-Encoding": "gzip"}) == 413
    assert post(body) == 413
    assert post(small) == 200


def test_requests_are_logged_from_now_on(configured, churn):
    c = configured(log_requests="false", gateways=2)
    c.server.push("churn", churn.path)
    assert c.server.predict("churn", {"instances": churn.instances(1)}).status_code == 200
    c.reload(log_requests="true")
    assert not c.server.find("prediction")
    headers = {"X-Request-Id": "later"}
    assert c.server.predict("churn", {"instances": churn.instances(1)}, headers=headers).status_code == 200
    c.server.wait_event("prediction", lambda e: e["request_id"] == "later")


def test_a_connection_that_becomes_idle_is_closed_after_the_new_time(configured):
    c = configured(idle_timeout="1h")
    c.reload(idle_timeout="100ms")
    with socket.create_connection(("127.0.0.1", c.server.port), timeout=60) as s:
        s.sendall(b"GET /health/live HTTP/1.1\r\nHost: x\r\n\r\n")
        assert s.recv(65536).startswith(b"HTTP/1.1 ")
        assert s.recv(65536) == b""


def test_the_controller_takes_them_too(configured):
    c = configured(max_upload="1MiB")
    url = f"{c.server.url}/api/v1/blobs/sha256:{'0' * 64}"
    data = b"x" * (2 << 20)
    assert requests.put(url, data=iter([data]), timeout=60).status_code == 413
    c.reload(max_upload="4MiB")
    assert requests.put(url, data=iter([data]), timeout=60).status_code == 400  # another digest


def test_children_that_are_started_later_get_them(configured, churn):
    c = configured(max_body="2KiB")
    c.server.push("churn", churn.path)
    c.reload(max_body="1MiB")
    c.server.kill_child("gateway")
    c.server.wait_child("child_ready", "gateway", n=2)
    answer = requests.post(f"{c.server.url}/v1/models/churn:predict", data=big_body(churn, 300_000), timeout=60)
    assert answer.status_code == 200


@pytest.mark.parametrize("text, why", [
    ("log_requests: true\nmax_body: lots\n", "2: 'max_body': expected a size from 1KiB to 1GiB, got 'lots'"),
    ("log_requests: true\nmax_bodi: 1MiB\n", "max_bodi"),
    ("log_requests: true\n\tmax_body: 1MiB\n", "not valid YAML"),
    (None, "slipway.yaml"),
])
def test_an_invalid_file_changes_nothing(configured, churn, text, why):
    c = configured(log_requests="false")
    c.server.push("churn", churn.path)
    if text is None:
        c.path.unlink()
    else:
        c.path.write_text(text)
    assert why in c.hangup("settings_invalid")["error"]
    assert c.server.predict("churn", {"instances": churn.instances(1)}).status_code == 200
    c.reload(log_requests="false", max_body="1MiB")  # and goes on listening
    assert not c.server.find("prediction")


def test_what_is_fixed_at_start_is_named_and_stays(configured, churn):
    c = configured(onnxruntime_library="/nowhere/a.so", max_rows_per_request=10)
    c.server.push("churn", churn.path)
    said = c.reload(onnxruntime_library="/nowhere/b.so", max_rows_per_request=1)
    assert said["changed"] == "max_rows_per_request"
    assert c.server.wait_event("settings_need_restart")["settings"] == "onnxruntime_library"
    assert c.server.predict("churn", {"instances": churn.instances(2)}).status_code == 413


def test_what_a_flag_says_stays(configured):
    c = configured(log_level="error")
    c.write(log_level="info", gateways=7)
    assert c.hangup("settings_reloaded")["changed"] == ""
    assert not c.server.find("settings_need_restart")
