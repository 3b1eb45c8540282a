# SPDX-License-Identifier: Apache-2.0
"""A real Prometheus that scrapes a server, and the text format read by hand."""

import json
import re
import subprocess
import time

import pytest
import requests

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


class Prometheus:
    def __init__(self, folder, server, rules=None):
        folder.mkdir()
        config = {"global": {"scrape_interval": "1s", "scrape_timeout": "1s", "evaluation_interval": "1s"},
                  "rule_files": [str(rules)] if rules else [],
                  "scrape_configs": [{"job_name": "slipway", "static_configs": [{"targets": [f"127.0.0.1:{server.port}"]}]}]}
        (folder / "prometheus.yml").write_text(json.dumps(config)) # JSON is YAML
        self.process = subprocess.Popen(
            [PROGRAMS / "prometheus", f"--config.file={folder}/prometheus.yml", f"--storage.tsdb.path={folder}/data",
             "--web.listen-address=127.0.0.1:0", "--log.format=json"],
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

    def start(server, rules=None):
        running.append(Prometheus(tmp_path / f"prometheus{len(running)}", server, rules))
        return running[-1]

    yield start
    for one in running:
        one.end()
