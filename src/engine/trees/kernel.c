// SPDX-License-Identifier: Apache-2.0
// The table of kernels, best guess first, and what each asks of the image and of the processor.
#include "engine/trees/kernel_list.h"

#include "engine/trees/code_simd.h"

#include <string.h>

static bool any_cpu(void)
{
    return true;
}

static bool coded_f32(const struct image_header *h)
{
    return h->coded && h->family == FOREST_XGBOOST;
}

static bool coded_f64(const struct image_header *h)
{
    return h->coded && h->family == FOREST_LIGHTGBM;
}

#if defined(__x86_64__)
static bool cpu_avx2(void)
{
    return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("bmi2") &&
           __builtin_cpu_supports("popcnt");
}

static bool heap_f32(const struct image_header *h)
{
    return coded_f32(h) && h->heap_levels;
}

static bool heap_f64(const struct image_header *h)
{
    return coded_f64(h) && h->heap_levels;
}

static bool oct_f32(const struct image_header *h)
{
    return coded_f32(h) && h->oct_steps;
}

static bool oct_f64(const struct image_header *h)
{
    return coded_f64(h) && h->oct_steps;
}

static bool plane_f32(const struct image_header *h)
{
    return coded_f32(h) && h->plane_levels;
}

static bool plane_f64(const struct image_header *h)
{
    return coded_f64(h) && h->plane_levels;
}

static bool tile_f32(const struct image_header *h)
{
    return coded_f32(h) && h->tiles;
}

static bool tile_f64(const struct image_header *h)
{
    return coded_f64(h) && h->tiles;
}

static bool path_f32(const struct image_header *h)
{
    return coded_f32(h) && h->path;
}

static bool path_f64(const struct image_header *h)
{
    return coded_f64(h) && h->path;
}
#endif

static bool cpu_quad(void)
{
#if defined(__x86_64__)
    return cpu_avx2(); // bmi2 and popcnt come with it
#else
    return true;
#endif
}

static bool quad_f32(const struct image_header *h)
{
    return coded_f32(h) && h->quads;
}

static bool quad_f64(const struct image_header *h)
{
    return coded_f64(h) && h->quads;
}

const struct kernel KERNELS[] = {
#if defined(__x86_64__)
    {"plane_avx512_f32", plane_f32, cpu_avx512, plane_avx512_run_f32, false, true},
    {"plane_avx512_f64", plane_f64, cpu_avx512, plane_avx512_run_f64, false, true},
    {"heap_avx512_f32", heap_f32, cpu_avx512, heap_avx512_run_f32, true, true},
    {"heap_avx512_f64", heap_f64, cpu_avx512, heap_avx512_run_f64, true, true},
    {"path_avx512_f32", path_f32, cpu_avx512, path_avx512_run_f32, true, true},
    {"path_avx512_f64", path_f64, cpu_avx512, path_avx512_run_f64, true, true},
    {"plane_avx2_f32", plane_f32, cpu_avx2, plane_avx2_run_f32, false, true},
    {"plane_avx2_f64", plane_f64, cpu_avx2, plane_avx2_run_f64, false, true},
    {"oct_avx2_f32", oct_f32, cpu_avx2, oct_avx2_run_f32, true, true},
    {"oct_avx2_f64", oct_f64, cpu_avx2, oct_avx2_run_f64, true, true},
    {"heap_avx2_f32", heap_f32, cpu_avx2, heap_avx2_run_f32, true, true},
    {"heap_avx2_f64", heap_f64, cpu_avx2, heap_avx2_run_f64, true, true},
    {"path_avx2_f32", path_f32, cpu_avx2, path_avx2_run_f32, true, true},
    {"path_avx2_f64", path_f64, cpu_avx2, path_avx2_run_f64, true, true},
    {"tile_avx2_f32", tile_f32, cpu_avx2, tile_avx2_run_f32, true, true},
    {"tile_avx2_f64", tile_f64, cpu_avx2, tile_avx2_run_f64, true, true},
#endif
    {"quad_f32", quad_f32, cpu_quad, quad_run_f32, true, true},
    {"quad_f64", quad_f64, cpu_quad, quad_run_f64, true, true},
    {"sparse_f32", coded_f32, any_cpu, sparse_run_f32, true, true},
    {"sparse_f64", coded_f64, any_cpu, sparse_run_f64, true, true},
    {0},
};

const struct kernel *kernel_find(const char *name)
{
    for (const struct kernel *k = KERNELS; k->name; k++)
        if (strcmp(k->name, name) == 0)
            return k;
    return NULL;
}

bool kernel_usable(const struct kernel *k, const struct image_header *h)
{
    return k->fits(h) && k->cpu();
}

coder_fn *coder_best(const struct image_header *h)
{
#if defined(__x86_64__)
    if (cpu_avx2())
        return h->family == FOREST_XGBOOST ? code_row_f32_avx2 : code_row_f64_avx2;
#endif
    (void)h;
    return code_row;
}

const void *trees_row(const struct trees *m, const void *rows, uint32_t i)
{
    return (const char *)rows + (size_t)i * m->img.h->n_features * dtype_size(m->img.forest.sig.input_dtype);
}
