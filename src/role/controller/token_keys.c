// SPDX-License-Identifier: Apache-2.0
// The file is written whole under another name, synced and renamed before a key is used: a token that was
// given is never sealed by a key that is nowhere.
#include "role/controller/token_keys.h"

#include "base/clock.h"
#include "os/file.h"
#include "role/controller/controller.h"
#include "role/controller/gateways.h"
#include "role/feedback_keys.h"
#include "settings/settings.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <unistd.h>

enum { LOOK_S = 3600, RETRY_S = 60 };
#define NS_PER_S UINT64_C(1000000000)

static int read_keys(int dir_fd, struct feedback_keys *ret, struct err *e)
{
    char text[FEEDBACK_KEYS_TEXT_MAX];
    size_t n = 0;
    *ret = (struct feedback_keys){0};
    int fd = openat(dir_fd, "feedback.keys", O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return errno == ENOENT ? 0 : err_errno(e, errno, "opening state/feedback.keys");
    int rc = file_read_at(fd, text, sizeof text, 0, &n, e);
    close(fd);
    if (!rc)
        rc = feedback_keys_read((struct str){text, n}, ret, e);
    explicit_bzero(text, sizeof text);
    return rc ? err_wrap(e, "state/feedback.keys") : 0;
}

static int write_keys(int dir_fd, struct str text, struct err *e)
{
    int fd = openat(dir_fd, "feedback.keys.new", O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    if (fd < 0)
        return err_errno(e, errno, "making state/feedback.keys");
    int rc = file_write_all(fd, text.p, text.n, e);
    if (!rc)
        rc = file_sync(fd, e);
    close(fd);
    return rc ? rc : file_publish(dir_fd, "feedback.keys.new", dir_fd, "feedback.keys", e);
}

// Reads them, and renews them where tokens are given. *ret: as text, empty without any.
static int look(struct controller *c, int dir_fd, struct buf *ret, struct err *e)
{
    const struct settings *s = c->args->settings;
    struct feedback_keys keys;
    uint8_t fresh[FEEDBACK_KEY_BYTES];
    int rc = read_keys(dir_fd, &keys, e);
    if (rc)
        return rc;
    if (getrandom(fresh, sizeof fresh, 0) != (ssize_t)sizeof fresh)
        return err_errno(e, errno, "making a key");
    bool renewed =
        s->feedback_tokens != SETTINGS_FEEDBACK_TOKENS_OFF &&
        feedback_keys_renew(&keys, clock_wall_ns() / NS_PER_S, s->feedback_token_life_ms / 1000, fresh);
    feedback_keys_write(&keys, ret);
    if (ret->failed)
        rc = err_set(e, ERR_NOMEM, "no memory for the keys of feedback tokens");
    if (!rc && renewed)
        rc = write_keys(dir_fd, buf_str(ret), e);
    explicit_bzero(&keys, sizeof keys);
    explicit_bzero(fresh, sizeof fresh);
    return rc;
}

// Where no keys are to be made, no folder is either.
static int open_folder(const struct controller *c, int *data_fd, int *dir_fd, struct err *e)
{
    bool makes = c->args->settings->feedback_tokens != SETTINGS_FEEDBACK_TOKENS_OFF;
    int rc = makes ? file_make_dir_path(c->data_dir, data_fd, e)
                   : file_open_dir(AT_FDCWD, c->data_dir, data_fd, e);
    if (rc)
        return rc;
    return makes ? file_make_dir(*data_fd, "state", dir_fd, e) : file_open_dir(*data_fd, "state", dir_fd, e);
}

static int look_in(struct controller *c, struct buf *ret, struct err *e)
{
    int data_fd = -1, dir_fd = -1;
    int rc = open_folder(c, &data_fd, &dir_fd, e);
    if (!rc)
        rc = look(c, dir_fd, ret, e);
    else if (rc == ERR_NOT_FOUND)
        rc = 0;
    if (dir_fd >= 0)
        close(dir_fd);
    if (data_fd >= 0)
        close(data_fd);
    return rc;
}

static void set_timer(struct controller *c, uint64_t seconds)
{
    struct err e;
    if (loop_timer_set(c->loop, &c->token_keys_due, clock_mono_ns() + seconds * NS_PER_S, &e))
        log_event(&c->log, LOG_LEVEL_ERROR, "timer_failed", LOG_Z("message", e.msg));
}

// Whether they are others than before.
static bool take(struct controller *c)
{
    struct err e;
    struct buf text;
    bool changed = false;
    buf_init(&text, FEEDBACK_KEYS_TEXT_MAX);
    int rc = look_in(c, &text, &e);
    if (rc) {
        log_event(&c->log, LOG_LEVEL_ERROR, "feedback_keys_failed", LOG_Z("message", e.msg));
    } else if (text.n && (!c->token_keys || !str_eq(buf_str(&text), str_of(c->token_keys)))) {
        char *keys = str_dup(buf_str(&text));
        changed = keys != NULL;
        if (keys) {
            free(c->token_keys);
            c->token_keys = keys;
        }
    }
    buf_done(&text);
    set_timer(c, rc ? RETRY_S : LOOK_S);
    return changed;
}

static void on_due(struct timer *t)
{
    struct controller *c = (struct controller *)((char *)t - offsetof(struct controller, token_keys_due));
    if (take(c))
        gateways_publish(c);
}

void token_keys_open(struct controller *c)
{
    c->token_keys_due.on_due = on_due;
    (void)take(c);
}

void token_keys_close(struct controller *c)
{
    if (c->loop)
        loop_timer_clear(c->loop, &c->token_keys_due);
    free(c->token_keys);
    c->token_keys = NULL;
}

void token_keys_put(const struct controller *c, struct buf *out)
{
    if (!c->token_keys || out->failed || out->n == 0)
        return;
    out->n--; // the brace that ends the object
    buf_printf(out, ",\"tokens\":{\"life_s\":%llu,\"keys\":",
               (unsigned long long)c->args->settings->feedback_token_life_ms / 1000);
    buf_put_json_str(out, str_of(c->token_keys));
    buf_puts(out, "}}");
}
