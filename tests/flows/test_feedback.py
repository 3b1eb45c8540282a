# SPDX-License-Identifier: Apache-2.0
"""Feedback: labels are durable once they are acknowledged; the command line sends files of them."""

import base64
import json
import os
import random
import threading
import uuid

import numpy as np
import requests

from conftest import until
from test_cli import run  # noqa: F401 (a fixture)


def fresh_id():
    return str(uuid.uuid4())


def quality_of(server, model="churn"):
    answer = requests.get(f"{server.url}/api/v1/models/{model}/quality", timeout=30)
    assert answer.status_code == 200, answer.text
    return answer.json()


def send(server, items, **kwargs):
    return requests.post(f"{server.url}/api/v1/feedback", json=items, timeout=30, **kwargs)


def statuses(answer):
    assert answer.status_code == 200, answer.text
    return [one["status"] for one in answer.json()["results"]]


def test_each_item_is_judged_by_itself(server, churn):
    server.push("churn", churn.path)
    one, other = fresh_id(), fresh_id()
    answer = send(server, [{"prediction_id": one, "label": True}, {"prediction_id": "x", "label": 1},
                           {"prediction_id": other, "label": [0, 1, "yes"]}, {"prediction_id": other},
                           {"prediction_id": one, "label": {}}, {"prediction_id": one, "label": 1},
                           {"prediction_id": one, "lable": 1}, 7, {"prediction_id": one, "label": False, "timestamp": 1e9}])
    assert statuses(answer) == ["waiting", "refused", *["waiting"] * 3, "refused", "refused", "unchanged", "refused", "refused", "waiting"]
    assert {k: answer.json()[k] for k in ("accepted", "waiting", "unchanged", "joined", "corrected", "refused")} == {
        "accepted": 6, "waiting": 5, "unchanged": 1, "joined": 0, "corrected": 0, "refused": 5}
    assert quality_of(server)["join"]["waiting"] == 4
    lines = "\n".join(json.dumps({"prediction_id": fresh_id(), "label": i}) for i in range(5))
    assert statuses(requests.post(f"{server.url}/api/v1/feedback", data=lines, headers={"Content-Type": "application/json"}, timeout=30)) == ["waiting"] * 5
    assert requests.post(f"{server.url}/api/v1/feedback", data="{]", headers={"Content-Type": "application/json"}, timeout=30).status_code == 400
    assert send(server, [], params={"modle": "churn"}).status_code == 400
    assert requests.get(f"{server.url}/api/v1/models/none/quality", timeout=30).status_code == 404


def test_acknowledged_labels_survive_kills(server, churn):
    server.push("churn", churn.path)
    acknowledged, tried, stop, dice = [], [0, 0], threading.Event(), random.Random(5)

    def label(k):
        while not stop.is_set():
            items = [{"prediction_id": fresh_id(), "label": i % 2} for i in range(20)]
            tried[k] += 20
            try:
                if send(server, items).status_code == 200:
                    acknowledged.append(items)
            except requests.RequestException:
                pass  # its fate is not known

    threads = [threading.Thread(target=label, args=(k,), daemon=True) for k in range(2)]
    for t in threads:
        t.start()
    for n in range(2, 5):  # more often, and the supervisor gives it up
        enough = len(acknowledged) + dice.randrange(10, 40)
        until(lambda: len(acknowledged) >= enough, seconds=180)
        server.kill_child("monitor")
        server.wait_child("child_ready", "monitor", n=n)
    stop.set()
    for t in threads:
        t.join()
    server.kill_child("monitor")
    server.wait_child("child_ready", "monitor", n=5)
    again = [item for items in acknowledged for item in items]
    for at in range(0, len(again), 4000):
        answer = send(server, again[at:at + 4000]).json()
        assert (answer["unchanged"], answer["refused"]) == (len(again[at:at + 4000]), 0)
    assert len(again) <= quality_of(server)["join"]["waiting"] <= sum(tried)


def test_files_of_labels(server, churn, run, tmp_path):  # noqa: F811
    server.push("churn", churn.path)
    ids = [fresh_id() for _ in range(9000)]
    rows = [f"{one},{'' if i == 5 else i % 2},note" for i, one in enumerate(ids)]
    (tmp_path / "labels.csv").write_text("\n".join(["id,churned,text", *rows, "wrong,1,x"]) + "\n")
    done = run("feedback", "churn", "labels.csv", "--id-column", "id", "--label-column", "churned", server=server, rc=1)
    assert "0 joined, 8,999 waiting, 0 corrected, 0 unchanged, 1 refused; 1 rows without a label were passed over" in done.stdout
    assert "labels.csv, line 9002: 'prediction_id' must be" in done.stderr
    (tmp_path / "labels.jsonl").write_text("".join(json.dumps({"prediction_id": one, "label": i % 2}) + "\n" for i, one in enumerate(ids)))
    done = run("feedback", "churn", "labels.jsonl", "--json", server=server)
    assert json.loads(done.stdout) == {"unlabelled": 0, "joined": 0, "waiting": 1, "corrected": 0, "unchanged": 8999, "refused": 0}
    assert "has no column 'prediction_id'" in run("feedback", "churn", "labels.csv", server=server, rc=1).stderr
    shown = run("quality", "churn", server=server).stdout
    assert "9,000 labels wait for predictions that are not known here" in shown
    assert json.loads(run("quality", "churn", "--json", server=server).stdout)["join"]["waiting"] == 9000


