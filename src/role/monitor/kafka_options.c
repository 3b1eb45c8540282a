// SPDX-License-Identifier: Apache-2.0
// Splitting, and which names are secrets.
#include "role/monitor/kafka_options.h"

#include <string.h>

// Whether an option of that name holds something that nobody should see.
static bool is_secret(struct str name)
{
    static const struct str WORDS[] = {
        {"password", 8}, {"secret", 6}, {"key.pem", 7}, {"oauthbearer.config", 18}};
    for (size_t i = 0; i < sizeof WORDS / sizeof WORDS[0]; i++)
        if (memmem(name.p, name.n, WORDS[i].p, WORDS[i].n))
            return true;
    return false;
}

static int parse(struct str text, bool is_file, struct kafka_option *ret, struct err *e)
{
    struct str value = text, name = str_split(&value, '=');
    ret->name = str_trim(name);
    ret->value = str_trim(value);
    bool good = ret->name.n > 0 && name.n < text.n && !memchr(ret->name.p, ' ', ret->name.n);
    if (!good && is_file)
        return err_set(e, ERR_INVALID, "line %u is not of the form name=value", ret->line);
    if (!good) // whatever it is, it may be a secret
        return err_set(e, ERR_INVALID, "log_kafka_options is not of the form name=value name=value");
    if (!is_file && is_secret(ret->name))
        return err_set(e, ERR_INVALID,
                       "'" STR_FMT "' is a secret: it belongs in the file log_kafka_options_file",
                       (int)(ret->name.n < 80 ? ret->name.n : 80), ret->name.p);
    return 1;
}

int kafka_options_next(struct str *rest, bool is_file, struct kafka_option *ret, struct err *e)
{
    while (rest->n) {
        struct str text = str_split(rest, is_file ? '\n' : ' ');
        ret->line++;
        if (is_file && text.n && text.p[text.n - 1] == '\r')
            text.n--;
        text = str_trim(text);
        if (text.n && !(is_file && text.p[0] == '#'))
            return parse(text, is_file, ret, e);
    }
    return 0;
}
