# SPDX-License-Identifier: Apache-2.0
"""Instructions a gateway executes per request, by callgrind. Arguments: binary, model, file of bodies.

Two runs with different numbers of requests; their difference divided by the difference in requests leaves out the start.
"""

import json
import pathlib
import re
import socket
import subprocess
import sys
import tempfile

import servers


def run(binary, model, lines, n):
    """Instructions of the gateway process for n requests over one connection."""
    with tempfile.TemporaryDirectory(prefix="slipway-callgrind-") as folder:
        port = servers.free_port()
        argv = ["valgrind", "--tool=callgrind", "--trace-children=yes", f"--callgrind-out-file={folder}/out.%p", "-q", binary, "serve",
                "--listen", f"127.0.0.1:{port}", "--data-dir", f"{folder}/data", "--gateways", "1"]
        server = servers.Server("slipway under callgrind", argv, port, "/", 0)
        with server:
            import time
            for _ in range(600):
                try:
                    servers.call(f"http://127.0.0.1:{port}/v2/health/ready")
                    break
                except OSError:
                    time.sleep(0.05)
            servers.push(f"http://127.0.0.1:{port}", "w1", model)
            s = socket.create_connection(("127.0.0.1", port))
            for i in range(n):
                body = lines[i % len(lines)]
                s.sendall(b"POST /v1/models/w1:predict HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body))
                assert s.recv(65536).startswith(b"HTTP/1.1 200")
            s.close()
        totals = []
        for f in pathlib.Path(folder).glob("out.*"):
            text = f.read_text()
            if "@gateway" in text.split("\n\n", 1)[0] or "@gateway" in text[:2000]:
                totals.append(int(re.search(r"^(?:summary|totals): (\d+)", text, re.M).group(1)))
        return sum(totals)


def main():
    binary, model, bodies = sys.argv[1:]
    lines = [line.strip() for line in open(bodies, "rb")][:500]
    few, many = 200, 1200
    print(f"{(run(binary, model, lines, many) - run(binary, model, lines, few)) / (many - few):.0f}")


main()
