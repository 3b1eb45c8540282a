# SPDX-License-Identifier: Apache-2.0
"""Models out of a real MLflow: its directories, and a tracking server with its REST API."""

import http.server
import json
import os
import pathlib
import random
import re
import signal
import socket
import ssl
import subprocess
import threading

import numpy as np
import pytest
import requests
from conftest import BINARY, ROOT

PYTHON = ROOT / "build" / "mlflow" / "bin" / "python"


def free_port():
    """One that no other process is given by chance before our server listens there."""
    first = int(pathlib.Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()[0])
    while True:
        with socket.socket() as tried:
            port = random.randrange(max(1024, first - 20000), first)
            try:
                tried.bind(("127.0.0.1", port))
                return port
            except OSError:
                pass


class Tracking:
    """A server that the real client has logged models to."""

    def __init__(self, folder):
        self.folder = folder
        self.url = f"http://127.0.0.1:{free_port()}"
        env = {**os.environ, "MLFLOW_DISABLE_TELEMETRY": "true", "GIT_PYTHON_REFRESH": "quiet"}
        self.log = open(folder / "log", "w")
        self.process = subprocess.Popen(
            [PYTHON, "-m", "mlflow", "server", "--backend-store-uri", f"sqlite:///{folder}/mlflow.db",
             "--artifacts-destination", str(folder / "artifacts"), "--host", "127.0.0.1",
             "--port", self.url.rsplit(":", 1)[1], "--workers", "1"],
            stdout=self.log, stderr=self.log, env=env, cwd=folder, start_new_session=True)
        try:
            done = subprocess.run([PYTHON, pathlib.Path(__file__).with_name("mlflow_models.py"), self.url, folder],
                                  capture_output=True, text=True, timeout=1200, env=env, cwd=folder)
            assert done.returncode == 0, done.stderr[-4000:] + (folder / "log").read_text()[-2000:]
            self.says = json.loads((folder / "says.json").read_text())
        except BaseException:
            self.stop()
            raise

    def stop(self):
        os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()
        self.log.close()

    def directory(self, name):
        """Where the model lies in the server's store."""
        (found,) = (self.folder / "artifacts").glob("*/models/" + self.says[name]["uri"].split("/")[1] + "/artifacts")
        return found


@pytest.fixture(scope="module")
def mlflow(tmp_path_factory):
    assert PYTHON.exists(), "dev/setup test makes build/mlflow"
    tracking = Tracking(tmp_path_factory.mktemp("mlflow"))
    yield tracking
    tracking.stop()


@pytest.fixture
def push(server, mlflow):
    """slipway push, with the tracking server in the environment."""

    def run(model, source, *flags, ok=True, **env):
        done = subprocess.run([BINARY, "push", model, str(source), *map(str, flags)], capture_output=True, text=True,
                              timeout=180, env={**os.environ, "SLIPWAY_URL": server.url,
                                               "MLFLOW_TRACKING_URI": mlflow.url, **env})
        if ok:
            assert done.returncode == 0, done.stderr
        return done

    return run


def version(server, model, number=1):
    return requests.get(f"{server.url}/api/v1/models/{model}/versions/{number}", timeout=60).json()


def predictions(server, model, instances):
    answer = server.predict(model, {"instances": instances})
    assert answer.status_code == 200, answer.text
    return answer.json()["predictions"]


def roles(described):
    return {artifact["role"]: artifact["name"] for artifact in described["artifacts"]}


