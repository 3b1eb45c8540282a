// SPDX-License-Identifier: Apache-2.0
// The run functions of all kernels, for the table in kernel.c.
#pragma once

#include "engine/trees/kernel.h"

typedef void kernel_fn(struct trees *m, const void *rows, uint32_t n_rows, void *margins);

kernel_fn sparse_run_f32, sparse_run_f64;
kernel_fn quad_run_f32, quad_run_f64;
kernel_fn heap_avx2_run_f32, heap_avx2_run_f64; // x86-64 only, as all below
kernel_fn oct_avx2_run_f32, oct_avx2_run_f64;
kernel_fn path_avx2_run_f32, path_avx2_run_f64;
kernel_fn plane_avx2_run_f32, plane_avx2_run_f64;
kernel_fn tile_avx2_run_f32, tile_avx2_run_f64;
// With AVX-512 VBMI.
kernel_fn heap_avx512_run_f32, heap_avx512_run_f64;
kernel_fn path_avx512_run_f32, path_avx512_run_f64;
kernel_fn plane_avx512_run_f32, plane_avx512_run_f64;
