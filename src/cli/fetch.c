// SPDX-License-Identifier: Apache-2.0
// libcurl behind a few calls. The header is of the build, the library of the machine: any libcurl 4.
#include "cli/fetch.h"

#include "base/limits.h"
#include "base/str.h"

#define CURL_DISABLE_TYPECHECK
#include <curl/curl.h>
#include <dlfcn.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#define LIBRARY "libcurl.so.4"

struct fetch {
    const struct fetch_options *options;
    void *library;
    CURL *easy;
    char problem[CURL_ERROR_SIZE];
    typeof(curl_easy_init) *init;
    typeof(curl_easy_setopt) *setopt;
    typeof(curl_easy_perform) *perform;
    typeof(curl_easy_getinfo) *getinfo;
    typeof(curl_easy_cleanup) *cleanup;
    typeof(curl_easy_strerror) *strerror;
};

// One request.
struct transfer {
    int (*sink)(void *ctx, const char *p, size_t n, struct err *e);
    void *ctx;
    uint64_t left;
    bool too_large;
    int rc;
    struct err *e;
};

static int missing(struct err *e)
{
    err_set(e, ERR_UNAVAILABLE, "libcurl, which speaks to other servers, cannot be opened: %.160s",
            dlerror());
    err_hint(e, "Install it: apt install libcurl4 (Debian 12), libcurl4t64 (Debian 13).");
    return ERR_UNAVAILABLE;
}

static int open_library(struct fetch *f, struct err *e)
{
    const struct {
        const char *name;
        void *to;
    } CALLS[] = {
        {"curl_easy_init", &f->init},       {"curl_easy_setopt", &f->setopt},
        {"curl_easy_perform", &f->perform}, {"curl_easy_getinfo", &f->getinfo},
        {"curl_easy_cleanup", &f->cleanup}, {"curl_easy_strerror", &f->strerror},
    };
    f->library = dlopen(LIBRARY, RTLD_NOW | RTLD_LOCAL);
    if (!f->library)
        return missing(e);
    for (size_t i = 0; i < sizeof CALLS / sizeof CALLS[0]; i++) {
        void *call = dlsym(f->library, CALLS[i].name);
        if (!call)
            return missing(e);
        memcpy(CALLS[i].to, &call, sizeof call);
    }
    f->easy = f->init();
    return f->easy ? 0 : err_set(e, ERR_NOMEM, "libcurl cannot be started");
}

static bool set_credentials(struct fetch *f)
{
    const struct fetch_options *o = f->options;
    if (o->token)
        return f->setopt(f->easy, CURLOPT_HTTPAUTH, (long)CURLAUTH_BEARER) == CURLE_OK &&
               f->setopt(f->easy, CURLOPT_XOAUTH2_BEARER, o->token) == CURLE_OK;
    if (!o->user)
        return true;
    return f->setopt(f->easy, CURLOPT_HTTPAUTH, (long)CURLAUTH_BASIC) == CURLE_OK &&
           f->setopt(f->easy, CURLOPT_USERNAME, o->user) == CURLE_OK &&
           f->setopt(f->easy, CURLOPT_PASSWORD, o->password ? o->password : "") == CURLE_OK;
}

static bool set_options(struct fetch *f)
{
    const struct fetch_options *o = f->options;
    const struct {
        CURLoption option;
        long value;
    } NUMBERS[] = {
        {CURLOPT_NOSIGNAL, 1},
        {CURLOPT_FOLLOWLOCATION, 1},
        {CURLOPT_MAXREDIRS, LIMIT_IMPORT_REDIRECTS},
        {CURLOPT_CONNECTTIMEOUT_MS, (long)o->timeout_ms},
        {CURLOPT_LOW_SPEED_LIMIT, 1},
        {CURLOPT_LOW_SPEED_TIME, (long)(o->timeout_ms / 1000)},
        {CURLOPT_SSL_VERIFYPEER, !o->any_certificate},
        {CURLOPT_SSL_VERIFYHOST, o->any_certificate ? 0 : 2},
        {CURLOPT_NETRC, CURL_NETRC_IGNORED},
    };
    bool good = f->setopt(f->easy, CURLOPT_USERAGENT, "slipway-cli") == CURLE_OK &&
                f->setopt(f->easy, CURLOPT_ERRORBUFFER, f->problem) == CURLE_OK && set_credentials(f);
    for (size_t i = 0; good && i < sizeof NUMBERS / sizeof NUMBERS[0]; i++)
        good = f->setopt(f->easy, NUMBERS[i].option, NUMBERS[i].value) == CURLE_OK;
    if (good && o->ca_file)
        good = f->setopt(f->easy, CURLOPT_CAINFO, o->ca_file) == CURLE_OK;
    return good;
}

