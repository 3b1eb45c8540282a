// SPDX-License-Identifier: Apache-2.0
// Writing and reading IPC_ASK and IPC_ABSENT.
#include "role/ipc_ask.h"

#include "base/limits.h"

#include <yyjson.h>

static void put_names(struct str model, struct str name, struct buf *json)
{
    buf_puts(json, "{\"model\":");
    buf_put_json_str(json, model);
    buf_puts(json, ",\"name\":");
    buf_put_json_str(json, name);
}

void ipc_ask_encode(struct str model, struct str name, struct buf *json)
{
    put_names(model, name, json);
    buf_putc(json, '}');
}

void ipc_absent_encode(struct str model, struct str name, const struct err *why, struct buf *json)
{
    put_names(model, name, json);
    buf_printf(json, ",\"code\":%d,\"message\":", -why->code);
    buf_put_json_str(json, str_of(why->msg));
    buf_puts(json, ",\"hint\":");
    buf_put_json_str(json, str_of(why->hint));
    buf_putc(json, '}');
}

// A text of at most `most` bytes.
static bool take_text(yyjson_val *root, const char *member, size_t most, struct str *ret)
{
    yyjson_val *v = yyjson_obj_get(root, member);
    *ret = (struct str){yyjson_get_str(v), yyjson_get_len(v)};
    return yyjson_is_str(v) && ret->n <= most;
}

static bool take_names(yyjson_val *root, struct str *ret_model, struct str *ret_name)
{
    return take_text(root, "model", LIMIT_MODEL_NAME_BYTES, ret_model) &&
           take_text(root, "name", LIMIT_ALIAS_BYTES, ret_name);
}

int ipc_ask_decode(struct str json, struct ipc_ask *ret, struct err *e)
{
    struct ipc_ask m = {.doc = yyjson_read(json.p, json.n, 0)};
    if (take_names(yyjson_doc_get_root(m.doc), &m.model, &m.name)) {
        *ret = m;
        return 0;
    }
    yyjson_doc_free(m.doc);
    return err_set(e, ERR_INVALID, "a question about a version is not as agreed");
}

int ipc_absent_decode(struct str json, struct ipc_absent *ret, struct err *e)
{
    struct ipc_absent m = {.doc = yyjson_read(json.p, json.n, 0)};
    yyjson_val *root = yyjson_doc_get_root(m.doc), *code = yyjson_obj_get(root, "code");
    struct str message, hint;
    if (take_names(root, &m.model, &m.name) && yyjson_is_uint(code) && yyjson_get_uint(code) > 0 &&
        yyjson_get_uint(code) < -ERR_CODE_LIMIT && take_text(root, "message", SIZE_MAX, &message) &&
        take_text(root, "hint", SIZE_MAX, &hint)) {
        err_set(&m.why, -(int)yyjson_get_uint(code), STR_FMT, STR_ARG(message));
        err_hint(&m.why, STR_FMT, STR_ARG(hint));
        *ret = m;
        return 0;
    }
    yyjson_doc_free(m.doc);
    return err_set(e, ERR_INVALID, "an answer about a version is not as agreed");
}

void ipc_ask_done(struct ipc_ask *m)
{
    yyjson_doc_free(m->doc);
}

void ipc_absent_done(struct ipc_absent *m)
{
    yyjson_doc_free(m->doc);
}
