// SPDX-License-Identifier: Apache-2.0
// Reading and writing of the lines, and the rule by which keys come and go.
#include "role/feedback_keys.h"

#include <string.h>

static int digit(char c)
{
    return c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static bool read_hex(struct str text, uint8_t ret[FEEDBACK_KEY_BYTES])
{
    if (text.n != 2 * FEEDBACK_KEY_BYTES)
        return false;
    for (size_t i = 0; i < FEEDBACK_KEY_BYTES; i++) {
        int high = digit(text.p[2 * i]), low = digit(text.p[2 * i + 1]);
        if (high < 0 || low < 0)
            return false;
        ret[i] = (uint8_t)(high << 4 | low);
    }
    return true;
}

static bool has_number(const struct feedback_keys *k, uint64_t number)
{
    for (uint32_t i = 0; i < k->n; i++)
        if (k->list[i].number == number)
            return true;
    return false;
}

static int read_line(struct str line, struct feedback_keys *k, struct err *e)
{
    struct feedback_key *key = &k->list[k->n];
    struct str number = str_split(&line, ' '), made = str_split(&line, ' ');
    uint64_t n;
    if (k->n == FEEDBACK_KEYS_MAX)
        return err_set(e, ERR_INVALID, "there are more than %d keys of feedback tokens", FEEDBACK_KEYS_MAX);
    if (!str_to_u64(number, UINT8_MAX, &n) || has_number(k, n) ||
        !str_to_u64(made, UINT32_MAX, &key->made_s) || !read_hex(line, key->bytes))
        return err_set(e, ERR_INVALID, "line %u of the keys of feedback tokens is not as it was written",
                       k->n + 1);
    key->number = (uint8_t)n;
    k->n++;
    return 0;
}

int feedback_keys_read(struct str text, struct feedback_keys *ret, struct err *e)
{
    *ret = (struct feedback_keys){0};
    while (text.n) {
        int rc = read_line(str_split(&text, '\n'), ret, e);
        if (rc)
            return rc;
    }
    return 0;
}

void feedback_keys_write(const struct feedback_keys *k, struct buf *out)
{
    for (uint32_t i = 0; i < k->n; i++) {
        const struct feedback_key *key = &k->list[i];
        buf_printf(out, "%u %llu ", key->number, (unsigned long long)key->made_s);
        for (size_t b = 0; b < FEEDBACK_KEY_BYTES; b++)
            buf_printf(out, "%02x", key->bytes[b]);
        buf_putc(out, '\n');
    }
}

bool feedback_keys_renew(struct feedback_keys *k, uint64_t now_s, uint64_t life_s,
                         const uint8_t fresh[FEEDBACK_KEY_BYTES])
{
    uint32_t before = k->n;
    for (uint32_t i = 1; i < k->n; i++) // sealed nothing since the one before it was made
        if (k->list[i - 1].made_s + life_s <= now_s)
            k->n = i;
    if (k->n && now_s < k->list[0].made_s + life_s)
        return k->n != before;
    uint32_t n_kept = k->n < FEEDBACK_KEYS_MAX ? k->n : FEEDBACK_KEYS_MAX - 1;
    uint8_t number = k->n ? (uint8_t)(k->list[0].number + 1) : 1;
    memmove(k->list + 1, k->list, n_kept * sizeof k->list[0]);
    k->list[0] = (struct feedback_key){.made_s = now_s, .number = number};
    memcpy(k->list[0].bytes, fresh, FEEDBACK_KEY_BYTES);
    k->n = n_kept + 1;
    return true;
}
