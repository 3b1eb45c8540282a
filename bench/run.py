# SPDX-License-Identifier: Apache-2.0
"""The performance table: engine and server against their peers, in interleaved pairs, in one run.

Each figure is the median of per-pair ratios with its spread. The server's processes run on core 0, the load on core 1.
"""

import argparse
import json
import os
import pathlib
import platform
import statistics
import subprocess
import sys
import tempfile
import time

import models
import recovery
import rollback
import servers

ROOT = pathlib.Path(__file__).resolve().parents[1]
BUILD = ROOT / "build"
WORK = BUILD / "bench"
SERVER_CORE, LOAD_CORE = 0, 1


# ---- printing ----

def heading(text):
    print(f"\n{text}\n{'-' * len(text)}", flush=True)


def row(*cells, widths=(46, 16, 16, 34)):
    print("".join(str(c).ljust(w) for c, w in zip(cells, widths)).rstrip(), flush=True)


def spread(values, digits=2):
    """median (min - max)"""
    return f"{statistics.median(values):.{digits}f} ({min(values):.{digits}f} - {max(values):.{digits}f})"


def verdict(value, bound, at_most):
    return "met" if (value <= bound if at_most else value >= bound) else "MISSED"


# ---- environment ----

def steal_seconds():
    return int(pathlib.Path("/proc/stat").read_text().split()[8]) / os.sysconf("SC_CLK_TCK")


def environment():
    cpu = next((line.split(":", 1)[1].strip() for line in open("/proc/cpuinfo") if line.startswith("model name")), "?")
    flags = next((line for line in open("/proc/cpuinfo") if line.startswith("flags")), "")
    vectors = [f for f in ("avx2", "avx512f", "avx512_vbmi") if f" {f} " in flags + " "]
    heading("Machine")
    row("processor", f"{cpu}, {os.cpu_count()} cores, {' '.join(vectors)}, Linux {platform.release()}", widths=(46, 90))
    row("load average before", f"{os.getloadavg()[0]:.2f}", widths=(46, 90))
    import lightgbm
    import xgboost
    row("libraries", f"xgboost {xgboost.__version__}, lightgbm {lightgbm.__version__}", widths=(46, 90))


# ---- engine ----

def library_path(module, pattern):
    spec = __import__(module)
    return next(pathlib.Path(spec.__file__).parent.rglob(pattern))


def engine_pairs(model, batch, rounds, onnx=False):
    """{(peer, batch): ([ours ns], [peer ns])}"""
    argv = [BUILD / "bench-release/bench/engine_peers", "--model", model.path, "--rows", model.rows_path, "--batch", batch,
            "--rounds", rounds, "--cpu", SERVER_CORE]
    if model.library == "xgboost":
        argv += ["--xgboost", library_path("xgboost", "libxgboost.so")]
    else:
        argv += ["--lightgbm", library_path("lightgbm", "lib_lightgbm.so")]
    if onnx:
        argv += ["--onnxruntime", library_path("onnxruntime", "libonnxruntime.so.*"), "--onnx", models.to_onnx(model)]
    out = subprocess.run([str(a) for a in argv], check=True, capture_output=True, text=True).stdout
    result = {}
    for line in out.splitlines():
        r = json.loads(line)
        result[r["peer"], r["batch"]] = ([a for a, _ in r["pairs_ns_per_row"]], [b for _, b in r["pairs_ns_per_row"]])
    return result


def engine_row(label, pairs, target=None):
    ours, peer = pairs
    ratios = [b / a for a, b in zip(ours, peer)]
    note = f"target {target}x: {verdict(statistics.median(ratios), target, False)}" if target else ""
    row(label, f"{statistics.median(ours):.0f} ns", f"{statistics.median(peer):.0f} ns", f"{spread(ratios, 1)} x  {note}")


