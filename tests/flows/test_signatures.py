# SPDX-License-Identifier: Apache-2.0
"""Signatures: what model files say, what their users add, how requests are held to it, and what changes."""

import json
import os
import re
import subprocess

import numpy as np
import pytest
import requests

from conftest import BINARY, ROOT

COLORS = ROOT / "tests" / "fixtures" / "xgboost" / "categories.json"
# What xgboost 3.2.0 predicted for these rows of a data frame (tests/fixtures/xgboost/make.py).
ROWS = [[30, "red", 1], [44, "blue", 2], [61, "green", 3]]
PREDICTED = [0.8113180994987488, 0.09352213144302368, 0.9138841032981873]
SIGNATURE = {"inputs": [{"name": "age", "min": 18, "max": 120, "missing": False, "unit": "years"},
                        {"name": "color", "mode": "coerce"},
                        {"name": "visits", "type": "integer", "max": 5, "mode": "warn"}]}


@pytest.fixture
def run(tmp_path):
    """The command line in a folder of its own."""
    def run(*words, server, rc=0):
        done = subprocess.run([BINARY, *map(str, words), "--url", server.url], cwd=tmp_path, text=True,
                              capture_output=True, timeout=180, env={**os.environ, "NO_COLOR": "1"})
        assert done.returncode == rc, done.stderr
        return done
    return run


@pytest.fixture(scope="module")
def frame(tmp_path_factory):
    """LightGBM as its Python package saves a model that was trained on a data frame: codes, and their names."""
    import lightgbm

    rng = np.random.default_rng(3)
    x = np.column_stack([rng.normal(size=400), rng.integers(0, 3, 400)])
    y = x[:, 0] + (x[:, 1] == 1) * 2
    data = lightgbm.Dataset(x, y, feature_name=["size", "kind"], categorical_feature=[1])
    booster = lightgbm.train({"num_leaves": 8, "min_data_in_leaf": 5, "num_threads": 1, "verbose": -1}, data, 5)
    booster.pandas_categorical = [["bolt", "nut", "é\"x"]]
    path = tmp_path_factory.mktemp("models") / "frame.txt"
    booster.save_model(path)
    return path, booster


def test_texts_are_coded_as_xgboost_does(server):
    shown = server.push("colors", COLORS)["signature"]["inputs"]
    assert [c["type"] for c in shown] == ["number", "category", "integer"]
    assert shown[1]["categories"] == ["blue", "green", "red"] and "mode" not in shown[1]
    answer = server.predict("colors", {"instances": ROWS})
    assert answer.json()["predictions"] == pytest.approx(PREDICTED, rel=1e-6)
    named = [dict(zip(("color", "visits", "age"), (r[1], r[2], r[0]))) for r in ROWS]
    assert server.predict("colors", {"instances": named}).json() == answer.json()
    columns = dict(zip(("age", "color", "visits"), map(list, zip(*ROWS))))
    assert server.predict("colors", {"inputs": columns}).json()["predictions"] == answer.json()["predictions"]
    tensors = [{"name": "color", "shape": [3], "datatype": "BYTES", "data": columns["color"]},
               {"name": "age", "shape": [3], "datatype": "FP32", "data": columns["age"]},
               {"name": "visits", "shape": [3], "datatype": "INT32", "data": columns["visits"]}]
    v2 = requests.post(f"{server.url}/v2/models/colors/infer", json={"inputs": tensors}, timeout=60).json()
    assert v2["outputs"][0]["data"] == answer.json()["predictions"]
    codes = [[r[0], ["blue", "green", "red"].index(r[1]), r[2]] for r in ROWS]
    assert server.predict("colors", {"instances": codes}).json() == answer.json()
    wrong = server.predict("colors", {"instances": [ROWS[0], [30, "gren", 1]]})
    assert (wrong.status_code, wrong.json()["code"], wrong.json()["path"]) == (400, "unknown_category", "$.instances[1][1]")
    assert wrong.json()["error"] == "'color' is 'gren', expected one of 'green', 'blue', 'red'"


