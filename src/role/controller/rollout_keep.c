// SPDX-License-Identifier: Apache-2.0
// What a rollout goes on from after a restart, as JSON in the registry. Counts are whole numbers, so that
// what is read back judges to the same bits.
#include "role/controller/rollout_state.h"

#include "base/num.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <yyjson.h>

enum { LAST_ARENA_BYTES = 256 << 20 }; // address space

void rollout_plan_encode(const struct rollout *r, const struct plan *p, struct buf *out)
{
    buf_printf(out,
               "{\"state\":\"%s\",\"back\":\"%s\",\"step\":%u,\"n_moves\":%llu,\"entered_ns\":%llu,"
               "\"step_ns\":%llu,\"started_ns\":%llu,\"requests_before\":%llu,\"moved_alias\":%s}",
               plan_state_name(p->state), plan_state_name(p->back), p->step, (unsigned long long)p->n_moves,
               (unsigned long long)p->entered_ns, (unsigned long long)p->step_ns,
               (unsigned long long)p->started_ns, (unsigned long long)p->requests_before,
               r->moved_alias || p->state == PLAN_PROMOTING ? "true" : "false");
}

void rollout_candidates_encode(const struct rollout *r, char ret[ROLLOUT_CANDIDATES_SIZE])
{
    size_t n = 0;
    ret[0] = '\0';
    for (uint32_t i = 0; i < r->spec.n_arms; i++)
        n += (size_t)snprintf(ret + n, ROLLOUT_CANDIDATES_SIZE - n, "%s%u", i ? "," : "", r->candidates[i]);
}

static void put_input(const struct rollout *r, const struct rollout_input *in, const char *name,
                      struct buf *out)
{
    buf_printf(out, ",\"%s\":[", name);
    for (uint32_t a = 0; a < r->spec.n_arms; a++) {
        buf_puts(out, a ? ",{\"assigned\":" : "{\"assigned\":");
        counts_encode(&in->assigned[a], out);
        buf_puts(out, ",\"drawn\":");
        counts_encode(&in->drawn[a], out);
        buf_puts(out, ",\"guardrails\":[");
        for (uint32_t i = 0; i < r->spec.rules.n_guards; i++) {
            buf_puts(out, i ? ",{\"requests\":" : "{\"requests\":");
            counts_encode(&in->tallies[a][i].requests, out);
            buf_puts(out, ",\"events\":");
            counts_encode(&in->tallies[a][i].events, out);
            buf_putc(out, '}');
        }
        buf_putc(out, ']');
        if (judge_distribution_at(&r->spec.rules) < r->spec.rules.n_guards)
            rollout_ranges_encode(in->ranges[a], out);
        buf_putc(out, '}');
    }
    buf_putc(out, ']');
}

static bool counts_labels(const struct rollout *r)
{
    uint32_t i = 0;
    while (i < r->spec.rules.n_guards && r->spec.rules.guards[i].metric != GUARD_WRONG_PREDICTION)
        i++;
    return i < r->spec.rules.n_guards;
}

static void put_bits(const char *name, const uint8_t bits[ROLLOUT_LABEL_BYTES], struct buf *out)
{
    buf_printf(out, ",\"%s\":\"", name);
    for (int i = 0; i < ROLLOUT_LABEL_BYTES; i++)
        buf_printf(out, "%02x", bits[i]);
    buf_putc(out, '"');
}

// Sticky keys that are counted: each is counted once, whoever dies.
static void put_keys(const struct rollout *r, struct buf *out)
{
    buf_puts(out, ",\"erred\":");
    entities_encode(&r->erred, out);
    buf_puts(out, ",\"scored\":");
    entities_encode(&r->scored, out);
    if (!counts_labels(r))
        return;
    put_bits("labelled", r->labelled, out);
    put_bits("wrong", r->wrong, out);
}

