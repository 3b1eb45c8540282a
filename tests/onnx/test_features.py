# SPDX-License-Identifier: Apache-2.0
"""What is particular: optional inputs, types, sequences, models and inputs that are refused and how that is said, and
which models may be batched."""

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

import networks
import tensors
from networks import of_nodes
from runner import Refused, python_session

FLOAT, INT64 = TensorProto.FLOAT, TensorProto.INT64
node = helper.make_node
X = ("x", FLOAT, ["n", 4])
Y = ("y", FLOAT, ["n", 4])


def rows(n, d=4, seed=1):
    return np.random.default_rng(seed).normal(size=(n, d)).astype(np.float32)


def refused(slipway, model, **options):
    with pytest.raises(Refused) as r:
        slipway.load(model, **options)
    return r.value


@pytest.mark.parametrize("datatype", list(tensors.DATATYPES) + ["BYTES"])
def test_every_type_passes_through(slipway, datatype):
    rng = np.random.default_rng(2)
    if datatype == "BYTES":
        element, values = TensorProto.STRING, np.array(["", "a", "ü\0é", "x" * 5000, "日本"], dtype=object).reshape(5, 1)
    else:
        dtype = np.dtype(tensors.DATATYPES[datatype])
        element = helper.np_dtype_to_tensor_dtype(dtype)
        values = np.frombuffer(rng.bytes(40 * dtype.itemsize), dtype=np.uint8)
        values = (values & 1 if datatype == "BOOL" else values).view(dtype).reshape(40, 1)
    model = of_nodes([node("Identity", ["x"], ["y"])], [("x", element, ["n", 1])], [("y", element, ["n", 1])])
    loaded = slipway.load(model)
    assert loaded.interface["inputs"][0]["datatype"] == datatype
    for _ in range(2):
        got = loaded.infer({"x": values})["y"]
        if datatype == "BYTES":
            assert np.array_equal(got, values)
        else:
            assert got.tobytes() == values.tobytes()
    assert loaded.infer({"x": values[:0]})["y"].shape == (0, 1)
    assert loaded.probe()[0] == 256


def test_a_default_makes_an_input_optional(slipway):
    weight = numpy_helper.from_array(np.full(4, 2, np.float32), "w")
    model = of_nodes([node("Mul", ["x", "w"], ["y"])], [X, ("w", FLOAT, [4])], [Y], [weight])
    loaded = slipway.load(model)
    assert [i.get("optional", False) for i in loaded.interface["inputs"]] == [False, True]
    x = rows(3)
    assert tensors.same(loaded.infer({"x": x})["y"], 2 * x)
    assert tensors.same(loaded.infer({"x": x, "w": np.full(4, 3, np.float32)})["y"], 3 * x)
    assert tensors.same(loaded.infer({"x": x})["y"], 2 * x)


def test_an_input_may_be_of_optional_type(slipway):
    kind = helper.make_optional_type_proto(helper.make_tensor_type_proto(FLOAT, ["n", 4]))
    model = of_nodes([node("OptionalGetElement", ["x"], ["y"])], [helper.make_value_info("x", kind)], [Y], opsets=[("", 18)])
    loaded, x = slipway.load(model), rows(3)
    assert tensors.same(loaded.infer({"x": x})["y"], x)


def test_only_the_outputs_asked_for_come(slipway):
    nodes = [node("Neg", ["x"], ["a"]), node("Abs", ["x"], ["b"]), node("Exp", ["x"], ["c"])]
    loaded = slipway.load(of_nodes(nodes, [X], [(o, FLOAT, ["n", 4]) for o in "abc"]))
    x = rows(2)
    assert list(loaded.infer({"x": x})) == ["a", "b", "c"]
    for _ in range(2):
        got = loaded.infer({"x": x}, outputs=["b"])
        assert list(got) == ["b"] and tensors.same(got["b"], np.abs(x))


def test_several_inputs_and_sizes_known_by_name(slipway):
    nodes = [node("MatMul", ["a", "b"], ["y"])]
    model = of_nodes(nodes, [("a", FLOAT, ["n", "k"]), ("b", FLOAT, ["k", "m"])], [("y", FLOAT, ["n", "m"])])
    loaded = slipway.load(model)
    for n, k, m in ((2, 3, 4), (5, 1, 2), (1, 7, 9)):
        a, b = rows(n, k), rows(k, m, seed=3)
        want = python_session(model.SerializeToString()).run(None, {"a": a, "b": b})[0]
        assert tensors.same(loaded.infer({"a": a, "b": b})["y"], want)
    assert loaded.placed["y"]