int fetch_open(const struct fetch_options *options, struct fetch **ret, struct err *e)
{
    struct fetch *f = calloc(1, sizeof *f);
    *ret = NULL;
    if (!f)
        return err_set(e, ERR_NOMEM, "out of memory");
    f->options = options;
    int rc = open_library(f, e);
    if (rc == 0 && !set_options(f))
        rc = err_set(e, ERR_UNAVAILABLE, "this libcurl lacks what is needed of it: 7.85 or newer is");
    if (rc)
        fetch_close(f);
    else
        *ret = f;
    return rc;
}

void fetch_close(struct fetch *f)
{
    if (f && f->easy)
        f->cleanup(f->easy);
    // The library stays open: what it registered to run at the exit lies in it.
    free(f);
}

static size_t on_bytes(char *p, size_t size, size_t n, void *ctx)
{
    struct transfer *t = ctx;
    n *= size;
    t->too_large = n > t->left;
    t->rc = t->too_large ? ERR_TOO_LARGE : t->sink(t->ctx, p, n, t->e);
    t->left -= t->rc ? 0 : n;
    return t->rc ? CURL_WRITEFUNC_ERROR : n;
}

// The part of a URL that may be shown: without what follows the host.
static struct str host_of(const char *url)
{
    const char *from = strstr(url, "://");
    from = from ? from + 3 : url;
    return (struct str){url, (size_t)(from - url) + strcspn(from, "/?#")};
}

static int failed(const struct fetch *f, CURLcode code, const char *url, struct err *e)
{
    struct str host = host_of(url);
    const char *why = f->problem[0] ? f->problem : f->strerror(code);
    if (code == CURLE_OPERATION_TIMEDOUT) {
        err_set(e, ERR_REQUEST_TIMEOUT, STR_FMT " was silent for %" PRIu64 " seconds", STR_ARG(host),
                f->options->timeout_ms / 1000);
        err_hint(e, "A longer wait is set by --timeout SECONDS.");
        return ERR_REQUEST_TIMEOUT;
    }
    err_set(e, ERR_UNAVAILABLE, STR_FMT " cannot be reached: %.160s", STR_ARG(host), why);
    if (code == CURLE_PEER_FAILED_VERIFICATION)
        err_hint(e, "A certificate authority of your own is named by MLFLOW_TRACKING_SERVER_CERT_PATH.");
    return ERR_UNAVAILABLE;
}

int fetch_get(struct fetch *f, const char *url, uint64_t max_bytes,
              int (*sink)(void *ctx, const char *p, size_t n, struct err *e), void *ctx, long *ret_status,
              struct err *e)
{
    struct transfer t = {.sink = sink, .ctx = ctx, .left = max_bytes, .e = e};
    bool tls = strncmp(url, "https:", 6) == 0;
    f->problem[0] = '\0';
    bool good = f->setopt(f->easy, CURLOPT_URL, url) == CURLE_OK &&
                f->setopt(f->easy, CURLOPT_PROTOCOLS_STR, "http,https") == CURLE_OK &&
                f->setopt(f->easy, CURLOPT_REDIR_PROTOCOLS_STR, tls ? "https" : "http,https") == CURLE_OK &&
                f->setopt(f->easy, CURLOPT_WRITEFUNCTION, on_bytes) == CURLE_OK &&
                f->setopt(f->easy, CURLOPT_WRITEDATA, &t) == CURLE_OK;
    CURLcode code = good ? f->perform(f->easy) : CURLE_UNKNOWN_OPTION;
    if (t.too_large) {
        struct str host = host_of(url);
        return err_set(e, ERR_TOO_LARGE, "the answer of " STR_FMT " is larger than %" PRIu64 " bytes",
                       STR_ARG(host), max_bytes);
    }
    if (t.rc)
        return t.rc;
    if (code != CURLE_OK)
        return failed(f, code, url, e);
    f->getinfo(f->easy, CURLINFO_RESPONSE_CODE, ret_status);
    return 0;
}
