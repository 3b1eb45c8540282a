# SPDX-License-Identifier: Apache-2.0
"""Versions as directories and as OCI image layouts: written, checked by a reader of our own, taken back bit-equal."""

import hashlib
import http.server
import json
import os
import pathlib
import re
import shutil
import subprocess
import threading

import pytest
from conftest import BINARY


def slipway(server, *words, **how):
    return subprocess.run([BINARY, *map(str, words)], capture_output=True, text=True, timeout=180,
                          env={**os.environ, "SLIPWAY_URL": server.url}, **how)


def good(server, *words, **how):
    done = slipway(server, *words, **how)
    assert done.returncode == 0, done.stderr
    return done.stdout


def sha256(data):
    return "sha256:" + hashlib.sha256(data).hexdigest()


def files_of(folder):
    return {str(path.relative_to(folder)): path.read_bytes() for path in pathlib.Path(folder).rglob("*") if path.is_file()}


def profile_of(names):
    """A baseline as a server keeps it; what was a training file would come back as one of these."""
    column = ('\n{"name":"%s","role":"input","kind":"category","n":4,"missing":0,"distinct":2,"whole":true,"range":[1.0,2.0],'
              '"moments":[1.5,0.5,0.5],"quantiles":[%s],"complete":true,"values":[1.0,2.0],"keys":[0,0],"counts":[2,2,0]}')
    columns = ",".join(column % (name, ",".join(["0.0"] * 9)) for name in names)
    return ('{"slipway_profile":1,"source":"train.csv","rows":4,"columns":[%s]}\n' % columns).encode()


@pytest.fixture
def whole(churn, tmp_path):
    """A directory with everything that a version may have."""
    folder = tmp_path / "whole"
    folder.mkdir()
    rows = churn.instances(3)
    contents = {  # in the order in which the server lists them: the model, the others by name
        ("model.json", "model"): churn.path.read_bytes(),
        ("baseline.profile.json", "baseline"): profile_of(churn.names),
        ("examples/one.json", "example"): json.dumps({"columns": churn.names, "data": rows[:1]}).encode(),
        ("golden.json", "golden"): json.dumps({"inputs": rows, "outputs": [float(v) for v in churn.expected[:3]],
                                               "tolerance": {"absolute": 1e-6, "relative": 1e-6}}).encode(),
    }
    artifacts = []
    for (name, role), data in contents.items():
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_bytes(data)
        artifacts.append({"name": name, "role": role, "digest": sha256(data), "size": len(data)})
    (folder / "slipway.json").write_text(json.dumps({
        "slipway": 1, "artifacts": artifacts, "description": "trained in May – \"quoted\"",
        "tags": {"team": "growth", "b": "2", "a": "1"}, "metrics": {"auc": 0.91, "rows": 600, "loss": 1e-7},
        "trained_from": "runs:/4711",
        "signature": {"inputs": [{"name": name, "missing": True, "type": "number", "mode": "strict"}
                                 for name in churn.names]}}))
    return folder


def test_a_directory_goes_out_and_back_bit_equal(start_server, whole, tmp_path, churn):
    here, there = start_server(), start_server()
    good(here, "push", "churn", whole)
    good(here, "export", "churn/1", "-o", tmp_path / "a")
    exported = files_of(tmp_path / "a")
    description = json.loads(exported.pop("slipway.json"))
    given = json.loads((whole / "slipway.json").read_text())
    assert description == given
    assert exported == {name: data for name, data in files_of(whole).items() if name != "slipway.json"}

    good(there, "push", "other", tmp_path / "a")
    good(there, "export", "other@champion", "-o", tmp_path / "b")
    assert files_of(tmp_path / "a") == files_of(tmp_path / "b")
    answer = there.predict("other", {"instances": churn.instances(5)}).json()
    assert answer == here.predict("churn", {"instances": churn.instances(5)}).json()

    # A flag says more than the directory.
    good(there, "push", "other", tmp_path / "a", "--description", "again", "--tag", "team=risk")
    shown = json.loads(good(there, "show", "other", "2", "--json"))
    assert shown["description"] == "again"
    assert shown["tags"] == {"team": "risk", "b": "2", "a": "1"}
    assert shown["metrics"] == given["metrics"]
    # Where no version is named, the champion is meant.
    good(there, "export", "other", "-o", tmp_path / "c")
    assert json.loads((tmp_path / "c" / "slipway.json").read_text())["description"] == "again"


