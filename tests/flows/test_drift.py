# SPDX-License-Identifier: Apache-2.0
"""Drift: a training file becomes a baseline at push."""

import json
import pathlib
import time

import numpy as np
import pytest
import requests

from test_cli import run  # noqa: F401 (a fixture)

ROWS = 4000


def train_csv(path, names, rows, extra=()):
    """Missing values as nothing, more columns than the model has."""
    with open(path, "w") as out:
        out.write(",".join(["id", *names, *extra]) + "\n")
        for i, row in enumerate(rows):
            cells = ["" if np.isnan(v) else repr(float(v)) for v in row]
            out.write(",".join([f'"row ""{i}"""', *cells, *["x"] * len(extra)]) + "\r\n")
    return path


def like_training(rng, n):
    x = rng.normal(size=(n, 6)).astype(np.float32)
    x[rng.random(x.shape) < 0.1] = np.nan
    return x


def profile_of(server, model="churn", version=1):
    shown = requests.get(f"{server.url}/api/v1/models/{model}/versions/{version}", timeout=60).json()
    kept = [a for a in shown["artifacts"] if a["role"] == "baseline"]
    assert len(kept) == 1
    blob = next(p for p in (pathlib.Path(server.data_dir) / "blobs").rglob("*") if p.name in (kept[0]["digest"][7:], kept[0]["digest"][9:]))
    return kept[0], json.loads(blob.read_bytes())


def test_a_training_file_becomes_a_profile_of_inputs_and_outputs(server, churn, run, tmp_path):  # noqa: F811
    import xgboost

    x = like_training(np.random.default_rng(5), ROWS)
    done = run("push", "churn", churn.path, "--baseline", train_csv(tmp_path / "train.csv", churn.names, x, ["label"]), server=server)
    assert done.returncode == 0, done.stderr
    assert "4000 rows of train.csv; 6 of 6 inputs, 1 output; 2 columns not used" in done.stdout
    artifact, profile = profile_of(server)
    assert artifact["name"] == "train.csv.profile.json"
    assert [c["name"] for c in profile["columns"]] == [*churn.names, "prediction"]
    booster = xgboost.Booster(model_file=churn.path)
    outputs = booster.predict(xgboost.DMatrix(x, feature_names=churn.names))
    for column, values in zip(profile["columns"], [*x.T, outputs], strict=True):
        real = values[~np.isnan(values)]
        assert (column["n"], column["missing"]) == (len(real), len(values) - len(real))
        assert column["range"] == pytest.approx([real.min(), real.max()], rel=1e-6)
        assert column["moments"][0] == pytest.approx(real.mean(dtype=float), abs=1e-5)
        low, high = np.quantile(real, [.25, .75])
        assert column["moments"][2] == pytest.approx((high - low) / 1.349, rel=0.01)
        edges, counts = np.array(column["edges"]), np.array(column["counts"])
        expected = np.histogram(real.astype(np.float64), np.r_[edges[:-1], np.inf])[0]
        assert counts.tolist() == expected.tolist()  # fewer values than the sketch holds: exact


def test_a_profile_comes_back_as_it_went_out(server, churn, run, tmp_path):  # noqa: F811
    x = like_training(np.random.default_rng(6), 300)
    assert run("push", "churn", churn.path, "--baseline", train_csv(tmp_path / "train.csv", churn.names, x), server=server).returncode == 0
    assert run("export", "churn", "-o", tmp_path / "out", server=server).returncode == 0
    assert run("push", "again", tmp_path / "out", server=server).returncode == 0
    assert profile_of(server)[0] == profile_of(server, "again")[0]


@pytest.mark.parametrize("content, message", [
    ("age,income\n1,x\n", "row 1 of the baseline has 'x' in column 'income'"),
    ("age,income\n1\n", "row 1 of the baseline has 1 fields, and the header has 2"),
    ("a,b\n1,2\n", "no column with the name of an input"),
    ("PAR1....PAR1", "Parquet"),
    ("\x00\x01\x02", "no CSV file"),
    ('{"slipway_profile":1,"source":"x","rows":1,"columns":[7]}', "profile is not sound"),
])
def test_what_is_no_baseline_is_refused_and_leaves_no_version(server, churn, run, tmp_path, content, message):  # noqa: F811
    (tmp_path / "train.csv").write_text(content)
    done = run("push", "churn", churn.path, "--baseline", tmp_path / "train.csv", server=server, rc=1)
    assert message in done.stderr, done.stderr
    assert requests.get(f"{server.url}/api/v1/models/churn", timeout=60).status_code == 404


@pytest.fixture
def watched(start_server):
    return start_server("--drift-window", "1s", "--drift-window-rows", "300")


def drift(server, model="churn", **params):
    got = requests.get(f"{server.url}/api/v1/models/{model}/drift", params=params, timeout=60)
    assert got.status_code == 200, got.text
    return got.json()


def test_a_version_waits_for_traffic_and_what_it_is_compared_with_survives(start_server, watched, churn, run, tmp_path):  # noqa: F811
    rows = like_training(np.random.default_rng(7), 500)
    run("push", "churn", churn.path, "--baseline", train_csv(tmp_path / "train.csv", churn.names, rows), server=watched)
    run("push", "plain", churn.path, server=watched)
    shown = drift(watched)
    assert shown["state"] == "waiting" and shown["baseline"] == {"source": "train.csv", "rows": 500, "columns": 7}
    assert shown["memory_bytes"] < 1 << 20
    assert drift(watched, "plain")["state"] == "learning" and "baseline" not in drift(watched, "plain")
    assert "baseline train.csv, 500 rows" in run("drift", "churn", server=watched).stdout
    watched.end()
    again = start_server(data_dir=watched.data_dir)
    deadline = time.monotonic() + 60
    while requests.get(f"{again.url}/api/v1/models/churn/drift", timeout=60).status_code != 200:
        assert time.monotonic() < deadline
    assert drift(again)["baseline"] == shown["baseline"]