def test_texts_are_coded_as_lightgbm_does(server, frame):
    path, booster = frame
    shown = server.push("frame", path)["signature"]["inputs"]
    assert shown[1]["categories"] == ["bolt", "nut", "é\"x"] and len(shown[0]["seen"]) == 2
    rows = [[0.5, "bolt"], [0.5, "nut"], [-1.0, "é\"x"], [0.5, None]]
    codes = np.array([[0.5, 0], [0.5, 1], [-1, 2], [0.5, np.nan]])
    assert server.predict("frame", {"instances": rows}).json()["predictions"] == booster.predict(codes).tolist()


def test_each_mode_at_a_request(start_server):
    server = start_server("--gateways", 1)
    server.push("m", COLORS, signature=SIGNATURE)

    def ask(*row):
        answer = server.predict("m", {"instances": [ROWS[0], list(row)]})
        assert answer.status_code in (200, 400), answer.text
        if answer.status_code == 400:
            assert answer.json()["path"].startswith("$.instances[1]")
            return answer.json()["code"]
        return answer.json()["predictions"][1], answer.headers.get("Slipway-Warnings")

    plain, missing = ask(30, "red", 1)[0], ask(30, None, 1)[0]
    assert [ask(130, "red", 1), ask(None, "red", 1), ask("30", "red", 1), ask(True, "red", 1)] == [
        "out_of_range", "missing_feature", "wrong_type", "wrong_type"]
    assert ask(30, "rde", 1) == (missing, None) and ask(30, 7, 1) == (missing, None)
    assert ask(30, "red", "1") == (plain, "1")
    assert ask(30, "red", 9)[1] == "1" and ask(30, "red", 1.5)[1] == "1" and ask(30, "red", 2)[1] is None
    for body, path in [({"inputs": {"age": [30, 3], "color": ["red", "red"]}}, "$.inputs.age[1]"),
                       ({"instances": [{"color": "red", "age": 3}]}, "$.instances[0].age")]:
        assert server.predict("m", body).json()["path"] == path
    data = {"inputs": [{"name": "x", "shape": [2, 3], "datatype": "FP32", "data": [30, 1, 1, 3, 1, 1]}]}
    assert requests.post(f"{server.url}/v2/models/m/infer", json=data, timeout=60).json()["path"] == "$.inputs[0].data[3]"
    counted = dict(re.findall(r'slipway_signature_values_total\{model="m",version="1",arm="stable",(.*)\} (\d+)',
                              requests.get(f"{server.url}/metrics", timeout=60).text))
    assert {k: int(v) for k, v in counted.items() if int(v)} == {
        'kind="range",action="refused"': 4, 'kind="missing",action="refused"': 1, 'kind="type",action="refused"': 2,
        'kind="category",action="coerced"': 2, 'kind="type",action="warned"': 2, 'kind="range",action="warned"': 1}
    server.stop()
    again = start_server("--gateways", 1, data_dir=server.data_dir)
    assert again.predict("m", {"instances": [[130, "red", 1]]}).json()["code"] == "out_of_range"


def test_a_large_body_is_held_to_the_rules_too(start_server):
    server = start_server("--gateways", 1)
    server.push("m", COLORS, signature=SIGNATURE)
    rows = [[40, "red", 6]] * 60000
    answer = server.predict("m", {"instances": rows})
    assert answer.status_code == 200 and answer.headers["Slipway-Warnings"] == "60000"
    rows[59999] = [400, "red", 6]
    wrong = server.predict("m", {"instances": rows}).json()
    assert (wrong["code"], wrong["path"]) == ("out_of_range", "$.instances[59999][0]")


def test_what_contradicts_the_file_is_refused_with_the_column(server, tmp_path, run):
    def refused(text, *words):
        (tmp_path / "s.yaml").write_text(text)
        said = run("push", "m", COLORS, "--signature", "s.yaml", server=server, rc=1).stderr
        assert all(word in said for word in words), said
    refused("inputs:\n  - name: agee\n", "no input 'agee'", "$.signature.inputs[0].name", "Did you mean 'age'?")
    refused("inputs:\n  - {name: color, type: number}\n", "'color'", "category", "$.signature.inputs[0].type")
    refused("inputs:\n  - {name: age, mim: 3}\n", "$.signature.inputs[0].mim", "'min'")
    refused("inputs:\n  - {name: color, categories: [red, gren]}\n", "'gren'", "Did you mean 'green'?")
    refused("inputs: [\n", "s.yaml:2", "not valid YAML")


