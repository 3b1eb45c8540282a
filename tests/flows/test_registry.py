# SPDX-License-Identifier: Apache-2.0
"""What the registry remembers and gives back: aliases and their history, rollback, audit, keys that make a change
once, lists in pages. Over HTTP and on the command line."""

import hashlib
import json
import sqlite3
import threading

import requests

from test_cli import run  # noqa: F401 (a fixture)


def api(server, method, path, key=None, **kwargs):
    headers = {"Idempotency-Key": key} if key else {}
    return requests.request(method, f"{server.url}/api/v1{path}", timeout=180, headers=headers, **kwargs)


def answers(server):
    """The version that answers now."""
    got = server.predict("churn", {"instances": [[1, 2, 3, 0, 1, 2]]})
    assert got.status_code == 200, got.text
    return int(got.headers["Slipway-Model-Version"])


def manifest_of(server, churn, **more):
    """The file is uploaded; what makes it a version."""
    server.push("churn", churn.path)
    file = api(server, "GET", "/models/churn/versions/1").json()["artifacts"][0]
    return {"artifacts": [{"name": file["name"], "digest": file["digest"], "size": file["size"]}], **more}


def test_a_rollback_serves_the_version_before_at_once_and_goes_on_backwards(server, churn):
    for _ in range(3):
        server.push("churn", churn.path)
    assert answers(server) == 3
    back = api(server, "POST", "/models/churn/rollback", json={"reason": "errors since two"})
    assert back.status_code == 200, back.text
    assert (back.json()["version"], back.json()["previous"]) == (2, 3) and answers(server) == 2
    assert api(server, "POST", "/models/churn/rollback").json()["version"] == 1 and answers(server) == 1
    end = api(server, "POST", "/models/churn/rollback")
    assert end.status_code == 409 and end.json()["code"] == "conflict" and answers(server) == 1
    assert api(server, "POST", "/models/chrun/rollback").json()["hint"] == "Did you mean 'churn'?"
    changes = api(server, "GET", "/models/churn/aliases/champion/history").json()["changes"]
    assert [(c["kind"], c.get("version")) for c in changes] == [
        ("rollback", 1), ("rollback", 2), ("promote", 3), ("promote", 2), ("promote", 1)]
    assert changes[1]["reason"] == "errors since two"
    # Nothing was loaded for it.
    server.wait_event("version_created", n=3)
    assert len(server.find("version_created")) == 3


def test_aliases_on_the_command_line(run, server, churn):  # noqa: F811
    for _ in range(3):
        server.push("churn", churn.path)
    assert "churn: challenger is version 2" in run("alias", "churn", "challenger", 2, server=server).stdout
    assert "champion is version 1, was 3" in run("promote", "churn", 1, "--reason", "why not", server=server).stdout
    assert answers(server) == 1
    assert "champion is version 3, was 1" in run("rollback", "churn", server=server).stdout
    table = run("aliases", "churn", server=server).stdout
    assert "challenger" in table and "champion" in table
    assert "challenger is removed, was 2" in run("alias", "churn", "challenger", "--remove", server=server).stdout
    history = run("history", "churn", server=server).stdout
    for text in ("remove", "rollback", "promote", "why not", "anonymous"):
        assert text in history
    page = json.loads(run("history", "churn", "--limit", 2, "--json", server=server).stdout)
    assert len(page["changes"]) == 2 and page["next"] == page["changes"][1]["id"]
    rest = json.loads(run("history", "churn", "--after", page["next"], "--json", server=server).stdout)
    assert rest["changes"][0]["id"] == page["next"] - 1 and "next" not in rest
    assert "which version" in run("alias", "churn", "champion", server=server, rc=2).stderr
    assert "not a version" in run("promote", "churn", "new", server=server, rc=2).stderr
    for words in (["promote", "churn", 7], ["show", "churn/7"], ["delete", "churn", 7, "--yes"], ["alias", "churn", "challenger", 7]):
        assert "The nearest versions: 3, 2, 1." in run(*words, server=server, rc=1).stderr
    assert "Its aliases: champion." in run("show", "churn/latest", server=server, rc=1).stderr


def test_every_change_gives_a_receipt_and_what_is_altered_is_found(run, start_server, churn, tmp_path):  # noqa: F811
    data = tmp_path / "data"
    server = start_server(data_dir=data)
    receipt = server.push("churn", churn.path)["audit"]
    server.push("churn", churn.path)
    moved = api(server, "PUT", "/models/churn/aliases/blue", json={"version": 1, "reason": "for the old app"})
    assert moved.json()["audit"]["id"] == 3
    rows = api(server, "GET", "/audit", params={"model": "churn", "limit": 1}).json()
    assert rows["rows"][0]["reason"] == "for the old app" and rows["rows"][0]["after"] == "blue=1"
    assert rows["next"] == 3 and rows["rows"][0]["hash"] == moved.json()["audit"]["hash"]
    assert "The audit is sound: 3 rows" in run("audit", "verify", server=server).stdout
    kept = f"{receipt['id']}:{receipt['hash']}"
    run("audit", "verify", "--receipt", kept, server=server)
    assert "sound" in run("audit", "verify", "--data-dir", data, "--receipt", kept).stdout  # beside the server
    assert "alias_set" in run("audit", "--data-dir", data, "--model", "churn").stdout
    server.stop()
    with sqlite3.connect(data / "registry.db") as db:
        db.execute("UPDATE audit SET actor = 'eve' WHERE id = 2")
    bad = run("audit", "verify", "--data-dir", data, rc=1)
    assert "row 2 was changed" in bad.stdout and "altered" in bad.stderr
    assert json.loads(run("audit", "verify", "--data-dir", data, "--json", rc=1).stdout)["findings"][0]["first"] == 2
    with sqlite3.connect(data / "registry.db") as db:
        db.execute("DELETE FROM audit WHERE id = 3")
    server = start_server(data_dir=data)
    report = api(server, "GET", "/audit/verify").json()
    assert not report["sound"] and report["n_findings"] == 2
    assert report["findings"][1]["message"].startswith("row 3 was removed")