def section_engine(args):
    heading("Engine alone, one thread: ns per row, ours, peer, how many times faster")
    w1 = models.make(WORK, "w1", "xgboost", 20, 100, max_depth=6)
    pairs = engine_pairs(w1, "1,32,1000", args.pairs, onnx=True)
    for (peer, batch), target in {("xgboost", 1): 60, ("onnxruntime", 1): 20, ("xgboost", 1000): 12,
                                  ("onnxruntime", 1000): 25, ("xgboost", 32): None, ("onnxruntime", 32): None}.items():
        if (peer, batch) in pairs:
            engine_row(f"W1 {batch} row(s) against {peer}", pairs[peer, batch], target)
    ones = pairs["xgboost", 1][0]
    chain_ns = float(subprocess.run([str(BUILD / "bench-release/bench/add_chain")], check=True, capture_output=True, text=True).stdout)
    row("W1 1 row, ns per tree / limit of ordered additions", f"{statistics.median(ones) / 100:.2f} ns", f"{chain_ns:.2f} ns",
        f"{statistics.median(ones) / 100 / chain_ns:.1f} x  target 3x: {verdict(statistics.median(ones) / 100, 3 * chain_ns, True)}")
    lgb = models.make(WORK, "lgb31", "lightgbm", 20, 100, num_leaves=31)
    pairs = engine_pairs(lgb, "1,1000", args.pairs)
    engine_row("LightGBM 100 x 31 leaves, 1 row", pairs["lightgbm", 1], 10)
    engine_row("LightGBM 100 x 31 leaves, 1000 rows", pairs["lightgbm", 1000])


def section_shapes(args):
    heading("Engine, other shapes: ns per row for 1 row and for 1000, ours against XGBoost's C API")
    shapes = [(f"depth {d}", 20, 100, d) for d in (3, 4, 6, 8, 10, 12)]
    shapes += [(f"{t} trees", 20, t, 6) for t in (10, 300, 1000, 2000)]
    shapes += [(f"{f} features", f, 100, 6) for f in (10, 50, 100, 500)]
    for label, features, trees, depth in shapes:
        m = models.make(WORK, f"s-{features}-{trees}-{depth}", "xgboost", features, trees, max_depth=depth)
        pairs = engine_pairs(m, "1,1000", 3)
        for batch in (1, 1000):
            engine_row(f"{label}, {batch} row(s)", pairs["xgboost", batch])


def section_exact(args):
    heading("Exactness: fuzzed rows whose margin differs from the library's own sum (the reference evaluator)")
    for name, library, params in (("w1", "xgboost", {"max_depth": 6}), ("lgb31", "lightgbm", {"num_leaves": 31})):
        m = models.make(WORK, name, library, 20, 100, **params)
        n = 100000 if args.quick else 1000000
        out = subprocess.run([str(BUILD / "bench-release/bench/engine_bench"), str(m.path), str(m.rows_path), "--exact", str(n)],
                             capture_output=True, text=True)
        row(f"{library}, 100 trees", (out.stdout or out.stderr).strip().splitlines()[-1], widths=(46, 90))


# ---- server ----

def load(url, *flags, duration):
    argv = ["taskset", "-c", str(LOAD_CORE), str(BUILD / "bench-release/bench/loadgen"), "--json", "--duration", str(duration), *flags, url]
    run = subprocess.run([str(a) for a in argv], capture_output=True, text=True)
    if not run.stdout.startswith("{"):
        raise SystemExit(f"bench: loadgen: {run.stderr}")
    return json.loads(run.stdout)


class Client:
    """Sends one kind of request to one server and measures both."""

    def __init__(self, server, data, expect=None):
        self.server, self.flags = server, ["--data", data]
        if expect:
            self.flags += ["--expect", expect, "--tolerance", "2e-7"]

    def measure(self, duration, *flags):
        """(CPU us per request, result of the load generator)"""
        before, start = servers.cpu_seconds(self.server.pid), time.monotonic()
        result = load(self.server.url, *self.flags, *flags, "--warmup", "0", duration=duration)
        cpu = servers.cpu_seconds(self.server.pid) - before
        result["busy"] = cpu / (time.monotonic() - start)
        return cpu * 1e6 / max(1, result["answered"]), result


def wrong(results):
    return sum(r["wrong"] + r["refused"] + r["broken"] + r["timeouts"] for r in results)


