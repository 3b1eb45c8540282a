// SPDX-License-Identifier: Apache-2.0
#include "api/routes.h"

#include "unit.h"

#include <string.h>

static struct route_match found(enum http_method method, const char *path)
{
    struct route_match m;
    struct err e;
    ck_assert_msg(route_find(method, str_of(path), &m, &e) == 0, "%s: %s", path, e.msg);
    return m;
}

START_TEST(predict_paths_capture_model_and_version)
{
    struct route_match m = found(HTTP_POST, "/v1/models/churn:predict");
    ck_assert_int_eq(m.route->handler, ROUTE_V1_PREDICT);
    ck_assert(str_eq(m.model, STR("churn")) && m.version.n == 0);
    m = found(HTTP_POST, "/v1/models/churn/versions/champion:predict");
    ck_assert(str_eq(m.model, STR("churn")) && str_eq(m.version, STR("champion")));
    m = found(HTTP_POST,
              "/v1/models/{model}:predict"); // as the pattern is written, which is a name all the same
    ck_assert(str_eq(m.model, STR("{model}")));
    m = found(HTTP_POST, "/v2/models/a.b-c_d/versions/12/infer");
    ck_assert_int_eq(m.route->handler, ROUTE_V2_INFER);
    ck_assert(str_eq(m.model, STR("a.b-c_d")) && str_eq(m.version, STR("12")));
}
END_TEST

START_TEST(a_longer_or_shorter_path_is_another_path)
{
    ck_assert_int_eq(found(HTTP_GET, "/v2/models/m/ready").route->handler, ROUTE_V2_MODEL_READY);
    ck_assert_int_eq(found(HTTP_GET, "/v2/models/ready").route->handler, ROUTE_V2_MODEL);
    ck_assert_int_eq(found(HTTP_GET, "/v2/models").route->handler, ROUTE_V2_MODELS);
    ck_assert_int_eq(found(HTTP_HEAD, "/v2/health/live").route->handler, ROUTE_LIVE);
    ck_assert_int_eq(found(HTTP_DELETE, "/api/v1/models/a/versions/3").route->rule, RULE_ADMIN);
    struct route_match m;
    struct err e;
    ck_assert_int_eq(route_find(HTTP_GET, STR("/v2/models//ready"), &m, &e), ERR_NO_ROUTE);
    ck_assert_int_eq(route_find(HTTP_POST, STR("/v1/models/churn:predictx"), &m, &e), ERR_NO_ROUTE);
    ck_assert_int_eq(route_find(HTTP_POST, STR("/v1/models/:predict"), &m, &e), ERR_NO_ROUTE);
    ck_assert_int_eq(route_find(HTTP_GET, STR("/v2/modelsx"), &m, &e), ERR_NO_ROUTE);
}
END_TEST

START_TEST(a_wrong_method_names_the_right_ones)
{
    struct route_match m;
    struct err e;
    ck_assert_int_eq(route_find(HTTP_GET, STR("/v1/models/churn:predict"), &m, &e), ERR_METHOD);
    ck_assert_str_eq(e.hint, "Allowed: POST.");
    ck_assert_int_eq(route_find(HTTP_PATCH, STR("/api/v1/models"), &m, &e), ERR_METHOD);
    ck_assert_str_eq(e.hint, "Allowed: GET, HEAD, POST, PUT, DELETE.");
}
END_TEST

START_TEST(a_misspelt_path_suggests_the_nearest)
{
    struct route_match m;
    struct err e;
    ck_assert_int_eq(route_find(HTTP_GET, STR("/v2/health/raedy"), &m, &e), ERR_NO_ROUTE);
    ck_assert_str_eq(e.hint, "Did you mean '/v2/health/ready'?");
}
END_TEST

UNIT_MAIN("api/routes", predict_paths_capture_model_and_version, a_longer_or_shorter_path_is_another_path,
          a_wrong_method_names_the_right_ones, a_misspelt_path_suggests_the_nearest)
