// SPDX-License-Identifier: Apache-2.0
// A receiver that is away is asked again after 1, 2, 4 … 300 seconds for as long as it takes. One that
// refuses an event (4xx) is not asked again for it.
#include "role/monitor/alert_hook.h"

#include "base/clock.h"
#include "monitor/alert.h"
#include "predlog/keyed_hash.h"
#include "role/http_post.h"
#include "role/monitor/alerts.h"
#include "settings/settings.h"
#include "wire/exposition.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum {
    BODY_BYTES = 16 << 10,
    SECRET_BYTES = 4096,
    TIMEOUT_MS = 10000,
    RETRY_S = 1, // doubles
    RETRY_MAX_S = 300,
};

struct alert_hook {
    struct monitor *m;
    struct http_post post;
    bool is_sending, is_resolved; // is_resolved: that of what is being sent
    uint64_t fingerprint, fired_wall_ns;
    unsigned n_failed; // in a row
    uint64_t due_ns;
    uint64_t n_sent, n_failures, n_refused;
    char url[SETTINGS_STRING_MAX]; // that the failures were of
    char why[ERR_MSG_MAX];         // the last failure; "" after a success
};

static void on_done(struct http_post *p, int status, const struct err *why);

int alert_hook_new(struct monitor *m, struct alert_hook **ret, struct err *e)
{
    struct alert_hook *h = *ret = calloc(1, sizeof *h);
    if (!h)
        return err_set(e, ERR_NOMEM, "no memory for alerts");
    h->m = m;
    http_post_init(&h->post, m->loop, TIMEOUT_MS, BODY_BYTES);
    h->post.on_done = on_done;
    return 0;
}

void alert_hook_free(struct alert_hook *h)
{
    if (!h)
        return;
    http_post_done(&h->post);
    free(h);
}

void alert_hook_sign(struct str secret, uint64_t unix_s, struct str body, char ret[ALERT_SIGNATURE_BYTES])
{
    struct keyed_hash key;
    struct buf message;
    uint8_t mac[KEYED_HASH_BYTES] = {0};
    buf_init(&message, body.n + 32);
    buf_printf(&message, "%llu.", (unsigned long long)unix_s);
    buf_put_str(&message, body);
    keyed_hash_init(&key, secret);
    if (!message.failed)
        keyed_hash_full(&key, buf_str(&message), mac);
    buf_done(&message);
    int n = snprintf(ret, ALERT_SIGNATURE_BYTES, "t=%llu,v1=", (unsigned long long)unix_s);
    for (unsigned i = 0; i < KEYED_HASH_BYTES; i++)
        n += snprintf(ret + n, (size_t)(ALERT_SIGNATURE_BYTES - n), "%02x", mac[i]);
}

// ---- outcomes

// What may be logged of a URL: its path and its user are often secrets.
static struct str host_of(const char *url)
{
    const char *from = strstr(url, "://");
    from = from ? from + 3 : url;
    size_t n = strcspn(from, "/?#");
    const char *user = memchr(from, '@', n);
    if (!user)
        return (struct str){from, n};
    return (struct str){user + 1, n - (size_t)(user + 1 - from)};
}

static void again_later(struct alert_hook *h, const char *why)
{
    uint64_t s = RETRY_S;
    for (unsigned i = 0; i < h->n_failed && s < RETRY_MAX_S; i++)
        s *= 2;
    s = s < RETRY_MAX_S ? s : RETRY_MAX_S;
    if (h->n_failed++ == 0) // told once, until it works again
        log_event(&h->m->log, LOG_LEVEL_WARN, "alerts_not_sent", LOG_STR("webhook", host_of(h->url)),
                  LOG_Z("reason", why));
    h->n_failures++;
    h->due_ns = clock_mono_ns() + s * UINT64_C(1000000000);
    snprintf(h->why, sizeof h->why, "%s", why);
}

static void settle(struct alert_hook *h)
{
    alert_book_told(alerts_book(h->m), h->fingerprint, h->fired_wall_ns, h->is_resolved);
    alerts_changed(h->m);
}

static bool is_refusal(int status)
{
    return status >= 400 && status < 500 && status != 408 && status != 425 && status != 429;
}

static void on_done(struct http_post *p, int status, const struct err *why)
{
    struct alert_hook *h = (struct alert_hook *)((char *)p - offsetof(struct alert_hook, post));
    char text[ERR_MSG_MAX];
    h->is_sending = false;
    if (status >= 200 && status < 300) {
        if (h->n_failed)
            log_event(&h->m->log, LOG_LEVEL_INFO, "alerts_sent_again", LOG_STR("webhook", host_of(h->url)));
        h->n_failed = 0;
        h->why[0] = '\0';
        h->n_sent++;
        settle(h);
        alert_hook_tick(h, clock_mono_ns());
        return;
    }
    if (why)
        snprintf(text, sizeof text, "%s", why->msg);
    else
        snprintf(text, sizeof text, "the receiver answered with status %d", status);
    if (!is_refusal(status)) {
        again_later(h, text);
        return;
    }
    log_event(&h->m->log, LOG_LEVEL_ERROR, "alert_refused", LOG_STR("webhook", host_of(h->url)),
              LOG_INT("status", status));
    snprintf(h->why, sizeof h->why, "%s", text);
    h->n_refused++;
    settle(h);
}

