// SPDX-License-Identifier: Apache-2.0
// What a version is made of. The fields are one mutable JSON object, so that a field which a newer server
// knows passes through unchanged.
#include "cli/package.h"

#include "cli/term.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { NOTES_BYTES = 1 << 20, NOTE_BYTES = 4096 };

int package_init(struct package *p, struct err *e)
{
    *p = (struct package){.doc = yyjson_mut_doc_new(NULL)};
    buf_init(&p->notes, NOTES_BYTES);
    yyjson_mut_val *root = p->doc ? yyjson_mut_obj(p->doc) : NULL;
    if (!root)
        return err_set(e, ERR_NOMEM, "out of memory");
    yyjson_mut_doc_set_root(p->doc, root);
    return 0;
}

void package_done(struct package *p)
{
    artifacts_done(&p->files);
    yyjson_mut_doc_free(p->doc);
    p->doc = NULL;
    buf_done(&p->notes);
}

// ---- fields. Without memory a value is NULL, and adding that fails: package_put_manifest finds it missing
// no sooner than the document fails to be written, so it is noted at once.

static void add(struct package *p, yyjson_mut_val *object, const char *name, size_t n, yyjson_mut_val *value)
{
    yyjson_mut_val *key = yyjson_mut_strncpy(p->doc, name, n);
    if (!object || !key || !value || !yyjson_mut_obj_put(object, key, value))
        p->notes.failed = true;
}

static yyjson_mut_val *root_of(struct package *p)
{
    return yyjson_mut_doc_get_root(p->doc);
}

static yyjson_mut_val *object_of(struct package *p, const char *field)
{
    yyjson_mut_val *object = yyjson_mut_obj_get(root_of(p), field);
    if (yyjson_mut_is_obj(object))
        return object;
    object = yyjson_mut_obj(p->doc);
    add(p, root_of(p), field, strlen(field), object);
    return object;
}

static yyjson_mut_val *text_value(struct package *p, struct str text)
{
    return yyjson_mut_strncpy(p->doc, text.p, text.n);
}

void package_set_text(struct package *p, const char *field, struct str text)
{
    if (text.n)
        add(p, root_of(p), field, strlen(field), text_value(p, text));
}

void package_set_value(struct package *p, const char *field, yyjson_val *value)
{
    add(p, root_of(p), field, strlen(field), yyjson_val_mut_copy(p->doc, value));
}

void package_put_tag(struct package *p, const char *name, struct str text)
{
    if (text.n)
        add(p, object_of(p, "tags"), name, strlen(name), text_value(p, text));
}

void package_put_metric(struct package *p, struct str name, double value)
{
    add(p, object_of(p, "metrics"), name.p, name.n, yyjson_mut_real(p->doc, value));
}

void package_note(struct package *p, const char *fmt, ...)
{
    char line[NOTE_BYTES];
    va_list ap;
    va_start(ap, fmt);
    int n = vsnprintf(line, sizeof line, fmt, ap);
    va_end(ap);
    if (n > 0)
        term_put_safe((struct str){line, (size_t)n < sizeof line ? (size_t)n : sizeof line - 1}, &p->notes);
    buf_putc(&p->notes, '\n');
}

// ---- the manifest

// Members that `to` has already stay as they are; tags and metrics are joined name by name.
static bool join(yyjson_mut_doc *doc, yyjson_mut_val *to, yyjson_mut_val *from, bool is_root)
{
    size_t i, n;
    yyjson_mut_val *key, *value;
    yyjson_mut_obj_foreach(from, i, n, key, value)
    {
        bool is_joined =
            is_root && (yyjson_mut_equals_str(key, "tags") || yyjson_mut_equals_str(key, "metrics"));
        yyjson_mut_val *there = yyjson_mut_obj_getn(to, yyjson_mut_get_str(key), yyjson_mut_get_len(key));
        if (there) {
            if (is_joined && yyjson_mut_is_obj(there) && yyjson_mut_is_obj(value) &&
                !join(doc, there, value, false))
                return false;
            continue;
        }
        yyjson_mut_val *new_key = yyjson_mut_val_mut_copy(doc, key),
                       *copy = yyjson_mut_val_mut_copy(doc, value);
        if (!new_key || !copy || !yyjson_mut_obj_add(to, new_key, copy))
            return false;
    }
    return true;
}

int package_put_manifest(struct package *p, struct str flags, struct buf *out, struct err *e)
{
    size_t n = 0;
    yyjson_doc *given = yyjson_read(flags.p, flags.n, 0);
    yyjson_mut_doc *doc = given ? yyjson_doc_mut_copy(given, NULL) : NULL;
    yyjson_mut_val *root = doc ? yyjson_mut_doc_get_root(doc) : NULL;
    bool is_object = !doc || yyjson_mut_is_obj(root);
    bool good = root && is_object && !p->notes.failed && join(doc, root, root_of(p), true);
    char *text = good ? yyjson_mut_write(doc, 0, &n) : NULL;
    if (text) {
        buf_puts(out, "{\"artifacts\":");
        artifacts_put_json(&p->files, out);
        if (n > 2)
            buf_putc(out, ',');
        buf_put(out, text + 1, n - 1);
    }
    free(text);
    yyjson_mut_doc_free(doc);
    yyjson_doc_free(given);
    if (!is_object || !given)
        return err_set(e, ERR_INTERNAL, "the manifest's fields are not a JSON object");
    return text && !out->failed ? 0 : err_set(e, ERR_NOMEM, "out of memory for the manifest");
}