def test_a_room_too_small_for_all_takes_what_fits(slipway):
    nodes = [node("Neg", ["x"], ["a"]), node("Abs", ["x"], ["b"])]
    loaded, x = slipway.load(of_nodes(nodes, [X], [(o, FLOAT, ["n", 4]) for o in "ab"])), rows(4)
    loaded.infer({"x": x})
    got = loaded.infer({"x": x}, room=64)
    assert loaded.placed == {"a": True, "b": False}
    assert tensors.same(got["a"], -x) and tensors.same(got["b"], np.abs(x))


def test_an_output_without_a_shape(slipway):
    y = helper.make_value_info("y", helper.make_tensor_type_proto(FLOAT, None))
    loaded = slipway.load(of_nodes([node("Reshape", ["x", "shape"], ["y"])], [X, ("shape", INT64, ["rank"])], [y]))
    assert loaded.interface["outputs"] == [{"name": "y", "datatype": "FP32", "any_shape": True}]
    for shape in ((8,), (2, 2, 2), (1, 8), (2, 4)):
        got = loaded.infer({"x": rows(2), "shape": np.array(shape)})["y"]
        assert got.shape == shape
    assert loaded.probe()[0] == 0


def sequence(nodes, outputs=("y",)):
    kind = helper.make_sequence_type_proto(helper.make_tensor_type_proto(FLOAT, None))
    return of_nodes(nodes, [X], [helper.make_value_info(o, kind) for o in outputs])


def test_sequences_of_tensors_are_stacked(slipway):
    loaded, x = slipway.load(sequence([node("SplitToSequence", ["x"], ["y"], axis=1, keepdims=0)])), rows(3)
    assert tensors.same(loaded.infer({"x": x})["y"], np.stack([x[:, i] for i in range(4)]))


def test_sequences_of_different_shapes_are_an_error_of_the_request(slipway):
    loaded = slipway.load(sequence([node("Neg", ["x"], ["z"]), node("Concat", ["x", "x"], ["two"], axis=0),
                                    node("SequenceConstruct", ["z", "two"], ["y"])]))  # fmt: skip
    with pytest.raises(Refused, match="invalid_argument: the output 'y' is a sequence of tensors whose shapes differ"):
        loaded.infer({"x": rows(3)})
    assert loaded.infer({"x": rows(0)})["y"].shape == (2, 0, 4)


def test_maps_as_inputs_are_refused(slipway):
    kind = onnx.TypeProto()
    kind.map_type.key_type = TensorProto.STRING
    kind.map_type.value_type.CopyFrom(helper.make_tensor_type_proto(FLOAT, []))
    vectorizer = node("DictVectorizer", ["m"], ["y"], domain="ai.onnx.ml", string_vocabulary=["a", "b"])
    model = of_nodes([vectorizer], [helper.make_value_info("m", kind)], [("y", FLOAT, [1, 2])], opsets=[("", 17), ("ai.onnx.ml", 3)])
    r = refused(slipway, model)
    assert (r.code, r.message) == ("unsupported_model", "the input 'm' is a map, which is not turned into a tensor")


def test_what_has_no_place_in_the_protocol_is_refused_with_its_name(slipway):
    bfloat16 = ("b", TensorProto.BFLOAT16, ["n", 4])
    r = refused(slipway, of_nodes([node("Cast", ["b"], ["y"], to=FLOAT)], [bfloat16], [Y]))
    assert (r.code, r.message[:43]) == ("unsupported_model", "the input 'b' is a tensor of BFLOAT16, whic")
    kind = helper.make_sequence_type_proto(helper.make_tensor_type_proto(FLOAT, None))
    seq = of_nodes([node("SequenceAt", ["s", "i"], ["y"])], [helper.make_value_info("s", kind), ("i", INT64, [])], [Y])
    r = refused(slipway, seq)
    assert r.message == "the input 's' is a sequence, which is not turned into a tensor"
    many = ("x", FLOAT, [1] * 9)
    r = refused(slipway, of_nodes([node("Neg", ["x"], ["y"])], [many], [("y", FLOAT, [1] * 9)]))
    assert r.message == "the input 'x' has 9 dimensions; 8 are the most"
    inputs = [(f"x{i}", FLOAT, [1]) for i in range(65)]
    r = refused(slipway, of_nodes([node("Sum", [i[0] for i in inputs], ["y"])], inputs, [("y", FLOAT, [1])]))
    assert r.message == "the model has 65 inputs; 64 are the most"


