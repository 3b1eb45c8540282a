// SPDX-License-Identifier: Apache-2.0
// Writing models and versions as JSON.
#include "role/controller/describe.h"

#include "base/clock.h"
#include "engine/engine.h"

void describe_text(const char *key, struct str value, struct buf *out)
{
    buf_printf(out, ",\"%s\":", key);
    buf_put_json_str(out, value);
}

void describe_time(const char *key, uint64_t wall_ns, struct buf *out)
{
    char text[CLOCK_RFC3339_SIZE];
    clock_rfc3339(wall_ns, text);
    describe_text(key, str_of(text), out);
}

static void put_artifacts(const struct registry_version *v, struct buf *out)
{
    buf_puts(out, ",\"artifacts\":[");
    for (size_t i = 0; i < v->n_artifacts; i++) {
        char digest[REGISTRY_DIGEST_TEXT];
        registry_digest_text(&v->artifacts[i].digest, digest);
        buf_puts(out, i ? ",{\"name\":" : "{\"name\":");
        buf_put_json_str(out, v->artifacts[i].name);
        buf_printf(out, ",\"role\":\"%s\",\"digest\":\"%s\",\"size\":%llu}",
                   registry_role_name(v->artifacts[i].role), digest,
                   (unsigned long long)v->artifacts[i].size_bytes);
    }
    buf_putc(out, ']');
}

// A member that is JSON already; none when it says nothing.
static void put_json(struct buf *out, const char *key, struct str json)
{
    if (json.n == 0 || str_eq(json, STR("{}")) || str_eq(json, STR("[]")))
        return;
    buf_printf(out, ",\"%s\":", key);
    buf_put_str(out, json);
}

// What runs now: "ready", "loading", or why not.
static void put_serving(const struct describe_version *v, struct buf *out)
{
    const struct deployment *d = v->deployment;
    const char *without = registry_version_is_rejected(v->version) ? "none" : "on_demand";
    describe_text("serving", str_of(d ? deployment_state_name(d->state) : without), out);
    if (d && d->state == DEPLOYMENT_FAILED)
        describe_text("error", str_of(d->why.msg), out);
    if (d && d->is_declared) {
        buf_printf(out, ",\"replicas\":{\"wanted\":%u,\"ready\":%u}", d->n_wanted, d->n_ready);
        if (d->is_given_up && d->state == DEPLOYMENT_READY)
            describe_text("error", str_of(d->why.msg), out);
    }
    if (!v->in_full || !d || d->state != DEPLOYMENT_READY)
        return;
    buf_printf(out, ",\"image_bytes\":%llu,\"engine\":%s", (unsigned long long)d->image_bytes,
               d->describe_json ? d->describe_json : "null");
}

void describe_version(const struct describe_version *d, struct buf *out)
{
    const struct registry_version *v = d->version;
    const struct registry_artifact *file = registry_version_artifact(v, REGISTRY_ROLE_MODEL);
    char digest[REGISTRY_DIGEST_TEXT] = "";
    if (file)
        registry_digest_text(&file->digest, digest);
    buf_puts(out, "{\"model\":");
    buf_put_json_str(out, v->model);
    buf_printf(out, ",\"version\":%u,\"state\":", v->number);
    buf_put_json_str(out, v->state);
    describe_text("format", v->format, out);
    describe_text("digest", str_of(digest), out);
    buf_printf(out, ",\"size\":%llu", (unsigned long long)(file ? file->size_bytes : 0));
    describe_time("created", v->created_wall_ns, out);
    describe_text("created_by", v->created_by, out);
    describe_text("description", v->description, out);
    buf_puts(out, ",\"tags\":");
    buf_put_str(out, v->tags_json);
    put_json(out, "settings", v->settings_json);
    put_json(out, "metrics", v->metrics_json);
    if (v->trained_from.n)
        describe_text("trained_from", v->trained_from, out);
    if (v->replaces)
        buf_printf(out, ",\"replaces\":%u", v->replaces);
    put_json(out, "reasons", v->reasons_json);
    buf_puts(out, ",\"aliases\":[");
    const char *comma = "";
    for (size_t i = 0; i < d->n_aliases; i++) {
        if (d->aliases[i].version != v->number)
            continue;
        buf_puts(out, comma);
        buf_put_json_str(out, d->aliases[i].name);
        comma = ",";
    }
    buf_putc(out, ']');
    put_artifacts(v, out);
    put_serving(d, out);
    if (d->in_full) {
        buf_puts(out, ",\"signature\":");
        buf_put_str(out, v->signature_json.n ? v->signature_json : STR("null"));
        put_json(out, "admission", v->admission_json);
        if (!registry_version_is_rejected(v)) {
            buf_puts(out, ",\"url\":\"/v1/models/");
            buf_put_str(out, v->model);
            buf_puts(out, ":predict\"");
        }
    }
    buf_putc(out, '}');
}
