// SPDX-License-Identifier: Apache-2.0
// The error body of every JSON protocol. `error` is a string because the protocols' own clients read one.
#include "api/predict.h"

static void put_field(const char *key, struct str value, struct buf *out)
{
    if (value.n == 0)
        return;
    buf_printf(out, ",\"%s\":", key);
    buf_put_json_str(out, value);
}

void api_error_encode(const struct err *e, struct str request_id, struct buf *out)
{
    buf_puts(out, "{\"error\":");
    buf_put_json_str(out, str_of(e->msg));
    put_field("code", str_of(err_name(e->code)), out);
    put_field("path", str_of(e->path), out);
    put_field("hint", str_of(e->hint), out);
    put_field("request_id", request_id, out);
    buf_putc(out, '}');
}
