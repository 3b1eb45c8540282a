# SPDX-License-Identifier: Apache-2.0
"""What a team writes today: FastAPI in front of an XGBoost booster."""

import os

import numpy as np
import xgboost
from fastapi import FastAPI
from pydantic import BaseModel

booster = xgboost.Booster({"nthread": 1})
booster.load_model(os.environ["MODEL"])
app = FastAPI()


class Request(BaseModel):
    instances: list[list[float | None]]


@app.post("/v1/models/{model}:predict")
async def predict(model: str, request: Request):
    rows = np.array(request.instances, dtype=np.float32)  # None becomes NaN
    return {"predictions": booster.inplace_predict(rows).tolist()}
