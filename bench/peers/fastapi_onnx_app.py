# SPDX-License-Identifier: Apache-2.0
"""What a team writes today: FastAPI in front of an ONNX Runtime session."""

import os

import numpy as np
import onnxruntime
from fastapi import FastAPI
from pydantic import BaseModel

options = onnxruntime.SessionOptions()
options.intra_op_num_threads = options.inter_op_num_threads = 1
session = onnxruntime.InferenceSession(os.environ["MODEL"], options, providers=["CPUExecutionProvider"])
app = FastAPI()


class Request(BaseModel):
    instances: list[list[float]]


@app.post("/v1/models/{model}:predict")
async def predict(model: str, request: Request):
    rows = np.array(request.instances, dtype=np.float32)
    return {"predictions": session.run(None, {"x": rows})[0].tolist()}
