# SPDX-License-Identifier: Apache-2.0
"""The ONNX project's own tests of single operators, which the package onnx brings: model, inputs, expected outputs.

All of them run. Those in nodes_unsupported.txt must fail, for the reason that stands there: a line that is no longer true
fails the test. Every other must give the expected outputs, and the very bits that onnxruntime gives in Python."""

import pathlib

import numpy as np
import onnx
import onnx.numpy_helper
import pytest

import runner
import tensors

FOLDER = pathlib.Path(onnx.__file__).parent / "backend/test/data/node"
UNSUPPORTED = dict(
    line.split(": ", 1)
    for line in (pathlib.Path(__file__).parent / "nodes_unsupported.txt").read_text().splitlines()
    if line and not line.startswith("#")
)
NAMES = sorted(p.name for p in FOLDER.iterdir())
RTOL, ATOL = 1e-3, 1e-7  # as the ONNX project's own runner has them
AT_LEAST = 400


class NotATensor(Exception):
    pass


def read_value(path, value_info):
    """The value in a .pb file; sequences as lists."""
    kind = value_info.type.WhichOneof("value")
    if kind == "tensor_type":
        tensor = onnx.TensorProto.FromString(path.read_bytes())
        return onnx.numpy_helper.to_array(tensor)
    if kind == "sequence_type":
        return onnx.numpy_helper.to_list(onnx.SequenceProto.FromString(path.read_bytes()))
    return onnx.numpy_helper.to_optional(onnx.OptionalProto.FromString(path.read_bytes()))


def read_values(folder, what, infos):
    return {i.name: read_value(folder / f"{what}_{k}.pb", i) for k, i in enumerate(infos)}


def stacked(value):
    """A sequence of equal tensors as Slipway gives it."""
    return np.stack(value) if isinstance(value, list) else value


def as_text(value):
    """Strings of the two libraries come as different types."""
    value = np.asarray(value)
    return value.astype(str).astype(object) if value.dtype.kind in "OUS" else value


def check(slipway, name):
    folder = FOLDER / name
    model = onnx.load(folder / "model.onnx")
    loaded = slipway.load((folder / "model.onnx").read_bytes())
    inputs = read_values(folder / "test_data_set_0", "input", model.graph.input)
    expected = read_values(folder / "test_data_set_0", "output", model.graph.output)
    if any(isinstance(v, list) or v is None for v in inputs.values()):
        raise NotATensor("an input is no tensor")
    got = loaded.infer(inputs)
    session = runner.python_session((folder / "model.onnx").read_bytes())
    theirs = dict(zip(expected, session.run(list(expected), {k: as_text(v) for k, v in inputs.items()})))
    for output, want in expected.items():
        assert (output in got) == (want is not None)
        if want is None:
            continue
        ours, reference, want = got[output], as_text(stacked(theirs[output])), as_text(stacked(want))
        assert ours.dtype == want.dtype and ours.shape == want.shape, (output, ours.dtype, ours.shape, want.dtype, want.shape)
        if want.dtype == object:
            assert np.array_equal(ours, want), output
        else:
            np.testing.assert_allclose(ours, want, rtol=RTOL, atol=ATOL)
        assert tensors.same(ours, reference), f"{output} has other bits than onnxruntime's"
    again = loaded.infer(inputs)  # now with outputs in the memory that was offered
    for output, value in got.items():
        assert tensors.same(again[output], value), f"{output} differs the second time"


@pytest.mark.parametrize("name", NAMES)
def test_node(slipway, name):
    if name not in UNSUPPORTED:
        check(slipway, name)
        return
    reason = UNSUPPORTED[name].removeprefix("maybe ")
    if reason != UNSUPPORTED[name]:
        try:
            check(slipway, name)
        except (runner.Refused, AssertionError) as failure:
            assert reason in str(failure)
        return
    with pytest.raises((runner.Refused, NotATensor, tensors.Unknown, AssertionError)) as failure:
        check(slipway, name)
    assert reason in str(failure.value)


def test_enough_of_them_run():
    assert len(NAMES) - len(UNSUPPORTED) >= AT_LEAST