WINDOW_ROWS = 300


def send(server, rows, model="churn"):
    instances = [[None if np.isnan(v) else float(v) for v in row] for row in rows]
    for i in range(0, len(instances), 20):
        got = requests.post(f"{server.url}/v1/models/{model}:predict", json={"instances": instances[i:i + 20]}, timeout=60)
        assert got.status_code == 200, got.text


def windows(server, n, rows):
    """Sends what `rows` makes until so many further windows have ended."""
    until = drift(server)["windows_closed"] + n
    deadline = time.monotonic() + 300
    while drift(server)["windows_closed"] < until:
        assert time.monotonic() < deadline
        send(server, rows(100))
    # The last one is compared in the ticks that follow.
    while len(shown := drift(server)) == 0 or any(c["n"] == 0 for c in shown["inputs"]):
        assert time.monotonic() < deadline
    return shown


def test_traffic_like_the_training_is_quiet_and_a_shift_is_found_and_named(start_server, watched, churn, run, tmp_path):  # noqa: F811
    rng = np.random.default_rng(8)
    run("push", "churn", churn.path, "--baseline", train_csv(tmp_path / "train.csv", churn.names, like_training(rng, ROWS)), server=watched)
    assert drift(watched)["state"] == "waiting"
    shown = windows(watched, 4, lambda n: like_training(rng, n))
    assert shown["state"] == "quiet" and shown["findings"] == []
    assert shown["baseline"]["rows"] == ROWS and shown["window"]["rows"] >= WINDOW_ROWS
    assert [c["name"] for c in shown["inputs"]] == churn.names and shown["outputs"][0]["n"] >= WINDOW_ROWS

    def shifted(n):
        rows = like_training(rng, n)
        rows[:, 2] += 0.5
        return rows

    shown = windows(watched, 3, shifted)
    found = [(f["column"], f["kind"]) for f in shown["findings"] if f["role"] == "input"]
    assert found == [("tenure", "distribution")], shown["findings"]
    finding = next(f for f in shown["findings"] if f["column"] == "tenure")
    assert "values of input 'tenure' are higher" in finding["text"] and finding["level"] in ("warn", "alert")
    assert shown["state"] != "quiet"
    text = run("drift", "churn", server=watched).stdout
    assert "tenure" in text and "are higher" in text and "MEDIAN" in text
    assert json.loads(run("drift", "churn", "--json", server=watched).stdout)["model"] == "churn"
    page = requests.get(f"{watched.url}/metrics", timeout=60).text
    gauges = [line for line in page.splitlines() if line.startswith("slipway_feature_drift{") and '"tenure"' in line]
    assert any('stat="w1"' in line and float(line.split()[-1]) > 0.25 for line in gauges), gauges
    assert 'slipway_feature_missing_ratio{model="churn",feature="age"}' in page

    # What was found survives a restart.
    before = drift(watched)
    watched.end()
    again = start_server("--drift-window", "1h", data_dir=watched.data_dir)
    deadline = time.monotonic() + 60
    while requests.get(f"{again.url}/api/v1/models/churn/drift", timeout=60).status_code != 200:
        assert time.monotonic() < deadline
    after = drift(again)
    assert after["windows_closed"] >= before["windows_closed"]
    assert [f["column"] for f in after["findings"]] == [f["column"] for f in before["findings"]]
    assert after["collecting"]["seen"] + after["window"]["seen"] > 0


def test_the_first_window_is_learned_and_live_windows_become_the_baseline(watched, churn, run):  # noqa: F811
    rng = np.random.default_rng(9)
    run("push", "churn", churn.path, server=watched)
    assert drift(watched)["state"] == "learning"
    shown = windows(watched, 2, lambda n: like_training(rng, n))
    assert shown["baseline"]["source"] == "first window" and shown["findings"] == []
    shown = windows(watched, 3, lambda n: like_training(rng, n) + np.float32(1))
    assert {f["column"] for f in shown["findings"]} >= set(churn.names)
    done = run("drift", "churn", "--set-baseline", "2", server=watched)
    assert "live window 2" in done.stdout
    shown = windows(watched, 3, lambda n: like_training(rng, n) + np.float32(1))
    assert shown["findings"] == [] and shown["baseline"]["source"].startswith("live window 2")


def test_what_is_asked_wrongly_is_refused(watched, churn, run):  # noqa: F811
    run("push", "churn", churn.path, server=watched)
    base = f"{watched.url}/api/v1/models/churn"
    assert requests.get(f"{base}/drift", params={"window": "long"}, timeout=60).status_code == 400
    assert requests.get(f"{base}/drift", params={"version": "9"}, timeout=60).status_code == 404
    assert requests.get(f"{watched.url}/api/v1/models/none/drift", timeout=60).status_code == 404
    assert requests.put(f"{base}/baseline", json={"window": "1h"}, timeout=60).status_code == 409
    assert requests.put(f"{base}/baseline", json={}, timeout=60).status_code == 400
    assert requests.put(f"{base}/baseline", json={"windows": "1h"}, timeout=60).status_code == 400
