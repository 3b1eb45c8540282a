# SPDX-License-Identifier: Apache-2.0
"""The command line against a real server: push, look, predict, delete, and what is said when something is wrong."""

import json
import os
import pty
import re
import subprocess

import numpy as np
import pytest

from conftest import BINARY


@pytest.fixture
def run(tmp_path):
    """Runs a verb; text in and out. `server` chooses the one to ask."""

    def run(*words, server=None, stdin="", rc=0, env=None):
        settings = {"SLIPWAY_URL": server.url} if server else {}
        done = subprocess.run([BINARY, *map(str, words)], input=stdin, capture_output=True, text=True, timeout=180,
                              cwd=tmp_path, env={**os.environ, **settings, **(env or {})})
        assert done.returncode == rc, f"exit {done.returncode}\n{done.stdout}\n{done.stderr}"
        return done

    return run


def csv_of(names, rows):
    cells = [["" if np.isnan(v) else repr(float(v)) for v in row] for row in rows]
    return "\n".join([",".join(names)] + [",".join(row) for row in cells]) + "\n"


def numbers(text):
    """The predictions of a CSV as printed."""
    return np.array([float(line) for line in text.splitlines()[1:]])


def same(text, expected):
    got = numbers(text)
    assert len(got) == len(expected)
    assert np.array_equal(got.astype(np.float32), expected.astype(np.float32))


def test_push_says_what_serves_now_and_a_curl_line_that_works(run, server, churn):
    out = run("push", "churn", churn.path, server=server).stdout
    assert "churn version 1 serves now" in out
    for text in ("xgboost_json", "6: age, income, tenure, plan, calls, spend", f"{server.url}/v1/models/churn:predict"):
        assert text in out
    curl = next(line for line in out.splitlines() if line.strip().startswith("curl "))
    answer = subprocess.run(["sh", "-c", curl], capture_output=True, text=True, timeout=30)
    assert len(json.loads(answer.stdout)["predictions"]) == 1


def test_the_same_bytes_are_sent_once(run, server, churn):
    first = run("push", "churn", churn.path, server=server).stdout
    second = run("push", "churn", churn.path, server=server).stdout
    assert "already" not in first and "the server had this file already" in second
    assert "version 2" in second


def test_push_from_standard_input_with_tags(run, server, churn):
    with open(churn.path) as file:
        out = run("push", "churn", "-", "--tag", "run=7", "--description", "a \"b\"", "--json", server=server,
                  stdin=file.read()).stdout
    version = json.loads(out)
    assert (version["model"], version["version"]) == ("churn", 1)
    shown = json.loads(run("show", "churn", "1", "--json", server=server).stdout)
    assert shown["tags"] == {"run": "7"} and shown["description"] == 'a "b"'


def test_a_push_without_promotion_leaves_the_champion(run, server, churn):
    run("push", "churn", churn.path, server=server)
    out = run("push", "churn", churn.path, "--no-promote", server=server).stdout
    assert "is ready, not promoted" in out and "/versions/2:predict" in out
    assert json.loads(run("show", "churn", "--json", server=server).stdout)["aliases"] == {"champion": 1}


def test_a_broken_model_is_refused_with_a_reason(run, server, tmp_path):
    (tmp_path / "bad.json").write_text('{"learner": 1}')
    done = run("push", "churn", "bad.json", server=server, rc=1)
    assert done.stderr.startswith("slipway: ") and len(done.stderr) > 20
    error = json.loads(run("push", "churn", "bad.json", "--json", server=server, rc=1).stderr)
    assert error["error"] and error["code"]


def test_models_and_show(run, server, churn, price):
    assert "No models yet" in run("models", server=server).stdout
    run("push", "churn", churn.path, server=server)
    run("push", "price", price.path, server=server)
    assert run("models", "--names", server=server).stdout.split() == ["churn", "price"]
    table = run("models", server=server).stdout.splitlines()
    assert table[0].split()[:3] == ["MODEL", "CHAMPION", "VERSIONS"] and table[1].split()[:3] == ["churn", "1", "1"]
    assert {m["name"] for m in json.loads(run("models", "--json", server=server).stdout)["models"]} == {"churn", "price"}
    shown = run("show", "price", server=server).stdout
    for text in ("lightgbm_txt", "area, rooms, floor, year", "engine", "champion"):
        assert text in shown


