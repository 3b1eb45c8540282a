// SPDX-License-Identifier: Apache-2.0
// One POST. The header of libcurl is of the build, the library of the machine: any libcurl 4. Redirects are
// not followed: a webhook that moved is to be set anew.
#include "role/notify.h"

#include "base/buf.h"
#include "os/file.h"
#include "os/proc.h"
#include "role/helper_report.h"

#define CURL_DISABLE_TYPECHECK
#include <curl/curl.h>
#include <dlfcn.h>
#include <stdlib.h>
#include <string.h>

#define LIBRARY "libcurl.so.4"

struct curl_calls {
    typeof(curl_easy_init) *init;
    typeof(curl_easy_setopt) *setopt;
    typeof(curl_easy_perform) *perform;
    typeof(curl_easy_getinfo) *getinfo;
    typeof(curl_easy_strerror) *strerror;
    typeof(curl_slist_append) *slist_append;
};

static int missing(struct err *e)
{
    err_set(e, ERR_UNAVAILABLE, "libcurl, which speaks to the webhook, cannot be opened: %.160s", dlerror());
    err_hint(e, "Install it: apt install libcurl4 (Debian 12), libcurl4t64 (Debian 13).");
    return ERR_UNAVAILABLE;
}

static int open_library(struct curl_calls *c, struct err *e)
{
    const struct {
        const char *name;
        void *to;
    } CALLS[] = {
        {"curl_easy_init", &c->init},         {"curl_easy_setopt", &c->setopt},
        {"curl_easy_perform", &c->perform},   {"curl_easy_getinfo", &c->getinfo},
        {"curl_easy_strerror", &c->strerror}, {"curl_slist_append", &c->slist_append},
    };
    void *library = dlopen(LIBRARY, RTLD_NOW | RTLD_LOCAL);
    if (!library)
        return missing(e);
    for (size_t i = 0; i < sizeof CALLS / sizeof CALLS[0]; i++) {
        void *call = dlsym(library, CALLS[i].name);
        if (!call)
            return missing(e);
        memcpy(CALLS[i].to, &call, sizeof call);
    }
    return 0;
}

// What the webhook answers is read and dropped.
static size_t drop(char *p, size_t size, size_t n, void *ctx)
{
    (void)p;
    (void)ctx;
    return size * n;
}

static int post(const char *url, struct str body, long *ret_status, struct err *e)
{
    struct curl_calls c;
    int rc = open_library(&c, e);
    if (rc)
        return rc;
    CURL *easy = c.init();
    struct curl_slist *headers = c.slist_append(NULL, "Content-Type: application/json");
    if (!easy || !headers)
        return err_set(e, ERR_NOMEM, "no memory to tell the webhook");
    bool set = c.setopt(easy, CURLOPT_URL, url) == CURLE_OK &&
               c.setopt(easy, CURLOPT_PROTOCOLS_STR, "http,https") == CURLE_OK &&
               c.setopt(easy, CURLOPT_NOSIGNAL, 1L) == CURLE_OK &&
               c.setopt(easy, CURLOPT_USERAGENT, "slipway") == CURLE_OK &&
               c.setopt(easy, CURLOPT_HTTPHEADER, headers) == CURLE_OK &&
               c.setopt(easy, CURLOPT_POSTFIELDSIZE, (long)body.n) == CURLE_OK &&
               c.setopt(easy, CURLOPT_POSTFIELDS, body.p) == CURLE_OK &&
               c.setopt(easy, CURLOPT_WRITEFUNCTION, drop) == CURLE_OK &&
               c.setopt(easy, CURLOPT_TIMEOUT_MS, (long)NOTIFY_TIMEOUT_MS) == CURLE_OK;
    CURLcode code = set ? c.perform(easy) : CURLE_FAILED_INIT;
    if (code != CURLE_OK) // the URL may hold a secret
        return err_set(e, ERR_UNAVAILABLE, "the webhook cannot be reached: %s", c.strerror(code));
    c.getinfo(easy, CURLINFO_RESPONSE_CODE, ret_status);
    return 0; // the process is about to end
}

static int tell(long *ret_status, struct err *e)
{
    enum { MOST = NOTIFY_URL_MAX + 1 + NOTIFY_BODY_MAX };
    char *text = malloc(MOST);
    size_t n = 0;
    if (!text)
        return err_set(e, ERR_NOMEM, "no memory to tell the webhook");
    int rc = file_read_at(NOTIFY_FD_BODY, text, MOST, 0, &n, e);
    char *end = rc ? NULL : memchr(text, '\n', n);
    if (!rc && !end)
        rc = err_set(e, ERR_INVALID, "the notice has no URL");
    if (!rc) {
        *end = '\0';
        rc = post(text, (struct str){end + 1, n - (size_t)(end + 1 - text)}, ret_status, e);
    }
    free(text);
    return rc;
}

int notify_main(int argc, char *const *argv)
{
    struct err e = {0}, ignored;
    struct buf report;
    long status = 0;
    (void)argv;
    if (argc != NOTIFY_ARGS)
        return 2;
    proc_give_way();
    buf_init(&report, HELPER_REPORT_MAX);
    if (tell(&status, &e))
        helper_report_error(&e, &report);
    else
        buf_printf(&report, "{\"status\":%ld}", status);
    int failed = report.failed || file_write_all(NOTIFY_FD_RESULT, report.p, report.n, &ignored);
    buf_done(&report);
    return failed;
}
