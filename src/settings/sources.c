// SPDX-License-Identifier: Apache-2.0
// Where settings come from: slipway.yaml (libyaml's events, one flat mapping), the environment, flags.
// Each source only cuts its text into keys and values and says in the message where the text stood.
#include "settings/settings.h"

#include "base/limits.h"
#include "base/near.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>
#include <yaml.h>

static struct str scalar_of(const yaml_event_t *ev)
{
    return (struct str){(const char *)ev->data.scalar.value, ev->data.scalar.length};
}

static int line_of(yaml_mark_t mark)
{
    return (int)mark.line + 1;
}

// Takes the next event. A syntax error of libyaml becomes ERR_INVALID with its line.
static int next(yaml_parser_t *p, yaml_event_t *ret, const char *name, struct err *e)
{
    if (yaml_parser_parse(p, ret))
        return 0;
    if (p->error == YAML_MEMORY_ERROR)
        return err_set(e, ERR_NOMEM, "%s: out of memory", name);
    return err_set(e, ERR_INVALID, "%s:%d: not valid YAML: %s", name, line_of(p->problem_mark),
                   p->problem ? p->problem : "unreadable character");
}

static bool is_plain(const yaml_event_t *ev)
{
    return ev->type == YAML_SCALAR_EVENT && !ev->data.scalar.anchor && !ev->data.scalar.tag;
}

// One key and its value; `seen` has a bit for each setting that the text gave already.
static int load_pair(struct settings *s, yaml_parser_t *p, const yaml_event_t *key, uint64_t *seen,
                     const char *name, struct err *e)
{
    int line = line_of(key->start_mark);
    if (!is_plain(key))
        return err_set(e, ERR_INVALID, "%s:%d: expected 'key: value'", name, line);
    struct str k = scalar_of(key);
    int shown = (int)(k.n < 80 ? k.n : 80);
    for (size_t i = 0; i < settings_count(); i++) {
        if (!str_eq(k, str_of(settings_at(i)->key)))
            continue;
        if (*seen & 1ull << i)
            return err_set(e, ERR_DUPLICATE_KEY, "%s:%d: '%s' is set twice", name, line, settings_at(i)->key);
        *seen |= 1ull << i;
    }
    yaml_event_t value;
    int rc = next(p, &value, name, e);
    if (rc)
        return rc;
    if (is_plain(&value)) {
        rc = settings_set(s, k, scalar_of(&value), e);
        if (rc)
            err_wrap(e, "%s:%d: '%.*s'", name, line, shown, k.p);
    } else {
        rc = err_set(e, ERR_WRONG_TYPE, "%s:%d: '%.*s': expected one plain value", name, line, shown, k.p);
    }
    yaml_event_delete(&value);
    return rc;
}

// An event that is neither key nor value: where the one mapping begins and ends.
static int load_outline(const yaml_event_t *ev, bool *inside, bool *had_mapping, const char *name,
                        struct err *e)
{
    switch (ev->type) {
    case YAML_STREAM_START_EVENT:
    case YAML_STREAM_END_EVENT:
    case YAML_DOCUMENT_START_EVENT:
    case YAML_DOCUMENT_END_EVENT:
        return 0;
    case YAML_MAPPING_END_EVENT:
        *inside = false;
        return 0;
    case YAML_SCALAR_EVENT:
        if (ev->data.scalar.length == 0 && ev->data.scalar.plain_implicit)
            return 0; // a document without content
        break;
    case YAML_MAPPING_START_EVENT:
        if (*had_mapping)
            break;
        *inside = *had_mapping = true;
        return 0;
    default:
        break;
    }
    return err_set(e, ERR_INVALID, "%s:%d: expected lines of the form 'key: value'", name,
                   line_of(ev->start_mark));
}

static int load_events(struct settings *s, yaml_parser_t *p, const char *name, struct err *e)
{
    uint64_t seen = 0;
    bool inside = false, had_mapping = false, done = false;
    while (!done) {
        yaml_event_t ev;
        int rc = next(p, &ev, name, e);
        if (rc)
            return rc;
        if (inside && ev.type != YAML_MAPPING_END_EVENT)
            rc = load_pair(s, p, &ev, &seen, name, e);
        else
            rc = load_outline(&ev, &inside, &had_mapping, name, e);
        done = ev.type == YAML_STREAM_END_EVENT;
        yaml_event_delete(&ev);
        if (rc)
            return rc;
    }
    return 0;
}

int settings_load_text(struct settings *s, struct str text, const char *name, struct err *e)
{
    yaml_parser_t p;
    if (!yaml_parser_initialize(&p))
        return err_set(e, ERR_NOMEM, "%s: out of memory", name);
    yaml_parser_set_input_string(&p, (const unsigned char *)(text.p ? text.p : ""), text.n);
    int rc = load_events(s, &p, name, e);
    yaml_parser_delete(&p);
    return rc;
}

int settings_load_file(struct settings *s, const char *path, struct err *e)
{
    struct buf text;
    int rc = 0, fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return err_errno(e, errno, "open '%s'", path);
    buf_init(&text, LIMIT_CONFIG_BYTES + 1);
    for (;;) {
        char *to = buf_reserve(&text, 1);
        ssize_t n = to ? read(fd, to, text.cap - text.n) : 0;
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            rc = err_errno(e, errno, "read '%s'", path);
        if (n <= 0)
            break;
        buf_advance(&text, (size_t)n);
    }
    if (rc == 0 && (text.failed || text.n > LIMIT_CONFIG_BYTES))
        rc = err_set(e, ERR_TOO_LARGE, "'%s' is larger than %d bytes", path, LIMIT_CONFIG_BYTES);
    close(fd);
    if (rc == 0)
        rc = settings_load_text(s, buf_str(&text), path, e);
    buf_done(&text);
    return rc;
}

