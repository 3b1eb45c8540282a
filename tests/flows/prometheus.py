# SPDX-License-Identifier: Apache-2.0
"""A real Prometheus that scrapes a server, and the text format read by hand."""

import json
import re
import subprocess
import time

import pytest
import requests
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

from conftest import ROOT

PROGRAMS = ROOT / "build" / "prometheus" / "usr" / "bin"  # dev/setup test
SAMPLE = re.compile(r'([a-z_]+)(?:\{(.*)\})? (\S+)\Z')
LABEL = re.compile(r'([a-z_]+)="((?:[^"\\]|\\.)*)"')


def page(server):
    """With what the monitor adds, which comes a moment after the start."""
    end = time.monotonic() + 60
    while True:
        got = requests.get(f"{server.url}/metrics", timeout=60)
        assert got.status_code == 200
        if "slipway_traces_total" in got.text:
            return got.text
        assert time.monotonic() < end
        time.sleep(0.05)


def samples(text, prefix=""):
    """{(name, labels in order)} -> value; a series that is there twice is an error."""
    found = {}
    for line in text.splitlines():
        if line.startswith("#") or not line.startswith(prefix):
            continue
        name, labels, value = SAMPLE.match(line).groups()
        key = (name, tuple(sorted(LABEL.findall(labels or ""))))
        assert key not in found, line
        found[key] = float(value)
    return found


def value(text, name, **labels):
    """The sum of the samples of that name with these labels."""
    found = [v for (n, l), v in samples(text, name).items() if n == name and labels.items() <= dict(l).items()]
    assert found, (name, labels)
    return sum(found)


def promtool(*words, **how):
    return subprocess.run([PROGRAMS / "promtool", *map(str, words)], capture_output=True, text=True, timeout=120, **how)


ACCEPT_PROTO = "application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=delimited"
KINDS = {0: "counter", 1: "gauge", 4: "histogram"}


def metric_family():
    """The class of the message: the part of Prometheus' client/metrics.proto that a server of today sends."""
    file = descriptor_pb2.FileDescriptorProto(name="metrics.proto", package="io.prometheus.client", syntax="proto2")
    types = descriptor_pb2.FieldDescriptorProto
    messages = {
        "LabelPair": {"name": (1, "string"), "value": (2, "string")},
        "Gauge": {"value": (1, "double")}, "Counter": {"value": (1, "double")},
        "Bucket": {"cumulative_count": (1, "uint64"), "upper_bound": (2, "double")},
        "BucketSpan": {"offset": (1, "sint32"), "length": (2, "uint32")},
        "Histogram": {"sample_count": (1, "uint64"), "sample_sum": (2, "double"), "bucket": (3, "Bucket", "repeated"),
                      "schema": (5, "sint32"), "zero_threshold": (6, "double"), "zero_count": (7, "uint64"),
                      "positive_span": (12, "BucketSpan", "repeated"), "positive_delta": (13, "sint64", "repeated")},
        "Metric": {"label": (1, "LabelPair", "repeated"), "gauge": (2, "Gauge"), "counter": (3, "Counter"), "histogram": (7, "Histogram")},
        "MetricFamily": {"name": (1, "string"), "help": (2, "string"), "type": (3, "int32"), "metric": (4, "Metric", "repeated")},
    }
    for name, fields in messages.items():
        message = file.message_type.add(name=name)
        for field, (number, kind, *label) in fields.items():
            own = kind in messages
            message.field.add(name=field, number=number, type=types.TYPE_MESSAGE if own else getattr(types, f"TYPE_{kind.upper()}"),
                              type_name=f".io.prometheus.client.{kind}" if own else None,
                              label=types.LABEL_REPEATED if label else types.LABEL_OPTIONAL)
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName("io.prometheus.client.MetricFamily"))


def cut_varint(data):
    value = shift = 0
    for i, byte in enumerate(data):
        value |= (byte & 0x7F) << shift
        shift += 7
        if byte < 0x80:
            return value, data[i + 1:]
    raise AssertionError("ends in a number")


def proto_families(data):
    one, found = metric_family(), []
    while data:
        n, data = cut_varint(data)
        found.append(one.FromString(data[:n]))
        data = data[n:]
    return found


def proto_samples(found):
    """As samples() has them of the text."""
    out = {}
    for family in found:
        kind = KINDS[family.type]
        for metric in family.metric:
            labels = tuple(sorted((l.name, l.value) for l in metric.label))

            def put(name, value, *more):
                key = (name, tuple(sorted(labels + more)))
                assert key not in out
                out[key] = value

            if kind != "histogram":
                put(family.name, getattr(metric, kind).value)
                continue
            h = metric.histogram
            for bucket in h.bucket:
                put(family.name + "_bucket", bucket.cumulative_count, ("le", bucket.upper_bound))
            put(family.name + "_sum", h.sample_sum)
            put(family.name + "_count", h.sample_count)
    return out


def native_buckets(histogram):
    """{bucket: count}, what is above 2^((bucket - 1) / 2^schema) and at most 2^(bucket / 2^schema)."""
    at = n = 0
    found, deltas = {}, list(histogram.positive_delta)
    for span in histogram.positive_span:
        at += span.offset
        for _ in range(span.length):
            n += deltas.pop(0)
            found[at] = n
            at += 1
    assert not deltas
    return found


class Prometheus:
    def __init__(self, folder, server, rules=None, native=False):
        folder.mkdir()
        interval = "250ms" if native else "1s"
        config = {"global": {"scrape_interval": interval, "scrape_timeout": interval, "evaluation_interval": "1s"},
                  "rule_files": [str(rules)] if rules else [],
                  "scrape_configs": [{"job_name": "slipway", "static_configs": [{"targets": [f"127.0.0.1:{server.port}"]}]}]}
        (folder / "prometheus.yml").write_text(json.dumps(config)) # JSON is YAML
        self.process = subprocess.Popen(
            [PROGRAMS / "prometheus", f"--config.file={folder}/prometheus.yml", f"--storage.tsdb.path={folder}/data",
             "--web.listen-address=127.0.0.1:0", "--log.format=json", *(["--enable-feature=native-histograms"] if native else [])],
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=(folder / "log").open("w"))
        end = time.monotonic() + 180
        while True:
            said = [json.loads(line) for line in (folder / "log").read_text().splitlines() if line.endswith("}")]
            at = [s["address"] for s in said if s.get("msg") == "Listening on"]
            if at and any(s.get("msg", "").startswith("Server is ready") for s in said):
                break
            assert time.monotonic() < end and self.process.poll() is None, said
            time.sleep(0.05)
        self.url = "http://" + at[0]

    def get(self, path, **params):
        got = requests.get(f"{self.url}/api/v1/{path}", params=params, timeout=60).json()
        assert got["status"] == "success", (got, params)
        return got["data"]

    def query(self, expr):
        """[(labels, value)]"""
        return [(row["metric"], float(row["value"][1])) for row in self.get("query", query=expr)["result"]]

    def wait(self, expr, true, timeout=120):
        """The first answer to expr that is as wanted."""
        end = time.monotonic() + timeout
        while not true(found := self.query(expr)):
            assert time.monotonic() < end, (expr, found)
            time.sleep(0.1)
        return found

    def end(self):
        self.process.terminate()
        self.process.wait(60)


@pytest.fixture
def prometheus(tmp_path):
    """A function that starts one for a server."""
    running = []

    def start(server, rules=None, native=False):
        running.append(Prometheus(tmp_path / f"prometheus{len(running)}", server, rules, native))
        return running[-1]

    yield start
    for one in running:
        one.end()