def read_layout(folder):
    """An OCI image layout as image-spec 1.1 has it, strictly; every blob is looked at and must be needed."""
    files = files_of(folder)
    assert json.loads(files.pop("oci-layout")) == {"imageLayoutVersion": "1.0.0"}
    index = json.loads(files.pop("index.json"))
    assert set(index) <= {"schemaVersion", "mediaType", "artifactType", "manifests", "subject", "annotations"}
    assert index["schemaVersion"] == 2 and index["mediaType"] == "application/vnd.oci.image.index.v1+json"
    blobs = {}
    for path, data in files.items():
        assert path == "blobs/sha256/" + hashlib.sha256(data).hexdigest()
        blobs[sha256(data)] = data
    seen = set()

    def take(descriptor):
        assert set(descriptor) <= {"mediaType", "digest", "size", "urls", "annotations", "data", "artifactType", "platform"}
        # RFC 6838 names: type "/" subtype
        assert re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9!#$&^_.+-]{0,126}/[A-Za-z0-9][A-Za-z0-9!#$&^_.+-]{0,126}",
                            descriptor["mediaType"])
        assert all(isinstance(v, str) for v in descriptor.get("annotations", {}).values())
        seen.add(descriptor["digest"])
        data = blobs[descriptor["digest"]]
        assert len(data) == descriptor["size"] and sha256(data) == descriptor["digest"]
        return data

    (entry,) = index["manifests"]
    ref = entry["annotations"]["org.opencontainers.image.ref.name"]
    assert re.fullmatch(r"[A-Za-z0-9]+(?:(?:[-._:@+]|--)[A-Za-z0-9]+)*(?:/[A-Za-z0-9]+)*", ref)
    manifest = json.loads(take(entry))
    assert set(manifest) <= {"schemaVersion", "mediaType", "artifactType", "config", "layers", "subject", "annotations"}
    assert manifest["schemaVersion"] == 2
    assert manifest["mediaType"] == entry["mediaType"] == "application/vnd.oci.image.manifest.v1+json"
    assert manifest["artifactType"] == entry["artifactType"] == "application/vnd.slipway.version.v1"
    assert len(manifest["layers"]) >= 1
    config = json.loads(take(manifest["config"]))
    layers = [(layer, take(layer)) for layer in manifest["layers"]]
    assert seen == set(blobs)
    return ref, entry["digest"], config, layers, manifest


def test_an_oci_layout_goes_out_and_back_bit_equal(server, whole, tmp_path):
    good(server, "push", "churn", whole)
    out = json.loads(good(server, "export", "churn@champion", "--oci", tmp_path / "a", "--json"))
    ref, digest, config, layers, _ = read_layout(tmp_path / "a")
    assert (ref, out["digest"]) == ("1", digest)
    assert config == json.loads((whole / "slipway.json").read_text())
    assert {layer["annotations"]["org.opencontainers.image.title"]: data for layer, data in layers} == {
        name: data for name, data in files_of(whole).items() if name != "slipway.json"}
    assert [layer["mediaType"].rsplit(".", 1)[1] for layer, _ in layers] == ["model", "baseline", "example", "golden"]

    good(server, "push", "churn", tmp_path / "a")
    good(server, "export", "churn/2", "--oci", tmp_path / "b")
    assert read_layout(tmp_path / "b")[1] == digest
    assert files_of(tmp_path / "a" / "blobs") == files_of(tmp_path / "b" / "blobs")
    if shutil.which("skopeo"):
        subprocess.run(["skopeo", "inspect", "--raw", f"oci:{tmp_path / 'a'}:1"], check=True, timeout=180)


