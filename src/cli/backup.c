// SPDX-License-Identifier: Apache-2.0
// `slipway backup` and `slipway restore`: copies of a registry. Both work on directories of this machine; the
// server that uses one need not be stopped for a backup, and is not asked.
#include "registry/backup.h"
#include "cli/cli.h"
#include "cli/offline.h"
#include "settings/settings.h"

static void put_text(const struct registry_copy_sum *s, const char *verb, const char *to, struct buf *out)
{
    buf_printf(out, "%s ", verb);
    term_put_count(s->n_models, out);
    buf_puts(out, s->n_models == 1 ? " model, " : " models, ");
    term_put_count(s->n_versions, out);
    buf_puts(out, s->n_versions == 1 ? " version, " : " versions, ");
    term_put_count(s->n_blobs, out);
    buf_puts(out, s->n_blobs == 1 ? " file of " : " files of ");
    term_put_bytes(s->n_bytes, out);
    buf_puts(out, " to ");
    term_put_safe(str_of(to), out);
    buf_puts(out, "; copied ");
    term_put_count(s->n_copied, out);
    buf_puts(out, s->n_copied == 1 ? " file of " : " files of ");
    term_put_bytes(s->copied_bytes, out);
    if (s->n_removed)
        buf_printf(out, ", removed %llu that it needs no more", (unsigned long long)s->n_removed);
    if (s->n_missing)
        buf_printf(out, "; it lacks %llu", (unsigned long long)s->n_missing);
    buf_puts(out, ".\n");
}

static void put_json(const struct registry_copy_sum *s, const struct offline_findings *o, const char *to,
                     struct buf *out)
{
    buf_puts(out, "{\"directory\":");
    buf_put_json_str(out, str_of(to));
    buf_printf(
        out,
        ",\"complete\":%s,\"schema\":%d,\"models\":%llu,\"versions\":%llu,\"blobs\":%llu,\"bytes\":%llu,"
        "\"copied\":%llu,\"copied_bytes\":%llu,\"removed\":%llu,\"findings\":[",
        s->n_missing ? "false" : "true", s->schema, (unsigned long long)s->n_models,
        (unsigned long long)s->n_versions, (unsigned long long)s->n_blobs, (unsigned long long)s->n_bytes,
        (unsigned long long)s->n_copied, (unsigned long long)s->copied_bytes,
        (unsigned long long)s->n_removed);
    buf_put_str(out, buf_str(&o->out));
    buf_puts(out, "]}\n");
}

// Tells what was done, and frees o. A copy that lacks files has failed, though what it has is good.
static int finish(const struct args *a, int rc, struct err *e, const struct registry_copy_sum *s,
                  struct offline_findings *o, const char *verb, const char *to)
{
    struct buf out;
    buf_init(&out, 128 << 20);
    progress_end(&o->bar);
    if (rc == 0 && o->json)
        put_json(s, o, to, &out);
    else if (rc == 0)
        put_text(s, verb, to, &out);
    if (rc == 0)
        rc = term_write(&out, e);
    buf_done(&out);
    offline_findings_done(o);
    if (rc)
        return term_fail(e, args_has(a, "json"));
    return s->n_missing ? CLI_FAILED : CLI_OK;
}

static int needed(const struct args *a, const char *flag, const char **ret, struct err *e)
{
    *ret = args_value(a, flag);
    return *ret ? 0 : err_set(e, ERR_INVALID, "--%s is needed: a folder", flag);
}

static int backup_run(const struct args *a)
{
    static struct settings settings;
    struct offline_findings o;
    struct registry_copy_sum sum;
    struct err e;
    const char *to, *from = args_value(a, "data-dir");
    if (needed(a, "output", &to, &e) || (!from && offline_data_dir(&settings, &from, &e)))
        return term_usage(&e);
    offline_findings_init(&o, a, "Copying");
    int rc = registry_backup(&(struct registry_copy_spec){.from = from,
                                                          .to = to,
                                                          .verify = args_has(a, "verify"),
                                                          .on_finding = offline_on_finding,
                                                          .on_progress = offline_on_progress,
                                                          .ctx = &o},
                             &sum, &e);
    return finish(a, rc, &e, &sum, &o, "Backed up", to);
}

static int restore_run(const struct args *a)
{
    struct offline_findings o;
    struct registry_copy_sum sum;
    struct err e;
    const char *to;
    if (needed(a, "data-dir", &to, &e))
        return term_usage(&e);
    offline_findings_init(&o, a, "Restoring");
    int rc = registry_restore(&(struct registry_copy_spec){.from = a->words[0],
                                                           .to = to,
                                                           .partial = args_has(a, "partial"),
                                                           .on_finding = offline_on_finding,
                                                           .on_progress = offline_on_progress,
                                                           .ctx = &o},
                              &sum, &e);
    return finish(a, rc, &e, &sum, &o, "Restored", to);
}

const struct verb verb_backup = {
    .name = "backup",
    .summary = "Copies the registry and its files to another folder, while the server goes on.",
    .usage = "slipway backup -o DIR [flags]",
    .examples = "slipway backup -o /backup/slipway      # again: copies only what is new\n"
                "slipway backup --data-dir /var/lib/slipway -o /backup/slipway --verify",
    .flags =
        (const struct flag[]){
            {.name = "output",
             .value = "DIR",
             .help = "Where to: a new folder, or that of an earlier backup.",
             .letter = 'o'},
            {.name = "data-dir",
             .value = "DIR",
             .help = "Of what; default: as slipway serve would find it here."},
            {.name = "verify",
             .help = "Reads again what the folder has already, and replaces what is damaged."},
            {.name = "json", .help = "Writes one JSON document instead of text."},
            {0}},
    .run = backup_run,
};

const struct verb verb_restore = {
    .name = "restore",
    .summary = "Makes a data directory of a backup, after every byte of it was verified.",
    .usage = "slipway restore DIR --data-dir NEW [flags]",
    .examples = "slipway restore /backup/slipway --data-dir /var/lib/slipway\n"
                "slipway serve --data-dir /var/lib/slipway",
    .flags =
        (const struct flag[]){
            {.name = "data-dir", .value = "NEW", .help = "The directory to make; it must be new or empty."},
            {.name = "partial",
             .help = "Goes on although files are missing or damaged; versions that need them do not serve."},
            {.name = "json", .help = "Writes one JSON document instead of text."},
            {0}},
    .min_words = 1,
    .max_words = 1,
    .run = restore_run,
};
