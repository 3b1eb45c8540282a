# SPDX-License-Identifier: Apache-2.0
"""Predictions over HTTP equal the training library's own; each kind of bad input is named."""

import gzip
import json
import select
import socket

import numpy as np
import pytest
import requests

from conftest import until


def values(answer):
    assert answer.status_code == 200, answer.text
    return np.array(answer.json()["predictions"])


def test_every_row_equals_the_library(server, churn, price, species):
    for name, model, dtype in (("churn", churn, np.float32), ("price", price, np.float64), ("species", species, np.float32)):
        server.push(name, model.path)
        got = values(server.predict(name, {"instances": model.instances()})).astype(dtype)
        np.testing.assert_array_max_ulp(got, model.expected.astype(dtype), maxulp=1)


def test_rows_by_name_and_columns_equal_rows_by_position(server, churn):
    server.push("churn", churn.path)
    rows = churn.instances(20)
    expected = values(server.predict("churn", {"instances": rows})).tolist()
    objects = [{n: v for n, v in zip(churn.names, row) if v is not None} for row in rows]
    assert values(server.predict("churn", {"instances": objects})).tolist() == expected
    columns = {n: [row[i] for row in rows] for i, n in enumerate(churn.names)}
    answer = server.predict("churn", {"inputs": columns}).json()
    assert answer["outputs"] == expected and answer["predictions"] == expected


def test_open_inference_protocol(server, churn):
    server.push("churn", churn.path)
    rows = churn.instances(5)
    expected = values(server.predict("churn", {"instances": rows})).tolist()
    for data in (rows, [v for row in rows for v in row]):
        body = {"id": "abc", "inputs": [{"name": "input", "shape": [5, 6], "datatype": "FP32", "data": data}]}
        answer = requests.post(f"{server.url}/v2/models/churn/infer", json=body, timeout=60)
        assert answer.status_code == 200, answer.text
        got = answer.json()
        assert got["id"] == "abc" and got["model_name"] == "churn" and got["model_version"] == "1"
        assert got["outputs"][0]["data"] == expected
    meta = requests.get(f"{server.url}/v2/models/churn", timeout=60).json()
    assert meta["name"] == "churn" and meta["versions"] == ["1"] and meta["platform"] == "xgboost_json"
    assert requests.get(f"{server.url}/v2/models/churn/ready", timeout=60).status_code == 200
    assert requests.get(f"{server.url}/v2/health/live", timeout=60).status_code == 200
    assert requests.get(f"{server.url}/v2/health/ready", timeout=60).status_code == 200
    assert requests.get(f"{server.url}/v2", timeout=60).json()["name"]


def test_answers_name_version_and_prediction(server, churn):
    server.push("churn", churn.path)
    server.push("churn", churn.path)
    ids = set()
    for path, version in (("models/churn", "2"), ("models/churn/versions/1", "1"), ("models/churn/versions/champion", "2"),
                          ("models/churn/labels/champion", "2")):
        answer = requests.post(f"{server.url}/v1/{path}:predict", json={"instances": churn.instances(1)}, timeout=60,
                               headers={"X-Request-Id": "r-1"})
        assert answer.status_code == 200, answer.text
        assert answer.headers["Slipway-Model-Version"] == version
        assert answer.headers["X-Request-Id"] == "r-1"
        ids.add(answer.headers["Slipway-Prediction-Id"])
    assert len(ids) == 4


def test_compressed_bodies(server, churn):
    server.push("churn", churn.path)
    body = json.dumps({"instances": churn.instances(50)}).encode()
    plain = values(requests.post(f"{server.url}/v1/models/churn:predict", data=body, timeout=60))
    packed = requests.post(f"{server.url}/v1/models/churn:predict", data=gzip.compress(body), timeout=60,
                           headers={"Content-Encoding": "gzip"})
    assert values(packed).tolist() == plain.tolist()


BAD = [  # body, status, code, path, part of the message or hint
    ({"instances": [[1, 2, 3, 4, 5]]}, 400, "wrong_count", "$.instances[0]", "6"),
    ({"instances": [[1, 2, 3, 4, 5, "x"]]}, 400, "wrong_type", "$.instances[0][5]", "number"),
    ({"instances": [{"agee": 1}]}, 400, "unknown_feature", "$.instances[0].agee", "age"),
    ({"instances": [[1, 2, 3, 4, 5, 1e39]]}, 400, "out_of_range", "$.instances[0][5]", "32-bit"),
    ({"instance": [[1]]}, 400, "unknown_field", "$.instance", "instances"),
    ({}, 400, None, "", "instances"),
    ([], 400, "wrong_type", "$", "object"),
]


@pytest.mark.parametrize("body,status,code,path,part", BAD)
def test_bad_input_is_named(server, churn, body, status, code, path, part):
    server.push("churn", churn.path)
    answer = server.predict("churn", body)
    got = answer.json()
    assert answer.status_code == status, got
    assert code is None or got["code"] == code, got
    assert got.get("path", "") == path or not path, got
    assert part in got["error"] + got.get("hint", ""), got
    assert values(server.predict("churn", {"instances": churn.instances(1)})).shape == (1,)