def compare_cpu(ours, peer, connections, pairs, duration):
    ratios, mine, theirs, results = [], [], [], []
    for i in range(pairs):
        for who in ((ours, peer), (peer, ours))[i % 2]:
            cpu, result = who.measure(duration, "--connections", connections)
            (mine if who is ours else theirs).append(cpu)
            results.append((who, result))
        ratios.append(mine[-1] / theirs[-1])
    rate = statistics.median(r["rate"] for who, r in results if who is ours)
    return ratios, mine, theirs, rate, wrong(r for who, r in results if who is ours)


def section_server(args, folder):
    w1 = models.make(WORK, "w1", "xgboost", 20, 100, max_depth=6)
    data, expect = models.bodies(w1, WORK, 10000, 1)
    heading("Server, W1 over HTTP: CPU us per request, ours, peer, ratio (peer: the same core, in turns)")
    with servers.slipway(args.binary, folder, SERVER_CORE, {"w1": w1.path}) as us:
        ours = Client(us, data, expect)
        body = servers.call(us.url, open(data, "rb").readline())[0].decode().strip()
        duration = 1 if args.quick else 3
        with servers.nginx(folder, SERVER_CORE, body) as peer:
            for connections in (32, 64):
                ratios, mine, theirs, rate, bad = compare_cpu(ours, Client(peer, data), connections, args.pairs, duration)
                row(f"nginx, fixed body, {connections} connections", f"{statistics.median(mine):.2f} us", f"{statistics.median(theirs):.2f} us",
                    f"{spread(ratios)}  target 1.10: {verdict(statistics.median(ratios), 1.10, True)}; {rate:.0f} req/s, {bad} wrong")
        with servers.fastapi(SERVER_CORE, w1.path) as peer:
            ratios, mine, theirs, rate, bad = compare_cpu(ours, Client(peer, data, expect), 32, 3, duration)
            times = [1 / r for r in ratios]
            row("FastAPI + uvicorn + xgboost", f"{statistics.median(mine):.2f} us", f"{statistics.median(theirs):.0f} us",
                f"{spread(times, 0)} x less  target 25: {verdict(statistics.median(times), 25, False)}; {bad} wrong")
        modules = WORK / "node_modules"
        if modules.exists():
            with servers.fastify(SERVER_CORE, models.to_onnx(w1), modules) as peer:
                ratios, mine, theirs, rate, bad = compare_cpu(ours, Client(peer, data), 32, 3, duration)
                times = [1 / r for r in ratios]
                row("Node fastify + onnxruntime-node", f"{statistics.median(mine):.2f} us", f"{statistics.median(theirs):.0f} us",
                    f"{spread(times, 1)} x less  target 3: {verdict(statistics.median(times), 3, False)}; {bad} wrong")
        section_latency(args, ours)
        section_pipelined(args, ours)


def section_latency(args, ours):
    heading("Latency, open loop from the intended send time: rate, p50, p99, p99.9 in us")
    duration = 2 if args.quick else 5
    _, closed = ours.measure(duration, "--connections", "32")
    one = load(ours.server.url, *ours.flags, "--connections", "1", duration=duration)
    quantiles = lambda r: [f"{r['latency_us'][q]:.0f}" for q in ("p50", "p99", "p999")]
    row("1 connection, closed loop", f"{one['rate']:.0f} req/s", " / ".join(quantiles(one)), widths=(46, 16, 24))
    for share in (0.1, 0.5, 0.8):
        r = load(ours.server.url, *ours.flags, "--connections", "32", "--rate", f"{closed['rate'] * share:.0f}", duration=duration)
        row(f"{share:.0%} of {closed['rate']:.0f} req/s, 32 connections", f"{r['rate']:.0f} req/s", " / ".join(quantiles(r)),
            f"{wrong([r])} wrong", widths=(46, 16, 24, 26))


def section_pipelined(args, ours):
    heading("HTTP/1.1 pipelined by 16, 16 connections")
    cpu, result = ours.measure(1 if args.quick else 3, "--connections", "16", "--depth", "16")
    per_core = 1e6 / cpu
    row("requests/s on one core, from CPU per request", f"{cpu:.2f} us", f"{per_core / 1e6:.2f} M/s",
        f"target 1.00 M/s: {verdict(per_core, 1e6, False)}; measured {result['rate']:.0f} req/s, {wrong([result])} wrong")