// ---- sending

// Read anew each time, so that it may be changed. A secret that is meant and not there is an error: nothing
// is sent unsigned then.
static int read_secret(const char *path, char to[SECRET_BYTES], struct str *ret, struct err *e)
{
    *ret = (struct str){0};
    if (!path[0])
        return 0;
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0)
        return err_errno(e, errno, "read the secret '%s'", path);
    ssize_t n = read(fd, to, SECRET_BYTES);
    int number = errno;
    close(fd);
    if (n < 0)
        return err_errno(e, number, "read the secret '%s'", path);
    while (n > 0 && (to[n - 1] == '\n' || to[n - 1] == '\r'))
        n--;
    *ret = (struct str){to, (size_t)n};
    return n > 0 ? 0 : err_set(e, ERR_INVALID, "the secret '%s' is empty", path);
}

static int put_headers(const struct alert_hook *h, const struct alert *a, struct str body, struct buf *out,
                       struct err *e)
{
    char id[ALERT_ID_BYTES], secret[SECRET_BYTES], signature[ALERT_SIGNATURE_BYTES];
    struct str key;
    int rc = read_secret(h->m->settings->alert_secret_file, secret, &key, e);
    if (rc)
        return rc;
    alert_id(a, id);
    buf_printf(out, "Content-Type: application/json\r\nIdempotency-Key: %s\r\n", id);
    if (key.n) {
        alert_hook_sign(key, clock_wall_ns() / 1000000000u, body, signature);
        buf_printf(out, "X-Slipway-Signature: %s\r\n", signature);
    }
    explicit_bzero(secret, sizeof secret);
    buf_putc(out, '\0');
    return out->failed ? err_set(e, ERR_NOMEM, "no memory for an alert") : 0;
}

static int post(struct alert_hook *h, const struct alert *a, struct err *e)
{
    struct http_post_url to;
    struct buf body, headers;
    int rc = http_post_url_parse(str_of(h->url), "/", &to, e);
    if (rc)
        return rc;
    buf_init(&body, BODY_BYTES);
    buf_init(&headers, BODY_BYTES);
    alert_put(a, &body);
    rc = body.failed ? err_set(e, ERR_NOMEM, "no memory for an alert")
                     : put_headers(h, a, buf_str(&body), &headers, e);
    if (rc == 0)
        rc = http_post_begin(&h->post, &to, headers.p, buf_str(&body), e);
    buf_done(&body);
    buf_done(&headers);
    return rc;
}

// Another receiver is asked at once.
static void take_url(struct alert_hook *h)
{
    if (strcmp(h->url, h->m->settings->alert_webhook) == 0)
        return;
    snprintf(h->url, sizeof h->url, "%s", h->m->settings->alert_webhook);
    h->n_failed = 0;
    h->due_ns = 0;
    h->why[0] = '\0';
}

void alert_hook_tick(struct alert_hook *h, uint64_t now_mono_ns)
{
    struct err e;
    if (h->is_sending)
        return;
    take_url(h);
    if (!h->url[0]) {
        alert_book_forget_resolved(alerts_book(h->m));
        return;
    }
    const struct alert *a = alert_book_untold(alerts_book(h->m));
    if (!a || now_mono_ns < h->due_ns)
        return;
    h->fingerprint = a->fingerprint;
    h->fired_wall_ns = a->fired_wall_ns;
    h->is_resolved = a->state == ALERT_RESOLVED;
    if (post(h, a, &e))
        again_later(h, e.msg);
    else
        h->is_sending = true;
}

// ---- what is known of it

void alert_hook_put(const struct alert_hook *h, struct buf *out)
{
    buf_puts(out, "{\"url\":");
    buf_put_json_str(out, str_of(h->m->settings->alert_webhook));
    buf_printf(out, ",\"signed\":%s,\"sent\":%llu,\"failures\":%llu,\"refused\":%llu,\"waiting\":%u",
               h->m->settings->alert_secret_file[0] ? "true" : "false", (unsigned long long)h->n_sent,
               (unsigned long long)h->n_failures, (unsigned long long)h->n_refused,
               h->url[0] ? alert_book_n_untold(alerts_book(h->m)) : 0);
    if (h->why[0]) {
        buf_puts(out, ",\"last_failure\":");
        buf_put_json_str(out, str_of(h->why));
    }
    buf_putc(out, '}');
}

void alert_hook_metrics_put(const struct alert_hook *h, struct buf *out)
{
    const struct {
        const char *result;
        uint64_t n;
    } rows[] = {{"sent", h->n_sent}, {"failed", h->n_failures}, {"refused", h->n_refused}};
    exposition_family(out, "slipway_alert_posts_total", "counter",
                      "Attempts to tell the receiver of alerts.");
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct exposition x = exposition_begin(out, "slipway_alert_posts_total", "");
        exposition_label(&x, "result", str_of(rows[i].result));
        exposition_end_u64(&x, rows[i].n);
    }
}