def test_quality_of_real_predictions_is_scikit_learns(server, churn, run, tmp_path):  # noqa: F811
    """Labels early, late and corrected, of predictions that went the whole way; then the monitor is killed."""
    from sklearn import metrics

    server.push("churn", churn.path)
    answers = [server.predict("churn", {"instances": [row]}) for row in churn.instances(120)]
    ids = [a.headers["Slipway-Prediction-Id"] for a in answers]
    scores = [a.json()["predictions"][0] for a in answers]
    truth = [int(random.Random(i).random() < s) for i, s in enumerate(scores)]
    last = server.predict("churn", {"instances": churn.instances(3)})
    later, all_scores = last.headers["Slipway-Prediction-Id"], [*scores, *last.json()["predictions"]]
    send(server, [{"prediction_id": one, "label": 1 - t} for one, t in zip(ids, truth, strict=True)])
    (tmp_path / "labels.csv").write_text("prediction_id,label\n" + "".join(f"{one},{t}\n" for one, t in zip(ids, truth, strict=True)))
    run("feedback", "churn", "labels.csv", server=server)
    version = until(lambda: next(iter(quality_of(server)["versions"]), {}), lambda found: found.get("labelled") == 120)
    hard = [s >= 0.5 for s in scores]
    expected = {"accuracy": metrics.accuracy_score(truth, hard), "precision": metrics.precision_score(truth, hard),
                "recall": metrics.recall_score(truth, hard), "f1": metrics.f1_score(truth, hard),
                "log_loss": metrics.log_loss(truth, scores), "brier": metrics.brier_score_loss(truth, scores)}

    def check(shown):
        assert (shown["task"], shown["predicted"], shown["labelled"], shown["arm"], shown["version"]) == ("binary", 123, 120, "stable", 1)
        for name, value in expected.items():
            assert abs(shown["metrics"][name]["value"] - value) < 1e-6, name
        assert abs(shown["metrics"]["auc"]["value"] - metrics.roc_auc_score(truth, scores)) < 2e-3

    check(version)
    estimate = until(lambda: quality_of(server)["versions"][0].get("estimate", {}), lambda found: found.get("rows") == 123)
    assert abs(estimate["accuracy"] - np.mean([max(s, 1 - s) for s in all_scores])) < 2e-3
    assert estimate["low"] < estimate["accuracy"] < estimate["high"] and estimate["learned_from"] == 0
    said = run("quality", "churn", server=server).stdout
    assert "Estimate without labels, of 123 scores: accuracy 0." in said and "covariate shift only" in said
    assert not [a for a in answers if "Slipway-Feedback-Token" in a.headers]  # not asked for
    server.kill_child("monitor")
    server.wait_child("child_ready", "monitor", n=2)
    again = send(server, [{"prediction_id": one, "label": t} for one, t in zip(ids, truth, strict=True)]).json()
    assert again["unchanged"] == 120
    assert "accuracy" in run("quality", "churn", server=server).stdout
    logged = [json.loads(line) for line in run("log", "query", "churn", "--json", server=server).stdout.splitlines()]
    assert {row["id"] for row in logged} == {*ids, later}
    # The monitor of now has not seen this prediction: the log has.
    assert statuses(send(server, [{"prediction_id": later, "label": [1, 1, 1]}, {"prediction_id": fresh_id(), "label": 1}])) == ["waiting"] * 4
    until(lambda: quality_of(server)["join"]["found_in_log"], 3)
    assert [v["labelled"] for v in quality_of(server)["versions"]] == [123]
    truth, scores = truth + [1] * 3, scores + [row["outputs"]["prediction"] for row in logged if row["id"] == later]
    assert abs(quality_of(server)["versions"][0]["metrics"]["brier"]["value"] - metrics.brier_score_loss(truth, scores)) < 1e-6


def tokens_of(server, churn, n, v2):
    """[(prediction id, token, score)] of answers that have the token in their body."""
    found = []
    for row in churn.instances(n):
        row = [0 if value is None else value for value in row]
        if v2:
            body = {"inputs": [{"name": "input", "shape": [1, len(row)], "datatype": "FP32", "data": row}]}
            answer = requests.post(f"{server.url}/v2/models/churn/infer", json=body, timeout=30)
            assert answer.status_code == 200, answer.text
            token, score = answer.json()["parameters"]["feedback_token"], answer.json()["outputs"][0]["data"][0]
        else:
            answer = server.predict("churn", {"instances": [row]})
            token, score = answer.json()["feedback_token"], answer.json()["predictions"][0]
        assert "Slipway-Feedback-Token" not in answer.headers
        found.append((answer.headers["Slipway-Prediction-Id"], token, score))
    return found