void rollout_counts_encode(const struct rollout *r, bool is_over, struct buf *out)
{
    buf_printf(out,
               "{\"epoch\":%u,\"first_split_epoch\":%u,\"overridden\":%llu,\"fallbacks\":%llu,\"gates\":[",
               r->split.epoch, r->first_split_epoch, (unsigned long long)r->n_overridden,
               (unsigned long long)r->n_fallbacks);
    for (uint32_t i = 0; i < r->spec.rules.n_guards; i++)
        buf_printf(out, "%s[%llu,%llu]", i ? "," : "", (unsigned long long)r->gates[i].limit_ns[ARM_STABLE],
                   (unsigned long long)r->gates[i].limit_ns[ARM_CANARY]);
    buf_putc(out, ']');
    buf_put_json_numbers(out, "cuts", r->scores.cuts, r->scores.n_cuts);
    put_input(r, r->steps, "steps", out);
    if (r->pairs)
        put_input(r, r->pairs, "pairs", out);
    if (r->spec.key != KEY_NONE && !is_over)
        put_keys(r, out);
    buf_putc(out, '}');
}

// ---- back ----

static int read(struct str json, yyjson_doc **ret, struct err *e)
{
    yyjson_read_err why;
    // Without YYJSON_READ_INSITU the bytes are only read.
    *ret = yyjson_read_opts((char *)(uintptr_t)json.p, json.n, 0, NULL, &why);
    if (*ret)
        return 0;
    return why.code == YYJSON_READ_ERROR_MEMORY_ALLOCATION
               ? err_set(e, ERR_NOMEM, "no memory to read a rollout")
               : err_set(e, ERR_BAD_JSON, "not JSON at byte %zu: %s", why.pos, why.msg);
}

static bool find_state(yyjson_val *v, enum plan_state *ret)
{
    for (enum plan_state s = 0; yyjson_is_str(v) && s < PLAN_STATES; s++)
        if (yyjson_equals_str(v, plan_state_name(s))) {
            *ret = s;
            return true;
        }
    return false;
}

int rollout_plan_decode(struct str json, struct rollout *r, struct err *e)
{
    yyjson_doc *doc;
    struct plan *p = &r->plan;
    int rc = read(json, &doc, e);
    if (rc)
        return rc;
    yyjson_val *root = yyjson_doc_get_root(doc);
    uint64_t step = yyjson_get_uint(yyjson_obj_get(root, "step"));
    if (!find_state(yyjson_obj_get(root, "state"), &p->state) ||
        !find_state(yyjson_obj_get(root, "back"), &p->back) || step >= r->spec.n_steps)
        rc = err_set(e, ERR_INVALID, "the plan of a rollout names no state, or a step that there is not");
    p->step = (uint32_t)step;
    p->n_moves = yyjson_get_uint(yyjson_obj_get(root, "n_moves"));
    p->entered_ns = yyjson_get_uint(yyjson_obj_get(root, "entered_ns"));
    p->step_ns = yyjson_get_uint(yyjson_obj_get(root, "step_ns"));
    p->started_ns = yyjson_get_uint(yyjson_obj_get(root, "started_ns"));
    p->requests_before = yyjson_get_uint(yyjson_obj_get(root, "requests_before"));
    r->moved_alias = yyjson_is_true(yyjson_obj_get(root, "moved_alias"));
    yyjson_doc_free(doc);
    return rc;
}

// Builds before there were such guardrails kept none.
static int read_ranges(yyjson_val *list, struct counts ret[SCORE_RANGES], struct err *e)
{
    yyjson_val *range;
    size_t i, max;
    int rc = yyjson_arr_size(list) <= SCORE_RANGES
                 ? 0
                 : err_set(e, ERR_INVALID, "the counts of a rollout have too many ranges of scores");
    yyjson_arr_foreach(list, i, max, range)
    {
        if (!rc)
            rc = counts_read(range, &ret[i], e);
    }
    return rc;
}

