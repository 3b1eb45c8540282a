# SPDX-License-Identifier: Apache-2.0
"""ONNX models in replicas, from push to removal, while replicas, gateways and the controller are killed under load."""

import os
import pathlib
import signal
import threading
import time

import pytest
import requests


@pytest.fixture(scope="session")
def doubling(tmp_path_factory):
    """y = 2 x, rows of two values."""
    import onnx
    from onnx import TensorProto, helper

    graph = helper.make_graph(
        [helper.make_node("Mul", ["x", "k"], ["y"])], "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 2])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["n", 2])],
        [helper.make_tensor("k", TensorProto.FLOAT, [1], [2.0])])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    path = tmp_path_factory.mktemp("onnx") / "double.onnx"
    path.write_bytes(model.SerializeToString())
    return path


def infer(server, value, model="double", session=requests):
    body = {"inputs": [{"name": "x", "shape": [1, 2], "datatype": "FP32", "data": [value, 1]}]}
    return session.post(f"{server.url}/v2/models/{model}/infer", json=body, timeout=60)


def status(server):
    return requests.get(server.url + "/api/v1/status", timeout=60).json()


def replicas(server, model="double", kind="replica"):
    return [p for p in status(server)["processes"] if p["kind"] == kind and p["model"] == model]


def until(look, wanted, timeout=60):
    end = time.monotonic() + timeout
    while not wanted(got := look()):
        assert time.monotonic() < end, got
        time.sleep(0.01)
    return got


def ready(server, n, model="double"):
    return until(lambda: replicas(server, model), lambda rs: len(rs) == n and all(r["state"] == "ready" for r in rs))


class Load:
    """Requests one after the other from four connections; every answer's value is checked."""

    def __init__(self, server, model="double"):
        self.server, self.model, self.stop = server, model, threading.Event()
        self.right, self.wrong = 0, []
        self.threads = [threading.Thread(target=self.run, args=(i,)) for i in range(4)]

    def run(self, i):
        with requests.Session() as session:
            while not self.stop.is_set():
                i = (i + 4) % 100000
                try:
                    answer = infer(self.server, i, self.model, session)
                    if answer.status_code == 200 and answer.json()["outputs"][0]["data"] == [2.0 * i, 2.0]:
                        self.right += 1
                    else:
                        self.wrong.append((answer.status_code, answer.text))
                except requests.RequestException as e:
                    self.wrong.append(repr(e))

    def more(self, n=50):
        at = self.right
        until(lambda: self.right, lambda now: now >= at + n or self.wrong)

    def __enter__(self):
        for t in self.threads:
            t.start()
        return self

    def __exit__(self, *_):
        self.stop.set()
        for t in self.threads:
            t.join()


def test_kills_of_replicas_loader_and_controller_fail_no_request(start_server, doubling):
    server = start_server("--gateways", 2)
    made = server.push("double", doubling, replicas=2)
    assert made["settings"] == {"replicas": 2} and made["serving"] == "ready"
    with Load(server) as load:
        for n in range(20):
            victim = ready(server, 2)[n % 2]
            os.kill(victim["pid"], signal.SIGKILL)
            until(lambda: replicas(server)[n % 2], lambda r: r["restarts"] > victim["restarts"])
            load.more()
        os.kill(replicas(server, kind="loader")[0]["pid"], signal.SIGKILL)
        load.more()
        before = [r["pid"] for r in ready(server, 2)]
        server.kill_child("controller")
        server.wait_child("child_ready", "controller", n=2)
        load.more()
        assert [r["pid"] for r in ready(server, 2)] == before
    assert load.wrong == [] and load.right > 1000
    assert not server.find("deployment_failed")


