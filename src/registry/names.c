// SPDX-License-Identifier: Apache-2.0
// Names and digests: what may be a model, an alias, an artifact; what an artifact is for; SHA-256 as text.
#include "base/limits.h"
#include "registry/registry.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>

static const char HEX[] = "0123456789abcdef";

static int hex_value(char c)
{
    const char *at = c ? strchr(HEX, c) : NULL;
    return at ? (int)(at - HEX) : -1;
}

bool registry_digest_parse(struct str text, struct registry_digest *ret)
{
    const struct str prefix = STR("sha256:");
    if (text.n != REGISTRY_DIGEST_TEXT - 1 || !str_starts(text, prefix))
        return false;
    const char *hex = text.p + prefix.n;
    for (size_t i = 0; i < REGISTRY_DIGEST_BYTES; i++) {
        int high = hex_value(hex[2 * i]), low = hex_value(hex[2 * i + 1]);
        if (high < 0 || low < 0)
            return false;
        ret->bytes[i] = (uint8_t)(high << 4 | low);
    }
    return true;
}

void registry_digest_hex(const struct registry_digest *d, char ret[REGISTRY_DIGEST_HEX])
{
    for (size_t i = 0; i < REGISTRY_DIGEST_BYTES; i++) {
        ret[2 * i] = HEX[d->bytes[i] >> 4];
        ret[2 * i + 1] = HEX[d->bytes[i] & 15];
    }
    ret[REGISTRY_DIGEST_HEX - 1] = '\0';
}

void registry_digest_text(const struct registry_digest *d, char ret[REGISTRY_DIGEST_TEXT])
{
    memcpy(ret, "sha256:", 7);
    registry_digest_hex(d, ret + 7);
}

bool registry_digest_eq(const struct registry_digest *a, const struct registry_digest *b)
{
    return memcmp(a->bytes, b->bytes, sizeof a->bytes) == 0;
}

static const char *const ROLES[REGISTRY_ROLES] = {"model", "data", "golden", "baseline", "example"};

const char *registry_role_name(enum registry_role role)
{
    return ROLES[role];
}

bool registry_role_parse(struct str name, enum registry_role *ret)
{
    for (int i = 0; i < REGISTRY_ROLES; i++) {
        if (!str_eq(name, str_of(ROLES[i])))
            continue;
        *ret = (enum registry_role)i;
        return true;
    }
    return false;
}

bool registry_version_is_rejected(const struct registry_version *v)
{
    return str_eq(v->state, STR("rejected"));
}

const struct registry_artifact *registry_version_artifact(const struct registry_version *v,
                                                          enum registry_role role)
{
    for (size_t i = 0; i < v->n_artifacts; i++)
        if (v->artifacts[i].role == role)
            return &v->artifacts[i];
    return NULL;
}

int registry_version_find(struct registry *r, struct str model, uint32_t number, struct arena *a,
                          struct registry_version *ret, struct err *e)
{
    char text[16];
    snprintf(text, sizeof text, "%u", number);
    return r->ops->version_find(r, model, str_of(text), a, ret, e);
}

static bool is_word(struct str s, size_t max)
{
    if (s.n == 0 || s.n > max || !isalnum((unsigned char)s.p[0]))
        return false;
    for (size_t i = 0; i < s.n; i++)
        if (!isalnum((unsigned char)s.p[i]) && !memchr("._-", s.p[i], 3))
            return false;
    return true;
}

static bool is_digits(struct str s)
{
    for (size_t i = 0; i < s.n; i++)
        if (!isdigit((unsigned char)s.p[i]))
            return false;
    return true;
}

int registry_model_name_check(struct str name, struct err *e)
{
    if (is_word(name, LIMIT_MODEL_NAME_BYTES))
        return 0;
    return err_set(
        e, ERR_INVALID,
        "'%.*s' cannot name a model: a name is 1 to %d letters, digits, '.', '_' and '-' and starts "
        "with a letter or digit",
        (int)(name.n < 80 ? name.n : 80), name.n ? name.p : "", LIMIT_MODEL_NAME_BYTES);
}

int registry_alias_check(struct str alias, struct err *e)
{
    if (is_word(alias, LIMIT_ALIAS_BYTES) && !is_digits(alias))
        return 0;
    return err_set(
        e, ERR_INVALID,
        "'%.*s' cannot be an alias: an alias is 1 to %d letters, digits, '.', '_' and '-', starts with "
        "a letter or digit and is not a number",
        (int)(alias.n < 80 ? alias.n : 80), alias.n ? alias.p : "", LIMIT_ALIAS_BYTES);
}

int registry_artifact_name_check(struct str name, struct err *e)
{
    bool good = name.n > 0 && name.n <= LIMIT_ARTIFACT_NAME_BYTES;
    for (struct str rest = name; good && rest.n;) {
        good = rest.p[rest.n - 1] != '/'; // an empty last part would not be seen below
        good = good && is_word(str_split(&rest, '/'), LIMIT_ARTIFACT_NAME_BYTES);
    }
    if (good)
        return 0;
    return err_set(e, ERR_INVALID,
                   "'%.*s' cannot name an artifact: use a relative path of at most %d bytes whose parts are "
                   "letters, digits, '.', '_' and '-' and start with a letter or digit",
                   (int)(name.n < 80 ? name.n : 80), name.n ? name.p : "", LIMIT_ARTIFACT_NAME_BYTES);
}
