# SPDX-License-Identifier: Apache-2.0
"""Instructions a gateway executes per request, or the monitor per record of the prediction log, by callgrind.

Arguments: binary, model, file of bodies, requests sent at once [, profile to keep]. The variables SERVE_FLAGS: more
flags for the server; COUNT: gateway, or monitor; CANARY: percent of the requests that go to a second version of the same
model, in a rollout.

A process under callgrind takes the place of a running one, with its arguments and its descriptors, while the supervisor
is halted. Two runs with different numbers of requests: the difference leaves out start and end.
"""

import ctypes
import json
import os
import pathlib
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time

import servers

PIDFD_OPEN, PIDFD_GETFD = 434, 438
FDS = {3: 40, 4: 41, 5: 42, 6: 43, 7: 44, 8: 45}  # descriptors of either, and where this script keeps copies
COUNT = os.environ.get("COUNT", "gateway")


def child_of(supervisor):
    for pid in servers.descendants(supervisor):
        argv = pathlib.Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
        if len(argv) > 1 and argv[1] == b"@" + COUNT.encode():
            return pid, [a.decode() for a in argv[1:-1]]
    raise SystemExit(f"no {COUNT} runs")


def begin_rollout(url, model, percent):
    """Goes on for as long as the measurement may take."""
    servers.push(url, "w1", model, promote=False)
    body = {"model": "w1", "candidate": "2", "steps": [{"weight": percent, "min_seconds": 6000}]}
    servers.call(f"{url}/api/v1/rollouts", json.dumps(body).encode())
    end = time.monotonic() + 60
    while json.loads(servers.call(f"{url}/api/v1/rollouts/1")[0])["state"] != "running":
        if time.monotonic() > end:
            raise SystemExit("the rollout does not begin")
        time.sleep(0.05)


def copy_descriptors(pid):
    libc = ctypes.CDLL(None, use_errno=True)
    pidfd = libc.syscall(PIDFD_OPEN, pid, 0)
    for theirs, ours in FDS.items():
        fd = libc.syscall(PIDFD_GETFD, pidfd, theirs, 0)
        if fd < 0:  # the pipe that says "ready" is closed by now
            fd = os.open("/dev/null", os.O_RDWR)
        os.dup2(fd, ours, inheritable=True)
        os.close(fd)
    os.close(pidfd)


def predict(sock, bodies):
    """Sends one request for each body together, and waits for as many answers."""
    sock.sendall(b"".join(b"POST /v1/models/w1:predict HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n%s" % (len(b), b)
                          for b in bodies))
    got = b""
    while got.count(b"]}") < len(bodies):
        got += sock.recv(65536)
    assert got.count(b"HTTP/1.1 200 ") == len(bodies), got


def wait_for_log(server, n):
    """Until the monitor has made n records durable."""
    end = time.monotonic() + 600
    while time.monotonic() < end:
        try:
            if json.loads(servers.call(f"http://127.0.0.1:{server.port}/api/v1/log/status")[0])["committed"] >= n:
                return
        except OSError:
            pass
        time.sleep(0.2)
    raise SystemExit("the log does not get it all")


def cost_of_calls(text, name):
    """Instructions of all calls of a function, with what it called."""
    names, total, lines = {}, 0, iter(text.splitlines())
    for line in lines:
        found = re.match(r"c?fn=\((\d+)\)(?: (\S+))?", line)
        if found and found[2]:
            names[found[1]] = found[2]
        if found and line.startswith("cfn="):
            next(lines)  # calls=…
            cost = int(next(lines).split()[1])
            total += cost if names.get(found[1], "").split(".")[0] == name else 0
    return total


def run(binary, model, lines, n, depth, keep=None):
    """Instructions of the process for n requests over one connection, depth at a time."""
    with tempfile.TemporaryDirectory(prefix="slipway-callgrind-") as folder, \
            servers.slipway(binary, folder, 0, {"w1": model}, *os.environ.get("SERVE_FLAGS", "").split()) as server:
        if os.environ.get("CANARY"):
            begin_rollout(f"http://127.0.0.1:{server.port}", model, float(os.environ["CANARY"]))
        pid, argv = child_of(server.pid)
        os.kill(server.pid, signal.SIGSTOP)  # taskset became the supervisor: same process
        copy_descriptors(pid)
        os.kill(pid, signal.SIGKILL)
        redirect = " ".join(f"{theirs}<&{ours}" for theirs, ours in FDS.items())
        out = f"{folder}/callgrind.out"
        command = ["valgrind", "--tool=callgrind", f"--callgrind-out-file={out}", "-q", str(binary), *argv]
        with subprocess.Popen(["bash", "-c", f'exec "$@" {redirect}', "bash", *command], pass_fds=list(FDS.values())) as counted:
            for fd in FDS.values():
                os.close(fd)
            try:
                with socket.create_connection(("127.0.0.1", server.port), timeout=60) as s:
                    for i in range(0, n, depth):
                        predict(s, [lines[k % len(lines)] for k in range(i, i + depth)])
                if COUNT == "monitor":
                    wait_for_log(server, n)
                counted.send_signal(signal.SIGTERM)
                counted.wait(60)
            finally:
                counted.kill()
                os.kill(server.pid, signal.SIGCONT)
        if keep:
            shutil.copy(out, keep)
        text = pathlib.Path(out).read_text()
        # What a rollout's counts cost to send is a matter of time, which is not that of a server under callgrind.
        return int(re.search(r"^(?:summary|totals): (\d+)", text, re.M).group(1)) - cost_of_calls(text, "trials_report")


def main():
    binary, model, bodies, depth, *keep = sys.argv[1:]
    lines = [line.strip() for line in open(bodies, "rb")][:500]
    few, many = (512, 2560) if COUNT == "gateway" else (2048, 18432)
    most = run(binary, model, lines, many, int(depth), *keep)
    print(f"{(most - run(binary, model, lines, few, int(depth))) / (many - few):.0f}")


main()