def test_breaking_changes_need_a_flag_and_are_kept(server, tmp_path, run):
    run("push", "m", COLORS, server=server)
    (tmp_path / "s.yaml").write_text(json.dumps(SIGNATURE))
    done = run("push", "m", COLORS, "--signature", "s.yaml", server=server, rc=1)
    assert done.stderr.count("\n  breaking") == 2 and "'age' may no longer be missing" in done.stderr
    assert "--allow-breaking" in done.stderr and "serves now" not in done.stdout
    assert [v["version"] for v in requests.get(f"{server.url}/api/v1/models/m", timeout=60).json()["versions"]] == [1]
    out = run("push", "m", COLORS, "--signature", "s.yaml", "--allow-breaking", server=server).stdout
    curl = next(line for line in out.splitlines() if line.strip().startswith("curl"))
    said = subprocess.run(curl + " -sf", shell=True, capture_output=True, text=True, timeout=60)
    assert "predictions" in said.stdout, (curl, said)
    shown = run("show", "m/2", server=server).stdout
    assert re.search(r"age +number +no +18 to 120 +strict +years", shown) and "breaking      input 'age'" in shown
    kept = run("show", "m/2", "--signature", server=server).stdout
    (tmp_path / "again.yaml").write_text(kept)
    out = run("push", "m", COLORS, "--signature", "again.yaml", server=server).stdout
    assert "breaking" not in out and "compatible" not in out
    assert run("show", "m/3", "--signature", server=server).stdout == kept
    (tmp_path / "rows.csv").write_text("visits,color,age\n1,red,30\n2,blue,44\n3,green,61\n")
    lines = run("predict", "m", "rows.csv", server=server).stdout.split()
    assert [float(v) for v in lines[1:]] == pytest.approx(PREDICTED, rel=1e-6)


def test_an_alias_that_moves_says_what_breaks_and_a_rollback_is_never_refused(server, tmp_path, run):
    rules = {"inputs": [{"name": "age", "min": 18, "max": 120, "missing": False}]}
    (tmp_path / "s.yaml").write_text(json.dumps(rules))
    url = f"{server.url}/api/v1/models/m/aliases"
    run("push", "m", COLORS, server=server)
    run("push", "m", COLORS, "--signature", "s.yaml", "--allow-breaking", "--no-promote", server=server)
    refused = run("promote", "m", "2", server=server, rc=1).stderr
    assert "compared with version 1" in refused and refused.count("\n  breaking") == 2, refused
    assert "2 changes would break clients of version 1 of 'm'" in refused and "--allow-breaking" in refused
    answer = requests.put(f"{url}/champion", json={"version": 2}, timeout=30)
    assert (answer.status_code, answer.json()["code"]) == (409, "conflict"), answer.text
    changes = answer.json()["changes"]
    assert changes["compared_with"] == 1 and "input 'age' may no longer be missing" in changes["breaking"]
    assert json.loads(run("promote", "m", "2", "--json", server=server, rc=1).stderr)["changes"] == changes
    assert server.predict("m", {"instances": ROWS[:1]}).headers["Slipway-Model-Version"] == "1"
    wrong = requests.put(f"{url}/champion", json={"version": 2, "allow_breaking": "yes"}, timeout=30).json()
    assert (wrong["code"], wrong["path"]) == ("wrong_type", "$.allow_breaking")
    assert requests.put(f"{url}/other", json={"version": 2}, timeout=30).status_code == 200 # nobody relies on a new name
    refused = run("rollout", "start", "m", "2", server=server, rc=1).stderr  # it would move the alias by itself
    assert "compared with version 1" in refused and refused.count("\n  breaking") == 2 and "--allow-breaking" in refused, refused
    begun = json.loads(run("rollout", "start", "m", "2", "--allow-breaking", "--json", server=server).stdout)
    assert (begun["state"], begun["request"]["allow_breaking"]) == ("warming", True)
    moved = run("promote", "m", "2", "--allow-breaking", server=server).stdout
    assert "superseded" in run("rollout", "status", "m", server=server).stdout
    assert "champion is version 2, was 1" in moved and "breaking      input 'age' may no longer be missing" in moved
    assert "breaking" not in run("promote", "m", "1", server=server).stdout # it takes whatever version 2 took
    back = run("rollback", "m", server=server).stdout
    assert "champion is version 2, was 1" in back and "breaking      input 'age' may no longer be missing" in back
    back = requests.post(f"{server.url}/api/v1/models/m/rollback", json={}, timeout=30).json()
    assert (back["version"], back["changes"]["compared_with"], back["changes"]["breaking"]) == (1, 2, [])