int settings_load_environ(struct settings *s, char *const *environ_list, struct err *e)
{
    for (size_t i = 0; environ_list && environ_list[i]; i++) {
        struct str value = str_of(environ_list[i]);
        struct str name = str_split(&value, '=');
        if (!str_starts(name, STR("SLIPWAY_")))
            continue;
        struct str tail = {name.p + 8, name.n - 8};
        for (size_t k = 0; k < settings_count(); k++) {
            struct str key = str_of(settings_at(k)->key);
            bool same = tail.n == key.n;
            for (size_t c = 0; same && c < key.n; c++)
                same = tail.p[c] == (key.p[c] == '_' ? '_' : key.p[c] - 'a' + 'A');
            if (same && settings_set(s, key, value, e))
                return err_wrap(e, STR_FMT, STR_ARG(name));
        }
    }
    return 0;
}

static const char *environ_get(char *const *environ_list, const char *name)
{
    for (size_t i = 0; environ_list && environ_list[i]; i++) {
        struct str value = str_of(environ_list[i]);
        if (str_eq(str_split(&value, '='), str_of(name)))
            return value.p;
    }
    return NULL;
}

struct flag {
    struct str shown; // as written: "--idle-timeout"
    char key[64];     // "idle_timeout", cut to fit
    const char *value;
};

static bool is_bool(const char *key)
{
    for (size_t i = 0; i < settings_count(); i++)
        if (strcmp(key, settings_at(i)->key) == 0)
            return settings_at(i)->type == SETTING_BOOL;
    return false;
}

static bool is_known(const char *key)
{
    for (size_t i = 0; i < settings_count(); i++)
        if (strcmp(key, settings_at(i)->key) == 0)
            return true;
    return strcmp(key, "config") == 0;
}

// Names the nearest flag, not the nearest key: what helps is what can be typed.
static int unknown_flag(const struct flag *f, struct err *e)
{
    struct str keys[64] = {STR("config")};
    char flag[64];
    size_t n = 1;
    for (size_t i = 0; i < settings_count() && n < 64; i++)
        keys[n++] = str_of(settings_at(i)->key);
    int rc = err_set(e, ERR_UNKNOWN_FIELD, "%.*s: there is no such flag",
                     (int)(f->shown.n < 80 ? f->shown.n : 80), f->shown.p);
    int near = near_find(str_of(f->key), keys, n);
    if (near < 0) {
        err_hint(e, "All flags: slipway serve --help.");
        return rc;
    }
    for (n = 0; n < keys[near].n && n < sizeof flag - 1; n++)
        flag[n] = keys[near].p[n] == '_' ? '-' : keys[near].p[n];
    err_hint(e, "Did you mean '--%.*s'?", (int)n, flag);
    return rc;
}

// Cuts the flag at argv[*i], taking the next word as its value where it needs one; moves *i past it.
static int next_flag(int argc, char *const *argv, int *i, struct flag *ret, struct err *e)
{
    struct str rest = str_of(argv[*i]);
    size_t n = 0, length = rest.n;
    if (!str_starts(rest, STR("--")) || rest.n < 3)
        return err_set(e, ERR_INVALID, "'%.80s': expected a flag such as --listen 127.0.0.1:8080", argv[*i]);
    ret->shown = str_split(&rest, '=');
    ret->value = ret->shown.n < length ? rest.p : NULL;
    for (; n < ret->shown.n - 2 && n < sizeof ret->key - 1; n++)
        ret->key[n] = ret->shown.p[n + 2] == '-' ? '_' : ret->shown.p[n + 2];
    ret->key[n] = '\0';
    *i += 1;
    if (!is_known(ret->key))
        return unknown_flag(ret, e);
    if (!ret->value && is_bool(ret->key))
        ret->value = "true";
    else if (!ret->value && *i < argc)
        ret->value = argv[(*i)++];
    return ret->value ? 0 : err_set(e, ERR_INVALID, STR_FMT ": a value is missing", STR_ARG(ret->shown));
}

int settings_load(struct settings *ret, int argc, char *const *argv, char *const *environ_list, struct err *e)
{
    struct flag f;
    int rc = 0;
    const char *config = environ_get(environ_list, "SLIPWAY_CONFIG");
    settings_init(ret);
    // The file comes before the flags, but a flag says which file.
    for (int i = 0; i < argc;) {
        if ((rc = next_flag(argc, argv, &i, &f, e)) != 0)
            return rc;
        if (strcmp(f.key, "config") == 0)
            config = f.value;
    }
    if (!config && access("slipway.yaml", F_OK) == 0)
        config = "slipway.yaml";
    if (config)
        rc = settings_load_file(ret, config, e);
    if (rc == 0)
        rc = settings_load_environ(ret, environ_list, e);
    for (int i = 0; rc == 0 && i < argc;) {
        rc = next_flag(argc, argv, &i, &f, e);
        if (rc == 0 && strcmp(f.key, "config") != 0 &&
            (rc = settings_set(ret, str_of(f.key), str_of(f.value), e)) != 0)
            err_wrap(e, STR_FMT, STR_ARG(f.shown));
    }
    return rc;
}
