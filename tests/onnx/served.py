# SPDX-License-Identifier: Apache-2.0
"""The transport over a running server: what runner.Runner does in one process, here by a push over the registry's API and
requests of the Open Inference Protocol in JSON."""

import hashlib
import itertools

import numpy as np
import requests

import runner
import tensors


class Served:
    """load(model bytes or ModelProto, threads=…, optimization=…, provider=…) -> Model; one model at a time."""

    def __init__(self, url):
        self.url, self.numbers, self.model = url, itertools.count(), None
        self.http = requests.Session()

    def call(self, method, path, **how):
        answer = self.http.request(method, self.url + path, timeout=300, **how)
        body = answer.json() if answer.content else {}
        if answer.status_code >= 400:
            raise runner.Refused(body["code"], body["error"], body.get("hint", ""))
        return body

    def close(self):
        if self.model:
            self.call("DELETE", f"/api/v1/models/{self.model}")
            self.model = None

    def load(self, model, **options):
        self.close()
        data = model if isinstance(model, bytes) else model.SerializeToString()
        digest = "sha256:" + hashlib.sha256(data).hexdigest()
        self.call("PUT", f"/api/v1/blobs/{digest}", data=data)
        name = f"m{next(self.numbers)}"
        artifact = {"name": "model.onnx", "digest": digest, "size": len(data)}
        pushed = self.call("POST", f"/api/v1/models/{name}/versions", json={"artifacts": [artifact], "allow_breaking": True, **options})
        self.model = name
        return Model(self, name, pushed["engine"])


class Model:
    def __init__(self, served, name, interface):
        self.served, self.name, self.interface = served, name, interface

    def infer(self, inputs, outputs=None):
        """{name: array} -> {name: array}"""
        body = {"inputs": []}
        for name, array in inputs.items():
            datatype, shape, _ = tensors.encode(array)
            values = np.asarray(array).reshape(-1)
            if datatype.startswith("FP") and not np.isfinite(values).all():
                raise tensors.Unknown("not finite")
            body["inputs"].append({"name": name, "datatype": datatype, "shape": shape, "data": values.tolist()})
        if outputs is not None:
            body["outputs"] = [{"name": o} for o in outputs]
        answer = self.served.call("POST", f"/v2/models/{self.name}/infer", json=body)
        return {o["name"]: self.decode(o) for o in answer["outputs"]}

    @staticmethod
    def decode(output):
        if output["datatype"] == "BYTES":
            flat = np.empty(len(output["data"]), dtype=object)
            flat[:] = output["data"]
        else:
            flat = np.array(output["data"], dtype=tensors.DATATYPES[output["datatype"]])
        return flat.reshape(output["shape"])

    def probe(self):
        return self.interface["max_batch_rows"], 0.0