def test_with_one_replica_there_is_503_only_and_not_for_long(start_server, doubling):
    server = start_server("--gateways", 1)
    server.push("double", doubling)
    (victim,) = ready(server, 1)
    os.kill(victim["pid"], signal.SIGKILL)
    refused = []  # for how long: dev/bench recovery
    until(lambda: refused.append(infer(server, 1)) or refused[-1].status_code, lambda code: code == 200, timeout=15)
    assert all(r.status_code == 503 and "Retry-After" in r.headers for r in refused[:-1]), refused


def test_a_restarted_gateway_answers_with_the_same_replicas(start_server, doubling):
    server = start_server("--gateways", 1)
    server.push("double", doubling, replicas=2)
    before = [r["pid"] for r in ready(server, 2)]
    server.kill_child("gateway")
    server.wait_child("child_ready", "gateway", n=2)
    until(lambda: infer(server, 4).status_code, lambda code: code == 200)
    assert [r["pid"] for r in ready(server, 2)] == before


def test_a_version_that_crashes_is_given_up_with_its_reason_and_others_serve(start_server, doubling):
    server = start_server("--gateways", 1)
    server.push("double", doubling)
    server.push("other", doubling)
    for n in range(5):
        victim = until(lambda: replicas(server)[0], lambda r: r["state"] == "ready" and r["restarts"] == n)
        os.kill(victim["pid"], signal.SIGSEGV)
    (mine,) = until(lambda: [d for d in status(server)["deployments"] if d["model"] == "double"],
                    lambda ds: ds[0]["state"] == "failed")
    assert mine["error"] == "ended by signal 11, the last of 5 deaths in 30 s"
    assert until(lambda: infer(server, 1).status_code, lambda code: code == 503)
    assert infer(server, 1, "other").json()["outputs"][0]["data"] == [2, 2]
    states = [f'slipway_replica_state{{model="{model}",version="1",process="replica",index="0",state="{state}"}} 1'
              for model, state in (("double", "failed"), ("other", "ready"))]
    until(lambda: requests.get(server.url + "/metrics", timeout=60).text, lambda text: all(s in text for s in states))


def test_a_model_that_does_not_fit_its_memory_limit_is_refused_with_it(start_server, doubling):
    server = start_server("--gateways", 1)
    with pytest.raises(AssertionError, match="cannot load within its memory limit of 1 MiB"):
        server.push("double", doubling, memory_mb=1)
    assert requests.get(server.url + "/api/v1/models", timeout=60).json()["models"] == []


def test_a_deleted_model_leaves_no_process_and_a_restart_brings_the_others_back(start_server, doubling, tmp_path):
    server = start_server("--gateways", 1, data_dir=tmp_path / "kept")
    server.push("double", doubling, replicas=2)
    server.push("other", doubling, threads=2)
    gone = [p["pid"] for p in replicas(server) + replicas(server, kind="loader")]
    assert replicas(server, "other", "loader") == []
    assert requests.delete(server.url + "/api/v1/models/double", timeout=60).status_code == 200
    until(lambda: [pid for pid in gone if pathlib.Path(f"/proc/{pid}").exists()], lambda left: not left)
    assert infer(server, 1, "other").status_code == 200
    left = [p["pid"] for p in status(server)["processes"]]
    assert server.stop() == 0
    assert not [pid for pid in left if pathlib.Path(f"/proc/{pid}").exists()]
    again = start_server("--gateways", 1, data_dir=tmp_path / "kept")
    assert until(lambda: infer(again, 3, "other"), lambda a: a.status_code == 200).json()["outputs"][0]["data"] == [6, 2]


def test_wrong_settings_are_refused(start_server, doubling, churn):
    server = start_server("--gateways", 1)
    with pytest.raises(AssertionError, match="expected a whole number from 1 to 256, got 0"):
        server.push("double", doubling, threads=0)
    with pytest.raises(AssertionError, match="'threads' is a setting of models that run in replicas"):
        server.push("churn", churn.path, threads=2)
    assert requests.get(server.url + "/api/v1/models", timeout=60).json()["models"] == []
