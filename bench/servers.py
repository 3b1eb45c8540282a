# SPDX-License-Identifier: Apache-2.0
"""Servers under test: started on a free loopback port, pinned to a core, measured by the CPU time of all their threads."""

import hashlib
import json
import os
import pathlib
import shutil
import socket
import subprocess
import sys
import time
import urllib.request

ROOT = pathlib.Path(__file__).resolve().parents[1]


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def descendants(pid):
    """pid and all processes below it."""
    found, todo = [], [pid]
    while todo:
        p = todo.pop()
        found.append(p)
        try:
            for task in os.listdir(f"/proc/{p}/task"):
                todo += [int(c) for c in pathlib.Path(f"/proc/{p}/task/{task}/children").read_text().split()]
        except OSError:
            pass
    return found


def cpu_split(pid):
    """(user, system) seconds of the process tree, in clock ticks' resolution."""
    user = system = 0
    for p in descendants(pid):
        try:
            fields = pathlib.Path(f"/proc/{p}/stat").read_text().rsplit(")", 1)[1].split()
            user, system = user + int(fields[11]), system + int(fields[12])
        except OSError:
            pass
    tick = os.sysconf("SC_CLK_TCK")
    return user / tick, system / tick


def cpu_seconds(pid):
    """Time on a processor of the process tree: to the nanosecond, of those that have ended to the clock tick."""
    total = 0
    for p in descendants(pid):
        try:
            ended = pathlib.Path(f"/proc/{p}/stat").read_text().rsplit(")", 1)[1].split()[13:15]
            total += sum(map(int, ended)) * 1_000_000_000 // os.sysconf("SC_CLK_TCK")
            for task in os.listdir(f"/proc/{p}/task"):
                total += int(pathlib.Path(f"/proc/{p}/task/{task}/schedstat").read_text().split()[0])
        except OSError:
            pass
    return total / 1e9


def cpu_by_role(pid):
    """Time on a processor of the processes of our server that live, by their first argument."""
    found = {}
    for p in descendants(pid):
        try:
            words = pathlib.Path(f"/proc/{p}/cmdline").read_bytes().split(b"\0")
            name = words[1].decode() if len(words) > 2 else ""
            found[name] = found.get(name, 0) + int(pathlib.Path(f"/proc/{p}/schedstat").read_text().split()[0]) / 1e9
        except OSError:
            pass
    return found


def own_seconds(pid):
    """The same of one process, without those below it."""
    return sum(int(pathlib.Path(f"/proc/{pid}/task/{task}/schedstat").read_text().split()[0])
               for task in os.listdir(f"/proc/{pid}/task")) / 1e9


def process_of(pid, role):
    """The one below pid that was started as `role`."""
    for p in descendants(pid):
        if pathlib.Path(f"/proc/{p}/cmdline").read_bytes().split(b"\0")[1:2] == [role.encode()]:
            return p
    raise RuntimeError(f"no process {role}")


def memory_bytes(pid, key="Pss"):
    total = 0
    for p in descendants(pid):
        try:
            for line in pathlib.Path(f"/proc/{p}/smaps_rollup").read_text().splitlines():
                if line.startswith(key + ":"):
                    total += int(line.split()[1]) * 1024
        except OSError:
            pass
    return total


class Server:
    """A running server: .url is where predictions go; with-statement ends it."""

    def __init__(self, name, argv, port, path, core, env=None, cwd=None):
        self.name, self.port = name, port
        self.url = f"http://127.0.0.1:{port}{path}"
        self.process = subprocess.Popen(["taskset", "-c", str(core), *argv], env={**os.environ, **(env or {})}, cwd=cwd,
                                        stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        self._wait()

    def _wait(self):
        end = time.monotonic() + 60
        while time.monotonic() < end:
            if self.process.poll() is not None:
                break
            try:
                socket.create_connection(("127.0.0.1", self.port), timeout=1).close()
                return
            except OSError:
                time.sleep(0.02)
        self.__exit__()
        raise SystemExit(f"bench: {self.name} does not start")

    @property
    def pid(self):
        return self.process.pid

    def __enter__(self):
        return self

    def __exit__(self, *ignored):
        self.process.terminate()
        try:
            self.process.wait(20)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


def call(url, data=None, method=None):
    request = urllib.request.Request(url, data=data, method=method, headers={"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=60) as answer:
        return answer.read(), answer.headers


def push(base, name, path, **settings):
    data = pathlib.Path(path).read_bytes()
    digest = "sha256:" + hashlib.sha256(data).hexdigest()
    call(f"{base}/api/v1/blobs/{digest}", data, "PUT")
    manifest = {"artifacts": [{"name": pathlib.Path(path).name, "digest": digest, "size": len(data)}], **settings}
    return json.loads(call(f"{base}/api/v1/models/{name}/versions", json.dumps(manifest).encode(), "POST")[0])


def slipway(binary, folder, core, models, *flags):
    """One gateway; every process on the core."""
    data, port = pathlib.Path(folder) / "data", free_port()
    shutil.rmtree(data, ignore_errors=True)
    data.parent.mkdir(parents=True, exist_ok=True)
    s = Server("slipway", [str(binary), "serve", "--listen", f"127.0.0.1:{port}", "--data-dir", str(data), "--gateways", "1", *flags],
               port, "/v1/models/w1:predict", core)
    end = time.monotonic() + 10
    while True:
        try:
            call(f"http://127.0.0.1:{port}/v2/health/ready")
            break
        except OSError:
            if time.monotonic() > end:
                raise
            time.sleep(0.02)
    for name, path in models.items():
        push(f"http://127.0.0.1:{port}", name, path)
    return s


NGINX = """daemon off; master_process off; worker_processes 1; pid {folder}/nginx.pid; error_log {folder}/error.log;
events {{ worker_connections 20000; }}
http {{ access_log off; keepalive_requests 1000000000; client_body_temp_path {folder}; proxy_temp_path {folder};
  fastcgi_temp_path {folder}; uwsgi_temp_path {folder}; scgi_temp_path {folder};
  server {{ listen 127.0.0.1:{port}; location / {{ default_type application/json;
    return 200 '{body}'; }} }} }}
"""


def nginx(folder, core, body):
    """Answers every request with a fixed body."""
    folder = pathlib.Path(folder) / "nginx"
    folder.mkdir(exist_ok=True)
    port = free_port()
    (folder / "nginx.conf").write_text(NGINX.format(folder=folder, port=port, body=body))
    return Server("nginx", ["nginx", "-c", str(folder / "nginx.conf"), "-e", str(folder / "error.log")], port, "/", core)


def fastapi(core, model, app="fastapi_app"):
    port = free_port()
    return Server("fastapi", [sys.executable, "-m", "uvicorn", f"{app}:app", "--port", str(port), "--log-level", "warning",
                              "--no-access-log"], port, "/v1/models/w1:predict", core,
                  env={"MODEL": str(model), "OMP_NUM_THREADS": "1"}, cwd=ROOT / "bench" / "peers")


def fastify(core, model, modules):
    port = free_port()
    return Server("fastify", ["node", str(ROOT / "bench" / "peers" / "fastify_app.js")], port, "/v1/models/w1", core,
                  env={"MODEL": str(model), "PORT": str(port), "NODE_PATH": str(modules)})
