// SPDX-License-Identifier: Apache-2.0
// Writing signatures for people. The YAML has what a person may say; what only the model file says stands in
// comments, because it cannot be changed.
#include "cli/signature.h"

#include "cli/describe.h"
#include "cli/term.h"
#include "cli/yaml_json.h"

#include "base/limits.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { COLUMNS = 6, CELL_MAX = 48, LISTED = 6 };

int signature_read_file(const char *path, struct buf *json, struct err *e)
{
    struct buf text;
    int fd = open(path, O_RDONLY | O_CLOEXEC), rc = 0;
    if (fd < 0)
        return err_errno(e, errno, "open '%s'", path);
    buf_init(&text, LIMIT_MANIFEST_BYTES);
    for (ssize_t n = 1; rc == 0 && n != 0;) {
        char *to = buf_reserve(&text, 1 << 14);
        n = to ? read(fd, to, 1 << 14) : 0;
        if (!to)
            rc = err_set(e, ERR_TOO_LARGE, "'%s' is larger than a signature may be", path);
        else if (n < 0 && errno != EINTR)
            rc = err_errno(e, errno, "read '%s'", path);
        else if (n > 0)
            buf_advance(&text, (size_t)n);
    }
    close(fd);
    if (rc == 0)
        rc = yaml_to_json(buf_str(&text), path, json, e);
    buf_done(&text);
    return rc;
}

bool signature_has_rule(yyjson_val *input)
{
    return yyjson_obj_get(input, "mode") != NULL;
}

bool signature_takes_text(yyjson_val *input)
{
    const char *mode = yyjson_get_str(yyjson_obj_get(input, "mode"));
    return yyjson_is_str(yyjson_arr_get_first(yyjson_obj_get(input, "categories"))) ||
           (mode && strcmp(mode, "strict") != 0);
}

static void put_value(yyjson_val *v, struct buf *out)
{
    char *text = yyjson_val_write(v, 0, NULL);
    if (text)
        buf_puts(out, text);
    out->failed |= !text;
    free(text);
}

// "0 to 120", "blue, green, red", "at most 5".
static void put_allowed(yyjson_val *input, struct buf *out)
{
    size_t i, n;
    yyjson_val *item, *min = yyjson_obj_get(input, "min"), *max = yyjson_obj_get(input, "max");
    yyjson_val *categories = yyjson_obj_get(input, "categories");
    size_t from = out->n;
    if (min && max) {
        put_value(min, out);
        buf_puts(out, " to ");
        put_value(max, out);
    } else if (min || max) {
        buf_puts(out, min ? "at least " : "at most ");
        put_value(min ? min : max, out);
    }
    yyjson_arr_foreach(categories, i, n, item)
    {
        if (i == LISTED || out->n - from > CELL_MAX) {
            buf_printf(out, ", … (%zu)", yyjson_arr_size(categories));
            break;
        }
        buf_puts(out, i ? ", " : "");
        if (yyjson_is_str(item))
            term_put_safe((struct str){yyjson_get_str(item), yyjson_get_len(item)}, out);
        else
            put_value(item, out);
    }
}

static const char *word_of(yyjson_val *input, const char *member)
{
    const char *word = yyjson_get_str(yyjson_obj_get(input, member));
    return word ? word : "";
}

static void fill_row(yyjson_val *input, const char **cells, char *allowed)
{
    struct buf text;
    yyjson_val *missing = yyjson_obj_get(input, "missing");
    buf_init(&text, 1 << 20);
    put_allowed(input, &text);
    size_t n = text.n < 4 * CELL_MAX - 1 ? text.n : 4 * CELL_MAX - 1;
    if (n)
        memcpy(allowed, text.p, n);
    allowed[n] = '\0';
    buf_done(&text);
    cells[0] = word_of(input, "name");
    cells[1] = *word_of(input, "type") ? word_of(input, "type") : word_of(input, "datatype");
    cells[2] = missing ? (yyjson_is_true(missing) ? "yes" : "no") : "";
    cells[3] = allowed;
    cells[4] = *word_of(input, "mode") ? word_of(input, "mode") : "none";
    cells[5] = *word_of(input, "unit") ? word_of(input, "unit") : word_of(input, "description");
}

static bool has_any_rule(yyjson_val *inputs)
{
    size_t i, n;
    yyjson_val *input;
    yyjson_arr_foreach(inputs, i, n, input)
    {
        if (signature_has_rule(input) || yyjson_obj_get(input, "categories"))
            return true;
    }
    return false;
}

