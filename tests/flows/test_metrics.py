# SPDX-License-Identifier: Apache-2.0
"""/metrics, the dashboards and the alert rules, judged by a real Prometheus."""

import json
import random
import re
import shutil
import signal
import socket
import subprocess
import threading
import time

import pytest
import requests

from conftest import BINARY, ROOT, until
from prometheus import (ACCEPT_PROTO, KINDS, native_buckets, page, prometheus, promtool, proto_families,  # noqa: F401 (fixture)
                        proto_samples, samples, value)
from test_replicas import model, row  # noqa: F401 (fixture)

NAME = re.compile(r"\b(?:slipway_[a-z_]+|up)\b")
# What is counted while nobody asks for a prediction: the scrape itself.
MOVES = ("slipway_connections", "slipway_received_bytes", "slipway_sent_bytes", "slipway_other_requests")
RULES = {"inputs": [{"name": "age", "min": -1, "max": 1, "mode": "warn"}]}


def asked(server, churn):
    """Answered requests of a model and version each, a batch, and one that is refused; all are counted."""
    server.push("churn", churn.path)
    server.push("churn", churn.path, description="again")
    for n in (1, 1, 1, 3, 64):
        assert server.predict("churn", {"instances": churn.instances(n)}).status_code == 200
    url = f"{server.url}/v1/models/churn/versions/1:predict"
    assert requests.post(url, json={"instances": churn.instances(2)}, timeout=60).status_code == 200
    assert server.predict("churn", {"instances": [[1]]}).status_code == 400
    counted(server, 7)


def counted(server, n):
    """Waits until so many requests are counted, one of them refused: a client has its answer before another gateway may
    see it counted, last of all in the sizes of batches."""
    until(lambda: [sum(samples(page(server), f"slipway_{name}").values()) for name in ("requests_total", "batch_size_count")],
          [n, n - 1])


def families(text):
    return {line.split()[2]: line.split()[3] for line in text.splitlines() if line.startswith("# TYPE ")}


def series_of(name, kinds):
    """The family that a series is of."""
    base = re.sub("_(bucket|sum|count)$", "", name)
    return base if kinds.get(base) == "histogram" else name


