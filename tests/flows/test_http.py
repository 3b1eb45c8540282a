# SPDX-License-Identifier: Apache-2.0
"""HTTP/1.1 as clients meet it: keep-alive, pipelining, chunked bodies, limits, timeouts."""

import json
import socket

import pytest
import requests


class Raw:
    """A bare connection: bytes out, whole responses in."""

    def __init__(self, server):
        self.sock = socket.create_connection(("127.0.0.1", server.port), timeout=60)
        self.got = b""

    def send(self, data):
        self.sock.sendall(data)

    def response(self):
        """(status, headers, body); None when the server closed before one began."""
        while b"\r\n\r\n" not in self.got:
            piece = self.sock.recv(65536)
            if not piece:
                assert not self.got, self.got
                return None
            self.got += piece
        head, self.got = self.got.split(b"\r\n\r\n", 1)
        lines = head.decode().split("\r\n")
        headers = {k.lower(): v.strip() for k, v in (line.split(":", 1) for line in lines[1:])}
        status = int(lines[0].split()[1])
        length = int(headers.get("content-length", 0))
        while len(self.got) < length:
            piece = self.sock.recv(65536)
            assert piece, "closed in the middle of a body"
            self.got += piece
        body, self.got = self.got[:length], self.got[length:]
        return status, headers, body


@pytest.fixture
def raw(server, churn):
    server.push("churn", churn.path)
    return Raw(server)


def post(body, *headers, path="/v1/models/churn:predict"):
    lines = [f"POST {path} HTTP/1.1", "Host: x", *headers]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


def sized(body, *headers):
    return post(body, f"Content-Length: {len(body)}", *headers)


def body_of(churn, n=1):
    return json.dumps({"instances": churn.instances(n)}).encode()


def test_pipelined_answers_come_in_order(raw, churn, server):
    bodies = [json.dumps({"instances": [row]}).encode() for row in churn.instances(100)]
    alone = [requests.post(f"{server.url}/v1/models/churn:predict", data=b, timeout=60).content for b in bodies]
    raw.send(b"".join(sized(b) for b in bodies[:50]) + b"GET /v2/health/live HTTP/1.1\r\nHost: x\r\n\r\n"
             + b"".join(sized(b) for b in bodies[50:]))
    got = [raw.response() for _ in range(101)]
    assert all(status == 200 for status, _, _ in got)
    assert json.loads(got[50][2]) == {"live": True}
    assert [body for _, _, body in got[:50] + got[51:]] == alone


def test_a_request_may_arrive_byte_by_byte(raw, churn):
    for byte in sized(body_of(churn)):
        raw.send(bytes([byte]))
    assert raw.response()[0] == 200


@pytest.mark.parametrize("cut", [1, 7, 64, 100000])
def test_chunked_bodies_in_any_pieces(raw, churn, cut):
    body = body_of(churn, 3)
    chunks = b"".join(b"%x\r\n%s\r\n" % (len(body[i:i + 10]), body[i:i + 10]) for i in range(0, len(body), 10)) + b"0\r\n\r\n"
    request = post(chunks, "Transfer-Encoding: chunked") + sized(body)
    for i in range(0, len(request), cut):
        raw.send(request[i:i + cut])
    first, second = raw.response(), raw.response()
    assert first[0] == 200 and first[2] == second[2]


def test_expect_continue_is_answered_before_the_body(raw, churn):
    body = body_of(churn)
    raw.send(post(b"", f"Content-Length: {len(body)}", "Expect: 100-continue"))
    assert raw.response()[0] == 100
    raw.send(body)
    assert raw.response()[0] == 200


def test_connection_close_is_honoured(raw, churn):
    raw.send(sized(body_of(churn), "Connection: close"))
    status, headers, _ = raw.response()
    assert status == 200 and headers["connection"] == "close"
    assert raw.response() is None


LIMITS = [  # request bytes, status, code
    (post(b"", f"Content-Length: {1 << 40}"), 413, "too_large"),
    (post(b"", "X: " + "a" * 20000), 431, "header_too_large"),
    (b"GET /" + b"a" * 10000 + b" HTTP/1.1\r\nHost: x\r\n\r\n", 414, "uri_too_long"),
    (b"GET / HTTP/2.0\r\nHost: x\r\n\r\n", 505, "http_version_not_supported"),
    (b"GET / HTTP/1.1\r\n\r\n", 400, "bad_http"),
    (post(b"", "Content-Length: 1", "Transfer-Encoding: chunked"), 400, "bad_http"),
    (post(b"", "Content-Length: 1", "Content-Length: 2"), 400, "bad_http"),
    (post(b"zz\r\n", "Transfer-Encoding: chunked"), 400, "bad_http"),
    (post(b"", "Content-Length: 2", "Content-Encoding: br"), 415, "unsupported_media_type"),
]


@pytest.mark.parametrize("request_bytes,status,code", LIMITS)
def test_what_cannot_be_read_is_refused_and_the_connection_ends(raw, server, churn, request_bytes, status, code):
    raw.send(request_bytes)
    got = raw.response()
    assert got[0] == status and json.loads(got[2])["code"] == code, got
    assert got[1]["connection"] == "close"
    assert raw.response() is None
    assert server.predict("churn", {"instances": churn.instances(1)}).status_code == 200


def test_a_body_over_the_limit_is_refused_also_when_chunked_or_compressed(start_server, churn):
    import gzip

    server = start_server("--max-body", "10KiB")
    server.push("churn", churn.path)
    url = f"{server.url}/v1/models/churn:predict"
    bomb = gzip.compress(b"[" + b"0," * 1000000)
    assert requests.post(url, data=bomb, headers={"Content-Encoding": "gzip"}, timeout=60).status_code == 413
    client = Raw(server)
    client.send(post(b"4000\r\n" + b"a" * 0x4000 + b"\r\n", "Transfer-Encoding: chunked"))
    assert client.response()[0] == 413


def test_a_slow_head_times_out_and_an_idle_connection_is_closed(start_server):
    server = start_server("--header-timeout", "300ms", "--idle-timeout", "300ms")
    slow, idle = Raw(server), Raw(server)
    slow.send(b"GET / HT")
    assert slow.response()[0] == 408
    assert idle.response() is None


def test_connections_over_the_limit_are_refused_fast(start_server):
    server = start_server("--max-connections", "2", "--gateways", "1")
    held = [Raw(server), Raw(server)]
    for client in held:
        client.send(b"GET /v2/health/live HTTP/1.1\r\nHost: x\r\n\r\n")
        assert client.response()[0] == 200
    extra = Raw(server)
    status, headers, _ = extra.response()
    assert status == 503 and headers["retry-after"] == "1"
    held[0].send(b"GET /v2/health/live HTTP/1.1\r\nHost: x\r\n\r\n")
    assert held[0].response()[0] == 200


def test_changes_from_web_pages_are_refused(server):
    answer = requests.delete(f"{server.url}/api/v1/models/x", headers={"Origin": "http://evil.example"}, timeout=60)
    assert answer.status_code == 403 and answer.json()["code"] == "refused"
