// SPDX-License-Identifier: Apache-2.0
// The compiled form of a forest: one block of bytes without pointers, mapped read-only and shared by all
// processes. A header, then sections that each start on a 64-byte line and are followed by at least 64 zero
// bytes, so that a vector load that starts inside a section never leaves the image.
//
// A forest runs in one of two ways. "Coded" (rank.h): comparisons are made on small ranks instead of values,
// and one or more tables of the trees follow, each for one kind of kernel. "Plain": the forest's own arrays,
// walked by forest_reference_margin; for what cannot be coded (linear and vector leaves, gblinear).
#pragma once

#include "base/buf.h"
#include "base/err.h"
#include "engine/trees/forest.h"

#include <stdbool.h>
#include <stdint.h>

enum { IMAGE_VERSION = 4, IMAGE_ALIGN = 64, IMAGE_NAME_BYTES = 32, IMAGE_OBJECTIVE_BYTES = 96 };

#define IMAGE_MAGIC "slwyTREE"

enum image_section {
    IMAGE_NAMES,      // bytes of all feature names, and of their categories' names
    IMAGE_FEATURES,   // struct image_feature
    IMAGE_CATEGORIES, // struct image_name, of one feature after the other
    IMAGE_BASE,       // double, margins the sums start from (n_groups)
    // Plain
    IMAGE_TREES,        // struct forest_tree
    IMAGE_NODES,        // struct forest_node
    IMAGE_LEAVES,       // double
    IMAGE_LINEAR,       // struct forest_linear
    IMAGE_LIN_FEATURES, // uint32_t
    IMAGE_LIN_COEFS,    // double
    IMAGE_CAT_WORDS,    // uint32_t
    IMAGE_WEIGHTS,      // double, gblinear
    // Coded: columns (code.h), the trees of each group, then the tables of the kernels
    IMAGE_COLS,          // struct code_col
    IMAGE_KEYS,          // int32_t
    IMAGE_CUTS,          // double, LightGBM only
    IMAGE_CATS,          // struct code_cat
    IMAGE_CAT_ROWS,      // uint8_t
    IMAGE_GROUPS,        // uint32_t (n_groups + 1): trees of group g are [groups[g], groups[g + 1])
    IMAGE_SPARSE_ROOTS,  // struct sparse_root
    IMAGE_SPARSE_NODES,  // struct sparse_node
    IMAGE_SPARSE_VALUES, // float or double by family
    IMAGE_HEAP,          // bytes, heap.h
    IMAGE_HEAP_MASKS,    // bytes, bits.h
    IMAGE_PATH,          // bytes, path.h
    IMAGE_PATH_MASKS,    // bytes, bits.h
    IMAGE_PLANE,         // bytes, plane.h
    IMAGE_TILES,         // struct tile
    IMAGE_TILE_VALUES,   // bytes, float or double by family
    IMAGE_QUADS,         // struct quad
    IMAGE_QUAD_VALUES,   // bytes, float or double by family
    IMAGE_OCT,           // bytes, oct.h
    IMAGE_SECTIONS,
};

struct image_span {
    uint64_t offset, n; // bytes from the start of the image; elements
};

struct image_name {
    uint32_t at, n; // bytes of IMAGE_NAMES
};

struct image_feature {
    struct image_name name;
    uint32_t first_category, n_categories; // in IMAGE_CATEGORIES
    uint8_t may_be_missing, categorical, was_seen, type, zero[4];
    double seen_min, seen_max;
};

struct image_choice {
    char kernel[IMAGE_NAME_BYTES]; // name in the table of kernels, NUL-terminated
    double ns;                     // a row, measured when the model was compiled
};

struct image_header {
    char magic[8];
    uint32_t version, family;
    uint64_t size; // of the whole image
    uint32_t n_features, n_outputs, input_dtype, output_dtype;
    uint32_t output_is_vector, named, n_groups, leaf_width;
    uint32_t n_trees, n_nodes, n_leaves, max_depth; // of the forest; the last of its deepest tree
    uint32_t transform, average, coded, oct_steps;
    uint32_t heap_levels, n_cols, n_num_cols, code_stride; // coded: see code.h and heap.h
    uint32_t path, plane_levels, tiles, quads;             // path, tiles, quads: 1 if the table is there
    double transform_param;
    struct image_choice one, batch;
    char platform[IMAGE_NAME_BYTES], output_name[IMAGE_NAME_BYTES], objective[IMAGE_OBJECTIVE_BYTES];
    struct image_span spans[IMAGE_SECTIONS];
};

// A header that grew is another format: raise IMAGE_VERSION, then the number here.
_Static_assert(IMAGE_VERSION == 4 && sizeof(struct image_header) == 864 && IMAGE_SECTIONS == 31,
               "the image's format and its version change together");

// Writes an image front to back; a failure sticks in the buffer.
struct image_writer {
    struct buf *to;
    size_t start; // of the image in `to`
    struct image_header h;
};

// An opened image: pointers into the mapped bytes.
struct image {
    const struct image_header *h;
    const void *at[IMAGE_SECTIONS];
    uint64_t n[IMAGE_SECTIONS];
    struct forest
        forest; // what the header and the plain sections say; sig.features and by_name are on the heap
    struct categories *categories; // (n_categories) of the features that have them, on the heap
    struct str *category_names;    // of all of them, likewise
    uint32_t n_categories;
};

// Starts section s of n zeroed elements and returns the first, valid until the next call; NULL without room.
void *image_section(struct image_writer *w, enum image_section s, size_t n);

// The same with the elements copied in; they may not lie in the buffer.
void image_copy(struct image_writer *w, enum image_section s, const void *from, size_t n);

// Appends the image of a sound forest. The choice of kernels stays empty: choose.h. Needs scratch memory from
// the arena. ERR_TOO_LARGE, ERR_NOMEM.
int image_build(const struct forest *f, struct arena *scratch, struct buf *to, struct err *e) ERR_CHECKED;

// Checks everything that the kernels rely on; the bytes stay in use until image_close. ERR_BAD_MODEL,
// ERR_NOMEM.
int image_open(const void *bytes, size_t size, struct image *ret, struct err *e) ERR_CHECKED;
void image_close(struct image *img);