RAW_BAD = [
    (b'{"instances": [[1,2,3,4,5,6}', "bad_json", "byte"),
    (b'{"instances": [[1,2,3,4,5,Infinity]]}', None, "Infinity"),
    (b'{"instances": [{"age": 1, "age": 2}]}', "duplicate_key", "age"),
    (b'{"instances": ' + b"[" * 100 + b"]" * 100 + b"}", None, ""),
    (b"", "bad_json", ""),
]


@pytest.mark.parametrize("body,code,part", RAW_BAD)
def test_broken_json_is_named(server, churn, body, code, part):
    server.push("churn", churn.path)
    answer = requests.post(f"{server.url}/v1/models/churn:predict", data=body, timeout=60)
    got = answer.json()
    assert answer.status_code == 400, got
    assert code is None or got["code"] == code, got
    assert part in got["error"] + got.get("hint", ""), got


def test_a_missing_value_is_refused_where_the_model_has_no_rule(server, price):
    server.push("price", price.path)
    answer = server.predict("price", {"instances": [{"area": 1, "rooms": None, "floor": 1, "year": 1}]})
    got = answer.json()
    assert answer.status_code == 400 and got["code"] == "missing_feature" and got["path"] == "$.instances[0].rooms", got


def test_unknown_names_suggest_near_ones(server, churn):
    server.push("churn", churn.path)
    answer = server.predict("chrun", {"instances": [[1]]})
    assert answer.status_code == 404 and answer.json()["code"] == "unknown_model" and "'churn'" in answer.json()["hint"]
    answer = requests.post(f"{server.url}/v1/models/churn/versions/9:predict", json={}, timeout=60)
    assert answer.status_code == 404 and answer.json()["code"] == "unknown_version" and "champion" in answer.json()["hint"]
    answer = requests.get(f"{server.url}/v2/health/raedy", timeout=60)
    assert answer.status_code == 404 and "/v2/health/ready" in answer.json()["hint"]
    answer = requests.get(f"{server.url}/v1/models/churn:predict", timeout=60)
    assert answer.status_code == 405 and answer.json()["code"] == "method_not_allowed"
    assert answer.headers["Allow"] == "POST"
    answer = requests.post(f"{server.url}/v1/models/churn:predict", data="1,2", headers={"Content-Type": "text/csv"}, timeout=60)
    assert answer.status_code == 415


def test_small_requests_are_answered_while_a_large_body_is_decoded(start_server, churn):
    """The large body ends in an error, so that all its work is decoding. Not timed: answers are counted."""
    server = start_server("--gateways", "1")
    server.push("churn", churn.path)
    row = "[" + ",".join(["0.12345678901234567"] * 6) + "],"
    large = ('{"instances":[' + row * 98000 + '"x"]}').encode()
    small = json.dumps({"instances": churn.instances(1)}).encode()
    head = "POST /v1/models/churn:predict HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n"
    counts = []
    for _ in range(5):  # a try in which the machine does not run this program tells nothing
        with socket.create_connection(("127.0.0.1", server.port), timeout=30) as slow, \
                socket.create_connection(("127.0.0.1", server.port), timeout=30) as quick:
            def ask():
                quick.sendall((head % len(small)).encode() + small)
                assert b" 200 OK" in quick.recv(65536)

            slow.sendall((head % len(large)).encode() + large[:-1])
            for _ in range(len(large) // 65536 + 10):  # each is a turn, which reads as much of the large one
                ask()
            slow.sendall(large[-1:])
            counts.append(0)
            while not select.select([slow], [], [], 0)[0]:
                ask()
                counts[-1] += 1
            answer = slow.recv(65536).decode()
        assert answer.startswith("HTTP/1.1 400 ") and '"path":"$.instances[98000]"' in answer
        if counts[-1] >= 10:
            return
    raise AssertionError(f"answers before that of the large request: {counts}")


def test_large_requests_are_computed_in_slices_and_correct(server, churn):
    server.push("churn", churn.path)
    rows = churn.instances() * 100
    got = values(server.predict("churn", {"instances": rows})).astype(np.float32)
    np.testing.assert_array_max_ulp(got, np.tile(churn.expected, 100), maxulp=1)


def test_metrics_count_requests_and_rows(server, churn):
    server.push("churn", churn.path)
    for _ in range(3):
        values(server.predict("churn", {"instances": churn.instances(2)}))
    server.predict("churn", {"instances": [[1]]})
    labels = 'model="churn",version="1",arm="stable"'
    wanted = (f'slipway_requests_total{{{labels},code="2xx"}} 3', f'slipway_requests_total{{{labels},code="4xx"}} 1',
              'slipway_other_requests_total{code="4xx"} 0',  # counted once, for its model
              f"slipway_rows_total{{{labels}}} 6", f"slipway_request_duration_seconds_count{{{labels}}} 3")
    # A client has its answer before another gateway may see it counted.
    until(lambda: requests.get(f"{server.url}/metrics", timeout=60).text,
          lambda page: all(f"{text}\n" in page for text in wanted))