def section_rows(args, folder):
    heading("1,000 rows per request, JSON")
    w1 = models.make(WORK, "w1", "xgboost", 20, 100, max_depth=6)
    data, expect = models.bodies(w1, WORK, 200, 1000)
    parse_us = float(subprocess.run(["taskset", "-c", str(SERVER_CORE), str(BUILD / "bench-release/bench/yyjson_parse"), str(data)], check=True,
                                    capture_output=True, text=True).stdout)
    engine_us = statistics.median(engine_pairs(w1, "1000", 3)["xgboost", 1000][0])  # ns per row x 1000 rows
    with servers.slipway(args.binary, folder, SERVER_CORE, {"w1": w1.path}) as us:
        client = Client(us, data, expect)
        user0, system0 = servers.cpu_split(us.pid)
        cpu, result = client.measure(2 if args.quick else 5, "--connections", "4")
        user1, system1 = servers.cpu_split(us.pid)
        n = max(1, result["answered"])
        system_us = (system1 - system0) * 1e6 / n
        ratio = cpu / (parse_us + engine_us)
        row("CPU us per request; yyjson parse + engine", f"{cpu:.0f} us", f"{parse_us + engine_us:.0f} us",
            f"{ratio:.2f}  target 1.5: {verdict(ratio, 1.5, True)}; {wrong([result])} wrong")
        row("of it: engine", f"{engine_us:.0f} us", f"{engine_us / cpu:.0%}")
        row("of it: system calls", f"{system_us:.0f} us", f"{system_us / cpu:.0%}")
        row("of it: JSON, HTTP and the rest", f"{cpu - engine_us - system_us:.0f} us", f"{1 - (engine_us + system_us) / cpu:.0%}")


def section_start(args, folder):
    heading("From the start to ready, ms, by the server's own clock")
    data = pathlib.Path(folder) / "start"
    for label, gateways in (("1 gateway", 1), ("2 gateways", 2)):
        times = []
        for _ in range(args.pairs + 2): # the first makes the data directory
            with subprocess.Popen([str(args.binary), "serve", "--listen", "127.0.0.1:0", "--data-dir", str(data), "--gateways", str(gateways)],
                                  stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True) as server:
                times += [e["startup_ms"] for e in map(json.loads, until_ready(server)) if e["event"] == "ready"]
                server.terminate()
        row(label, spread(times[1:], 0), "", f"target 50: {verdict(statistics.median(times[1:]), 50, True)}")


def until_ready(server):
    for line in server.stderr:
        yield line
        if '"ready"' in line:
            return


def section_idle(args, folder):
    import resource
    import socket

    heading("10,000 idle connections")
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    n = min(10000, hard - 100)
    w1 = models.make(WORK, "w1", "xgboost", 20, 100, max_depth=6)
    with servers.slipway(args.binary, folder, SERVER_CORE, {"w1": w1.path}, "--idle-timeout", "10m") as us:
        row("resident memory of all processes, no connection", f"{servers.memory_bytes(us.pid, 'Rss') / 2**20:.1f} MiB",
            f"{servers.memory_bytes(us.pid) / 2**20:.1f} MiB PSS")
        held, before = [], servers.memory_bytes(us.pid)
        body = open(models.bodies(w1, WORK, 10000, 1)[0], "rb").readline().strip()
        request = b"POST /v1/models/w1:predict HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body)
        for _ in range(n): # each has answered a request, then is idle
            s = socket.create_connection(("127.0.0.1", us.port))
            s.sendall(request)
            assert s.recv(4096).startswith(b"HTTP/1.1 200")
            held.append(s)
        each = (servers.memory_bytes(us.pid) - before) / n
        row(f"bytes per connection, {n} connections", f"{each:.0f} bytes", "", f"target 8192: {verdict(each, 8192, True)}")


