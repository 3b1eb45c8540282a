// SPDX-License-Identifier: Apache-2.0
// CSV with a header line, and Parquet (predlog/parquet_read.h). The same table gives the same cells in both,
// but that texts of a Parquet file are never missing: it has nulls.
#include "role/baseline_rows.h"

#include "base/num.h"
#include "predlog/parquet_read.h"
#include "wire/csv.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

struct baseline_rows {
    char *p;
    size_t n;
    uint32_t width;
    char **names; // (width) owned
    struct csv_row row;
    uint64_t at;
    // Of Parquet
    struct parquet_file *parquet; // NULL: CSV
    struct parquet_cell *cells;   // (width)
    bool *as_text;                // (width)
    char (*texts)[NUM_TEXT_MAX];  // (width) of numbers
};

// The next record that is no empty line: 1, or 0 at the end.
static int take(struct baseline_rows *r, struct err *e)
{
    while (r->n) {
        size_t used = 0;
        int rc = csv_take(r->p, r->n, true, &r->row, &used, e);
        if (rc < 0)
            return err_wrap(e, "row %llu of the baseline", (unsigned long long)r->at + 1);
        if (rc == 0 || used == 0)
            return 0;
        r->p += used;
        r->n -= used;
        if (r->row.n > 1 || r->row.fields[0].n)
            return 1;
    }
    return 0;
}

static int read_header(struct baseline_rows *r, struct err *e)
{
    static const char MARK[] = "\xef\xbb\xbf";
    if (r->n >= 3 && memcmp(r->p, MARK, 3) == 0) {
        r->p += 3;
        r->n -= 3;
    }
    int rc = take(r, e);
    if (rc <= 0)
        return rc ? rc : err_set(e, ERR_INVALID, "the baseline has no header line");
    r->names = calloc(r->row.n, sizeof *r->names);
    if (!r->names)
        return err_set(e, ERR_NOMEM, "no memory for the names of columns");
    for (; r->width < r->row.n; r->width++) {
        r->names[r->width] = str_dup(str_trim(r->row.fields[r->width]));
        if (!r->names[r->width])
            return err_set(e, ERR_NOMEM, "no memory for the names of columns");
    }
    return 0;
}

static int open_parquet(struct baseline_rows *r, struct str bytes, struct err *e)
{
    int rc = parquet_file_open(bytes, &r->parquet, e);
    if (rc)
        return err_wrap(e, "the baseline");
    uint32_t n = parquet_file_width(r->parquet);
    r->cells = calloc((size_t)n + 1, sizeof *r->cells);
    r->as_text = calloc((size_t)n + 1, sizeof *r->as_text);
    r->texts = calloc((size_t)n + 1, sizeof *r->texts);
    r->names = calloc((size_t)n + 1, sizeof *r->names);
    bool made = r->cells && r->as_text && r->texts && r->names;
    for (; made && r->width < n; r->width++)
        made = (r->names[r->width] = str_dup(parquet_file_name(r->parquet, r->width))) != NULL;
    return made ? 0 : err_set(e, ERR_NOMEM, "no memory for the names of columns");
}

int baseline_rows_open(char *bytes, size_t n, struct baseline_rows **ret, struct err *e)
{
    bool is_parquet = n >= 4 && memcmp(bytes, "PAR1", 4) == 0;
    if (!is_parquet && memchr(bytes, '\0', n < 4096 ? n : 4096))
        return err_set(e, ERR_INVALID,
                       "the baseline is no CSV or Parquet file: it has bytes that are no text");
    struct baseline_rows *r = calloc(1, sizeof *r);
    if (!r)
        return err_set(e, ERR_NOMEM, "no memory for the baseline");
    r->p = bytes;
    r->n = n;
    int rc = is_parquet ? open_parquet(r, (struct str){bytes, n}, e) : read_header(r, e);
    if (rc) {
        baseline_rows_close(r);
        return rc;
    }
    *ret = r;
    return 0;
}

void baseline_rows_close(struct baseline_rows *r)
{
    if (!r)
        return;
    for (uint32_t i = 0; i < r->width; i++)
        free(r->names[i]);
    free(r->names);
    csv_row_done(&r->row);
    parquet_file_close(r->parquet);
    free(r->cells);
    free(r->as_text);
    free(r->texts);
    free(r);
}

uint32_t baseline_rows_width(const struct baseline_rows *r)
{
    return r->width;
}

struct str baseline_rows_name(const struct baseline_rows *r, uint32_t i)
{
    return str_of(r->names[i]);
}

