# SPDX-License-Identifier: Apache-2.0
"""Files over the admin API: what was stored comes back, whatever its size."""

import hashlib
import pathlib

import numpy as np
import requests


def store(server, data):
    digest = "sha256:" + hashlib.sha256(data).hexdigest()
    url = f"{server.url}/api/v1/blobs/{digest}"
    assert requests.put(url, data=data, timeout=180).status_code == 201
    return url


def test_a_file_larger_than_an_answer_in_memory_is_read_back(start_server):
    server = start_server("--gateways", "1")
    data = np.random.default_rng(1).bytes(90 << 20)
    url = store(server, data)
    before = peak_kb(server.child_pid("gateway"))
    with requests.Session() as session:
        assert session.head(url, timeout=180).headers["Content-Length"] == str(len(data))
        for _ in range(2):  # twice on one connection
            answer = session.get(url, timeout=180)
            assert answer.status_code == 200 and answer.content == data
        assert session.get(f"{server.url}/api/v1/models", timeout=180).json() == {"models": []}
    # It went through: the gateway did not hold it.
    assert peak_kb(server.child_pid("gateway")) - before < 48 << 10
    assert not server.find("child_ended")


def test_a_reader_that_leaves_half_way_harms_nobody(start_server):
    server = start_server("--gateways", "1")
    url = store(server, bytes(90 << 20))
    for _ in range(3):
        with requests.get(url, stream=True, timeout=180) as answer:
            assert len(next(answer.iter_content(1000))) == 1000
    assert requests.head(url, timeout=180).status_code == 200
    assert not server.find("child_ended")


def peak_kb(pid):
    for line in pathlib.Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1])
    raise AssertionError("no peak")
