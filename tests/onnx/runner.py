# SPDX-License-Identifier: Apache-2.0
"""How the ONNX tests reach Slipway: `Runner` speaks to the C runtime alone, in a process of its own. Another transport
needs the same three methods of `load`'s result: interface, infer, probe."""

import json
import os
import pathlib
import struct
import subprocess

import onnxruntime

import tensors

ROOT = pathlib.Path(__file__).resolve().parents[2]
LIBRARY = ROOT / "build/onnxruntime/libonnxruntime.so"


def python_session(model):
    """onnxruntime in Python with one thread: with several some operators sum in another order."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 4
    return onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])


class Refused(Exception):
    """What was asked for is refused. `code` is the error's name, `hint` what to do."""

    def __init__(self, code, message, hint):
        super().__init__(f"{code}: {message}")
        self.code, self.message, self.hint = code, message, hint


class Crashed(Exception):
    pass


def tool():
    places = [os.environ["SLIPWAY_BUILD"]] if "SLIPWAY_BUILD" in os.environ else ["build/gcc", "build/land", "build/asan"]
    found = [ROOT / p / "tests/onnx/onnx_runner" for p in places]
    found = [p for p in found if p.exists()]
    if not found:
        raise FileNotFoundError("tests/onnx/onnx_runner is not built: run ninja first, or set SLIPWAY_BUILD")
    return max(found, key=lambda p: p.stat().st_mtime)


class Runner:
    """load(model bytes or ModelProto, threads=…, optimization=…, provider=…) -> Model; one model at a time."""

    def __init__(self, library=LIBRARY):
        self.library, self.process = library, None

    def close(self):
        if self.process:
            self.process.stdin.close()
            code = self.process.wait(timeout=300)
            self.process.stdout.close()
            self.process = None
            assert code == 0, f"onnx_runner ended with {code}"

    def call(self, command, data=b""):
        if not self.process:
            self.process = subprocess.Popen([tool(), self.library], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        text = json.dumps(command).encode()
        try:
            self.process.stdin.write(struct.pack("<QQ", len(text), len(data)) + text + data)
            self.process.stdin.flush()
        except BrokenPipeError:
            pass
        head = self.process.stdout.read(16)
        if len(head) < 16:
            code = self.process.wait(timeout=300)
            self.process = None
            raise Crashed(f"onnx_runner ended with {code}")
        sizes = struct.unpack("<QQ", head)
        reply, body = json.loads(self.process.stdout.read(sizes[0])), self.process.stdout.read(sizes[1])
        if "error" in reply:
            raise Refused(reply["error"], reply["message"], reply["hint"])
        return reply, body

    def load(self, model, **options):
        data = model if isinstance(model, bytes) else model.SerializeToString()
        reply, _ = self.call({"do": "load", "threads": 1, **options}, data)
        return Model(self, reply["interface"])


class Model:
    def __init__(self, runner, interface):
        self.runner, self.interface = runner, interface
        self.placed = {}  # by output: whether the last result lay in the memory that was offered

    def infer(self, inputs, outputs=None, room=1 << 20, **more):
        """{name: array} -> {name: array}"""
        command, data = {"do": "run", "room": room, "inputs": [], **more}, []
        if outputs is not None:
            command["outputs"] = outputs
        for name, array in inputs.items():
            datatype, shape, memory = tensors.encode(array)
            command["inputs"].append({"name": name, "datatype": datatype, "shape": shape, "bytes": len(memory)})
            data.append(memory)
        reply, body = self.runner.call(command, b"".join(data))
        if "ns" in reply:
            return reply["ns"]
        results, at = {}, 0
        for o in reply["outputs"]:
            results[o["name"]] = tensors.decode(o["datatype"], o["shape"], body[at : at + o["bytes"]])
            self.placed[o["name"]] = o["placed"]
            at += o["bytes"]
        return results

    def time_ns(self, inputs, seconds=0.2, **more):
        """Nanoseconds of one run in the runtime, repeated with the same inputs."""
        return self.infer(inputs, seconds=seconds, **more)

    def probe(self):
        reply, _ = self.runner.call({"do": "probe"})
        return reply["max_batch_rows"], reply["worst"]