const char *baseline_rows_format(const struct baseline_rows *r)
{
    return r->parquet ? "Parquet" : "CSV";
}

int baseline_rows_use(struct baseline_rows *r, uint32_t i, bool as_text, struct err *e)
{
    if (!r->parquet)
        return 0;
    r->as_text[i] = as_text;
    int rc = parquet_file_use(r->parquet, i, e);
    return rc ? err_wrap(e, "the baseline") : 0;
}

static bool is_missing(struct str text)
{
    static const struct str WORDS[] = {STR(""),     STR("na"),   STR("n/a"),  STR("nan"),
                                       STR("-nan"), STR("null"), STR("none"), STR("<na>")};
    for (size_t i = 0; text.n <= 4 && i < sizeof WORDS / sizeof WORDS[0]; i++)
        if (str_eq_nocase(text, WORDS[i]))
            return true;
    return false;
}

static bool is_infinity(struct str text, double *ret)
{
    bool negative = text.n && text.p[0] == '-';
    struct str word = negative || (text.n && text.p[0] == '+') ? (struct str){text.p + 1, text.n - 1} : text;
    *ret = negative ? -HUGE_VAL : HUGE_VAL;
    return str_eq_nocase(word, STR("inf")) || str_eq_nocase(word, STR("infinity"));
}

static struct cell text_cell(struct str text)
{
    struct cell c = {.kind = CELL_TEXT, .text = text};
    struct str trimmed = str_trim(text);
    size_t used;
    if (num_parse_loose(trimmed.p, trimmed.n, &c.number, &used) && used == trimmed.n) {
        c.is_number = true;
    } else if (str_eq_nocase(trimmed, STR("true")) || str_eq_nocase(trimmed, STR("false"))) {
        c.number = trimmed.n == 4;
        c.is_number = true;
    } else {
        c.is_number = is_infinity(trimmed, &c.number);
    }
    return c;
}

static struct cell number_cell(const struct parquet_cell *p, bool as_text, char text[NUM_TEXT_MAX])
{
    struct cell c = {.kind = as_text ? CELL_TEXT : CELL_NUMBER, .is_number = true};
    c.number = p->kind == PARQUET_CELL_DOUBLE ? p->d
               : p->kind == PARQUET_CELL_INT  ? (double)p->i
                                              : (double)p->u;
    if (isnan(c.number))
        c.kind = CELL_MISSING;
    else if (as_text && p->kind == PARQUET_CELL_DOUBLE)
        c.text = (struct str){text, isfinite(c.number) ? num_write_double(c.number, text) : 0};
    else if (as_text && (p->kind == PARQUET_CELL_INT || p->u <= INT64_MAX))
        c.text = (struct str){text, num_write_i64(p->kind == PARQUET_CELL_INT ? p->i : (int64_t)p->u, text)};
    else if (as_text)
        c.text = (struct str){text, num_write_double(c.number, text)};
    return c;
}

static int next_of_parquet(struct baseline_rows *r, struct cell *cells, struct err *e)
{
    int rc = parquet_file_next(r->parquet, r->cells, e);
    if (rc <= 0)
        return rc ? err_wrap(e, "row %llu of the baseline", (unsigned long long)r->at + 1) : 0;
    r->at++;
    for (uint32_t i = 0; i < r->width; i++) {
        const struct parquet_cell *p = &r->cells[i];
        if (p->kind == PARQUET_CELL_NULL)
            cells[i] = (struct cell){.kind = CELL_MISSING};
        else if (p->kind == PARQUET_CELL_BOOL)
            cells[i] = text_cell(p->is_true ? STR("true") : STR("false"));
        else if (p->kind == PARQUET_CELL_TEXT)
            cells[i] = text_cell(p->text);
        else
            cells[i] = number_cell(p, r->as_text[i], r->texts[i]);
    }
    return 1;
}

int baseline_rows_next(struct baseline_rows *r, struct cell *cells, struct err *e)
{
    if (r->parquet)
        return next_of_parquet(r, cells, e);
    int rc = take(r, e);
    if (rc <= 0)
        return rc;
    r->at++;
    if (r->row.n != r->width)
        return err_set(e, ERR_INVALID, "row %llu of the baseline has %u fields, and the header has %u",
                       (unsigned long long)r->at, r->row.n, r->width);
    for (uint32_t i = 0; i < r->width; i++)
        cells[i] = is_missing(str_trim(r->row.fields[i])) ? (struct cell){.kind = CELL_MISSING}
                                                          : text_cell(r->row.fields[i]);
    return 1;
}

uint64_t baseline_rows_at(const struct baseline_rows *r)
{
    return r->at;
}