def test_an_operator_that_the_library_has_not(slipway):
    r = refused(slipway, of_nodes([node("Frobnicate", ["x"], ["y"], domain="acme")], [X], [Y], opsets=[("", 17), ("acme", 1)]))
    assert r.code == "unsupported_model" and "Frobnicate" in r.message and "/onnxruntime/" not in r.message


def test_weights_in_other_files_are_refused_and_never_opened(slipway, tmp_path):
    secret = tmp_path / "secret"
    secret.write_bytes(np.full(4, 7, np.float32).tobytes())
    weight = numpy_helper.from_array(np.zeros(4, np.float32), "w")
    weight.ClearField("raw_data")
    weight.data_location = TensorProto.EXTERNAL
    for key, value in (("location", str(secret)), ("length", "16")):
        entry = weight.external_data.add()
        entry.key, entry.value = key, value
    r = refused(slipway, of_nodes([node("Mul", ["x", "w"], ["y"])], [X], [Y], [weight]))
    assert r.code == "unsupported_model" and f"another file, '{secret}'" in r.message
    assert "save_as_external_data=False" in r.hint
    r = refused(slipway, of_nodes([node("Constant", [], ["w"], value=weight), node("Mul", ["x", "w"], ["y"])], [X], [Y]))
    assert r.code == "unsupported_model" and "another file" in r.message


@pytest.mark.parametrize("cut", [1, 30, 200, 1000])
def test_a_file_cut_short_is_a_bad_model(slipway, cut):
    assert refused(slipway, networks.mlp().SerializeToString()[:-cut]).code == "bad_model"


def test_settings_that_are_not_there(slipway):
    model = networks.mlp()
    for provider in ("cuda", "tensorrt", "openvino"):
        r = refused(slipway, model, provider=provider)
        assert r.code == "unsupported_model"
        assert r.message == f"the provider '{provider}' is not in this ONNX Runtime, which has: cpu"
    r = refused(slipway, model, provider="magic")
    assert r.message == "'magic' is no provider; there are cpu, cuda, tensorrt and openvino"
    r = refused(slipway, model, optimization="most")
    assert r.message == "'most' is no optimization; there are none, basic, extended and all"


@pytest.mark.parametrize("optimization", ["none", "basic", "extended", "all"])
@pytest.mark.parametrize("threads", [1, 2])
def test_settings_do_not_change_what_is_computed(slipway, threads, optimization):
    x = rows(50, 20)
    want = python_session(networks.mlp().SerializeToString()).run(None, {"x": x})[0]
    got = slipway.load(networks.mlp(), threads=threads, optimization=optimization).infer({"x": x})["y"]
    np.testing.assert_allclose(got, want, rtol=1e-5, atol=1e-6)


def test_inputs_that_do_not_fit_are_the_requests_fault(slipway):
    loaded = slipway.load(networks.mlp())
    for inputs, message in (
        ({}, "the input 'x' is missing"),
        ({"x": np.zeros((1, 20))}, "the input 'x' is FP64, not FP32"),
        ({"x": np.zeros((1, 19), np.float32)}, "Got invalid dimensions for input: x"),
        ({"x": np.zeros(20, np.float32)}, "Invalid rank for input: x"),
    ):
        with pytest.raises(Refused) as r:
            loaded.infer(inputs)
        assert r.value.code == "invalid_argument" and message in r.value.message
    model = of_nodes([node("Add", ["a", "b"], ["y"])], [("a", FLOAT, ["n"]), ("b", FLOAT, ["m"])], [("y", FLOAT, ["k"])])
    loaded = slipway.load(model)
    with pytest.raises(Refused) as r:
        loaded.infer({"a": np.zeros(2, np.float32), "b": np.zeros(3, np.float32)})
    assert r.value.code == "invalid_argument"
    assert "/onnxruntime/" not in r.value.message and "onnxruntime::" not in r.value.message
    assert loaded.infer({"a": np.zeros(3, np.float32), "b": np.ones(1, np.float32)})["y"].shape == (3,)


