// SPDX-License-Identifier: Apache-2.0
// A million answers a second leave no time to read each head in full: the usual one is found by looking at
// the first letter of its lines. Anything unusual goes the strict way, through wire/http1.
#include "cli/load_reply.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <yyjson.h>

enum { KNOWN_BYTES_MAX = 64 << 10, NUMBERS_DEPTH = 16 };

// "HTTP/1.1 200 …" with a Content-Length of up to 9 digits and nothing that changes the framing. Returns the
// head's size, or 0 when the strict parser must look. Lines that do not matter here are skipped unchecked.
static size_t usual_head(const char *p, size_t n, uint64_t *ret_length)
{
    const char *end = p + n, *line = n > 15 && memcmp(p, "HTTP/1.1 200 ", 13) == 0 ? p + 13 : NULL;
    bool found = false;
    for (;;) {
        const char *lf = line ? memchr(line, '\n', (size_t)(end - line)) : NULL;
        if (!lf || end - lf < 3)
            return 0;
        line = lf + 1;
        char first = (char)(*line | 0x20);
        if (*line == '\r')
            return found && line[1] == '\n' ? (size_t)(line + 2 - p) : 0;
        if (first == 't') // Transfer-Encoding, but for others
            return 0;
        if (first != 'c' || end - line < 17)
            continue;
        char fourth = (char)(line[3] | 0x20); // "connection" or "content-…"
        if (fourth == 'n' && strncasecmp(line, "connection", 10) == 0 &&
            strncasecmp(line, "connection: keep-alive\r", 23) != 0)
            return 0;
        if (fourth != 't' || (line[8] | 0x20) != 'l' || strncasecmp(line, "content-length:", 15) != 0)
            continue;
        if (found)
            return 0;
        const char *c = line + 15;
        uint64_t v = 0;
        while (c < end && *c == ' ')
            c++;
        const char *digits = c;
        for (; c < end && *c >= '0' && *c <= '9' && c - digits < 9; c++)
            v = v * 10 + (uint64_t)(*c - '0');
        if (c == digits || c == end || *c != '\r')
            return 0;
        *ret_length = v;
        found = true;
    }
}

static int chunks_take(struct load_reader *r, char *p, size_t *n, struct load_reply *ret, struct err *e)
{
    size_t at = r->head_bytes + r->body_bytes, used, payload;
    int rc = http1_chunked_decode(&r->chunked, p + at, *n - at, &used, &payload, e);
    if (rc < 0)
        return rc;
    // The payload is at the front already: only what follows it has to close up.
    memmove(p + at + payload, p + at + used, *n - at - used);
    *n -= used - payload;
    r->body_bytes += payload;
    if (rc == 0)
        return 0;
    *ret = r->reply;
    ret->body = (struct str){p + r->head_bytes, r->body_bytes};
    ret->bytes = r->head_bytes + r->body_bytes;
    *r = (struct load_reader){0};
    return 1;
}

int load_reply_take(struct load_reader *r, char *p, size_t *n, struct load_reply *ret, struct err *e)
{
    if (r->in_chunks)
        return chunks_take(r, p, n, ret, e);
    uint64_t length = 0;
    size_t head = usual_head(p, *n, &length);
    *ret = (struct load_reply){.status = 200, .keep_alive = true};
    if (!head) {
        struct http1_response h;
        int rc = http1_response_parse(p, *n, &h, e);
        if (rc <= 0)
            return rc;
        if (h.content_length == UINT64_MAX)
            return err_set(e, ERR_BAD_HTTP, "answer without a length");
        *ret = (struct load_reply){.status = h.status, .keep_alive = h.keep_alive};
        head = h.head_bytes;
        length = h.content_length;
        if (h.chunked) {
            *r = (struct load_reader){.reply = *ret, .head_bytes = head, .in_chunks = true};
            return chunks_take(r, p, n, ret, e);
        }
    }
    if (length > *n - head)
        return 0;
    ret->body = (struct str){p + head, (size_t)length};
    ret->bytes = head + (size_t)length;
    return 1;
}

static void numbers(yyjson_val *v, int depth, double *to, size_t cap, size_t *n)
{
    size_t i, max;
    yyjson_val *key, *item;
    if (yyjson_is_num(v) || yyjson_is_bool(v)) {
        double x = yyjson_is_bool(v) ? yyjson_get_bool(v) : yyjson_get_num(v);
        if (*n < cap)
            to[*n] = x;
        ++*n;
    } else if (depth < NUMBERS_DEPTH && yyjson_is_arr(v)) {
        yyjson_arr_foreach(v, i, max, item) numbers(item, depth + 1, to, cap, n);
    } else if (depth < NUMBERS_DEPTH && yyjson_is_obj(v)) {
        yyjson_obj_foreach(v, i, max, key, item) numbers(item, depth + 1, to, cap, n);
    }
}

size_t load_numbers(yyjson_val *v, double *to, size_t cap)
{
    size_t n = 0;
    numbers(v, 0, to, cap, &n);
    return n;
}

size_t load_predictions(yyjson_val *root, double *to, size_t cap)
{
    yyjson_val *v1 = yyjson_obj_get(root, "predictions"), *v2 = yyjson_obj_get(root, "outputs");
    if (v1 || !yyjson_is_arr(v2))
        return load_numbers(v1 ? v1 : root, to, cap);
    size_t i, max, n = 0;
    yyjson_val *output;
    yyjson_arr_foreach(v2, i, max, output)
    {
        size_t room = n < cap ? cap - n : 0;
        n += load_numbers(yyjson_obj_get(output, "data"), room ? to + n : NULL, room);
    }
    return n;
}

static bool near(double got, double want, double tolerance)
{
    return fabs(got - want) <= tolerance * fmax(1, fabs(want)); // false for NaN
}

static bool values_right(const struct load_set *s, const struct load_request *q, struct str body,
                         char *problem, size_t problem_size)
{
    yyjson_doc *doc = yyjson_read(body.p, body.n, 0);
    double *got = calloc(q->n_values + 1, sizeof *got);
    size_t n = doc && got ? load_predictions(yyjson_doc_get_root(doc), got, q->n_values) : 0, bad = 0;
    while (got && bad < q->n_values && bad < n && near(got[bad], q->values[bad], s->tolerance))
        bad++;
    bool right = doc && got && n == q->n_values && bad == n;
    if (!doc)
        snprintf(problem, problem_size, "answer is not JSON: '%.*s'", (int)(body.n < 80 ? body.n : 80),
                 body.p);
    else if (n != q->n_values)
        snprintf(problem, problem_size, "answer with %zu values where %zu are expected", n, q->n_values);
    else if (!right && got)
        snprintf(problem, problem_size, "value %zu is %.17g where %.17g is expected", bad, got[bad],
                 q->values[bad]);
    free(got);
    yyjson_doc_free(doc);
    return right;
}

bool load_reply_right(const struct load_set *s, struct load_request *q, struct str body, char *problem,
                      size_t problem_size)
{
    if (q->known.p && str_eq(q->known, body))
        return true;
    if (s->wanted.n && (!body.n || !memmem(body.p, body.n, s->wanted.p, s->wanted.n))) {
        snprintf(problem, problem_size, "answer without the expected text: '%.*s'",
                 (int)(body.n < 80 ? body.n : 80), body.n ? body.p : "");
        return false;
    }
    if (q->values && !values_right(s, q, body, problem, problem_size))
        return false;
    if ((q->values || s->wanted.n) && !q->known.p && body.n && body.n <= KNOWN_BYTES_MAX)
        q->known = (struct str){str_dup(body), body.n};
    return true;
}