def section_swap(args, folder):
    heading("A new version every 250 ms under 80 % load: p99 in us, without and with")
    w1 = models.make(WORK, "w1", "xgboost", 20, 100, max_depth=6)
    data, expect = models.bodies(w1, WORK, 10000, 1)
    duration = 3 if args.quick else 5
    with servers.slipway(args.binary, folder, SERVER_CORE, {"w1": w1.path}) as us:
        base = us.url.rsplit("/v1/", 1)[0]
        servers.push(base, "w1", w1.path)
        client = Client(us, data, expect)
        _, closed = client.measure(duration, "--connections", "32")
        flags = [*client.flags, "--connections", "32", "--rate", f"{closed['rate'] * 0.8:.0f}"]
        ratios, results = [], []
        for _ in range(3 if args.quick else 5):
            quiet = load(us.url, *flags, duration=duration)
            swapper = subprocess.Popen(["taskset", "-c", str(LOAD_CORE), sys.executable, str(ROOT / "bench" / "swap.py"), base, str(duration + 1)])
            busy = load(us.url, *flags, duration=duration)
            swapper.wait()
            ratios.append(busy["latency_us"]["p99"] / quiet["latency_us"]["p99"])
            results += [quiet, busy]
        row("p99 with swaps / without", f"{results[-1]['latency_us']['p99']:.0f} us", f"{results[-2]['latency_us']['p99']:.0f} us",
            f"{spread(ratios)}  target 1.5: {verdict(statistics.median(ratios), 1.5, True)}; {wrong(results)} wrong")


def section_recovery(args, folder):
    heading("Until a process that ended has a successor that is ready, ms, by the server's own log")
    path = models.make_network(WORK, "net2", (20, 1))
    limits = {"gateway, kill -9": 200, "replica, kill -9": 300, "replica, stopped": 2000}
    for label, times in recovery.measure(args.binary, folder, path, 3).items():
        row(label, spread(times, 0), "", f"target {limits[label]}: {verdict(max(times), limits[label], True)}")


def section_rollback(args, folder):
    heading("A candidate at 10 % begins to err: ms from the answer that proves it to the candidate's last one, as clients see it")
    with servers.slipway(args.binary, folder, SERVER_CORE, {}, "--gateways", "2") as us:
        last, recorded = rollback.measure(us, folder, 3 if args.quick else 15)
    row("to the verdict, in the rollout's record", spread(recorded, 0))
    row("to the last answer of the candidate", spread(last, 0), "", f"target 1000: {verdict(max(last), 1000, True)}")


NETWORKS = {"logistic regression, 20 features": (20, 1), "MLP 20-64-32-1": (20, 64, 32, 1)}


def section_onnx(args, folder):
    heading("ONNX models in one replica, 1 row, JSON: CPU us per request of all processes, ours, FastAPI + onnxruntime, how many times less")
    duration = 1 if args.quick else 3
    for label, widths in NETWORKS.items():
        path = models.make_network(WORK, f"net{len(widths)}", widths)
        data, expect = models.network_bodies(path, widths[0], 1000)
        with servers.slipway(args.binary, folder, SERVER_CORE, {"w1": path}) as us, \
                servers.fastapi(SERVER_CORE, path, "fastapi_onnx_app") as peer:
            ours, theirs = Client(us, data, expect), Client(peer, data, expect)
            for client in (ours, theirs): # batches of other sizes round differently in the last places
                client.flags[-1] = "1e-5"
            for connections in (1, 16, 64):
                user0, system0 = servers.cpu_split(us.pid)
                ratios, mine, their, rate, bad = compare_cpu(ours, theirs, connections, min(3, args.pairs), duration)
                user1, system1 = servers.cpu_split(us.pid)
                times, share = [1 / r for r in ratios], (user1 - user0) / max(1e-9, user1 - user0 + system1 - system0)
                row(f"{label}, {connections} conn.", f"{statistics.median(mine):.1f} us", f"{statistics.median(their):.0f} us",
                    f"{spread(times, 0)} x  target 20x: {verdict(statistics.median(times), 20, False)}; {rate:.0f} req/s, "
                    f"{share:.0%} user time, {bad} wrong")
    heading("The hop to a replica alone (32 floats there and back, identity): us of CPU per request by requests under way")
    out = subprocess.run([str(BUILD / "bench-release/bench/hop_bench")], capture_output=True, text=True)
    print((out.stdout or out.stderr).rstrip())