int signature_put_table(yyjson_val *signature, size_t max_rows, bool always, struct buf *out, struct err *e)
{
    static const char *const HEADS[COLUMNS] = {"INPUT", "TYPE", "MISSING", "ALLOWED", "MODE", "NOTE"};
    yyjson_val *inputs = yyjson_obj_get(signature, "inputs"), *input;
    size_t i, n = yyjson_arr_size(inputs), shown = n < max_rows ? n : max_rows;
    if (n == 0 || (!always && !has_any_rule(inputs)))
        return 0;
    const char **cells = calloc((shown + 1) * COLUMNS, sizeof *cells);
    char(*allowed)[4 * CELL_MAX] = calloc(shown + 1, sizeof *allowed);
    if (!cells || !allowed) {
        free(cells);
        free(allowed);
        return err_set(e, ERR_NOMEM, "out of memory");
    }
    memcpy(cells, HEADS, sizeof HEADS);
    yyjson_arr_foreach(inputs, i, n, input)
    {
        if (i < shown)
            fill_row(input, cells + (i + 1) * COLUMNS, allowed[i]);
    }
    term_put_table(cells, shown + 1, COLUMNS, out);
    if (shown < yyjson_arr_size(inputs))
        buf_printf(out, "  and %zu more: slipway show --signature MODEL VERSION\n",
                   yyjson_arr_size(inputs) - shown);
    free(cells);
    free(allowed);
    return 0;
}

// A JSON value is one of YAML too.
static void put_member(yyjson_val *column, const char *name, struct buf *out)
{
    yyjson_val *v = yyjson_obj_get(column, name);
    if (!v)
        return;
    buf_printf(out, "    %s: ", name);
    put_value(v, out);
    buf_putc(out, '\n');
}

// What the file says, behind a '#'.
static void put_comment(yyjson_val *column, struct buf *out)
{
    yyjson_val *seen = yyjson_obj_get(column, "seen"), *missing = yyjson_obj_get(column, "missing");
    bool ruled = signature_has_rule(column);
    buf_puts(out, "  #");
    if (yyjson_obj_get(column, "datatype"))
        buf_printf(out, " %s", word_of(column, "datatype"));
    if (yyjson_obj_get(column, "shape")) {
        buf_putc(out, ' ');
        put_value(yyjson_obj_get(column, "shape"), out);
    }
    if (!ruled && *word_of(column, "type"))
        buf_printf(out, ", %s", word_of(column, "type"));
    if (!ruled && missing)
        buf_printf(out, ", %s be missing", yyjson_is_true(missing) ? "may" : "may not");
    if (!ruled && yyjson_obj_get(column, "categories")) {
        buf_puts(out, ", ");
        put_allowed(column, out);
    }
    if (seen) {
        buf_puts(out, ", in training ");
        put_value(yyjson_arr_get(seen, 0), out);
        buf_puts(out, " to ");
        put_value(yyjson_arr_get(seen, 1), out);
    }
}

static void put_column(yyjson_val *column, struct buf *out)
{
    static const char *const SAID[] = {"type", "missing", "min", "max", "categories", "mode"};
    buf_puts(out, "  - name: ");
    put_value(yyjson_obj_get(column, "name"), out);
    put_comment(column, out);
    buf_putc(out, '\n');
    for (size_t i = 0; signature_has_rule(column) && i < sizeof SAID / sizeof SAID[0]; i++)
        if (strcmp(SAID[i], "type") != 0 || strcmp(word_of(column, "type"), "") != 0)
            put_member(column, SAID[i], out);
    put_member(column, "labels", out);
    put_member(column, "description", out);
    put_member(column, "unit", out);
    put_member(column, "log", out);
}

void signature_put_yaml(yyjson_val *signature, struct buf *out)
{
    static const char *const LISTS[] = {"inputs", "outputs"};
    buf_puts(out,
             "# A signature: edit it and push it again with --signature FILE. A column has a rule when it\n"
             "# says type, missing, min, max, categories or mode (strict, coerce, warn).\n");
    for (size_t k = 0; k < 2; k++) {
        size_t i, n;
        yyjson_val *column, *list = yyjson_obj_get(signature, LISTS[k]);
        if (yyjson_arr_size(list))
            buf_printf(out, "%s:\n", LISTS[k]);
        yyjson_arr_foreach(list, i, n, column)
        {
            put_column(column, out);
        }
    }
}

static void put_lines(const char *mark, yyjson_val *list, struct buf *out)
{
    size_t i, n;
    yyjson_val *text;
    yyjson_arr_foreach(list, i, n, text)
    {
        buf_printf(out, "  %-14s", mark);
        term_put_safe((struct str){yyjson_get_str(text), yyjson_get_len(text)}, out);
        buf_putc(out, '\n');
    }
}

void signature_put_changes(yyjson_val *changes, struct buf *out)
{
    yyjson_val *breaking = yyjson_obj_get(changes, "breaking"),
               *compatible = yyjson_obj_get(changes, "compatible");
    if (yyjson_arr_size(breaking) + yyjson_arr_size(compatible) == 0)
        return;
    buf_printf(out, "Signature, compared with version %" PRIu64 ":\n",
               yyjson_get_uint(yyjson_obj_get(changes, "compared_with")));
    put_lines("breaking", breaking, out);
    put_lines("compatible", compatible, out);
}
