// SPDX-License-Identifier: Apache-2.0
// A version being served by this gateway, counted by its references: its image mapped read-only and opened by
// its engine, or its interface and the replicas that compute it.
#include "role/gateway/table.h"

#include "base/assert.h"
#include "os/shm.h"
#include "role/gateway/backend.h"
#include "tensor/rule.h"

#include <stdio.h>
#include <string.h>

enum { TEXT_PER_BYTE = 3 }; // "-1.2345678e-38," for 4 bytes, "-1.2345678901234567e-308," for 8

// A model that this gateway computes itself: its image stays mapped.
static int open_inline(struct deployment *d, struct err *e)
{
    d->engine = &engine_trees;
    int rc = d->engine->open(d->image, d->image_bytes, &d->compiled, e);
    if (rc)
        return rc;
    d->sig = d->engine->signature(d->compiled);
    d->row_bytes = (uint64_t)d->sig->n_features * dtype_size(d->sig->input_dtype) +
                   (uint64_t)d->sig->n_outputs * dtype_size(d->sig->output_dtype) * (1 + TEXT_PER_BYTE);
    rows_init(&d->rows, d->sig->input_dtype, d->sig->n_features, UINT32_MAX); // each request sets its limit
    return 0;
}

static int open_rules(struct deployment *d, int fd, struct err *e)
{
    const void *json;
    size_t size;
    int rc = shm_map_immutable(fd, 1, SIZE_MAX / 2, &json, &size, e);
    if (rc)
        return rc;
    rc = rules_bind(d->sig, (struct str){json, size}, &d->rules, e);
    shm_unmap(json, size);
    if (rc == 0)
        d->sig = rules_signature(d->rules);
    return rc;
}

// A model that replicas compute: its image says what it takes and gives.
static int open_remote(struct deployment *d, struct gateway *g, struct err *e)
{
    struct str json = {d->image, d->image_bytes};
    int rc = interface_decode(json, &d->interface, e);
    if (rc == 0)
        rc = rules_bind_interface(d->interface, json, &d->rules, e);
    if (rc)
        return rc;
    d->backend = backend_ref(g, d->id);
    return d->backend ? 0 : err_set(e, ERR_NOMEM, "a deployment");
}

int deployment_open(struct gateway *g, uint32_t id, struct str model, uint32_t version, const char *engine,
                    int fd, int rules_fd, struct metrics_series *series, struct deployment **ret,
                    struct err *e)
{
    bool is_inline = strcmp(engine, engine_trees.name) == 0;
    struct deployment *d = calloc(1, sizeof *d);
    if (!d)
        return err_set(e, ERR_NOMEM, "a deployment");
    *d = (struct deployment){.key = metrics_key(model, version),
                             .id = id,
                             .refs = 1,
                             .series = series,
                             .number = version,
                             .slot = (uint16_t)(series - g->metrics->series)};
    snprintf(d->version, sizeof d->version, "%u", version);
    d->model = str_dup(model);
    int rc = d->model ? shm_map_immutable(fd, 1, SIZE_MAX / 2, &d->image, &d->image_bytes, e)
                      : err_set(e, ERR_NOMEM, "a deployment");
    if (rc == 0)
        rc = is_inline ? open_inline(d, e) : open_remote(d, g, e);
    if (rc == 0 && is_inline && rules_fd >= 0)
        rc = open_rules(d, rules_fd, e);
    if (rc) {
        deployment_unref(d);
        return rc;
    }
    metrics_series_claim(series, model, version);
    if (d->backend)
        backend_count_in(d->backend, series);
    *ret = d;
    return 0;
}

bool deployment_is_ready(const struct deployment *d)
{
    return !d->backend || d->backend->n_ready > 0 || d->backend->may_be_empty;
}

struct deployment *deployment_ref(struct deployment *d)
{
    d->refs++;
    return d;
}

void deployment_unref(struct deployment *d)
{
    if (!d || --d->refs)
        return;
    ASSERT(!d->touched);
    if (d->compiled)
        d->engine->close(d->compiled);
    interface_free(d->interface);
    rules_free(d->rules);
    journal_plan_done(&d->log);
    backend_unref(d->backend);
    shm_unmap(d->image, d->image_bytes);
    rows_done(&d->rows);
    free(d->model);
    free(d);
}