def test_what_breaks_clients_is_told_before_anything_is_tried(server, tmp_path, run):
    (tmp_path / "s.yaml").write_text(json.dumps({"inputs": [{"name": "age", "missing": False}]}))
    (tmp_path / "g.json").write_text(json.dumps({"inputs": ROWS[:1], "outputs": [0.1]})) # which are wrong
    pushed = ["push", "m", COLORS, "--signature", "s.yaml", "--golden", "g.json"]
    run("push", "m", COLORS, server=server)
    refused = run(*pushed, server=server, rc=1)
    assert "format" in refused.stdout and "golden" not in refused.stdout, refused.stdout
    assert "1 change would break clients of version 1" in refused.stderr
    assert "golden row 0" in run(*pushed, "--allow-breaking", server=server, rc=1).stderr
    (tmp_path / "s.yaml").write_text("inputs:\n  - name: agee\n")
    refused = run(*pushed, server=server, rc=1)
    assert "golden" not in refused.stdout and "Did you mean 'age'?" in refused.stderr
    refused = run("push", "m", COLORS, "--replicas", "2", "--golden", "g.json", server=server, rc=1)
    assert "golden" not in refused.stdout and "'replicas' is a setting of models that run in replicas" in refused.stderr


def test_golden_rows_have_the_names_and_texts_of_their_users(start_server, tmp_path, run, frame, species):
    """LightGBM that keeps codes alone, and XGBoost without names: both get theirs from their users."""
    path, booster = frame
    (tmp_path / "codes.txt").write_text(re.sub("(?m)^pandas_categorical:.*$", "pandas_categorical:null", path.read_text()))
    (tmp_path / "s.yaml").write_text("inputs:\n  - {name: kind, categories: [bolt, nut, pin]}\n")
    rows = [[0.5, "bolt"], [0.5, "nut"], [-1.0, "pin"]]
    golden = {"inputs": rows, "outputs": booster.predict(np.array([[0.5, 0], [0.5, 1], [-1, 2]])).tolist()}
    names = ["length", "width", "petal_length", "petal_width"]
    (tmp_path / "names.yaml").write_text("inputs:\n" + "".join(f"  - name: {name}\n" for name in names))
    of_species = {"inputs": [dict(zip(names, row)) for row in species.instances(5)],
                  "outputs": species.expected[:5].astype(float).tolist()}
    (tmp_path / "species.json").write_text(json.dumps(of_species))
    server = start_server()

    def push(rc=0):
        (tmp_path / "g.json").write_text(json.dumps(golden))
        return run("push", "kinds", "codes.txt", "--signature", "s.yaml", "--golden", "g.json", server=server, rc=rc)

    assert "3 rows, alone and together; every value as expected" in push().stdout
    assert "5 rows" in run("push", "species", species.path, "--signature", "names.yaml", "--golden", "species.json",
                           server=server).stdout
    golden["inputs"][1][1] = "bolt"
    assert re.search(r"golden row 1, output 'prediction': expected \S+, got \S+, ", push(rc=1).stderr)
    golden["inputs"][1][1] = "nuts"
    refused = push(rc=1).stderr
    assert "'kind' is 'nuts', expected one of 'nut', 'bolt', 'pin'" in refused and "$.inputs[1][1]" in refused
    server.stop()
    server = start_server(data_dir=server.data_dir)
    for model in ("kinds", "species"):
        shown = requests.get(f"{server.url}/api/v1/models/{model}/versions/1", timeout=30).json()
        assert shown["serving"] == "ready", shown


