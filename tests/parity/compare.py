# SPDX-License-Identifier: Apache-2.0
"""How equal two arrays are, in bits and in units of the last place."""

import numpy as np

largest_ulps = 0  # that outputs were found apart in this run


def same_bits(ours, theirs):
    """Asserts bit equality (NaN equals NaN), naming the first row that differs."""
    theirs = np.asarray(theirs, dtype=ours.dtype).reshape(ours.shape)
    differ = ~((ours.view(f"u{ours.itemsize}") == theirs.view(f"u{ours.itemsize}")) | (np.isnan(ours) & np.isnan(theirs)))
    if differ.any():
        row = np.argwhere(differ)[0]
        raise AssertionError(
            f"{differ.sum()} of {differ.size} differ, first at {tuple(row)}: {ours[tuple(row)]!r} is not {theirs[tuple(row)]!r}"
        )


def ulps(ours, theirs):
    """Largest distance in units of the last place."""
    theirs = np.asarray(theirs, dtype=ours.dtype).reshape(ours.shape)
    signed = np.int32 if ours.itemsize == 4 else np.int64

    def ordered(x):
        bits = x.view(signed).astype(np.int64)
        return np.where(bits < 0, np.iinfo(signed).min - bits, bits)

    distance = np.abs(ordered(ours) - ordered(theirs))
    distance[np.isnan(ours) & np.isnan(theirs)] = 0
    return int(distance.max(initial=0))


def within_ulps(ours, theirs, limit):
    global largest_ulps
    found = ulps(ours, theirs)
    largest_ulps = max(largest_ulps, found)
    assert found <= limit, f"{found} units of the last place apart, {limit} allowed"
