// SPDX-License-Identifier: Apache-2.0
// The failure of a helper process as JSON, and back.
#include "role/helper_report.h"

#include <string.h>
#include <yyjson.h>

static void put_field(struct buf *out, const char *key, const char *value)
{
    buf_printf(out, "%s\"%s\":", out->n > 1 ? "," : "{", key);
    buf_put_json_str(out, str_of(value));
}

void helper_report_error(const struct err *e, struct buf *out)
{
    put_field(out, "code", err_name(e->code));
    put_field(out, "message", e->msg);
    put_field(out, "path", e->path);
    put_field(out, "hint", e->hint);
    buf_putc(out, '}');
}

static int code_named(const char *name)
{
    for (int code = -1; code > ERR_CODE_LIMIT; code--)
        if (strcmp(err_name(code), name) == 0)
            return code;
    return ERR_INTERNAL;
}

int helper_report_take(yyjson_val *root, struct err *e)
{
    const char *code = yyjson_get_str(yyjson_obj_get(root, "code"));
    const char *message = yyjson_get_str(yyjson_obj_get(root, "message"));
    const char *path = yyjson_get_str(yyjson_obj_get(root, "path"));
    const char *hint = yyjson_get_str(yyjson_obj_get(root, "hint"));
    if (!code)
        return 0;
    int rc = err_set(e, code_named(code), "%s", message ? message : "it was not said why");
    err_at(e, "%s", path ? path : "");
    err_hint(e, "%s", hint ? hint : "");
    return rc;
}