def test_predictions_of_a_csv_are_those_of_the_library(run, server, churn):
    run("push", "churn", churn.path, server=server)
    text = csv_of(churn.names, churn.rows)
    same(run("predict", "churn", "-", server=server, stdin=text).stdout, churn.expected)
    same(run("predict", "churn", "--batch", "7", "--connections", "3", server=server, stdin=text).stdout,
         churn.expected)


def test_columns_are_found_by_name_in_any_order(run, server, churn):
    run("push", "churn", churn.path, server=server)
    order = [3, 0, 5, 2, 1, 4]
    text = csv_of([churn.names[i] for i in order], churn.rows[:, order])
    same(run("predict", "churn", server=server, stdin=text).stdout, churn.expected)
    without_header = "".join(csv_of([], churn.rows).splitlines(True)[1:])
    same(run("predict", "churn", server=server, stdin=without_header).stdout, churn.expected)


def test_json_lines_in_and_out(run, server, churn):
    run("push", "churn", churn.path, server=server)
    lines = [json.dumps(dict(zip(churn.names, row))) for row in churn.instances()]
    out = run("predict", "churn", server=server, stdin="\n".join(lines)).stdout
    got = np.array([json.loads(line) for line in out.splitlines()])
    assert np.array_equal(got.astype(np.float32), churn.expected)


def test_a_multi_class_model_has_a_column_for_each_class(run, server, species):
    run("push", "species", species.path, server=server)
    text = csv_of(["sepal length", "sepal width", "petal length", "petal width"], species.rows)
    lines = run("predict", "species", server=server, stdin=text).stdout.splitlines()
    assert lines[0] == "prediction_0,prediction_1,prediction_2"
    got = np.array([[float(v) for v in line.split(",")] for line in lines[1:]], dtype=np.float32)
    assert np.allclose(got, species.expected, rtol=0, atol=2e-7)


def test_a_file_is_written_whole_or_not_at_all(run, server, churn, tmp_path):
    run("push", "churn", churn.path, server=server)
    (tmp_path / "rows.csv").write_text(csv_of(churn.names, churn.rows))
    done = run("predict", "churn", "rows.csv", "-o", "out.csv", "--json", server=server)
    summary = json.loads(done.stdout)
    assert (summary["rows"], summary["version"]) == (len(churn.rows), "1")
    same((tmp_path / "out.csv").read_text(), churn.expected)
    (tmp_path / "rows.csv").write_text(csv_of(churn.names, churn.rows) + "1,2,3,4,5,x\n")
    done = run("predict", "churn", "rows.csv", "-o", "other.csv", "--batch", "10", server=server, rc=1)
    assert f"rows.csv, row {len(churn.rows) + 1}, column 'spend': 'x' is not a number" in done.stderr
    assert not (tmp_path / "other.csv").exists() and not (tmp_path / "other.csv.part").exists()


def test_a_wrong_row_is_named_by_the_server_too(run, server, price):
    run("push", "price", price.path, server=server)
    good = csv_of(price.names, price.rows[:30])
    done = run("predict", "price", "--batch", "4", server=server, stdin=good + "1,,3,4\n", rc=1)
    assert "row 31" in done.stderr and "rooms" in done.stderr
    assert len(done.stdout.splitlines()) == 29  # header and the whole batches before


def test_misspelt_columns_get_a_suggestion(run, server, churn):
    run("push", "churn", churn.path, server=server)
    done = run("predict", "churn", server=server, stdin="age,incme\n1,2\n", rc=1)
    assert "column 'incme' is no feature" in done.stderr and "Did you mean 'income'?" in done.stderr
    run("predict", "churn", "--ignore", "incme", server=server, stdin="age,incme\n1,2\n")


def test_all_rows_are_computed_by_one_version(run, server, churn):
    run("push", "churn", churn.path, server=server)
    run("push", "churn", churn.path, "--no-promote", server=server)
    out = run("predict", "churn", "--version", "2", "-o", "x.csv", "--json", server=server,
              stdin=csv_of(churn.names, churn.rows)).stdout
    assert json.loads(out)["version"] == "2"
    run("predict", "churn", "--version", "9", server=server, stdin="1,2,3,4,5,6\n", rc=1)


