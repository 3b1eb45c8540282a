// SPDX-License-Identifier: Apache-2.0
// Where the data directory is, and how findings are told.
#include "cli/offline.h"

#include "settings/settings.h"

#include <string.h>
#include <unistd.h>

int offline_data_dir(struct settings *s, const char **ret, struct err *e)
{
    int rc = settings_load(s, 0, NULL, environ, e);
    *ret = s->data_dir;
    return rc;
}

void offline_findings_init(struct offline_findings *o, const struct args *a, const char *what)
{
    *o = (struct offline_findings){.json = args_has(a, "json"), .what = what};
    buf_init(&o->out, 64 << 20);
}

void offline_findings_done(struct offline_findings *o)
{
    progress_end(&o->bar);
    buf_done(&o->out);
}

void offline_on_finding(void *ctx, const struct registry_finding *f)
{
    struct offline_findings *o = ctx;
    const char *level = f->is_error ? "error" : "note";
    if (o->json) {
        buf_printf(&o->out, "%s{\"level\":\"%s\",\"code\":\"%s\",\"what\":", o->out.n ? "," : "", level,
                   f->code);
        buf_put_json_str(&o->out, str_of(f->what));
        buf_puts(&o->out, ",\"do\":");
        buf_put_json_str(&o->out, str_of(f->remedy));
        buf_printf(&o->out, ",\"repaired\":%s}", f->is_repaired ? "true" : "false");
        return;
    }
    progress_end(&o->bar);
    struct buf line;
    buf_init(&line, 4096);
    term_put_safe(str_of(f->what), &line);
    buf_puts(&line, "; ");
    if (f->is_repaired)
        buf_puts(&line, f->is_error ? "set aside now: " : "removed now: ");
    term_put_safe(str_of(f->remedy), &line);
    printf("%s%s%s %s: " STR_FMT "\n", term_on(stdout, f->is_error ? TERM_RED : TERM_DIM), level,
           term_off(stdout), f->code, STR_ARG(buf_str(&line)));
    buf_done(&line);
}

void offline_on_progress(void *ctx, uint64_t done_bytes, uint64_t total_bytes)
{
    struct offline_findings *o = ctx;
    if (!o->bar.what || o->bar.total != total_bytes)
        progress_start(&o->bar, o->what, NULL, total_bytes);
    progress_at(&o->bar, done_bytes);
}