def drift_cost(args, folder, w1, data, expect, duration):
    """Drift costs at most 3 %: the monitor's own time with and without it, which is all that differs, of that of a request. It is in its
    first window here, which costs twice as much as later ones, and its cap is one of a second, so the machine must be idle."""
    with servers.slipway(args.binary, f"{folder}/drift", SERVER_CORE, {"w1": w1.path}) as on, \
            servers.slipway(args.binary, f"{folder}/no-drift", SERVER_CORE, {"w1": w1.path}, "--drift-values=0") as off:
        ours, peer = Client(on, data, expect), Client(off, data, expect)
        monitors = {who: servers.process_of(who.server.pid, "@monitor") for who in (ours, peer)}
        for connections, depth in ((32, 1), (16, 16)):
            share, rate, mine, theirs, results = [], [], [], [], []
            for i in range(args.pairs):
                cost, one = {}, {}
                for who in ((ours, peer), (peer, ours))[i % 2]:
                    before = servers.own_seconds(monitors[who])
                    one[who] = who.measure(duration, "--connections", connections, "--depth", depth)
                    cost[who] = (servers.own_seconds(monitors[who]) - before) * 1e6 / max(1, one[who][1]["answered"])
                    results.append(one[who][1])
                mine.append(cost[ours])
                theirs.append(cost[peer])
                share.append((cost[ours] - cost[peer]) / one[peer][0])
                rate.append(one[ours][1]["rate"] / one[peer][1]["rate"])
            row(f"drift, {connections} connections, {depth} at a time", f"{statistics.median(mine):.2f} us", f"{statistics.median(theirs):.2f} us",
                f"monitor's time; of a request {spread(share, 3)}  target 0.03: {verdict(statistics.median(share), 0.03, True)}; "
                f"throughput {spread(rate, 3)}; {wrong(results)} wrong")


def section_log(args, folder):
    """The prediction log costs at most 5 %: the same server with and without it, in turns, all processes counted.

    All processes of a server share a core, so the first line of each load has the monitor's work in it, which a machine with a core to
    spare does beside the gateway's; the second has the gateway's own time alone, as the throughput that it leaves its core.
    """
    w1 = models.make(WORK, "w1", "xgboost", 20, 100, max_depth=6)
    data, expect = models.bodies(w1, WORK, 10000, 1)
    duration = 1 if args.quick else 3
    heading("Prediction log, W1: with, without, ratio of CPU per request, ratio of throughput")
    with servers.slipway(args.binary, f"{folder}/with", SERVER_CORE, {"w1": w1.path}) as logged, \
            servers.slipway(args.binary, f"{folder}/without", SERVER_CORE, {"w1": w1.path}, "--log-predictions=false") as plain:
        ours, peer = Client(logged, data, expect), Client(plain, data, expect)
        gateways = {who: servers.process_of(who.server.pid, "@gateway") for who in (ours, peer)}
        for connections, depth in ((32, 1), (16, 16)):
            cpu, rate, core, mine, theirs, results = [], [], [], [], [], []
            for i in range(args.pairs):
                one, gateway = {}, {}
                for who in ((ours, peer), (peer, ours))[i % 2]:
                    before = servers.own_seconds(gateways[who])
                    one[who] = who.measure(duration, "--connections", connections, "--depth", depth)
                    gateway[who] = (servers.own_seconds(gateways[who]) - before) / max(1, one[who][1]["answered"])
                    results.append(one[who][1])
                core.append(gateway[peer] / gateway[ours])
                mine.append(one[ours][0])
                theirs.append(one[peer][0])
                cpu.append(mine[-1] / theirs[-1])
                rate.append(one[ours][1]["rate"] / one[peer][1]["rate"])
            row(f"{connections} connections, {depth} at a time", f"{statistics.median(mine):.2f} us", f"{statistics.median(theirs):.2f} us",
                f"{spread(cpu, 3)}; throughput {spread(rate, 3)}  target 0.95: {verdict(statistics.median(rate), 0.95, False)}; "
                f"{wrong(results)} wrong")
            row("  of the gateway's core, the monitor having another", "", "",
                f"throughput {spread(core, 3)}  target 0.95: {verdict(statistics.median(core), 0.95, False)}")
        by_role = servers.cpu_by_role(logged.pid)
        counts = json.loads(servers.call(logged.url.split("/v1/")[0] + "/api/v1/log/status")[0])
        row("records", f"{counts['accepted']} accepted", f"{counts['committed']} committed", f"{counts['dropped']} dropped, {counts['waiting']} waiting")
        row("CPU of the monitor, s per million records", f"{by_role['@monitor'] / counts['accepted'] * 1e6:.2f} s")
    drift_cost(args, folder, w1, data, expect, duration)
    for depth in (1, 16):
        cells = []
        for flags in ("", "--log-predictions=false"):
            out = subprocess.run([sys.executable, str(ROOT / "bench" / "instructions.py"), str(args.binary), str(w1.path), str(data),
                                  str(depth)], capture_output=True, text=True, env={**os.environ, "SERVE_FLAGS": flags})
            cells.append(out.stdout.strip() or out.stderr.strip()[-60:])
        row(f"instructions of the gateway per request, {depth} at a time", *cells)
    # Drift has a cap of values a second, which a monitor under callgrind never reaches: so without it, and without the cap.
    for flags, label in (("--drift-values=0", "without drift"), ("--drift-values=100000000", "each row counted for drift, first window")):
        out = subprocess.run([sys.executable, str(ROOT / "bench" / "instructions.py"), str(args.binary), str(w1.path), str(data), "16"],
                             capture_output=True, text=True, env={**os.environ, "COUNT": "monitor", "SERVE_FLAGS": flags})
        row(f"instructions of the monitor per record, {label}", out.stdout.strip() or out.stderr.strip()[-60:], widths=(86, 16))


