// SPDX-License-Identifier: Apache-2.0
// Matching a path against the table of routes, in the table's order: the predict routes stand first.
#include "api/routes.h"

#include "base/near.h"

#include <stdio.h>
#include <string.h>

#define ROW(verb, path, rule, handler, summary)                                                              \
    {HTTP_##verb, {path, sizeof(path) - 1}, rule, handler, summary},
static const struct route TABLE[] = {ROUTES(ROW)};
enum { N_ROUTES = sizeof TABLE / sizeof TABLE[0] };
#undef ROW

// A rule or handler of 0 would be a row somebody forgot to finish.
#define ROW(verb, path, rule, handler, summary)                                                              \
    _Static_assert((rule) >= RULE_PUBLIC && (handler) >= ROUTE_V1_PREDICT,                                   \
                   "route " path " has a rule and a handler");
ROUTES(ROW)
#undef ROW

static inline bool has_byte(uint64_t word, unsigned char c)
{
    uint64_t zero = word ^ c * 0x0101010101010101u;
    return (zero - 0x0101010101010101u) & ~zero & 0x8080808080808080u;
}

// How many bytes of pattern and path are the same from here on: eight at a time while the pattern has neither
// a capture nor a '*' in them, else one. 0: they differ here.
static inline size_t same_piece(const char *p, const char *p_end, const char *s, const char *s_end)
{
    uint64_t want, have;
    if (p_end - p >= 8 && s_end - s >= 8) {
        memcpy(&want, p, sizeof want);
        memcpy(&have, s, sizeof have);
        if (want == have && !has_byte(want, '{') && !has_byte(want, '*'))
            return 8;
    }
    return s < s_end && *s == *p;
}

// Matches one path; fills the captures.
static bool matches(struct str pattern, struct str path, struct route_match *m)
{
    const char *p = pattern.p, *p_end = p + pattern.n, *s = path.p, *s_end = s + path.n;
    while (p < p_end) {
        if (*p == '*')
            return true;
        if (*p != '{') {
            size_t n = same_piece(p, p_end, s, s_end);
            if (n == 0)
                return false;
            p += n;
            s += n;
            continue;
        }
        const char *start = s;
        while (s < s_end && *s != '/' && *s != ':')
            s++;
        if (s == start)
            return false;
        bool is_model = p[1] == 'm';
        *(is_model ? &m->model : &m->version) = (struct str){start, (size_t)(s - start)};
        p += is_model ? sizeof "{model}" - 1 : sizeof "{version}" - 1;
    }
    return s == s_end;
}

void route_methods(struct str path, char ret[ROUTE_METHODS_SIZE])
{
    size_t used = 0;
    ret[0] = '\0';
    for (size_t i = 0; i < N_ROUTES; i++) {
        struct route_match ignored = {0};
        if (matches(TABLE[i].pattern, path, &ignored) && used < ROUTE_METHODS_SIZE)
            used += (size_t)snprintf(ret + used, ROUTE_METHODS_SIZE - used, "%s%s", used ? ", " : "",
                                     http_method_name(TABLE[i].method));
    }
}

// The error for a path that no row matches with this method.
static int not_found(enum http_method method, struct str path, struct err *e)
{
    char allowed[ROUTE_METHODS_SIZE];
    route_methods(path, allowed);
    if (allowed[0]) {
        int rc = err_set(e, ERR_METHOD, "%s is not answered at '" STR_FMT "'", http_method_name(method),
                         STR_ARG(path));
        err_hint(e, "Allowed: %s.", allowed);
        return rc;
    }
    struct str patterns[N_ROUTES];
    for (size_t i = 0; i < N_ROUTES; i++)
        patterns[i] = TABLE[i].pattern;
    int rc = err_set(e, ERR_NO_ROUTE, "nothing is served at '" STR_FMT "'", STR_ARG(path));
    int near = near_find(path, patterns, N_ROUTES);
    if (near >= 0)
        err_hint(e, "Did you mean '" STR_FMT "'?", STR_ARG(patterns[near]));
    return rc;
}

int route_find(enum http_method method, struct str path, struct route_match *ret, struct err *e)
{
    for (int pass = 0; pass < (method == HTTP_HEAD ? 2 : 1); pass++) {
        enum http_method want = pass ? HTTP_GET : method;
        for (size_t i = 0; i < N_ROUTES; i++) {
            *ret = (struct route_match){.route = &TABLE[i]};
            if (TABLE[i].method == want && matches(TABLE[i].pattern, path, ret))
                return 0;
        }
    }
    return not_found(method, path, e);
}

const struct route *route_all(size_t *ret_n)
{
    *ret_n = N_ROUTES;
    return TABLE;
}