@pytest.mark.parametrize("form", ["-o", "--oci"])
def test_damage_is_named_and_refused(server, whole, tmp_path, form):
    good(server, "push", "churn", whole)
    good(server, "export", "churn", form, tmp_path / "a")
    for path, data in files_of(tmp_path / "a").items():
        if path in ("slipway.json", "oci-layout", "index.json"):
            continue
        target = tmp_path / "a" / path
        for broken in (data[:-1], data[:1] + bytes([data[1] ^ 1]) + data[2:], None):
            if broken is None:
                target.unlink()
            else:
                target.write_bytes(broken)
            done = slipway(server, "push", "again", tmp_path / "a")
            assert done.returncode == 1
            # What is damaged is named by its file, or by its name in the version.
            title = next((a["name"] for a in json.loads((whole / "slipway.json").read_text())["artifacts"]
                          if sha256(data) == a["digest"]), path)
            assert path in done.stderr or title in done.stderr, done.stderr
            target.write_bytes(data)
    good(server, "push", "again", tmp_path / "a")
    assert len(json.loads(good(server, "show", "again", "--json"))["versions"]) == 1


def sound_but_other(data):
    """Other bytes of the same length that are as good a file: a model of which one number ends in another digit."""
    at = re.search(rb'"base_score":"[^"]*?(\d)[^0-9"]*"', data)
    place = at.start(1) if at else data.rindex(b"1")
    return data[:place] + (b"2" if data[place:place + 1] != b"2" else b"3") + data[place + 1:]


@pytest.mark.parametrize("form", ["-o", "--oci"])
def test_another_sound_file_than_was_exported_is_refused(server, whole, tmp_path, form):
    """Nothing but the digest tells them apart: the file is as long, and a server would take it."""
    good(server, "push", "churn", whole)
    good(server, "export", "churn", form, tmp_path / "a")
    model = (whole / "model.json").read_bytes()
    path = next(path for path in (tmp_path / "a").rglob("*") if path.is_file() and path.read_bytes() == model)
    other = sound_but_other(model)
    assert len(other) == len(model) and other != model
    (tmp_path / "other.json").write_bytes(other)
    good(server, "push", "other", tmp_path / "other.json")  # it is a model
    path.write_bytes(other)
    done = slipway(server, "push", "again", tmp_path / "a")
    assert done.returncode == 1 and "'model.json' is damaged" in done.stderr, done.stderr
    path.write_bytes(model)
    good(server, "push", "again", tmp_path / "a")


def test_a_digest_that_is_wrong_in_an_export_is_noticed(server, whole, tmp_path):
    """In each place where one stands: as if the export had written another one."""
    good(server, "push", "churn", whole)
    good(server, "export", "churn", "-o", tmp_path / "a")
    good(server, "export", "churn", "--oci", tmp_path / "b")
    wrong = sha256(b"another file")

    def refused(folder, path, text, digest):
        assert text.count(digest) >= 1
        path.write_text(text.replace(digest, wrong))
        done = slipway(server, "push", "again", folder)
        assert done.returncode == 1, done.stdout
        path.write_text(text)

    description = (tmp_path / "a" / "slipway.json").read_text()
    for artifact in json.loads(description)["artifacts"]:
        refused(tmp_path / "a", tmp_path / "a" / "slipway.json", description, artifact["digest"])
    index_path = tmp_path / "b" / "index.json"
    index = index_path.read_text()
    refused(tmp_path / "b", index_path, index, json.loads(index)["manifests"][0]["digest"])
    # Below the index each file's name is its digest: the wrong one is told in a manifest that fits its own name.
    manifest = read_layout(tmp_path / "b")[4]
    for digest in [manifest["config"]["digest"], *(layer["digest"] for layer in manifest["layers"])]:
        data = json.dumps(manifest).replace(digest, wrong).encode()
        told = {**json.loads(index)["manifests"][0], "digest": sha256(data), "size": len(data)}
        (tmp_path / "b" / "blobs" / "sha256" / sha256(data)[7:]).write_bytes(data)
        index_path.write_text(json.dumps({**json.loads(index), "manifests": [told]}))
        done = slipway(server, "push", "again", tmp_path / "b")
        assert done.returncode == 1, done.stdout
    index_path.write_text(index)
    good(server, "push", "again", tmp_path / "b")
    assert len(json.loads(good(server, "show", "again", "--json"))["versions"]) == 1


