# SPDX-License-Identifier: Apache-2.0
"""The files of the prediction log, read by DuckDB, pandas and polars, and the commands on a data directory."""

import csv
import fcntl
import json
import os
import random
import subprocess

import duckdb
import pandas
import polars
import pytest
from conftest import BINARY, ROOT

WRITE_LOG = os.environ.get("SLIPWAY_WRITE_LOG", str(ROOT / "build" / "gcc" / "tests" / "fakes" / "write_log"))
RECORDS, SEALED = 3000, 2000


def write_log(folder, *words):
    subprocess.run([WRITE_LOG, str(folder), *map(str, words)], check=True, timeout=300)


def log(folder, *words, code=0):
    done = subprocess.run([BINARY, "log", *map(str, words), "--data-dir", str(folder)], capture_output=True, text=True,
                          timeout=300)
    assert done.returncode == code, done.stderr
    return done.stdout


def rows_of(k):
    """How many lines record k has: a table has one for each row; a failure has one."""
    return 2 if k % 5 != 4 and k % 3 == 0 and k % 11 != 10 else 1


def is_churn(k):
    return k % 5 != 4


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("log")
    write_log(folder, RECORDS, SEALED)
    return folder


def lines(folder, *words):
    return [json.loads(line) for line in log(folder, "query", *words, "--json").splitlines()]


def test_sealed_files_are_read_by_all_with_equal_counts(folder):
    entries = [json.loads(line) for line in (folder / "log/MANIFEST.jsonl").read_text().splitlines()]
    expected = {"churn": sum(rows_of(k) for k in range(SEALED) if is_churn(k)),
                "words": sum(1 for k in range(SEALED) if not is_churn(k))}
    assert {entry["model"] for entry in entries} == expected.keys()
    for model, count in expected.items():
        assert sum(entry["rows"] for entry in entries if entry["model"] == model) == count
        pattern = str(folder / f"log/model={model}/**/*.jsonl.zst")
        paths = sorted((folder / f"log/model={model}").rglob("*.jsonl.zst"))
        assert duckdb.sql(f"SELECT count(*) FROM read_json('{pattern}')").fetchall()[0][0] == count
        assert sum(len(pandas.read_json(path, lines=True)) for path in paths) == count
        assert sum(polars.scan_ndjson(path, infer_schema_length=None).collect().height for path in paths) == count
    got = duckdb.sql(f"SELECT max(inputs.age), sum(outputs.prediction) FROM read_json('{folder}/log/model=churn/**/*.zst') "
                     "WHERE status = 200").fetchall()[0]
    good = [k for k in range(SEALED) if is_churn(k) and k % 11 != 10]
    assert got == (max(k % 90 for k in good if k % 7), pytest.approx(sum(k % 65536 / 1024 * rows_of(k) for k in good)))


@pytest.mark.parametrize("model", ["churn", "words"])
def test_exports_agree_in_all_formats_and_readers(folder, tmp_path, model):
    paths = {name: tmp_path / f"{model}.{name}" for name in ("jsonl", "csv", "parquet")}
    for path in paths.values():
        log(folder, "export", model, "-o", path)
    source = [json.loads(line) for line in paths["jsonl"].read_text().splitlines()]
    assert len(source) == sum(rows_of(k) for k in range(RECORDS) if is_churn(k) == (model == "churn"))
    frames = {
        "duckdb": duckdb.sql(f"SELECT * FROM '{paths['parquet']}'").df(),
        "pandas": pandas.read_parquet(paths["parquet"]),
        "polars": polars.read_parquet(paths["parquet"]).to_pandas(),
        "csv": pandas.read_csv(paths["csv"]),
    }
    with paths["csv"].open(newline="") as file:
        assert sum(1 for _ in csv.DictReader(file)) == len(source)
    for name, frame in frames.items():
        assert len(frame) == len(source), name
        assert list(frame["seq"]) == [line["seq"] for line in source], name
        assert list(frame["id"]) == [line["id"] for line in source], name
    parquet = frames["pandas"]
    assert str(parquet["time"].dtype).startswith("datetime64[us") or str(parquet["time"].dtype).startswith("datetime64[ns")
    assert [t.isoformat().replace("+00:00", "Z") for t in parquet["time"][:50]] == [
        line["time"].replace(".000000Z", "Z") for line in source[:50]]
    values = {"churn": "age", "words": "text"}[model]
    for frame in (frames["duckdb"], parquet, frames["polars"]):
        got = [None if pandas.isna(v) else v for v in frame[f"input_{values}"]]
        want = [(line["inputs"] or {}).get(values) for line in source]
        assert got == [json.dumps(v, ensure_ascii=False) if isinstance(v, list) else v for v in want]
    if model == "churn":
        assert "input_secret" not in parquet and parquet["input_age"].dtype == "float64"
        assert parquet["truncated"].dtype == bool and parquet["input_card"].dropna().str.len().eq(16).all()
        assert set(parquet["input_income"].dropna() % 1000) == {0}
    else:
        assert [c for c in parquet if c.startswith("output_")] == ["output_scores_0", "output_scores_1", "output_scores_2"]


