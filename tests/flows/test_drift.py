# SPDX-License-Identifier: Apache-2.0
"""Drift: a training file becomes a baseline at push."""

import json
import pathlib
import time

import numpy as np
import pytest
import requests

from conftest import until
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


def table_of(names, x):
    """The columns of a data frame: several types, nulls, an integer for the fourth, and columns that are not the model's."""
    columns = {name: x[:, i] for i, name in enumerate(names)}
    columns["income"] = x[:, 1].astype(np.float64)
    columns["plan"] = np.arange(len(x), dtype=np.int32) % 3000 - 1500
    return {"id": np.arange(len(x)), **columns, "note": [None if i % 7 == 0 else f"row {i}" for i in range(len(x))]}


def write_parquet(how, path, columns):
    import pandas
    import polars
    import pyarrow
    from pyarrow import parquet

    frame = pandas.DataFrame(columns)
    if how == "polars":
        polars.DataFrame({k: polars.Series(k, v, nan_to_null=True) if k != "note" else v for k, v in columns.items()}).write_parquet(path)
    elif how.startswith("polars-"):
        polars.DataFrame(columns, strict=False).write_parquet(path, compression=how[7:], row_group_size=1000)
    elif how == "pandas":
        frame.to_parquet(path)
    else:
        options = {"plain": {"use_dictionary": False, "compression": "none"}, "gzip": {"compression": "gzip"}, "zstd": {"compression": "zstd"},
                   "version 2": {"data_page_version": "2.0", "compression": "snappy"},
                   "small": {"data_page_size": 512, "row_group_size": 777, "dictionary_pagesize_limit": 2048},
                   "version 2 small": {"data_page_version": "2.0", "data_page_size": 512, "compression": "gzip", "use_dictionary": ["plan"]}}
        parquet.write_table(pyarrow.Table.from_pandas(frame), path, **options[how])


@pytest.mark.parametrize("how", ["pandas", "plain", "gzip", "zstd", "version 2", "small", "version 2 small", "polars", "polars-snappy", "polars-gzip"])
def test_parquet_gives_the_profile_of_the_same_table_as_csv(server, churn, run, tmp_path, how):  # noqa: F811
    columns = table_of(churn.names, like_training(np.random.default_rng(12), 3500))
    write_parquet(how, tmp_path / "train.parquet", columns)
    rows = np.column_stack([columns[name].astype(np.float64) for name in churn.names])
    for version, path in enumerate([train_csv(tmp_path / "train.csv", churn.names, rows, ["note"]), tmp_path / "train.parquet"], 1):
        done = run("push", "churn", churn.path, "--baseline", path, server=server)
        assert done.returncode == 0, done.stderr
        assert f"3500 rows of {path.name}; 6 of 6 inputs, 1 output; 2 columns not used" in done.stdout
    of_csv, of_parquet = profile_of(server, version=1)[1], profile_of(server, version=2)[1]
    assert of_parquet["source"] == "train.parquet"
    assert {**of_parquet, "source": "train.csv"} == of_csv


def test_texts_and_booleans_of_parquet_are_categories(server, run, tmp_path):  # noqa: F811
    import pandas
    import xgboost

    rng = np.random.default_rng(13)
    frame = pandas.DataFrame({"color": pandas.Categorical(rng.choice(["blue", "green", "red"], 600)), "member": rng.random(600) < .3,
                              "age": rng.normal(size=600).astype(np.float32)})
    frame.loc[::50, "color"] = None
    booster = xgboost.train({"max_depth": 3}, xgboost.DMatrix(frame, label=frame["age"] > 0, enable_categorical=True), 5)
    booster.save_model(tmp_path / "m.json")
    frame.to_csv(tmp_path / "train.csv", index=False)
    frame.to_parquet(tmp_path / "train.parquet", index=True)
    for version, name in enumerate(["train.csv", "train.parquet"], 1):
        done = run("push", "m", tmp_path / "m.json", "--baseline", tmp_path / name, server=server)
        assert done.returncode == 0 and "3 of 3 inputs" in done.stdout, done.stderr
    of_csv, of_parquet = (profile_of(server, "m", version)[1]["columns"] for version in (1, 2))
    assert of_parquet == of_csv and of_csv[0]["kind"] == "category" and of_csv[0]["missing"] == 12


@pytest.mark.parametrize("name, message", [
    ("lists", "column 'age' of the Parquet file is a list, a map or a struct, which is not read"),
    ("times", "column 'age' of the Parquet file is a date or a time"),
    ("decimals", "column 'age' of the Parquet file is a decimal number (DECIMAL)"),
    ("delta", "column 'age' of the Parquet file has the encoding DELTA_BINARY_PACKED, which is not read"),
    ("lz4", "column 'income' of the Parquet file has the codec LZ4_RAW, which is not read"),
    ("cut", "the Parquet file is damaged"),
])
def test_what_is_not_read_of_parquet_is_refused_by_name(server, churn, run, tmp_path, name, message):  # noqa: F811
    import datetime
    import decimal

    import pyarrow
    from pyarrow import parquet

    values = {"lists": [[1], [2]], "times": [datetime.datetime(2026, 1, 1)] * 2, "decimals": [decimal.Decimal("1.5")] * 2}
    table = pyarrow.table({"income": [1.0, 2.0], "age": values.get(name, [1, 2])})
    options = {"delta": {"use_dictionary": False, "column_encoding": {"age": "DELTA_BINARY_PACKED", "income": "PLAIN"}}, "lz4": {"compression": "lz4"}}
    path = tmp_path / "train.parquet"
    parquet.write_table(table, path, **options.get(name, {}))
    if name == "cut":
        path.write_bytes(path.read_bytes()[:-1])
    done = run("push", "churn", churn.path, "--baseline", path, server=server, rc=1)
    assert message in done.stderr, done.stderr
    # What is not an input of the model may be anything.
    if name in values:
        parquet.write_table(pyarrow.table({"income": [1.0, 2.0], "other": values[name]}), path)
        assert run("push", "churn", churn.path, "--baseline", path, server=server).returncode == 0


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
    ("PAR1....PAR1", "the Parquet file is damaged: its footer is longer than it"),
    ("\x00\x01\x02", "no CSV or Parquet file"),
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
    # The monitor may hear of a version a moment after its push was answered.
    got = until(lambda: requests.get(f"{server.url}/api/v1/models/{model}/drift", params=params, timeout=60),
                lambda got: got.status_code != 404)
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
    until(lambda: requests.get(f"{again.url}/api/v1/models/churn/drift", timeout=60).status_code, 200)
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
        time.sleep(0.02)
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

    def gauges():
        page = requests.get(f"{watched.url}/metrics", timeout=60).text.splitlines()
        return [line for line in page if line.startswith("slipway_feature_")]

    until(gauges, lambda found: any('"tenure"' in line and 'stat="w1"' in line and float(line.split()[-1]) > 0.25
                                    for line in found if line.startswith("slipway_feature_drift{")))
    assert any(line.startswith('slipway_feature_missing_ratio{model="churn",feature="age"}') for line in gauges())

    # What was found survives a restart.
    before = drift(watched)
    watched.end()
    again = start_server("--drift-window", "1h", data_dir=watched.data_dir)
    until(lambda: requests.get(f"{again.url}/api/v1/models/churn/drift", timeout=60).status_code, 200)
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
