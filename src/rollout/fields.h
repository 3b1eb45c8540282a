// SPDX-License-Identifier: Apache-2.0
// Reading a JSON object by a declared list of its fields, with errors that say where, what and what instead.
// Private to the module.
#pragma once

#include "base/err.h"
#include "base/str.h"

#include <stdbool.h>
#include <stdint.h>
#include <yyjson.h>

// An object that is being read, and how it is called in paths: "$.steps[1]".
struct fields {
    yyjson_val *object;
    char path[ERR_PATH_MAX / 2];
};

// Checks that json is an object with no field twice and none but the known ones. Where *known is NULL the
// list ends. The path is printed into f.
int fields_open(struct fields *f, yyjson_val *json, const char *const *known, struct err *e, const char *path,
                ...) __attribute__((format(printf, 5, 6))) ERR_CHECKED;
// The field's value, or NULL when it is absent; null is a value.
yyjson_val *fields_get(const struct fields *f, const char *name);
// An error at a field: "expected a number from 0 to 1, not \"x\"".
int fields_wrong(const struct fields *f, const char *name, int code, struct err *e, const char *expected, ...)
    __attribute__((format(printf, 5, 6)));

// Each leaves *ret alone when the field is absent.
int fields_number(const struct fields *f, const char *name, double lo, double hi, double *ret,
                  struct err *e) ERR_CHECKED;
int fields_whole(const struct fields *f, const char *name, uint64_t lo, uint64_t hi, uint64_t *ret,
                 struct err *e) ERR_CHECKED;
int fields_whole32(const struct fields *f, const char *name, uint32_t lo, uint32_t hi, uint32_t *ret,
                   struct err *e) ERR_CHECKED;
int fields_bool(const struct fields *f, const char *name, bool *ret, struct err *e) ERR_CHECKED;
// A string of 1 to n_bytes - 1 bytes without NUL, copied with one.
int fields_text(const struct fields *f, const char *name, char *ret, size_t n_bytes,
                struct err *e) ERR_CHECKED;
// One of the names; *ret is its index.
int fields_choice(const struct fields *f, const char *name, const char *const *names, int n, int *ret,
                  struct err *e) ERR_CHECKED;
// Percent to basis points, exactly: 0.01 is the least step.
int fields_weight(const struct fields *f, const char *name, uint32_t lo_bp, uint32_t hi_bp, uint32_t *ret_bp,
                  struct err *e) ERR_CHECKED;
// The field as an array of 1 to most elements, or NULL when absent.
int fields_array(const struct fields *f, const char *name, size_t most, yyjson_val **ret,
                 struct err *e) ERR_CHECKED;
// An error when the field is absent.
int fields_need(const struct fields *f, const char *name, struct err *e) ERR_CHECKED;
