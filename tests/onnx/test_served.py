# SPDX-License-Identifier: Apache-2.0
"""The ONNX project's tests and real models over a running server: pushed, loaded by replicas, asked in JSON."""

import os

import numpy as np
import pytest

import networks
import tensors
import test_nodes
from runner import python_session

# JSON has no number for what is not finite, which these take or give.
NOT_IN_JSON = (
    "isinf", "isnan", "set_membership", "log_sum_empty_set", "log_sum_exp_empty_set", "reduce_max_empty_set",
    "reduce_min_empty_set", "past_and_present_qk_matmul_bias_3d_mask_causal", "past_and_present_qk_matmul_bias_4d_mask_causal",
)  # fmt: skip
SUPPORTED = [n for n in test_nodes.NAMES if n not in test_nodes.UNSUPPORTED and not any(w in n for w in NOT_IN_JSON)]
# All operators in their variants; each is a push and a new replica. dev/slow onnx_nodes runs all of them.
SOME = SUPPORTED if os.environ.get("SLIPWAY_ALL_NODES") else SUPPORTED[::3]


@pytest.mark.parametrize("name", SOME)
def test_node(served_slipway, name):
    test_nodes.check(served_slipway, name)


def test_enough_of_them_run():
    assert len(SOME) >= test_nodes.AT_LEAST


@pytest.mark.parametrize("make", [networks.mlp, networks.convolutional, networks.transformer], ids=lambda m: m.__name__)
def test_networks(served_slipway, make):
    rng = np.random.default_rng(9)
    inputs = {
        "mlp": {"x": rng.normal(size=(5, 20)).astype(np.float32)},
        "convolutional": {"x": rng.normal(size=(2, 3, 32, 32)).astype(np.float32)},
        "transformer": {"words": rng.integers(0, 100, (3, 9)), "mask": np.ones((3, 9), np.int64)},
    }[make.__name__]
    model = make()
    loaded = served_slipway.load(model)
    session = python_session(model.SerializeToString())
    names = [o.name for o in session.get_outputs()]
    for name, want in zip(names, session.run(names, inputs)):
        assert tensors.same(loaded.infer(inputs)[name], want), name
