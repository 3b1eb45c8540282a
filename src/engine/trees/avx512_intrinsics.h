// SPDX-License-Identifier: Apache-2.0
// The only door to the AVX-512 intrinsics: the compiler's own, or, for the test on machines without AVX-512,
// SIMDe's emulation of them (tests/unit/engine/trees/avx512_simde.h).
#pragma once

#if defined(AVX512_BY_SIMDE)
#include "avx512_simde.h"
#define AVX512 // emulated: a target would let the compiler use what the processor lacks
#else
#include <immintrin.h>
#define AVX512 __attribute__((target("avx2,bmi,bmi2,popcnt,avx512f,avx512bw,avx512vl,avx512vbmi")))
#endif

#define AVX512_INLINE AVX512 __attribute__((always_inline)) static inline