static int read_cuts(yyjson_val *list, struct score_gate *ret, struct err *e)
{
    yyjson_val *cut;
    size_t i, max;
    yyjson_arr_foreach(list, i, max, cut)
    {
        double x = yyjson_get_num(cut);
        if (i == SCORE_RANGES - 1 || !yyjson_is_num(cut) || (i > 0 && !(x > ret->cuts[i - 1])))
            return err_set(e, ERR_INVALID, "the cuts of a rollout's scores are none");
        ret->cuts[ret->n_cuts++] = x;
    }
    return 0;
}

static int read_input(const struct rollout *r, yyjson_val *arms, struct rollout_input *in, struct err *e)
{
    int rc = 0;
    if (!in)
        return 0;
    if (yyjson_arr_size(arms) != r->spec.n_arms)
        return err_set(e, ERR_INVALID, "the counts of a rollout are of another number of arms");
    for (uint32_t a = 0; !rc && a < r->spec.n_arms; a++) {
        yyjson_val *arm = yyjson_arr_get(arms, a), *guards = yyjson_obj_get(arm, "guardrails");
        if (yyjson_arr_size(guards) != r->spec.rules.n_guards)
            return err_set(e, ERR_INVALID, "the counts of a rollout are of another number of guardrails");
        rc = counts_read(yyjson_obj_get(arm, "assigned"), &in->assigned[a], e);
        if (!rc)
            rc = counts_read(yyjson_obj_get(arm, "drawn"), &in->drawn[a], e);
        for (uint32_t i = 0; !rc && i < r->spec.rules.n_guards; i++) {
            yyjson_val *guard = yyjson_arr_get(guards, i);
            rc = counts_read(yyjson_obj_get(guard, "requests"), &in->tallies[a][i].requests, e);
            if (!rc)
                rc = counts_read(yyjson_obj_get(guard, "events"), &in->tallies[a][i].events, e);
        }
        if (!rc)
            rc = read_ranges(yyjson_obj_get(arm, "ranges"), in->ranges[a], e);
    }
    return rc;
}

