// SPDX-License-Identifier: Apache-2.0
// An MLflow tracking server's REST API.
#include "cli/tracking.h"

#include "base/limits.h"
#include "cli/client.h"

#include <stdlib.h>
#include <string.h>

enum { DEFAULT_TIMEOUT_S = 30 };

static const char *env(const char *name)
{
    const char *value = getenv(name);
    return value && *value ? value : NULL;
}

// Nothing of the URI is repeated in a message: it may hold a password.
static int set_base(struct tracking *t, const char *uri, struct err *e)
{
    size_t n = strlen(uri);
    while (n && uri[n - 1] == '/')
        n--;
    if (!str_starts(str_of(uri), STR("http://")) && !str_starts(str_of(uri), STR("https://"))) {
        err_set(e, ERR_INVALID,
                "the MLflow tracking URI is not one of a server: http:// or https:// is expected");
        err_hint(
            e, "A store in a folder or database is served by: mlflow server --backend-store-uri URI. Or push "
               "the model's directory.");
        return ERR_INVALID;
    }
    const char *host = strstr(uri, "://") + 3;
    if (memchr(host, '@', strcspn(host, "/?#"))) {
        err_set(e, ERR_INVALID, "the MLflow tracking URI has a user in it");
        err_hint(e, "Put it into MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD.");
        return ERR_INVALID;
    }
    if (n >= sizeof t->base || strpbrk(uri, "?# \r\n"))
        return err_set(e, ERR_INVALID, "the MLflow tracking URI is too long, or has a query");
    memcpy(t->base, uri, n);
    t->base[n] = '\0';
    return 0;
}

int tracking_open(struct tracking *t, const struct args *a, struct err *e)
{
    uint64_t seconds;
    const char *uri = args_value(a, "tracking-uri");
    const char *insecure = env("MLFLOW_TRACKING_INSECURE_TLS");
    *t = (struct tracking){0};
    uri = uri ? uri : env("MLFLOW_TRACKING_URI");
    if (!uri) {
        err_set(e, ERR_INVALID, "no MLflow tracking server is named");
        err_hint(e, "Name it by --tracking-uri http://HOST:PORT or the variable MLFLOW_TRACKING_URI.");
        return ERR_INVALID;
    }
    int rc = set_base(t, uri, e);
    if (rc == 0)
        rc = args_number(a, "timeout", DEFAULT_TIMEOUT_S, 1, 86400, &seconds, e);
    if (rc)
        return rc;
    t->options = (struct fetch_options){
        .token = env("MLFLOW_TRACKING_TOKEN"),
        .user = env("MLFLOW_TRACKING_USERNAME"),
        .password = env("MLFLOW_TRACKING_PASSWORD"),
        .ca_file = env("MLFLOW_TRACKING_SERVER_CERT_PATH"),
        .any_certificate = insecure && strcmp(insecure, "true") == 0,
        .timeout_ms = seconds * 1000,
    };
    return fetch_open(&t->options, &t->fetch, e);
}

void tracking_close(struct tracking *t)
{
    fetch_close(t->fetch);
    t->fetch = NULL;
}

static int keep(void *ctx, const char *p, size_t n, struct err *e)
{
    struct buf *b = ctx;
    buf_put(b, p, n);
    return b->failed ? err_set(e, ERR_NOMEM, "out of memory") : 0;
}

// MLflow says {"error_code":"RESOURCE_DOES_NOT_EXIST","message":"…"}.
static int refusal(const struct tracking *t, long status, yyjson_val *root, struct err *e)
{
    const char *message = yyjson_get_str(yyjson_obj_get(root, "message"));
    const char *name = yyjson_get_str(yyjson_obj_get(root, "error_code"));
    if (status == 401 || status == 403) {
        err_set(e, ERR_REFUSED, "the MLflow server refuses: %ld %.160s", status, message ? message : "");
        err_hint(e, "Credentials come from MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD, or "
                    "MLFLOW_TRACKING_TOKEN.");
        return ERR_REFUSED;
    }
    if (message) {
        bool absent = status == 404 || (name && strcmp(name, "RESOURCE_DOES_NOT_EXIST") == 0);
        return err_set(e,
                       absent         ? ERR_NOT_FOUND
                       : status < 500 ? ERR_INVALID
                                      : ERR_UNAVAILABLE,
                       "the MLflow server says: %.240s", message);
    }
    err_set(e, status == 404 ? ERR_NOT_FOUND : ERR_UNAVAILABLE, "%.160s answered with status %ld", t->base,
            status);
    err_hint(e, "Is it an MLflow tracking server?");
    return e->code;
}

int tracking_get(struct tracking *t, const char *path, yyjson_doc **ret, struct err *e)
{
    long status = 0;
    struct buf url, body;
    *ret = NULL;
    buf_init(&url, 16 << 10);
    buf_init(&body, LIMIT_TRACKING_ANSWER_BYTES);
    buf_printf(&url, "%s%s", t->base, path);
    buf_putc(&url, '\0');
    int rc = url.failed ? err_set(e, ERR_TOO_LARGE, "the address is too long")
                        : fetch_get(t->fetch, url.p, LIMIT_TRACKING_ANSWER_BYTES, keep, &body, &status, e);
    yyjson_doc *doc = rc == 0 && body.n ? yyjson_read(body.p, body.n, 0) : NULL;
    if (rc == 0 && status != 200)
        rc = refusal(t, status, yyjson_doc_get_root(doc), e);
    else if (rc == 0 && !yyjson_is_obj(yyjson_doc_get_root(doc))) {
        rc = err_set(e, ERR_UNAVAILABLE, "%.160s answered with something that is not JSON", t->base);
        err_hint(e, "Is it an MLflow tracking server?");
    }
    if (rc)
        yyjson_doc_free(doc);
    else
        *ret = doc;
    buf_done(&url);
    buf_done(&body);
    return rc;
}