def test_a_registered_model_by_its_alias(server, mlflow, push):
    done = push("churn", "models:/churn@champion")
    got = version(server, "churn")
    assert np.allclose(predictions(server, "churn", mlflow.says["rows"]), mlflow.says["xgboost"]["expected"], atol=1e-6)
    assert got["trained_from"] == "runs:/" + mlflow.says["run"]
    assert got["description"] == "the first one"
    assert got["metrics"] == {"auc": 0.91, "loss": 1e-7}
    assert got["tags"]["mlflow.registered_model"] == "churn/1"
    assert got["tags"]["mlflow.version"] == "3.5.1"
    assert got["tags"]["mlflow.model_id"] == mlflow.says["xgboost"]["uri"].split("/")[1]
    assert roles(got) == {"model": "model.json", "example": "input_example.json"}
    example = json.loads(requests.get(f"{server.url}/api/v1/blobs/{got['artifacts'][1]['digest']}", timeout=60).content)
    assert example["columns"] == ["age", "income"]
    assert [column["type"] for column in got["signature"]["inputs"]] == ["integer", "number"]
    assert "MLflow's predict answers classes" in done.stderr and "conda.yaml" in done.stderr
    # The same model as a directory.
    push("directory", mlflow.directory("xgboost"))
    assert version(server, "directory")["digest"] == got["digest"]
    assert "metrics" not in version(server, "directory")


@pytest.mark.parametrize("source", ["number", "run", "logged model", "folder of the run"])
def test_other_addresses(server, mlflow, push, source):
    run = mlflow.says["run"]
    uri, expected = {
        "number": ("models:/price tag/1", "lightgbm"),
        "run": (f"runs:/{run}/as_ubj", "ubj"),
        "logged model": (mlflow.says["ubj"]["uri"], "ubj"),
        "folder of the run": (f"runs:/{run}/folder/plain", "xgboost"),
    }[source]
    push("m", uri, "--tracking-uri", mlflow.url + "/", MLFLOW_TRACKING_URI="http://127.0.0.1:1")
    assert np.allclose(predictions(server, "m", mlflow.says["rows"]), mlflow.says[expected]["expected"], atol=1e-6)


def test_a_network_with_its_weights_in_a_file_of_their_own(server, mlflow, push):
    for source in (mlflow.says["onnx"]["uri"], mlflow.directory("onnx")):
        push("net", source)
        got = version(server, "net", "champion")
        assert set(roles(got)) == {"model", "data"}
        found = predictions(server, "net", mlflow.says["rows"])
        assert np.allclose(np.ravel(found), np.ravel(mlflow.says["onnx"]["expected"]), rtol=1e-4, atol=1e-4)


def test_the_lines_printed_for_a_pickle_export_it(server, mlflow, push, tmp_path):
    printed = {}
    for name in ("sklearn", "pipeline", "estimator"):
        done = push(name, mlflow.says[name]["uri"], ok=False)
        assert done.returncode == 1 and "a pickle is code" in done.stderr
        printed[name] = "\n".join(line[4:] for line in done.stderr.splitlines() if line.startswith("    "))
    # Each as a program of its own, in one process, because the imports take long.
    program = "import json, os, sys\nfor name, lines in json.load(sys.stdin).items():\n" \
              "    os.mkdir(name)\n    os.chdir(name)\n    exec(compile(lines, name, 'exec'), {})\n    os.chdir('..')\n"
    run = subprocess.run([PYTHON, "-c", program], input=json.dumps(printed), capture_output=True, text=True, timeout=600,
                         cwd=tmp_path, env={**os.environ, "MLFLOW_TRACKING_URI": mlflow.url})
    assert run.returncode == 0, run.stderr
    for name in printed:
        (written,) = (tmp_path / name).iterdir()
        assert f'"{written.name}"' in printed[name]
        push(name, written)
        rows = mlflow.says["rows"]
        if name == "pipeline":
            rows = [{"age": [a], "income": [i], "city": [c]} for (a, i), c in zip(rows, mlflow.says["cities"])]
        found = predictions(server, name, rows)
        if name != "estimator":
            found = [row["output_probability"][1] for row in found]
        assert np.allclose(found, mlflow.says[name]["expected"], atol=1e-5)