def test_a_change_with_a_key_is_made_once_also_over_a_restart(start_server, churn, tmp_path):
    data = tmp_path / "data"
    server = start_server(data_dir=data)
    manifest = manifest_of(server, churn)
    first = api(server, "POST", "/models/churn/versions", key="k1", json=manifest)
    assert first.status_code == 201 and first.json()["version"] == 2
    moved = api(server, "PUT", "/models/churn/aliases/blue", key="k2", json={"version": 1})
    assert moved.status_code == 200
    api(server, "PUT", "/models/churn/aliases/blue", json={"version": 2})
    server.kill()
    server = start_server(data_dir=data)
    again = api(server, "POST", "/models/churn/versions", key="k1", json=manifest)
    assert again.status_code == 201 and again.json() == first.json()
    assert api(server, "GET", "/models/churn/versions/3").status_code == 404
    again = api(server, "PUT", "/models/churn/aliases/blue", key="k2", json={"version": 1})
    assert again.json() == moved.json()
    assert api(server, "GET", "/models/churn/aliases").json()["aliases"][0] == {"alias": "blue", "version": 2}
    other = api(server, "PUT", "/models/churn/aliases/blue", key="k2", json={"version": 2})
    assert other.status_code == 422 and other.json()["code"] == "idempotency_key_reused"
    assert api(server, "PUT", "/models/churn/aliases/red", key="k2", json={"version": 1}).status_code == 422
    gone = api(server, "DELETE", "/models/churn/aliases/blue", key="k3", params={"reason": "unused"})
    assert gone.status_code == 200 and api(server, "DELETE", "/models/churn/aliases/blue").status_code == 404
    assert api(server, "DELETE", "/models/churn/aliases/blue", key="k3", params={"reason": "unused"}).json() == gone.json()
    assert api(server, "POST", "/models/churn/rollback", key="x" * 256).status_code == 400
    # What failed was not done, so it is done anew.
    assert api(server, "PUT", "/models/churn/aliases/blue", key="k4", json={"version": 9}).status_code == 404
    assert api(server, "PUT", "/models/churn/aliases/blue", key="k4", json={"version": 1}).status_code == 200


def test_one_key_from_many_clients_at_once_makes_one_version(server, churn):
    manifest = manifest_of(server, churn)
    got = []
    clients = [threading.Thread(target=lambda: got.append(
        api(server, "POST", "/models/churn/versions", key="same", json=manifest))) for _ in range(8)]
    for client in clients:
        client.start()
    for client in clients:
        client.join()
    assert {g.status_code for g in got} <= {201, 409}
    assert {g.json()["code"] for g in got if g.status_code == 409} <= {"idempotency_in_progress"}
    assert {g.json()["version"] for g in got if g.status_code == 201} == {2}
    assert api(server, "POST", "/models/churn/versions", key="same", json=manifest).json()["version"] == 2
    assert len(api(server, "GET", "/models/churn").json()["versions"]) == 2


def test_files_of_other_roles_metrics_and_origin_are_kept_and_shown(run, server, churn):  # noqa: F811
    manifest = manifest_of(server, churn, metrics={"auc": 0.91}, trained_from="run 7", reason="monthly")
    file = manifest["artifacts"][0]
    rows = (",".join(churn.names) + "\n" + "1,2,3,4,5,6\n" * 20).encode()
    digest = "sha256:" + hashlib.sha256(rows).hexdigest()
    assert api(server, "PUT", f"/blobs/{digest}", data=rows).status_code == 201
    manifest["artifacts"].append({"name": "rows.csv", "role": "baseline", "digest": digest, "size": len(rows)})
    made = api(server, "POST", "/models/churn/versions", json=manifest)
    assert made.status_code == 201, made.text
    shown = api(server, "GET", "/models/churn/versions/2").json()
    assert shown["metrics"] == {"auc": 0.91} and shown["trained_from"] == "run 7" and shown["replaces"] == 1
    assert [f["role"] for f in shown["artifacts"]] == ["model", "baseline"]
    text = run("show", "churn", 2, server=server).stdout
    for word in ("auc: 0.91", "run 7", "baseline", "replaces"):
        assert word in text
    absent = {**file, "name": "w.bin", "role": "data", "digest": "sha256:" + "0" * 64}
    refused = api(server, "POST", "/models/churn/versions", json={"artifacts": [file, absent]})
    assert refused.status_code == 404 and refused.json()["path"] == "$.artifacts[1]"


def test_a_push_says_why_and_is_made_once_under_its_key(run, server, churn):  # noqa: F811
    for _ in range(2):
        run("push", "churn", churn.path, "--reason", "fresh data", "--idempotency-key", "monday", server=server)
    assert [v["version"] for v in api(server, "GET", "/models/churn").json()["versions"]] == [1]
    rows = api(server, "GET", "/audit").json()["rows"]
    assert [(r["action"], r["reason"]) for r in rows] == [("version_add", "fresh data")]
