# SPDX-License-Identifier: Apache-2.0
"""Writes num_pow10.h: the top 128 bits of 5^q, truncated and normalised, for every q that num.c needs.

10^q = T(q) * 2^(floor(log2(10^q)) - 127) with 2^127 <= T(q) < 2^128; exact for 0 <= q <= 55."""
import sys

FIRST, LAST = -342, 324


def top_128_bits(q):
    if q < 0:
        power = 5 ** -q
        return (1 << (power.bit_length() + 127)) // power
    power = 5 ** q
    bits = power.bit_length()
    return power >> (bits - 128) if bits > 128 else power << (128 - bits)


with open(sys.argv[1], "w") as out:
    print("// Written by num_pow10.py.", file=out)
    print(f"enum {{ POW10_FIRST = {FIRST}, POW10_LAST = {LAST}, POW10_EXACT_LAST = 55 }};", file=out)
    print("static const uint64_t POW10_TOP[][2] = {", file=out)
    for q in range(FIRST, LAST + 1):
        t = top_128_bits(q)
        print(f"    {{0x{t >> 64:016x}u, 0x{t & (1 << 64) - 1:016x}u}}, // {q}", file=out)
    print("};", file=out)