@pytest.mark.parametrize("source, says", [
    ("models:/nobody/1", "Model Version (name=nobody, version=1) not found"),
    ("models:/churn@nobody", "alias nobody not found"),
    ("models:/churn/Production", "stages have been replaced"),
    ("models:/churn", "is not understood"),
    ("runs:/RUN/nothing", "there is no 'MLmodel'"),
    ("runs:/0123456789abcdef0123456789abcdef/model", "not found"),
    ("models:/far/1", "mlflow artifacts download"),
])
def test_what_is_not_there_is_said(server, mlflow, push, source, says):
    done = push("m", source.replace("RUN", mlflow.says["run"]), ok=False)
    assert done.returncode in (1, 3) and says in done.stderr, done.stderr
    assert requests.get(f"{server.url}/api/v1/models/m", timeout=60).status_code == 404


@pytest.fixture
def front(mlflow):
    """A proxy before the tracking server that asks for credentials, and misbehaves on some paths."""
    seen = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            seen.append((self.path, self.headers.get("Authorization")))
            where = self.path.split("/", 2)[1]
            if where == "round":
                self.answer(302, b"", Location=self.path)
            elif where == "away":
                self.answer(302, b"", Location=mlflow.url.replace("127.0.0.1", "localhost") + self.path[5:])
            elif where == "elsewhere":
                self.answer(302, b"", Location=f"http://localhost:{self.server.server_port}/open")
            elif where == "file":
                self.answer(302, b"", Location="file:///etc/hostname")
            elif where == "endless":
                self.send_response(200)
                self.end_headers()
                try:
                    while True:
                        self.wfile.write(b"[" * 65536)
                except OSError:
                    pass
            elif where == "silent":
                silence.wait(120)
            elif self.headers.get("Authorization") not in ("Bearer s3cret", "Basic bWU6czNjcmV0"):
                self.answer(401, b"who are you?")
            else:
                got = requests.get(mlflow.url + self.path, timeout=60)
                self.answer(got.status_code, got.content)

        def answer(self, status, body, **headers):
            self.send_response(status)
            for name, value in {**headers, "Content-Length": str(len(body))}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_):
            pass

    silence = threading.Event()
    proxy = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    proxy.daemon_threads = True
    thread = threading.Thread(target=proxy.serve_forever)
    thread.start()
    proxy.url, proxy.seen = f"http://127.0.0.1:{proxy.server_port}", seen
    yield proxy
    silence.set()
    proxy.shutdown()
    proxy.server_close()
    thread.join()


def test_credentials_go_to_their_server_alone(server, push, front):
    uri = {"MLFLOW_TRACKING_URI": front.url}
    done = push("m", "models:/churn@champion", ok=False, **uri)
    assert done.returncode == 3 and "401" in done.stderr and "MLFLOW_TRACKING_TOKEN" in done.stderr
    user = {"MLFLOW_TRACKING_USERNAME": "me", "MLFLOW_TRACKING_PASSWORD": "s3cret"}
    push("m", "models:/churn@champion", **uri, **user)
    push("m", "models:/churn@champion", **uri, MLFLOW_TRACKING_TOKEN="s3cret")

    for how in (user, {"MLFLOW_TRACKING_TOKEN": "s3cret"}):
        front.seen.clear()
        done = push("m", "models:/churn/1", ok=False, MLFLOW_TRACKING_URI=front.url + "/elsewhere", **how)
        (first, second) = front.seen
        assert first[1] and second == ("/open", None)
        assert done.returncode == 3 and "s3cret" not in done.stderr + done.stdout
    done = push("m", "models:/churn/1", ok=False, MLFLOW_TRACKING_URI=front.url.replace("//", "//me:s3cret@"))
    assert done.returncode == 1 and "s3cret" not in done.stderr and "MLFLOW_TRACKING_USERNAME" in done.stderr


@pytest.mark.parametrize("path, says, timeout", [
    ("round", "redirects", 60),
    ("file", "cannot be reached", 60),
    ("endless", "is larger than", 60),
    ("silent", "was silent for 1 seconds", 1),
])
def test_a_server_that_misbehaves_does_not_hold_a_push(push, front, path, says, timeout):
    done = push("m", "models:/churn/1", "--tracking-uri", f"{front.url}/{path}", "--timeout", timeout, ok=False)
    assert done.returncode == 1 and says in done.stderr, done.stderr
    assert len(front.seen) <= 4