@pytest.fixture(scope="module")
def shipped(tmp_path_factory):
    folder = tmp_path_factory.mktemp("dashboards") / "out"
    done = subprocess.run([BINARY, "dashboards", "--out", folder], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    assert sorted(done.stdout.split()) == sorted(str(p) for p in folder.rglob("*.*"))
    return folder


def test_the_page_is_as_prometheus_wants_it(server, churn):
    asked(server, churn)
    text = page(server)
    checked = promtool("check", "metrics", input=text)
    assert (checked.returncode, checked.stdout, checked.stderr) == (0, "", "")
    kinds = families(text)
    assert {series_of(name, kinds) for name, _ in samples(text)} <= set(kinds)
    assert value(text, "slipway_requests_total", model="churn", version="2", code="2xx") == 5
    assert value(text, "slipway_requests_total", model="churn", version="1", code="2xx") == 1
    assert value(text, "slipway_requests_total", version="2", code="4xx") == 1
    assert value(text, "slipway_rows_total", version="2") == 70
    # Exact at the powers of two, the limit itself included.
    sizes = {le: value(text, "slipway_batch_size_bucket", version="2", le=le) for le in ("1", "2", "4", "32", "64", "+Inf")}
    assert sizes == {"1": 3, "2": 3, "4": 4, "32": 4, "64": 5, "+Inf": 5}
    assert value(text, "slipway_batch_size_sum", version="2") == 70


def test_histograms_are_cumulative_and_agree_with_each_other(server, churn):
    asked(server, churn)
    found = samples(page(server), "slipway_")
    sums = {}
    for what in ("request", "queue", "compute"):
        name = f"slipway_{what}_duration_seconds"
        for version, n in (("1", 1), ("2", 5)):
            own = {dict(l).get("le"): v for (m, l), v in found.items() if m.startswith(name) and dict(l)["version"] == version
                   and m.endswith("_bucket")}
            edges = sorted(own, key=float)
            assert {"0.0001", "0.00025", "0.0005", "0.001", "0.0025", "0.005", "0.01", "0.025", "0.05", "0.075", "0.1", "0.25",
                    "0.5", "0.75", "1", "2.5", "5", "7.5", "10", "+Inf"} <= set(edges)
            counts = [own[e] for e in edges]
            assert counts == sorted(counts) and counts[-1] == n
            labels = (("arm", "stable"), ("model", "churn"), ("version", version))
            assert found[(name + "_count", labels)] == n
            sums[what, version] = found[(name + "_sum", labels)]
            assert own["10"] == n
            finite = [(float(e), own[e]) for e in edges if e != "+Inf"]
            below = next(e for e, count in finite if count == n)
            assert max((n - count) * e for e, count in finite) <= sums[what, version] <= n * below
    for version in "12":
        assert 0 < sums["compute", version] and sums["queue", version] + sums["compute", version] <= sums["request", version]


def test_prometheus_has_what_the_page_has(server, churn, prometheus):  # noqa: F811
    asked(server, churn)
    one = prometheus(server)
    one.wait("sum(slipway_requests_total)", lambda found: found and found[0][1] == 7)

    def both():
        ours = {key: v for key, v in samples(page(server)).items() if not key[0].startswith(MOVES)}
        theirs = {(l.pop("__name__"), tuple(sorted((k, v) for k, v in l.items() if k not in ("job", "instance")))): v
                  for l, v in one.query('{__name__=~"slipway_.+"}') if not l["__name__"].startswith(MOVES)}
        return ours, theirs

    ours, _ = until(both, lambda got: got[0] == got[1])  # it looks once a second
    assert len(ours) > 150
    one.wait("up", lambda found: found and found[0][1] == 1)
    # And a figure that Prometheus works out: the quantile lies where our own buckets say.
    (_, p50), = one.query('histogram_quantile(0.5, sum by (le) (slipway_request_duration_seconds_bucket{version="2"}))')
    buckets = sorted((float(dict(l)["le"]), v) for (n, l), v in ours.items()
                     if n == "slipway_request_duration_seconds_bucket" and dict(l)["version"] == "2")
    upper = next(i for i, (_, v) in enumerate(buckets) if v >= 2.5)
    assert (buckets[upper - 1][0] if upper else 0) <= p50 <= buckets[upper][0]


def as_numbers(found):
    """samples(), with limits of buckets as numbers."""
    return {(name, tuple((k, float(v) if k == "le" else v) for k, v in labels)): v for (name, labels), v in found.items()}


def both_forms(server):
    """What the two forms of the page say, but for what the scrape itself moves."""
    text = requests.get(f"{server.url}/metrics", timeout=60)
    assert text.headers["content-type"].startswith("text/plain; version=0.0.4") and "NATIVE" not in text.text
    proto = requests.get(f"{server.url}/metrics", headers={"Accept": ACCEPT_PROTO + ";q=0.6,text/plain;q=0.5"}, timeout=60)
    assert proto.headers["content-type"] == ACCEPT_PROTO.replace(";", "; ")
    found = proto_families(proto.content)
    return text.text, found, *({k: v for k, v in one.items() if not k[0].startswith(MOVES)}
                               for one in (as_numbers(samples(text.text)), proto_samples(found)))


def test_both_forms_of_the_page_say_the_same(start_server, churn):
    server = start_server("--gateways", 2, "--metrics-aliases", "all")
    asked(server, churn)
    page(server)
    text, found, ours, theirs = until(lambda: both_forms(server), lambda got: got[2] == got[3])  # the monitor looks once a second
    kinds = families(text)
    assert {f.name: (KINDS[f.type], f.help) for f in found} == \
        {n: (kinds[n], re.search(f"# HELP {n} (.*)", text).group(1)) for n in kinds if any(series_of(m, kinds) == n for m, _ in samples(text))}
    histograms = {(f.name, dict((l.name, l.value) for l in m.label).get("version")): m.histogram
                  for f in found if KINDS[f.type] == "histogram" for m in f.metric}
    assert {n for n, _ in histograms} == {n for n, kind in kinds.items() if kind == "histogram"}
    for (name, _), h in histograms.items():
        buckets = native_buckets(h)
        assert h.zero_threshold == 2.0**-128 and h.schema == (0 if name == "slipway_batch_size" else 3)
        assert h.zero_count + sum(buckets.values()) == h.sample_count
        # Each limit is where it was: what is below it, of what cannot lie above it.
        for b in h.bucket:
            least = h.zero_count + sum(n for i, n in buckets.items() if 2 ** (i / 2**h.schema) <= b.upper_bound)
            most = h.zero_count + sum(n for i, n in buckets.items() if 2 ** ((i - 1) / 2**h.schema) < b.upper_bound)
            assert least <= b.cumulative_count <= most
        assert h.sample_sum <= sum(n * 2 ** (i / 2**h.schema) for i, n in buckets.items())
        assert h.sample_sum >= sum(n * 2 ** ((i - 1) / 2**h.schema) for i, n in buckets.items())
    assert native_buckets(histograms["slipway_batch_size", "2"]) == {0: 3, 2: 1, 6: 1}
    assert histograms["slipway_log_commit_seconds", None].sample_count > 0


def test_prometheus_reads_native_histograms(server, churn, prometheus):  # noqa: F811
    """Its buckets are those that we meant, and its quantiles those of our counts."""
    asked(server, churn)
    one = prometheus(server, native=True)
    labels = 'model="churn",version="2"'
    one.wait(f"histogram_count(slipway_request_duration_seconds{{{labels}}})", lambda found: found and found[0][1] == 5)
    got = requests.get(f"{server.url}/metrics", headers={"Accept": ACCEPT_PROTO}, timeout=60)
    for family in proto_families(got.content):
        if family.name not in ("slipway_request_duration_seconds", "slipway_compute_duration_seconds", "slipway_batch_size"):
            continue
        metric, = (m for m in family.metric if ("version", "2") in [(l.name, l.value) for l in m.label])
        h, buckets = metric.histogram, native_buckets(metric.histogram)
        row, = one.get("query", query=f"{family.name}{{{labels}}}")["result"]
        theirs = row["histogram"][1]
        assert (float(theirs["count"]), float(theirs["sum"])) == (h.sample_count, h.sample_sum) and h.sample_count == 5
        base = 2 ** -h.schema
        assert [(int(open_at), float(n)) for open_at, _, _, n in theirs["buckets"]] == [(0, n) for _, n in sorted(buckets.items())]
        for (_, low, high, _), i in zip(theirs["buckets"], sorted(buckets)):  # 0: open on the left, closed on the right
            assert float(low) == pytest.approx(2 ** ((i - 1) * base), rel=1e-12) and float(high) == pytest.approx(2 ** (i * base), rel=1e-12)
        last = max(buckets)
        (_, p99), = one.query(f"histogram_quantile(0.99, {family.name}{{{labels}}})")
        assert 2 ** ((last - 1) * base) < p99 <= 2 ** (last * base)
    # Over time, as dashboards ask.
    before = time.monotonic()
    while time.monotonic() < before + 60:
        assert server.predict("churn", {"instances": churn.instances(1)}).status_code == 200
        found = one.query(f"histogram_count(rate(slipway_request_duration_seconds{{{labels}}}[1m]))")
        if found and found[0][1] > 0:
            break
    (_, p99), = one.query(f"histogram_quantile(0.99, rate(slipway_request_duration_seconds{{{labels}}}[1m]))")
    text = page(server)
    edges = sorted((float(dict(l)["le"]), v) for (n, l), v in samples(text, "slipway_request_duration_seconds_bucket").items()
                   if ("version", "2") in l)
    assert found[0][1] > 0 and 0 < p99 <= 2 ** 0.125 * next(le for le, n in edges if n == edges[-1][1])


def queries(folder):
    """(dashboard, panel, query with its variables replaced as Grafana does it)"""
    for path in sorted(folder.glob("grafana/*.json")):
        board = json.loads(path.read_text())
        names = [v["name"] for v in board["templating"]["list"]]
        assert names == ["datasource", "model", "version"] and len({p["id"] for p in board["panels"]}) == len(board["panels"])
        for variable in board["templating"]["list"][1:]:
            yield path.stem, variable["name"], re.search(r"label_values\((.*),", variable["definition"]).group(1).replace("$model", ".*")
        for panel in board["panels"]:
            for target in panel.get("targets", []):
                expr = target["expr"].replace("$__rate_interval", "30s").replace("$model", ".*").replace("$version", ".*")
                assert "$" not in expr
                yield path.stem, panel["title"], expr


def test_every_query_of_a_dashboard_finds_something(start_fake_server, churn, model, prometheus, shipped):  # noqa: F811
    server = start_fake_server("--drift-window", "1s", "--drift-window-rows", 100)
    rules = shipped / "prometheus" / "slipway-rules.yml"
    server.push("churn", churn.path, signature=RULES)
    server.push("m", model, replicas="1:2")
    one = prometheus(server, rules)
    stop = threading.Event()

    def ask():
        rows, n = churn.instances(), 0
        with requests.Session() as session:
            while not stop.is_set():
                n += 1
                for name, sent in (("churn", random.sample(rows, 4)), ("m", [row(n % 50)])):
                    got = session.post(f"{server.url}/v1/models/{name}:predict", json={"instances": sent}, timeout=60)
                    if name == "churn" and n % 20 == 0:
                        label = {"prediction_id": got.headers["Slipway-Prediction-Id"], "label": [n // 20 % 2] * 4}
                        session.post(f"{server.url}/api/v1/feedback", json=[label], timeout=60)
                session.post(f"{server.url}/v1/models/churn:predict", json={"instances": [[1]]}, timeout=60)

    asking = threading.Thread(target=ask)
    asking.start()
    try:
        one.wait("count(rate(slipway_requests_total[30s]) > 0)", lambda found: found)
        one.wait("slipway_autoscaler_desired", lambda found: found)
        for name in ('feature_drift{stat="w1"}', 'feature_drift{stat="js"}', 'quality{metric="auc"}', 'label_coverage_ratio'):
            one.wait("slipway_" + name, lambda found: found)
        kinds = families(page(server))
        seen = 0
        for board, title, expr in queries(shipped):
            seen += 1
            names = {series_of(name, kinds) for name in NAME.findall(expr)} - {"up"}
            assert names and names <= set(kinds), (board, title, names - set(kinds))
            one.wait(expr, lambda found: found)  # some need two scrapes
        assert seen >= 60
        group, = one.get("rules")["groups"]
        text = rules.read_text()
        assert len(group["rules"]) == text.count("- alert:") and one.query('ALERTS{alertstate="firing"}') == []
        assert {series_of(n, kinds) for r in group["rules"] for n in NAME.findall(r["query"])} - {"up"} <= set(kinds)
        one.wait('prometheus_rule_evaluations_total or vector(1)', lambda found: True)
        assert all(r["health"] in ("ok", "unknown") for r in group["rules"])
    finally:
        stop.set()
        asking.join()


def test_alerts_fire_when_they_should(shipped, tmp_path):
    rules = shipped / "prometheus" / "slipway-rules.yml"
    checked = promtool("check", "rules", rules)
    assert checked.returncode == 0, checked.stderr
    shutil.copy(rules, tmp_path / "slipway-rules.yml")
    shutil.copy(ROOT / "tests" / "flows" / "alerts_test.yml", tmp_path)
    tried = promtool("test", "rules", tmp_path / "alerts_test.yml")
    assert tried.returncode == 0, tried.stdout + tried.stderr
    alerts = re.findall(r"- alert: (\w+)", rules.read_text())
    assert len(alerts) == len(set(alerts))
    listed = (ROOT / "tests" / "flows" / "alerts_test.yml").read_text()
    assert not [a for a in alerts if f'alertname="{a}"' not in listed]


def test_dashboards_replace_nothing_unasked(shipped, tmp_path):
    (tmp_path / "mine").write_text("1")
    done = subprocess.run([BINARY, "dashboards", "--out", tmp_path], capture_output=True, text=True, timeout=60)
    assert done.returncode == 1 and "--force" in done.stderr
    done = subprocess.run([BINARY, "dashboards", "--out", tmp_path, "--force"], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0 and (tmp_path / "mine").exists()
    for path in shipped.rglob("*.*"):
        assert (tmp_path / path.relative_to(shipped)).read_bytes() == path.read_bytes()


def pipelined(server, make, n, depth=2000):
    """n requests make(i), depth at a time over one connection; how many were answered with each status."""
    seen = {}
    with socket.create_connection(("127.0.0.1", server.port), timeout=300) as s:
        for first in range(0, n, depth):
            want, answered, rest = min(depth, n - first), 0, b""
            sender = threading.Thread(target=s.sendall, args=(b"".join(map(make, range(first, first + want))),))
            sender.start()
            while answered < want or not rest.endswith(b"}"):
                data = s.recv(1 << 20)
                assert data, seen
                rest += data
                for status in re.findall(rb"HTTP/1.1 (\d{3}) ", rest):
                    seen[status] = seen.get(status, 0) + 1
                    answered += 1
                cut = rest.rfind(b"HTTP/1.1 ")
                rest = rest[max(cut + 9, 0) if cut + 13 <= len(rest) else cut:]
            sender.join()
    return seen


def memory_of(server):
    status = requests.get(f"{server.url}/api/v1/status", timeout=60).json()
    return sum(p["memory"]["resident"] for p in status["processes"])


def test_a_million_paths_and_names_add_no_series(server, churn):
    server.push("churn", churn.path)
    before, memory = set(samples(page(server))), memory_of(server)
    n, n_lost = 490_000, 20_000

    def mixed(i):
        return i * 2654435761 % 2**32

    got = pipelined(server, lambda i: b"GET /v2/models/m%x/versions/%d/ready HTTP/1.1\r\nHost: a\r\n\r\n" % (mixed(i), i), n)
    assert got == {b"404": n}
    got = pipelined(server, lambda i: b"POST /v1/models/m%x/versions/%d:predict HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\n{}"
                    % (mixed(i), i), n)
    assert got == {b"404": n}
    for i in range(n_lost): # where nothing is served a connection ends
        with socket.create_connection(("127.0.0.1", server.port), timeout=300) as s:
            s.sendall(b"GET /p%x/%x HTTP/1.1\r\nHost: a\r\n\r\n" % (mixed(i), i))
            assert s.recv(4096).startswith(b"HTTP/1.1 404 ")
    text = page(server)
    assert set(samples(text)) == before
    assert value(text, "slipway_other_requests_total", code="4xx") >= 2 * n + n_lost
    assert memory_of(server) < memory + (32 << 20)


def test_a_version_that_is_gone_stays_on_the_page_for_the_time_that_is_set(start_server, churn, tmp_path):
    config = tmp_path / "slipway.yaml"
    config.write_text("gateways: 2\n")  # an hour by default
    server = start_server("--config", config)
    asked(server, churn)
    before = samples(page(server), "slipway_re")
    gone = requests.delete(f"{server.url}/api/v1/models/churn/versions/1", timeout=60)
    assert gone.status_code in (200, 204), gone.text
    assert server.predict("churn", {"instances": churn.instances(1)}).status_code == 200
    counted(server, 8)
    for _ in range(8):  # whichever gateway answers
        after = samples(page(server), "slipway_re")
        assert {k: v for k, v in after.items() if ("version", "1") in k[1]} == \
            {k: v for k, v in before.items() if ("version", "1") in k[1]}
        assert value(page(server), "slipway_requests_total", version="2", code="2xx") == 6
    config.write_text("gateways: 2\nmetrics_retire: 1ms\n")
    server.process.send_signal(signal.SIGHUP)
    end = time.monotonic() + 60
    while any(("version", "1") in labels for _ in range(4) for _, labels in samples(page(server))):
        assert time.monotonic() < end
        time.sleep(0.05)
    assert value(page(server), "slipway_requests_total", version="2", code="2xx") == 6


def test_what_the_monitor_knows_is_on_the_page_of_each_gateway(start_server):
    server = start_server("--gateways", 2)
    for _ in range(6):
        text = page(server)
        checked = promtool("check", "metrics", input=text)
        assert checked.returncode == 0, checked.stderr
    assert {dict(l)["result"]: v for (_, l), v in samples(text, "slipway_traces_total").items()} == {
        "exported": 0, "dropped": 0, "refused": 0}


def test_names_of_other_servers_show_the_same_figures(start_server, churn):
    server = start_server("--metrics-aliases", "all", "--gateways", 2)
    asked(server, churn)
    text = page(server)
    for ours, theirs in (({"code": "2xx"}, "nv_inference_request_success"), ({"code": "4xx"}, "nv_inference_request_failure")):
        for version in "12":
            assert value(text, "slipway_requests_total", version=version, **ours) == value(text, theirs, model="churn", version=version)
    assert value(text, "nv_inference_count", version="2") == 70 and value(text, "nv_inference_exec_count", version="2") == 5
    parts = {part: value(text, f"nv_inference_{part}_duration_us", version="2")
             for part in ("request", "queue", "compute_input", "compute_infer", "compute_output")}
    assert abs(parts["request"] - sum(v for part, v in parts.items() if part != "request")) <= 3
    assert parts["request"] == int(value(text, "slipway_request_duration_seconds_sum", version="2") * 1e6)
    for theirs, ours in (("preprocess", "queue"), ("predict", "compute")):
        for part in ("count", "sum"):
            got = value(text, f"request_{theirs}_seconds_{part}", model_name="churn")
            assert abs(got - value(text, f"slipway_{ours}_duration_seconds_{part}")) < 1e-12
        assert value(text, f"request_{theirs}_seconds_bucket", le="+Inf") == 6
    checked = promtool("check", "metrics", input=text)
    assert [line for line in checked.stderr.splitlines() + checked.stdout.splitlines() if not line.startswith("nv_inference_")] == []


def test_aliases_are_left_out_unless_asked_for(start_server, churn):
    for setting, triton, kserve in (("none", False, False), ("triton", True, False), ("kserve", False, True)):
        server = start_server("--metrics-aliases", setting)
        server.push("churn", churn.path)
        kinds = families(page(server))
        assert (any(k.startswith("nv_") for k in kinds), any(k.startswith("request_") for k in kinds)) == (triton, kserve)
