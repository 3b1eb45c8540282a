# SPDX-License-Identifier: Apache-2.0
"""NumPy arrays to tensors of the Open Inference Protocol's binary form and back."""

import numpy as np

DATATYPES = {
    "BOOL": np.bool_, "UINT8": np.uint8, "UINT16": np.uint16, "UINT32": np.uint32, "UINT64": np.uint64, "INT8": np.int8,
    "INT16": np.int16, "INT32": np.int32, "INT64": np.int64, "FP16": np.float16, "FP32": np.float32, "FP64": np.float64,
}
NAMES = {np.dtype(t): name for name, t in DATATYPES.items()}


class Unknown(Exception):
    """An array whose type the protocol does not have."""


def encode(array):
    """(datatype, shape, bytes)"""
    array = np.asarray(array)
    if array.dtype.kind in "OUS":
        texts = [t if isinstance(t, bytes) else str(t).encode() for t in array.reshape(-1)]
        return "BYTES", list(array.shape), b"".join(len(t).to_bytes(4, "little") + t for t in texts)
    if array.dtype not in NAMES:
        raise Unknown(str(array.dtype))
    return NAMES[array.dtype], list(array.shape), np.ascontiguousarray(array).tobytes()


def decode(datatype, shape, data):
    if datatype != "BYTES":
        return np.frombuffer(data, dtype=DATATYPES[datatype]).reshape(shape)
    texts, at = [], 0
    while at < len(data):
        n = int.from_bytes(data[at : at + 4], "little")
        texts.append(data[at + 4 : at + 4 + n].decode())
        at += 4 + n
    flat = np.empty(len(texts), dtype=object)
    flat[:] = texts
    return flat.reshape(shape)


def same(a, b):
    """Bit for bit; a NaN equals any NaN, as their payloads have no meaning."""
    if a.shape != b.shape or a.dtype != b.dtype:
        return False
    if a.dtype.kind != "f":
        return bool(np.array_equal(a, b))
    return bool(np.array_equal(a, b, equal_nan=True)) and bool(np.array_equal(np.signbit(a), np.signbit(b)) or np.isnan(a).any())
