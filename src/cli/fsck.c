// SPDX-License-Identifier: Apache-2.0
// `slipway fsck`: whether a data directory, or a backup, is sound. Works without a server.
#include "cli/cli.h"
#include "cli/offline.h"
#include "settings/settings.h"

static void put_text(const struct registry_check_sum *s, const char *dir, struct buf *out)
{
    term_put_safe(str_of(dir), out);
    buf_puts(out, s->n_errors ? ": not sound, " : ": sound, ");
    term_put_count(s->n_models, out);
    buf_puts(out, s->n_models == 1 ? " model, " : " models, ");
    term_put_count(s->n_versions, out);
    buf_puts(out, s->n_versions == 1 ? " version, " : " versions, ");
    term_put_count(s->n_blobs, out);
    buf_puts(out, s->n_blobs == 1 ? " file of " : " files of ");
    term_put_bytes(s->n_bytes, out);
    buf_printf(out, " (schema %d)", s->schema);
    if (s->n_errors || s->n_notes)
        buf_printf(out, "; errors: %llu, notes: %llu", (unsigned long long)s->n_errors,
                   (unsigned long long)s->n_notes);
    if (s->n_repaired)
        buf_printf(out, ", of them done away with: %llu", (unsigned long long)s->n_repaired);
    buf_puts(out, ".\n");
}

static void put_json(const struct registry_check_sum *s, const struct offline_findings *o, const char *dir,
                     struct buf *out)
{
    buf_puts(out, "{\"directory\":");
    buf_put_json_str(out, str_of(dir));
    buf_printf(out,
               ",\"sound\":%s,\"schema\":%d,\"models\":%llu,\"versions\":%llu,\"blobs\":%llu,\"bytes\":%llu,"
               "\"errors\":%llu,\"notes\":%llu,\"repaired\":%llu,\"findings\":[",
               s->n_errors ? "false" : "true", s->schema, (unsigned long long)s->n_models,
               (unsigned long long)s->n_versions, (unsigned long long)s->n_blobs,
               (unsigned long long)s->n_bytes, (unsigned long long)s->n_errors,
               (unsigned long long)s->n_notes, (unsigned long long)s->n_repaired);
    buf_put_str(out, buf_str(&o->out));
    buf_puts(out, "]}\n");
}

static int fsck_run(const struct args *a)
{
    static struct settings settings;
    struct offline_findings o;
    struct registry_check_sum sum;
    struct buf out;
    struct err e;
    const char *dir = a->words[0];
    if (a->n_words == 0 && offline_data_dir(&settings, &dir, &e))
        return term_usage(&e);
    offline_findings_init(&o, a, "Checking");
    buf_init(&out, 128 << 20);
    int rc = registry_check(&(struct registry_check_spec){.dir = dir,
                                                          .repair = args_has(a, "repair"),
                                                          .on_finding = offline_on_finding,
                                                          .on_progress = offline_on_progress,
                                                          .ctx = &o},
                            &sum, &e);
    progress_end(&o.bar);
    if (rc == 0 && o.json)
        put_json(&sum, &o, dir, &out);
    else if (rc == 0)
        put_text(&sum, dir, &out);
    if (rc == 0)
        rc = term_write(&out, &e);
    buf_done(&out);
    offline_findings_done(&o);
    if (rc)
        return term_fail(&e, args_has(a, "json"));
    return sum.n_errors ? CLI_FAILED : CLI_OK;
}

const struct verb verb_fsck = {
    .name = "fsck",
    .summary = "Checks a data directory or a backup, every byte of it, while no server runs.",
    .usage = "slipway fsck [DIR] [flags]",
    .examples = "slipway fsck                           # the directory slipway serve would use here\n"
                "slipway fsck /var/lib/slipway --repair\n"
                "slipway fsck /backup/slipway --json",
    .flags = (const struct flag[]){{.name = "repair",
                                    .help = "Sets damaged files aside, so that they can be pushed again, and "
                                            "removes what belongs to no version."},
                                   {.name = "json", .help = "Writes one JSON document instead of text."},
                                   {0}},
    .max_words = 1,
    .run = fsck_run,
};
