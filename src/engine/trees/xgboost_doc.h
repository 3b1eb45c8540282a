// SPDX-License-Identifier: Apache-2.0
// XGBoost writes one document in two encodings. This is how xgboost_model.c reads it without knowing which:
// xgboost_json.c and xgboost_ubj.c each fill a table of functions. Private to the XGBoost parsers.
#pragma once

#include "engine/trees/forest.h"

#include "base/str.h"

enum doc_kind { DOC_ABSENT, DOC_NULL, DOC_BOOL, DOC_NUMBER, DOC_STRING, DOC_ARRAY, DOC_OBJECT };

struct doc_ops {
    enum doc_kind (*kind)(const void *val);
    size_t (*length)(const void *val); // items of an array, members of an object
    // The object's member, or NULL; *ret_twice says that the key stands there more than once.
    const void *(*member)(const void *obj, struct str key, bool *ret_twice);
    const void *(*first)(const void *arr); // NULL when the array is empty or holds packed numbers
    const void *(*next)(const void *item); // only as often as there are items
    struct str (*text)(const void *string);
    // The first n items of an array of at least n. Return how many are numbers that fit; false and true are 0
    // and 1. Decimals become the nearest float32.
    size_t (*floats)(const void *arr, float *ret, size_t n);
    size_t (*ints)(const void *arr, int32_t *ret, size_t n);
    bool (*integer)(const void *number, int32_t *ret); // false when it does not fit
};

struct doc {
    const struct doc_ops *ops;
    const void *val; // NULL: absent
};

// A member that must be there and of that kind. ERR_BAD_MODEL naming the key.
int doc_get(struct doc obj, const char *key, enum doc_kind kind, struct doc *ret, struct err *e) ERR_CHECKED;
// The same, but it may be absent or null: then ret->val is NULL.
int doc_find(struct doc obj, const char *key, enum doc_kind kind, struct doc *ret, struct err *e) ERR_CHECKED;
// A parameter, which XGBoost writes as a string of decimal digits; when absent, `fallback`.
int doc_param(struct doc obj, const char *key, uint32_t max, uint32_t fallback, uint32_t *ret,
              struct err *e) ERR_CHECKED;
// The array `key` of exactly n numbers.
int doc_get_ints(struct doc obj, const char *key, int32_t *ret, size_t n, struct err *e) ERR_CHECKED;
int doc_get_floats(struct doc obj, const char *key, float *ret, size_t n, struct err *e) ERR_CHECKED;
size_t doc_length(struct doc d);
enum doc_kind doc_kind(struct doc d);
struct doc doc_first(struct doc arr); // of an array of other things than numbers; absent when empty
struct doc doc_next(struct doc item);
struct str doc_text(struct doc string);

// Builds the forest of a whole model document; everything in it is copied into the arena. `platform` names
// the encoding. Errors as the parsers in forest.h.
int xgboost_model_build(struct doc root, const char *platform, struct arena *a, struct forest *ret,
                        struct err *e) ERR_CHECKED;
// The trees of a gbtree `model` object into f, whose signature and n_groups are set; all tree weights are 1.
int xgboost_trees_build(struct doc model, struct arena *a, struct forest *f, struct err *e) ERR_CHECKED;
struct xgboost_base { // the base score as it is saved: in the space of the output
    float *values;    // (n)
    uint32_t n;       // 1 for all outputs, or one each
    int saved_by;     // version that saved it, major * 100 + minor
};

// The string of a saved base score, "5E-1", "[5E-1]" or "[1E0,2E0]", into ret->values, which has room for
// max. ERR_BAD_MODEL.
int xgboost_base_score_parse(struct str s, uint32_t max, struct xgboost_base *ret, struct err *e) ERR_CHECKED;
// The objective part: fills transform, base (n_groups, from the arena) and the signature's outputs.
// ERR_UNSUPPORTED_MODEL naming the objective, ERR_BAD_MODEL.
int xgboost_objective_apply(struct str name, const struct xgboost_base *base, struct arena *a,
                            struct forest *f, struct err *e) ERR_CHECKED;
// A decimal number to its nearest float32, also "NaN" and "Infinity" as XGBoost writes them; false when s is
// anything else.
bool xgboost_float_parse(struct str s, float *ret);

// The categories that a model of trees keeps: the names of the features' codes. ERR_BAD_MODEL, ERR_NOMEM.
int xgboost_categories_read(struct doc model, struct arena *a, struct signature *sig,
                            struct err *e) ERR_CHECKED;