static int digit_of(char c)
{
    return c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

// Absent where builds before kept none: then each may count once more.
static int read_bits(yyjson_val *v, uint8_t ret[ROLLOUT_LABEL_BYTES], struct err *e)
{
    const char *text = yyjson_get_str(v);
    if (!v)
        return 0;
    if (!text || yyjson_get_len(v) != 2 * ROLLOUT_LABEL_BYTES)
        return err_set(e, ERR_INVALID, "the labels of a rollout's sticky keys are none");
    for (int i = 0; i < ROLLOUT_LABEL_BYTES; i++) {
        int hi = digit_of(text[2 * i]), lo = digit_of(text[2 * i + 1]);
        if (hi < 0 || lo < 0)
            return err_set(e, ERR_INVALID, "the labels of a rollout's sticky keys are none");
        ret[i] = (uint8_t)(hi << 4 | lo);
    }
    return 0;
}

static int read_keys(struct rollout *r, yyjson_val *root, struct err *e)
{
    yyjson_val *erred = yyjson_obj_get(root, "erred"), *scored = yyjson_obj_get(root, "scored");
    int rc = 0;
    if (r->spec.key == KEY_NONE)
        return 0;
    if (erred)
        rc = entities_read(erred, &r->erred, e);
    if (!rc && scored)
        rc = entities_read(scored, &r->scored, e);
    if (!rc)
        rc = read_bits(yyjson_obj_get(root, "labelled"), r->labelled, e);
    return rc ? rc : read_bits(yyjson_obj_get(root, "wrong"), r->wrong, e);
}

// The time since when a limit holds is not kept: all that is counted from now on came after it.
static void read_gates(struct rollout *r, yyjson_val *gates)
{
    for (uint32_t i = 0; i < r->spec.rules.n_guards; i++) {
        yyjson_val *gate = yyjson_arr_get(gates, i);
        r->gates[i].limit_ns[ARM_STABLE] = yyjson_get_uint(yyjson_arr_get(gate, 0));
        r->gates[i].limit_ns[ARM_CANARY] = yyjson_get_uint(yyjson_arr_get(gate, 1));
        r->gate_since_ns[i] = r->gates[i].limit_ns[ARM_STABLE] ? 1 : 0;
        r->gates_due |= r->spec.rules.guards[i].metric == GUARD_LATENCY && !r->gate_since_ns[i];
    }
}

int rollout_counts_decode(struct str json, struct rollout *r, struct err *e)
{
    yyjson_doc *doc;
    int rc = read(json, &doc, e);
    if (rc)
        return rc;
    yyjson_val *root = yyjson_doc_get_root(doc);
    // The one that was routed last may not have been kept.
    r->split.epoch = (uint32_t)yyjson_get_uint(yyjson_obj_get(root, "epoch")) + EPOCHS_UNKEPT;
    r->first_split_epoch = (uint32_t)yyjson_get_uint(yyjson_obj_get(root, "first_split_epoch"));
    r->n_overridden = yyjson_get_uint(yyjson_obj_get(root, "overridden"));
    r->n_fallbacks = yyjson_get_uint(yyjson_obj_get(root, "fallbacks"));
    read_gates(r, yyjson_obj_get(root, "gates"));
    rc = read_cuts(yyjson_obj_get(root, "cuts"), &r->scores, e);
    if (!rc)
        rc = read_input(r, yyjson_obj_get(root, "steps"), r->steps, e);
    if (!rc)
        rc = read_input(r, yyjson_obj_get(root, "pairs"), r->pairs, e);
    if (!rc)
        rc = read_keys(r, root, e);
    yyjson_doc_free(doc);
    return rc;
}

// What it did last, from its record.
static void load_last(struct controller *c, struct rollout *r)
{
    struct registry_rollout_record *list;
    struct rollout_input *in = malloc(sizeof *in);
    struct arena a = {0};
    struct err ignored;
    size_t n = 0;
    if (in && !arena_init(&a, LAST_ARENA_BYTES, &ignored) &&
        !c->registry->ops->rollout_records(c->registry, r->id, r->plan.n_moves ? r->plan.n_moves - 1 : 0, 1,
                                           &a, &list, &n, &ignored) &&
        n == 1 && !rollout_record_decode(list[0].record_json, in, &ignored)) {
        r->last_event = in->event;
        snprintf(r->last_note, sizeof r->last_note, "%s", in->note);
    }
    arena_done(&a);
    free(in);
}

int rollout_load(struct controller *c, const struct registry_rollout *v, struct rollout **ret, struct err *e)
{
    struct rollout_spec spec;
    struct rollout *r;
    struct str rest = v->candidates;
    int rc = rollout_request_decode(v->request_json, &spec, e);
    if (!rc)
        rc = rollout_new(c, &spec, v->request_json, &r, e);
    if (rc)
        return rc;
    r->id = v->id;
    r->baseline = v->baseline;
    r->attempt = v->attempt;
    r->created_wall_ns = v->created_wall_ns;
    for (uint32_t i = 0; i < spec.n_arms; i++) {
        uint64_t number = 0;
        if (!str_to_u64(str_split(&rest, ','), UINT32_MAX, &number))
            rc = err_set(e, ERR_INVALID, "its candidates are '" STR_FMT "'", STR_ARG(v->candidates));
        r->candidates[i] = (uint32_t)number;
    }
    snprintf(r->split.alias, sizeof r->split.alias, STR_FMT, STR_ARG(v->alias));
    snprintf(r->split.salt, sizeof r->split.salt, STR_FMT, STR_ARG(v->salt));
    if (!rc)
        rc = rollout_plan_decode(v->plan_json, r, e);
    if (!rc)
        rc = rollout_counts_decode(v->counts_json, r, e);
    if (rc) {
        rollout_free(r);
        return rc;
    }
    load_last(c, r);
    *ret = r;
    return 0;
}