def test_clients_are_told_what_may_stand_in_the_inputs(server):
    server.push("m", COLORS, signature=SIGNATURE)
    told = requests.get(f"{server.url}/v2/models/m", timeout=30).json()["inputs"]
    assert [i["name"] for i in told] == ["input"]
    assert json.loads(told[0]["parameters"]["columns"]) == [
        {"name": "age", "mode": "strict", "type": "number", "missing": False, "min": 18, "max": 120},
        {"name": "color", "mode": "coerce", "type": "category", "missing": True, "categories": ["blue", "green", "red"]},
        {"name": "visits", "mode": "warn", "type": "integer", "missing": True, "max": 5}]


def test_a_model_without_names_gets_them(server, species):
    names = ["length", "width", "petal_length", "petal_width"]
    server.push("species", species.path, signature={"inputs": [{"name": n} for n in names]})
    row = dict(zip(names, map(float, species.rows[0])))
    got = server.predict("species", {"instances": [row]}).json()["predictions"][0]
    assert got == pytest.approx(species.expected[0].tolist(), rel=1e-6)
    features = requests.get(f"{server.url}/v2/models/species", timeout=60).json()["properties"]["features"]
    assert json.loads(features) == names
    assert server.predict("species", {"instances": [{"f0": 1}]}).json()["code"] == "unknown_feature"


def test_inputs_of_a_scikit_learn_pipeline(start_server, tmp_path):
    from skl2onnx import convert_sklearn
    from skl2onnx.common.data_types import FloatTensorType, StringTensorType
    from sklearn.compose import ColumnTransformer
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import Pipeline
    from sklearn.preprocessing import OneHotEncoder, StandardScaler

    rng = np.random.default_rng(1)
    x = np.empty((200, 2), dtype=object)
    x[:, 0], x[:, 1] = rng.integers(18, 90, 200).astype(float), rng.choice(["clerk", "cook", "nurse"], 200)
    y = ((x[:, 1] == "cook") | (x[:, 0].astype(float) > 60)).astype(int)
    columns = ColumnTransformer([("n", StandardScaler(), [0]), ("c", OneHotEncoder(handle_unknown="ignore"), [1])])
    model = Pipeline([("columns", columns), ("line", LogisticRegression())]).fit(x, y)
    types = [("age", FloatTensorType([None, 1])), ("job", StringTensorType([None, 1]))]
    (tmp_path / "p.onnx").write_bytes(convert_sklearn(model, initial_types=types).SerializeToString())
    server = start_server("--gateways", 1)
    rules = [{"name": "age", "min": 18, "max": 120, "missing": False},
             {"name": "job", "categories": ["clerk", "cook", "nurse"]}]
    server.push("p", tmp_path / "p.onnx", signature={"inputs": rules})

    def ask(age, job, **more):
        return server.predict("p", {"instances": [{"age": 30, "job": "cook"}, {"age": age, "job": job}]})

    good = ask(70, "clerk").json()["predictions"][1]["output_probability"]
    assert good == pytest.approx(model.predict_proba(np.array([[70.0, "clerk"]], dtype=object))[0], rel=1e-4)
    for age, job, code, path in [(170, "clerk", "out_of_range", "$.instances[1].age"),
                                 (None, "clerk", "missing_feature", "$.instances[1].age"),
                                 ("70", "clerk", "wrong_type", "$.instances[1].age"),
                                 (70, "clrek", "unknown_category", "$.instances[1].job")]:
        assert (ask(age, job).json()["code"], ask(age, job).json()["path"]) == (code, path)
    server.push("p", tmp_path / "p.onnx", signature={"mode": "warn", "inputs": rules})
    told = requests.get(f"{server.url}/v2/models/p", timeout=30).json()["inputs"]
    assert told[0]["parameters"] == {"mode": "warn", "missing": False, "min": 18, "max": 120}
    assert json.loads(told[1]["parameters"]["categories"]) == ["clerk", "cook", "nurse"]
    warned = ask("70", "clerk")
    assert warned.json()["predictions"][1]["output_probability"] == good and warned.headers["Slipway-Warnings"] == "1"
    server.stop()
    again = start_server("--gateways", 1, data_dir=server.data_dir)
    assert again.predict("p", {"instances": [{"age": 170, "job": "x"}]}).headers["Slipway-Warnings"] == "2"