def renew_token_key(server, churn):
    """The key has sealed for longer than a token lives, and the next controller sees it; returns an answer sealed by its successor."""
    path = server.data_dir / "state" / "feedback.keys"
    number, made, key = path.read_text().split()
    path.write_text(f"{number} {int(made) - 91 * 86400} {key}\n")
    server.kill_child("controller")
    server.wait_child("child_ready", "controller", n=2)
    found = until(path.read_text, lambda text: text.count("\n") == 2).split()
    assert found[0] == str(int(number) + 1) and found[2] != key and (found[3], found[5]) == (number, key)
    return until(lambda: server.predict("churn", {"instances": churn.instances(1)}),
                 lambda a: base64.urlsafe_b64decode(a.headers["Slipway-Feedback-Token"] + "==")[1] == int(found[0]))


def test_tokens_judge_what_nobody_remembers(start_server, churn, run, tmp_path):  # noqa: F811
    """Nothing is logged, so all that is known of a prediction is its token; the server begins again in between."""
    from sklearn import metrics

    data_dir = tmp_path / "data"
    flags = ("--gateways", 1, "--log-predictions=false", "--feedback-tokens")
    server = start_server(*flags, "header", data_dir=data_dir)
    server.push("churn", churn.path)
    answers = [server.predict("churn", {"instances": [row]}) for row in churn.instances(40)]
    tokens = [a.headers["Slipway-Feedback-Token"] for a in answers]
    scores = [a.json()["predictions"][0] for a in answers]
    truth = [int(random.Random(i).random() < s) for i, s in enumerate(scores)]
    assert len(set(tokens)) == 40 and all(len(t) < 120 for t in tokens)
    batch = server.predict("churn", {"instances": churn.instances(3)}).headers["Slipway-Feedback-Token"]
    assert "Slipway-Feedback-Token" not in server.predict("churn", {"instances": churn.instances(65)}).headers  # too long
    assert oct((data_dir / "state" / "feedback.keys").stat().st_mode & 0o777) == "0o600"
    (tmp_path / "old.csv").write_text("token,label\n" + "".join(f"{t},{y}\n" for t, y in zip(tokens, truth, strict=True)))
    done = run("feedback", "churn", "old.csv", server=server)
    assert "40 joined, 0 waiting, 0 corrected, 0 unchanged, 0 refused" in done.stdout
    changed = tokens[0][:60] + ("A" if tokens[0][60] != "A" else "B") + tokens[0][61:]
    other = answers[1].headers["Slipway-Prediction-Id"]
    answer = send(server, [{"token": changed, "label": 1}, {"token": "x", "label": 1}, {"token": 7, "label": 1},
                           {"token": tokens[0], "prediction_id": other, "label": 1}, {"token": batch, "row": 3, "label": 1},
                           {"token": batch, "label": [1, 0, 1]}])
    assert statuses(answer) == ["refused"] * 5 + ["joined"] * 3
    assert [r["message"] for r in answer.json()["results"][:1]] == ["the token is not as it was given"]
    assert statuses(send(server, [{"token": tokens[0], "label": truth[0]}], params={"model": "other"})) == ["refused"]
    renewed = renew_token_key(server, churn)
    new = {"token": renewed.headers["Slipway-Feedback-Token"], "label": 1}
    until(lambda: statuses(send(server, [new])), ["joined"])  # the monitor may hear of the key after the gateway
    assert statuses(send(server, [{"token": tokens[1], "label": truth[1]}])) == ["unchanged"]
    assert server.stop() == 0

    server = start_server(*flags, "body", data_dir=data_dir)
    known = [{"prediction_id": a.headers["Slipway-Prediction-Id"], "label": y} for a, y in zip(answers, truth, strict=True)]
    assert statuses(send(server, known)) == ["unchanged"] * 40
    assert statuses(send(server, [{"token": tokens[5], "label": 1 - truth[5]}, {"token": tokens[5], "label": truth[5]}])) == [
        "corrected"] * 2
    assert statuses(send(server, [{"token": batch, "row": i, "label": 1} for i in range(3)])) == ["unchanged", "corrected", "unchanged"]
    more = tokens_of(server, churn, 5, False) + tokens_of(server, churn, 5, True)
    assert statuses(send(server, [{"token": t, "prediction_id": i, "label": 1} for i, t, _ in more])) == ["joined"] * 10
    truth += [1] * 14
    scores += renewed.json()["predictions"] + server.predict("churn", {"instances": churn.instances(3)}).json()["predictions"] + [s for _, _, s in more]
    version, = quality_of(server)["versions"]
    assert (version["labelled"], version["predicted"], version["task"]) == (54, 0, "binary")
    assert abs(version["metrics"]["brier"]["value"] - metrics.brier_score_loss(truth, scores)) < 1e-6
    assert abs(version["metrics"]["log_loss"]["value"] - metrics.log_loss(truth, scores)) < 1e-6
    assert server.stop() == 0

    os.remove(data_dir / "state" / "feedback.keys")  # no token of before is good any more
    server = start_server(*flags, "header", data_dir=data_dir)
    assert statuses(send(server, [{"token": tokens[0], "label": truth[0]}])) == ["refused"]
    assert statuses(send(server, known[:1])) == ["unchanged"]
