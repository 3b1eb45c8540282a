// SPDX-License-Identifier: Apache-2.0
#include "role/ipc_ask.h"

#include "base/limits.h"

#include "unit.h"

#include <string.h>

START_TEST(what_is_written_is_read)
{
    struct ipc_ask ask;
    struct ipc_absent absent;
    struct buf json;
    struct err e = {0}, why;
    buf_init(&json, 1 << 16);
    ipc_ask_encode(STR("ch\"urn"), STR(""), &json);
    ck_assert_msg(ipc_ask_decode(buf_str(&json), &ask, &e) == 0, "%s", e.msg);
    ck_assert(str_eq(ask.model, STR("ch\"urn")) && ask.name.n == 0);
    ipc_ask_done(&ask);
    buf_clear(&json);
    err_set(&why, ERR_NOT_DEPLOYED, "version %d is not loaded", 3);
    err_hint(&why, "Repeat the request.");
    ipc_absent_encode(STR("churn"), STR("3"), &why, &json);
    ck_assert_msg(ipc_absent_decode(buf_str(&json), &absent, &e) == 0, "%s", e.msg);
    ck_assert(str_eq(absent.model, STR("churn")) && str_eq(absent.name, STR("3")));
    ck_assert_int_eq(absent.why.code, ERR_NOT_DEPLOYED);
    ck_assert_str_eq(absent.why.msg, "version 3 is not loaded");
    ck_assert_str_eq(absent.why.hint, "Repeat the request.");
    ipc_absent_done(&absent);
    buf_done(&json);
}
END_TEST

START_TEST(what_is_not_as_agreed_is_refused)
{
    static const char *const BAD[] = {
        "",
        "[]",
        "{\"model\":\"m\"}",
        "{\"model\":1,\"name\":\"\"}",
        "{\"model\":\"m\",\"name\":\"1\"",
        "{\"model\":\"m\",\"name\":\"1\",\"code\":0,\"message\":\"\",\"hint\":\"\"}",
        "{\"model\":\"m\",\"name\":\"1\",\"code\":-3,\"message\":\"\",\"hint\":\"\"}",
        "{\"model\":\"m\",\"name\":\"1\",\"code\":900,\"message\":\"\",\"hint\":\"\"}",
        "{\"model\":\"m\",\"name\":\"1\",\"code\":3,\"message\":null,\"hint\":\"\"}",
        "{\"model\":\"m\",\"name\":\"1\",\"code\":3,\"message\":\"\"}"};
    struct ipc_ask ask;
    struct ipc_absent absent;
    struct err e = {0};
    for (size_t i = 0; i < sizeof BAD / sizeof BAD[0]; i++) {
        ck_assert_msg(ipc_absent_decode(str_of(BAD[i]), &absent, &e) == ERR_INVALID, "%s", BAD[i]);
        if (i < 5)
            ck_assert_msg(ipc_ask_decode(str_of(BAD[i]), &ask, &e) == ERR_INVALID, "%s", BAD[i]);
    }
}
END_TEST

START_TEST(names_are_no_longer_than_they_may_be)
{
    char name[LIMIT_MODEL_NAME_BYTES + 2];
    struct ipc_ask ask;
    struct buf json;
    struct err e = {0};
    buf_init(&json, 1 << 16);
    memset(name, 'a', sizeof name);
    ipc_ask_encode((struct str){name, LIMIT_MODEL_NAME_BYTES}, (struct str){name, LIMIT_ALIAS_BYTES}, &json);
    ck_assert_int_eq(ipc_ask_decode(buf_str(&json), &ask, &e), 0);
    ipc_ask_done(&ask);
    buf_clear(&json);
    ipc_ask_encode((struct str){name, LIMIT_MODEL_NAME_BYTES + 1}, STR("1"), &json);
    ck_assert_int_eq(ipc_ask_decode(buf_str(&json), &ask, &e), ERR_INVALID);
    buf_clear(&json);
    ipc_ask_encode(STR("m"), (struct str){name, LIMIT_ALIAS_BYTES + 1}, &json);
    ck_assert_int_eq(ipc_ask_decode(buf_str(&json), &ask, &e), ERR_INVALID);
    buf_done(&json);
}
END_TEST

UNIT_MAIN("role/ipc_ask", what_is_written_is_read, what_is_not_as_agreed_is_refused,
          names_are_no_longer_than_they_may_be)