def test_rows_survive_the_death_of_a_gateway(run, start_server, churn):
    server = start_server("--gateways", "1")
    run("push", "churn", churn.path, server=server)
    text = csv_of(churn.names, np.tile(churn.rows, (50, 1)))
    child = subprocess.Popen([BINARY, "predict", "churn", "--batch", "20"], stdin=subprocess.PIPE,
                             stdout=subprocess.PIPE, text=True, env={**os.environ, "SLIPWAY_URL": server.url})
    half = len(text) // 2
    child.stdin.write(text[:half])
    child.stdin.flush()
    server.kill_child("gateway")
    out, _ = child.communicate(text[half:], timeout=180)
    assert child.returncode == 0
    same(out, np.tile(churn.expected, 50))


def test_delete_asks_first(run, server, churn):
    run("push", "churn", churn.path, server=server)
    assert "--yes" in run("delete", "churn", server=server, rc=2).stderr
    assert run("models", "--names", server=server).stdout.split() == ["churn"]
    assert "Deleted churn" in run("delete", "churn", "--yes", server=server).stdout
    assert run("models", "--names", server=server).stdout == ""
    assert "churn" in run("delete", "churn", "--yes", server=server, rc=1).stderr


def test_a_version_that_an_alias_names_is_deleted_only_with_force(run, server, churn):
    run("push", "churn", churn.path, server=server)
    run("push", "churn", churn.path, server=server)
    run("delete", "churn", "1", "--yes", server=server)
    assert "champion" in run("delete", "churn", "2", "--yes", server=server, rc=1).stderr
    run("delete", "churn", "2", "--yes", "--force", server=server)


def test_unknown_names_get_suggestions(run, server, churn):
    run("push", "churn", churn.path, server=server)
    assert "churn" in run("show", "chrun", server=server, rc=1).stderr
    assert "Did you mean 'slipway predict'?" in run("predcit", rc=2).stderr
    assert "Did you mean --batch?" in run("predict", "churn", "--bach", "3", rc=2).stderr


def test_a_server_that_is_not_there_is_told_with_what_to_do(run):
    done = run("models", "--url", "http://127.0.0.1:1", rc=1)
    assert "Nothing answers at http://127.0.0.1:1." in done.stderr and "slipway serve" in done.stderr


def test_wrong_settings_stop_the_start(run, tmp_path):
    (tmp_path / "slipway.yaml").write_text("gateways: 1\nmax_bdy: 3MiB\n")
    done = run("serve", rc=2)
    assert "slipway.yaml:2: 'max_bdy'" in done.stderr and "Did you mean 'max_body'?" in done.stderr
    (tmp_path / "slipway.yaml").unlink()
    assert "Did you mean '--max-body'?" in run("serve", "--max-bdy", "3MiB", rc=2).stderr
    assert "SLIPWAY_GATEWAYS" in run("serve", rc=2, env={"SLIPWAY_GATEWAYS": "many"}).stderr


def test_every_verb_has_a_page_with_examples(run):
    verbs = re.findall(r"^  (\w+)  +\S", run("help").stdout.split("Verbs:")[1].split("Start here")[0], re.M)
    assert {"serve", "push", "predict", "models", "show", "delete", "version", "help", "completion"} <= set(verbs)
    for verb in verbs:
        page = run(verb, "--help").stdout
        assert f"Usage: slipway {verb}" in page and "Examples:\n  " in page
        assert run("help", verb).stdout == page


def test_colours_and_progress_only_on_a_terminal(run, server, churn, tmp_path):
    done = run("push", "churn", churn.path, server=server)
    assert "\033" not in done.stdout + done.stderr
    (tmp_path / "big.csv").write_text(csv_of(churn.names, np.tile(churn.rows, (500, 1))))

    def on_terminal(*words, **env):
        ours, theirs = pty.openpty()
        child = subprocess.Popen([BINARY, *words], stdin=subprocess.DEVNULL, stdout=theirs, stderr=theirs, cwd=tmp_path,
                                 env={**os.environ, "SLIPWAY_URL": server.url, "TERM": "xterm", **env})
        os.close(theirs)
        out = b""
        try:
            while chunk := os.read(ours, 65536):
                out += chunk
        except OSError:  # the other end is closed
            pass
        os.close(ours)
        assert child.wait(180) in (0, 1)
        return out.decode()

    assert "\033[31m" in on_terminal("show", "nothing")
    assert "\033" not in on_terminal("show", "nothing", NO_COLOR="1")
    progress = on_terminal("predict", "churn", "big.csv", "-o", "big.out", "--batch", "20", "--connections", "1")
    assert "Predicting" in progress and "rows/s" in progress
