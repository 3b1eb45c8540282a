// SPDX-License-Identifier: Apache-2.0
// The answer is written into memory that the process is given, and read from there in blocks.
#include "role/controller/look_job.h"

#include "os/file.h"
#include "os/shm.h"
#include "role/controller/helper.h"
#include "role/look.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>
#include <yyjson.h>

enum { TIMEOUT_MS = 300000, LOOKS_MAX = 8, BLOCK_BYTES = 256 << 10 };

struct look_job {
    struct request *r;
    struct helper *helper; // NULL: it has ended
    int fd;                // of the answer
    uint64_t at;           // what of it is sent
};

static void look_job_free(struct request *r)
{
    struct look_job *j = r->state;
    helper_cancel(j->helper);
    close(j->fd);
    free(j);
    r->state = NULL;
    r->c->n_looks--;
}

static int more(struct request *r)
{
    struct look_job *j = r->state;
    struct err e;
    size_t n = 0;
    char *to = buf_reserve(&r->out, BLOCK_BYTES);
    if (!to || file_read_at(j->fd, to, BLOCK_BYTES, j->at, &n, &e))
        return -1;
    buf_advance(&r->out, n);
    j->at += n;
    return n > 0;
}

static void on_end(void *owner, const struct helper_end *end)
{
    struct look_job *j = owner;
    struct request *r = j->r;
    struct err e = {0};
    j->helper = NULL;
    yyjson_doc *doc = end->report.n ? yyjson_read(end->report.p, end->report.n, 0) : NULL;
    int rc = end->is_late ? err_set(&e, ERR_DEADLINE, "it took more than %d s", TIMEOUT_MS / 1000)
             : end->status || !doc
                 ? err_set(&e, ERR_INTERNAL, "the process that looks at the registry failed")
                 : helper_report_take(yyjson_doc_get_root(doc), &e);
    yyjson_doc_free(doc);
    if (!rc)
        rc = file_size(j->fd, &r->length, &e);
    if (rc) {
        request_fail(r, &e);
        return;
    }
    r->has_length = true;
    r->refill = r->is_head ? NULL : more;
    request_answer(r, 200, "application/json");
}

static int start(struct look_job *j, const char *what, uint64_t number, const char *hash, struct err *e)
{
    struct controller *c = j->r->c;
    char digits[24];
    snprintf(digits, sizeof digits, "%llu", (unsigned long long)number);
    const char *const words[LOOK_ARGS + 1] = {"slipway", LOOK_ROLE, c->data_dir, what, digits, hash};
    char *argv[LOOK_ARGS + 1];
    for (int i = 0; i <= LOOK_ARGS; i++)
        argv[i] = (char *)(uintptr_t)words[i]; // which are only read
    int rc = shm_new("slipway-look", 0, &j->fd, e);
    if (rc)
        return rc;
    const struct helper_spec spec = {
        .argv = argv, .fds = &j->fd, .n_fds = 1, .timeout_ms = TIMEOUT_MS, .on_end = on_end, .owner = j};
    rc = helper_start(c, &spec, &j->helper, e);
    if (rc)
        close(j->fd);
    return rc ? err_wrap(e, "look at the registry") : 0;
}

int look_job_start(struct request *r, const char *what, uint64_t number, const char *hash, struct err *e)
{
    if (r->c->n_looks >= LOOKS_MAX)
        return err_set(e, ERR_BUSY, "%d others look at the registry", LOOKS_MAX);
    struct look_job *j = calloc(1, sizeof *j);
    if (!j)
        return err_set(e, ERR_NOMEM, "no memory for a request");
    j->r = r;
    int rc = start(j, what, number, hash, e);
    if (rc) {
        free(j);
        return rc;
    }
    r->c->n_looks++;
    r->state = j;
    r->state_free = look_job_free;
    return 0;
}