def test_queries_and_tail(folder):
    assert len(lines(folder)) == sum(rows_of(k) for k in range(RECORDS))
    assert {line["model"] for line in lines(folder, "words")} == {"words"}
    failed = lines(folder, "churn", "--status", "5xx")
    assert len(failed) == sum(1 for k in range(RECORDS) if is_churn(k) and k % 11 == 10)
    assert {(line["kind"], line["error"], line["outputs"]) for line in failed} == {("failure", "busy", None)}
    one = lines(folder, "--id", failed[-1]["id"])
    assert one == [failed[-1]]
    assert all(line["arm"] == 1 for line in lines(folder, "--arm", "canary", "--limit", "50"))
    later = lines(folder, "--from", "2026-11-22T09:49:31.500000Z")
    assert later and min(line["time"] for line in later) >= "2026-11-22T09:49:31.500000Z"
    tail = [json.loads(line) for line in log(folder, "tail", "-n", 5, "--json").splitlines()]
    assert tail == lines(folder)[-5:]
    assert "churn/3" in log(folder, "tail", "churn", "-n", "1")
    assert "not understood" in subprocess.run([BINARY, "log", "query", "--status", "teapot", "--data-dir", folder],
                                              capture_output=True, text=True).stderr


def test_verify_finds_a_changed_byte(tmp_path):
    write_log(tmp_path, 500, 300)
    assert "sound" in log(tmp_path, "verify")
    report = json.loads(log(tmp_path, "verify", "--json"))
    assert report["sound"] and report["rows"] == sum(rows_of(k) for k in range(300)) and report["wal_records"] == 200
    path = next((tmp_path / "log/model=churn").rglob("*.zst"))
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)
    assert "SHA-256" in log(tmp_path, "verify", code=1)


def test_what_was_told_durable_survives_kills(tmp_path):
    """The writer is killed at random moments; all that it said was durable is there, once, in order, and the rest is told."""
    dice = random.Random(5)
    told = set()
    for _ in range(12):
        child = subprocess.Popen([WRITE_LOG, tmp_path, "0", "0", "5"], stdout=subprocess.PIPE, text=True)
        fcntl.fcntl(child.stdout, fcntl.F_SETPIPE_SZ, 4096)  # how far it may run ahead of the kill
        for _ in range(dice.randrange(1, 200)):
            line = child.stdout.readline()
            told.add(int(line))
        child.kill()
        rest = child.stdout.read().splitlines(keepends=True)
        told.update(int(line) for line in rest if line.endswith("\n"))
        child.wait()
    seen = [line["seq"] for line in lines(tmp_path) if line["row"] == 0]
    assert seen == sorted(set(seen))
    present = set(seen)
    for last in told:
        assert set(range(last - 4, last + 1)) <= present
    gaps = [line for line in lines(tmp_path, "--gaps") if line["kind"] == "gap"]
    missing = set(range(1, max(seen) + 1)) - present
    for seq in missing:
        assert any(gap["first_seq"] <= seq <= gap["last_seq"] for gap in gaps), seq
