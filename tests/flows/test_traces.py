# SPDX-License-Identifier: Apache-2.0
"""Spans of predictions at a collector, which holds each body to the JSON form of OTLP's messages."""

import http.server
import json
import re
import threading
import time

import pytest
import requests

from prometheus import page, samples

TRACE, PARENT = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
DECIMAL = re.compile(r"\d+\Z")


def check_attributes(found):
    for one in found:
        assert set(one) == {"key", "value"} and len(one["value"]) == 1, one
        kind, v = next(iter(one["value"].items()))
        assert (kind == "stringValue" and isinstance(v, str)) or (kind == "intValue" and DECIMAL.match(v)), one
    return {one["key"]: next(iter(one["value"].values())) for one in found}


def spans_of(body):
    """ExportTraceServiceRequest in protobuf's JSON: names, types and forms; unknown fields are errors."""
    assert set(body) == {"resourceSpans"}
    for resource in body["resourceSpans"]:
        assert set(resource) == {"resource", "scopeSpans"} and set(resource["resource"]) == {"attributes"}
        assert check_attributes(resource["resource"]["attributes"])["service.name"] == "slipway"
        for scope in resource["scopeSpans"]:
            assert set(scope) == {"scope", "spans"} and set(scope["scope"]) == {"name", "version"}
            for span in scope["spans"]:
                assert set(span) <= {"traceId", "spanId", "parentSpanId", "name", "kind", "startTimeUnixNano",
                                     "endTimeUnixNano", "attributes", "status"}
                assert re.fullmatch("[0-9a-f]{32}", span["traceId"]) and re.fullmatch("[0-9a-f]{16}", span["spanId"])
                assert re.fullmatch("[0-9a-f]{16}", span.get("parentSpanId", PARENT)) and isinstance(span["kind"], int)
                assert DECIMAL.match(span["startTimeUnixNano"]) and DECIMAL.match(span["endTimeUnixNano"])
                yield {**span, "attributes": check_attributes(span.get("attributes", []))}


class Collector(http.server.ThreadingHTTPServer):
    def __init__(self):
        self.spans, self.wrong, self.status = [], [], 200
        super().__init__(("127.0.0.1", 0), Receiver)
        self.url = f"http://127.0.0.1:{self.server_port}"
        threading.Thread(target=self.serve_forever, daemon=True).start()

    def wait(self, n):
        end = time.monotonic() + 60
        while len(self.spans) < n and not self.wrong:
            assert time.monotonic() < end, self.spans
            time.sleep(0.05)
        assert not self.wrong
        return self.spans


class Receiver(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        try:
            assert self.path == "/v1/traces" and self.headers["Content-Type"] == "application/json"
            found = list(spans_of(json.loads(body)))
            if self.server.status == 200:
                self.server.spans += found
        except Exception as e: # told by wait()
            self.server.wrong.append((repr(e), body))
        self.send_response(self.server.status)
        self.send_header("Content-Length", "2")
        self.end_headers()
        self.wfile.write(b"{}")

    def log_message(self, *_):
        pass


@pytest.fixture
def collector():
    one = Collector()
    yield one
    one.shutdown()
    one.server_close()


def test_a_trace_goes_on_and_others_begin(start_server, churn, collector):
    server = start_server("--otlp-endpoint", collector.url, "--trace-per-10000", 0, "--gateways", 1)
    server.push("churn", churn.path)
    before = time.time_ns()
    for flag in ("01", "00"): # the caller decides
        got = server.predict("churn", {"instances": churn.instances(3)}, headers={"traceparent": f"00-{TRACE}-{PARENT}-{flag}"})
        assert got.status_code == 200
        answered = answered if flag == "00" else got.headers["Slipway-Prediction-Id"]
    server.predict("churn", {"instances": churn.instances(1)}) # of 10,000 none
    root, queue, compute = collector.wait(3)
    assert [s["name"] for s in (root, queue, compute)] == ["http.server", "queue", "compute"]
    assert {s["traceId"] for s in (root, queue, compute)} == {TRACE} and root["parentSpanId"] == PARENT
    assert queue["parentSpanId"] == compute["parentSpanId"] == root["spanId"] and root["kind"] == 2
    assert len({root["spanId"], queue["spanId"], compute["spanId"]}) == 3
    start, end = int(root["startTimeUnixNano"]), int(root["endTimeUnixNano"])
    assert before - 10**9 <= start <= int(compute["startTimeUnixNano"]) <= int(compute["endTimeUnixNano"]) <= end + 2000
    assert int(queue["startTimeUnixNano"]) == start and end <= time.time_ns()
    assert root["attributes"] == {"slipway.model": "churn", "slipway.version": "1", "slipway.arm": "stable", "slipway.rows": "3",
                                  "http.response.status_code": "200", "slipway.prediction_id": answered}
    assert len(collector.spans) == 3


def test_requests_without_a_trace_begin_one_and_what_is_not_taken_is_counted(start_server, churn, collector):
    server = start_server("--otlp-endpoint", collector.url, "--trace-per-10000", 10000)
    server.push("churn", churn.path)
    for _ in range(20):
        got = server.predict("churn", {"instances": churn.instances(1)}, headers={"traceparent": "00-nothing-01"})
    spans = collector.wait(60)
    roots = {s["attributes"]["slipway.prediction_id"]: s for s in spans if s["name"] == "http.server"}
    assert len(roots) == 20 and got.headers["Slipway-Prediction-Id"] in roots
    assert all(s["traceId"] == i.replace("-", "") and "parentSpanId" not in s for i, s in roots.items())
    collector.status = 400
    server.predict("churn", {"instances": churn.instances(1)})
    event = server.wait_event("traces_not_sent")
    assert event["status"] == 400
    end = time.monotonic() + 60
    while {dict(l)["result"]: v for (_, l), v in samples(page(server), "slipway_traces_total").items()} != {
            "exported": 20, "dropped": 0, "refused": 1}:
        assert time.monotonic() < end
        time.sleep(0.05)