def mean_of_batch(weight):
    w = numpy_helper.from_array(np.float32(weight), "w")
    nodes = [node("ReduceMean", ["x"], ["mean"], axes=[0]), node("Mul", ["mean", "w"], ["some"]), node("Add", ["x", "some"], ["y"])]
    return of_nodes(nodes, [X], [Y], [w])


def quantized():
    nodes = [node("DynamicQuantizeLinear", ["x"], ["q", "scale", "zero"]), node("DequantizeLinear", ["q", "scale", "zero"], ["y"])]
    return of_nodes(nodes, [X], [Y])


BATCH_DEPENDENT = {
    "softmax over rows": of_nodes([node("Softmax", ["x"], ["y"], axis=0)], [X], [Y]),
    "mean": mean_of_batch(1),
    "a little of the mean": mean_of_batch(1e-2),
    "running sum": of_nodes([node("CumSum", ["x", "a"], ["y"])], [X], [Y], [numpy_helper.from_array(np.int64(0), "a")]),
    "dynamic quantization": quantized(),
    "sorted": of_nodes([node("TopK", ["x", "k"], ["y", "i"], axis=0)], [X], [("y", FLOAT, [1, 4])], [numpy_helper.from_array(np.array([1]), "k")]),
    "reversed": of_nodes([node("Slice", ["x", "s", "e", "a", "d"], ["y"])], [X], [Y], [numpy_helper.from_array(np.array([v]), k)
                         for k, v in (("s", -1), ("e", -(2**31)), ("a", 0), ("d", -1))]),
    "rows by rows": of_nodes([node("Transpose", ["x"], ["t"]), node("MatMul", ["x", "t"], ["y"])], [X], [("y", FLOAT, ["n", "n"])]),
    "fixed batch": of_nodes([node("Neg", ["x"], ["y"])], [("x", FLOAT, [8, 4])], [("y", FLOAT, [8, 4])]),
    "one result": of_nodes([node("ReduceSum", ["x"], ["y"], keepdims=0)], [X], [("y", FLOAT, [])]),
    "flat": of_nodes([node("Reshape", ["x", "s"], ["y"])], [X], [("y", FLOAT, ["m"])], [numpy_helper.from_array(np.array([-1]), "s")]),
    "random": of_nodes([node("RandomNormalLike", ["x"], ["y"])], [X], [Y]),
}  # fmt: skip


@pytest.mark.parametrize("name", BATCH_DEPENDENT)
def test_models_that_look_at_their_batch_are_not_batched(slipway, name):
    assert slipway.load(BATCH_DEPENDENT[name]).probe()[0] == 0


def test_integers_may_be_divisors(slipway):
    inputs, y = [("a", TensorProto.INT32, ["n", 2]), ("b", TensorProto.INT32, ["n", 2])], ("y", TensorProto.INT32, ["n", 2])
    assert slipway.load(of_nodes([node("Div", ["a", "b"], ["y"])], inputs, [y])).probe()[0] == 256


def test_indices_of_a_table_of_two_may_be_batched(slipway):
    table = numpy_helper.from_array(rows(2), "table")
    model = of_nodes([node("Gather", ["table", "i"], ["y"])], [("i", INT64, ["n"])], [Y], [table])
    assert slipway.load(model).probe()[0] == 256


def test_half_and_double_precision_may_be_batched(slipway):
    for element, dtype, bound in ((TensorProto.FLOAT16, np.float16, 1e-2), (TensorProto.DOUBLE, np.float64, 1e-10)):
        w = numpy_helper.from_array(np.random.default_rng(3).normal(size=(200, 50)).astype(dtype), "w")
        model = of_nodes([node("MatMul", ["x", "w"], ["y"])], [("x", element, ["n", 200])], [("y", element, ["n", 50])], [w])
        rows_together, worst = slipway.load(model).probe()
        assert rows_together == 256 and worst < bound


def test_requests_put_together_give_what_they_give_alone(slipway):
    rng = np.random.default_rng(8)
    model = slipway.load(networks.mlp())
    for _ in range(300):
        parts = [rng.normal(size=(rng.integers(1, 6), 20)).astype(np.float32) for _ in range(rng.integers(2, 9))]
        together = model.infer({"x": np.concatenate(parts)})["y"]
        alone = np.concatenate([model.infer({"x": p})["y"] for p in parts])
        np.testing.assert_allclose(together, alone, rtol=1e-4, atol=1e-5)