def section_instructions(args, folder):
    heading("Instructions per request, W1, counted by callgrind: a figure that noise does not move")
    w1 = models.make(WORK, "w1", "xgboost", 20, 100, max_depth=6)
    for depth, env, label in ((1, {}, "one at a time"), (16, {}, "pipelined by 16"),
                              (1, {"CANARY": "10"}, "one at a time, with a canary at 10 %"),
                              (16, {"CANARY": "10"}, "pipelined by 16, with a canary at 10 %")):
        out = subprocess.run([sys.executable, str(ROOT / "bench" / "instructions.py"), str(args.binary), str(w1.path),
                              str(models.bodies(w1, WORK, 10000, 1)[0]), str(depth)], capture_output=True, text=True,
                             env={**os.environ, **env})
        row(f"user-space instructions per request, {label}", out.stdout.strip() or out.stderr.strip()[-200:], widths=(76, 60))


SECTIONS = {"engine": section_engine, "shapes": section_shapes, "exact": section_exact, "server": section_server,
            "rows": section_rows, "start": section_start, "idle": section_idle, "swap": section_swap, "onnx": section_onnx,
            "recovery": section_recovery, "rollback": section_rollback, "log": section_log, "instructions": section_instructions}
NEEDS_FOLDER = {"log", "recovery", "rollback", "server", "rows", "start", "idle", "swap", "onnx", "instructions"}


def main():
    parser = argparse.ArgumentParser(prog="dev/bench", description=__doc__)
    parser.add_argument("sections", nargs="*", choices=[[], *SECTIONS], help="which tables; all when none is named")
    parser.add_argument("--quick", action="store_true", help="short runs: to see that it works, not for figures")
    parser.add_argument("--pairs", type=int, help="pairs per comparison; default 7, 3 with --quick")
    args = parser.parse_args()
    args.pairs = args.pairs or (3 if args.quick else 7)
    args.binary = BUILD / "bench-release" / "src" / "slipway"
    WORK.mkdir(parents=True, exist_ok=True)
    environment()
    stolen = steal_seconds()
    for name in args.sections or SECTIONS:
        if name in NEEDS_FOLDER:
            with tempfile.TemporaryDirectory(prefix="slipway-bench-") as folder:
                SECTIONS[name](args, folder)
        else:
            SECTIONS[name](args)
    print(f"\ntaken by other guests of the host meanwhile: {steal_seconds() - stolen:.1f} s of processor time")


if __name__ == "__main__":
    main()
