// SPDX-License-Identifier: Apache-2.0
// docs/api.md lists every error code with its status, every route, and no code that does not exist.
#include "api/routes.h"

#include "unit.h"

#include <stdio.h>
#include <string.h>

static char *read_docs(void)
{
    char path[1024];
    const char *root = getenv("SOURCE_ROOT");
    ck_assert_ptr_nonnull(root);
    snprintf(path, sizeof path, "%s/docs/api.md", root);
    FILE *f = fopen(path, "r");
    ck_assert_ptr_nonnull(f);
    char *text = calloc(1, 1 << 17);
    size_t n = fread(text, 1, (1 << 17) - 1, f);
    ck_assert(n > 0 && feof(f));
    fclose(f);
    return text;
}

START_TEST(every_error_code_is_documented_with_its_status)
{
    char *docs = read_docs(), row[96];
    for (int code = -1; code > ERR_CODE_LIMIT; code--) {
        snprintf(row, sizeof row, "\n| `%s` | %d%s | ", err_name(code), err_http_status(code),
                 err_retryable(code) ? " *" : "");
        ck_assert_msg(strstr(docs, row), "docs/api.md has no row%s", row);
    }
    int n_rows = 0;
    const char *table = strstr(docs, "| code | status | meaning |");
    ck_assert_ptr_nonnull(table);
    for (const char *p = table; (p = strstr(p, "\n| `")); p++)
        n_rows++;
    ck_assert_int_eq(n_rows, -ERR_CODE_LIMIT - 1);
    free(docs);
}
END_TEST

START_TEST(every_route_is_documented)
{
    char *docs = read_docs(), path[128];
    size_t n;
    const struct route *routes = route_all(&n);
    ck_assert_uint_gt(n, 0);
    for (size_t i = 0; i < n; i++) {
        snprintf(path, sizeof path, "`" STR_FMT "`", STR_ARG(routes[i].pattern));
        ck_assert_msg(strstr(docs, path), "docs/api.md has no route %s", path);
    }
    free(docs);
}
END_TEST

UNIT_MAIN("api/docs", every_error_code_is_documented_with_its_status, every_route_is_documented)