def test_https_with_a_certificate_of_ones_own(push, front, tmp_path):
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes",
                    "-subj", "/CN=test", "-addext", "subjectAltName=IP:127.0.0.1", "-days", "2",
                    "-keyout", tmp_path / "key", "-out", tmp_path / "cert"], check=True, capture_output=True)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tmp_path / "cert", tmp_path / "key")
    front.socket = context.wrap_socket(front.socket, server_side=True)
    url = front.url.replace("http:", "https:")
    how = {"MLFLOW_TRACKING_URI": url, "MLFLOW_TRACKING_TOKEN": "s3cret"}
    done = push("m", "models:/churn@champion", ok=False, **how)
    assert done.returncode == 1 and "MLFLOW_TRACKING_SERVER_CERT_PATH" in done.stderr and not front.seen
    push("m", "models:/churn@champion", **how, MLFLOW_TRACKING_SERVER_CERT_PATH=str(tmp_path / "cert"))
    push("m", "models:/churn@champion", **how, MLFLOW_TRACKING_INSECURE_TLS="true")
    # Never from https to http.
    front.seen.clear()
    done = push("m", "models:/churn@champion", ok=False, **{**how, "MLFLOW_TRACKING_URI": url + "/away"},
                MLFLOW_TRACKING_SERVER_CERT_PATH=str(tmp_path / "cert"))
    assert done.returncode == 1 and len(front.seen) == 1 and "cannot be reached" in done.stderr


def test_redirects_are_followed(server, push, front):
    push("m", "models:/churn@champion", MLFLOW_TRACKING_URI=front.url + "/away")
    assert version(server, "m")["tags"]["mlflow.flavor"] == "xgboost"


def test_without_libcurl_it_is_said_what_to_install(push, tmp_path):
    (tmp_path / "libcurl.so.4").write_text("no library")
    done = push("m", "models:/churn/1", ok=False, LD_LIBRARY_PATH=str(tmp_path))
    assert done.returncode == 1 and "libcurl" in done.stderr and "apt install libcurl4" in done.stderr


def test_a_server_that_is_no_mlflow(server, push):
    done = push("m", "models:/churn/1", "--tracking-uri", server.url, ok=False)
    assert done.returncode == 1 and "Is it an MLflow tracking server?" in done.stderr
    done = push("m", "models:/churn/1", "--tracking-uri", "sqlite:///mlflow.db", ok=False)
    assert done.returncode == 1 and "mlflow server --backend-store-uri" in done.stderr


OTHERS = {"pytorch": "torch.onnx.export", "tensorflow": "tf2onnx", "keras": "tf2onnx", "catboost": 'format="onnx"',
          "spark": "onnxmltools", "statsmodels": None, "prophet": None}


@pytest.mark.parametrize("flavor", OTHERS)
def test_other_flavors_are_told_what_to_do(push, tmp_path, flavor):
    (tmp_path / "MLmodel").write_text(f"flavors:\n  {flavor}:\n    data: data\n  python_function:\n    loader_module: x\n")
    done = push("m", tmp_path, ok=False)
    assert done.returncode == 1
    lines = "\n".join(line[4:] for line in done.stderr.splitlines() if line.startswith("    "))
    compile(lines, "printed", "exec")
    if OTHERS[flavor]:
        assert OTHERS[flavor] in lines and str(tmp_path) in lines
    else:
        assert not lines and flavor in done.stderr and "xgboost, lightgbm and onnx" in done.stderr


def test_xgboosts_old_binary_format(push, tmp_path):
    (tmp_path / "MLmodel").write_text("flavors:\n  xgboost:\n    data: model.xgb\n    xgb_version: 1.4.2\n")
    (tmp_path / "model.xgb").write_bytes(b"binf" + bytes(100))
    done = push("m", tmp_path, ok=False)
    assert done.returncode == 1 and "old binary format" in done.stderr and "1.4.2" in done.stderr
    assert re.search(r'save_model\("model\.ubj"\)', done.stderr)