class Liar(http.server.BaseHTTPRequestHandler):
    """A server whose files are not what it says they are."""

    version, blob = {}, b""

    def do_GET(self):
        data = self.blob if "/blobs/" in self.path else json.dumps(self.version).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *_):
        pass


@pytest.mark.parametrize("form", ["-o", "--oci"])
def test_an_export_never_writes_a_file_under_another_digest(tmp_path, form):
    told = {"model": "churn", "version": 1, "state": "ready", "artifacts": [
        {"name": "model.json", "role": "model", "digest": sha256(b"the model"), "size": 9}]}
    liar = http.server.ThreadingHTTPServer(("127.0.0.1", 0), type("Here", (Liar,), {"version": told, "blob": b"the motel"}))
    thread = threading.Thread(target=liar.serve_forever)
    thread.start()
    try:
        words = [BINARY, "export", "churn/1", form, str(tmp_path / "a"), "--url", f"http://127.0.0.1:{liar.server_port}"]
        done = subprocess.run(words, capture_output=True, text=True, timeout=60)
    finally:
        liar.shutdown()
        thread.join()
        liar.server_close()
    assert done.returncode == 1 and "damaged" in done.stderr, done.stderr
    assert not (tmp_path / "a").exists()


def test_nothing_is_overwritten_unasked(server, whole, tmp_path):
    good(server, "push", "churn", whole)
    mine = tmp_path / "a" / "model.json"
    mine.parent.mkdir()
    mine.write_text("mine")
    done = slipway(server, "export", "churn", "-o", tmp_path / "a")
    assert done.returncode == 1 and "not empty" in done.stderr and "--force" in done.stderr
    assert files_of(tmp_path / "a") == {"model.json": b"mine"}
    good(server, "export", "churn", "-o", tmp_path / "a", "--force")
    assert sha256(mine.read_bytes()) in (whole / "slipway.json").read_text()

    # What a failed export wrote is gone again.
    blob = next(path for path in (server.data_dir / "blobs").rglob("*") if path.is_file()
                and sha256(path.read_bytes()) == sha256((whole / "baseline.profile.json").read_bytes()))
    blob.chmod(0o644)
    blob.write_bytes(b"x" + blob.read_bytes()[1:])
    done = slipway(server, "export", "churn", "-o", tmp_path / "b")
    assert done.returncode == 1
    assert not (tmp_path / "b").exists()


def test_a_strangers_directory_cannot_reach_out(server, whole, tmp_path):
    (tmp_path / "secret").write_text("secret")
    description = json.loads((whole / "slipway.json").read_text())
    for name in ("../secret", "/etc/hostname", "a/../../secret"):
        description["artifacts"][2]["name"] = name
        (whole / "slipway.json").write_text(json.dumps(description))
        done = slipway(server, "push", "churn", whole)
        assert done.returncode == 1 and "$.artifacts[2].name" in done.stderr
    description["artifacts"][2]["name"] = "link"
    (whole / "link").symlink_to(tmp_path / "secret")
    (whole / "slipway.json").write_text(json.dumps(description))
    done = slipway(server, "push", "churn", whole)
    assert done.returncode == 3 and "leads out of that directory" in done.stderr
    (tmp_path / "empty").mkdir()
    done = slipway(server, "push", "churn", tmp_path / "empty")
    assert done.returncode == 1 and "neither MLmodel, slipway.json nor oci-layout" in done.stderr
