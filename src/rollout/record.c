// SPDX-License-Identifier: Apache-2.0
// Records, both ways. Numbers are written so that they read back to the same bits, and the digest of each
// likelihood curve stands beside them; what is infinite or unknown is null.
#include "rollout/record.h"

#include "base/siphash.h"
#include "rollout/evidence.h"
#include "rollout/fields.h"

#include <stdlib.h>
#include <string.h>

void rollout_judge(const struct rollout_spec *spec, const struct plan *p, const struct rollout_input *in,
                   struct judgement *ret_arms, struct judgement *ret)
{
    struct judge_rules rules = spec->rules;
    // The shadow phase and the steps are two tests, each of which may be wrong.
    if (spec->has_shadow && spec->strategy == STRATEGY_CANARY)
        rules.alpha_fail /= 2;
    *ret = (struct judgement){.verdict = VERDICT_PASS};
    for (uint32_t a = 0; a < spec->n_arms; a++) {
        struct judgement *j = &ret_arms[a];
        judge_all(&rules, in->tallies[a], in->ranges[a], &in->drawn[a], plan_seconds(p, in->wall_ns), j);
        if (j->verdict == VERDICT_FAIL || (j->verdict == VERDICT_UNDECIDED && ret->verdict == VERDICT_PASS))
            ret->verdict = j->verdict;
        ret->unbalanced |= j->unbalanced;
    }
}

uint64_t rollout_requests(const struct rollout_spec *spec, const struct rollout_input *in)
{
    uint64_t fewest = UINT64_MAX;
    for (uint32_t a = 0; a < spec->n_arms; a++) {
        uint64_t n = counts_of(&in->assigned[a], ARM_CANARY);
        fewest = n < fewest ? n : fewest;
    }
    return fewest;
}

void rollout_ranges_encode(const struct counts ranges[SCORE_RANGES], struct buf *json)
{
    buf_puts(json, ",\"ranges\":[");
    for (int i = 0; i < SCORE_RANGES; i++) {
        buf_puts(json, i ? "," : "");
        counts_encode(&ranges[i], json);
    }
    buf_putc(json, ']');
}

static void put_finding(const struct guard *g, const struct tally *t,
                        const struct counts ranges[SCORE_RANGES], const struct finding *f, struct buf *json)
{
    bool is_spread = g->metric == GUARD_DISTRIBUTION;
    buf_printf(json, "{\"metric\":\"%s\"", guard_metric_name(g->metric));
    if (g->metric == GUARD_LATENCY)
        buf_put_json_number(json, "q", g->q);
    buf_printf(json, ",\"verdict\":\"%s\",\"reason\":\"%s\",\"requests\":", verdict_name(f->verdict),
               verdict_reason_name(f->reason));
    counts_encode(&t->requests, json);
    buf_puts(json, ",\"events\":");
    counts_encode(&t->events, json);
    if (is_spread)
        rollout_ranges_encode(ranges, json);
    buf_printf(json, ",\"digest\":\"%016llx\"",
               (unsigned long long)evidence_digest(is_spread ? &ranges[f->range] : &t->events));
    buf_put_json_number(json, "log_fail", f->log_fail);
    buf_put_json_number(json, "fail_at", f->fail_at);
    buf_put_json_number(json, "log_pass", f->log_pass);
    buf_put_json_number(json, "pass_at", f->pass_at);
    buf_put_json_number(json, "log_rate", f->log_rate);
    buf_put_json_number(json, "ratio", f->ratio);
    buf_put_json_number(json, "ratio_lo", f->ratio_lo);
    buf_put_json_number(json, "ratio_hi", f->ratio_hi);
    buf_putc(json, '}');
}

static void put_arm(const struct rollout_spec *spec, const struct rollout_input *in, uint32_t a,
                    const struct judgement *j, struct buf *json)
{
    buf_puts(json, a ? ",{\"version\":" : "{\"version\":");
    buf_put_json_str(json, str_of(spec->arms[a].version));
    buf_puts(json, ",\"assigned\":");
    counts_encode(&in->assigned[a], json);
    buf_puts(json, ",\"drawn\":");
    counts_encode(&in->drawn[a], json);
    buf_put_json_number(json, "log_unbalanced", j->log_unbalanced);
    buf_put_json_number(json, "unbalanced_at", j->unbalanced_at);
    buf_puts(json, ",\"guardrails\":[");
    for (uint32_t i = 0; i < spec->rules.n_guards; i++) {
        if (i)
            buf_putc(json, ',');
        put_finding(&spec->rules.guards[i], &in->tallies[a][i], in->ranges[a], &j->findings[i], json);
    }
    buf_puts(json, "]}");
}

static void put_move(const struct rollout_spec *spec, const struct plan *from, const struct plan *to,
                     const struct rollout_input *in, enum plan_action action, struct buf *json)
{
    buf_printf(json,
               "{\"move\":%llu,\"wall_ns\":%llu,\"event\":\"%s\",\"actor\":", (unsigned long long)to->n_moves,
               (unsigned long long)in->wall_ns, plan_event_name(in->event));
    buf_put_json_str(json, str_of(in->actor));
    buf_puts(json, ",\"note\":");
    buf_put_json_str(json, str_of(in->note));
    buf_printf(json,
               ",\"from\":\"%s\",\"from_step\":%u,\"from_weight_bp\":%u,\"to\":\"%s\",\"to_step\":%u,"
               "\"to_weight_bp\":%u,\"action\":\"%s\"",
               plan_state_name(from->state), from->step, plan_weight_bp(spec, from),
               plan_state_name(to->state), to->step, plan_weight_bp(spec, to), plan_action_name(action));
    buf_put_json_number(json, "seconds", plan_seconds(from, in->wall_ns));
}

int rollout_move(const struct rollout_spec *spec, struct plan *p, const struct rollout_input *in,
                 enum plan_action *ret_action, struct buf *json, struct err *e)
{
    struct judgement arms[GUARD_ARMS_MAX], all;
    struct plan next = *p;
    rollout_judge(spec, p, in, arms, &all);
    int rc = plan_apply(spec, &next, in->event, in->wall_ns, rollout_requests(spec, in), ret_action, e);
    if (rc)
        return rc;
    size_t begin = json->n;
    put_move(spec, p, &next, in, *ret_action, json);
    buf_puts(json, ",\"arms\":[");
    for (uint32_t a = 0; a < spec->n_arms; a++) {
        judge_estimate(&spec->rules, in->tallies[a], in->ranges[a], &arms[a]);
        put_arm(spec, in, a, &arms[a], json);
    }
    buf_puts(json, "]");
    // For what nothing is computed from, as the time. It finds damage; against forgers there is the audit
    // chain.
    buf_printf(json, ",\"check\":\"%016llx\"}",
               (unsigned long long)siphash((struct siphash_key){0, 0},
                                           (struct str){json->p + begin, json->n - begin}));
    if (json->failed)
        return err_set(e, ERR_TOO_LARGE, "no room for the record of a move of more than %zu bytes", json->n);
    *p = next;
    return 0;
}

static int read_counts(const struct fields *f, const char *name, struct counts *ret, struct err *e)
{
    int rc = fields_need(f, name, e);
    if (rc == 0 && (rc = counts_read(fields_get(f, name), ret, e)))
        err_at(e, "%s.%s", f->path, name);
    return rc;
}

static int read_ranges(const struct fields *f, struct counts ret[SCORE_RANGES], struct err *e)
{
    yyjson_val *array, *range;
    size_t i, max;
    int rc = fields_array(f, "ranges", SCORE_RANGES, &array, e);
    yyjson_arr_foreach(array, i, max, range)
    {
        if (!rc && (rc = counts_read(range, &ret[i], e)))
            err_at(e, "%s.ranges[%zu]", f->path, i);
    }
    return rc;
}

static int read_guard(yyjson_val *json, uint32_t a, uint32_t i, struct rollout_input *ret, struct err *e)
{
    struct tally *t = &ret->tallies[a][i];
    static const char *const KNOWN[] = {"metric", "q",        "verdict",  "reason",   "requests", "events",
                                        "digest", "log_fail", "fail_at",  "log_pass", "pass_at",  "log_rate",
                                        "ratio",  "ratio_lo", "ratio_hi", "ranges",   NULL};
    struct fields f;
    int rc = fields_open(&f, json, KNOWN, e, "$.arms[%u].guardrails[%u]", a, i);
    if (rc == 0)
        rc = read_counts(&f, "requests", &t->requests, e);
    if (rc == 0)
        rc = read_counts(&f, "events", &t->events, e);
    return rc ? rc : read_ranges(&f, ret->ranges[a], e);
}

static int read_arm(yyjson_val *json, uint32_t a, struct rollout_input *ret, struct err *e)
{
    static const char *const KNOWN[] = {"version",       "assigned",   "drawn", "log_unbalanced",
                                        "unbalanced_at", "guardrails", NULL};
    struct fields f;
    yyjson_val *guards, *guard;
    size_t i, max;
    int rc = fields_open(&f, json, KNOWN, e, "$.arms[%u]", a);
    if (rc || (rc = read_counts(&f, "assigned", &ret->assigned[a], e)) ||
        (rc = read_counts(&f, "drawn", &ret->drawn[a], e)) || (rc = fields_need(&f, "guardrails", e)) ||
        (rc = fields_array(&f, "guardrails", GUARDS_MAX, &guards, e)))
        return rc;
    yyjson_arr_foreach(guards, i, max, guard)
    {
        rc = read_guard(guard, a, (uint32_t)i, ret, e);
        if (rc)
            return rc;
    }
    return 0;
}

// A string as C functions take it; unlike other texts it may be empty.
static int read_note(const struct fields *f, struct rollout_input *ret, struct err *e)
{
    if (yyjson_equals_str(fields_get(f, "note"), ""))
        return 0;
    return fields_text(f, "note", ret->note, sizeof ret->note, e);
}

static int read_root(yyjson_val *root, struct rollout_input *ret, struct err *e)
{
    static const char *const KNOWN[] = {
        "move", "wall_ns", "event",        "actor",  "note",    "from", "from_step", "from_weight_bp",
        "to",   "to_step", "to_weight_bp", "action", "seconds", "arms", "check",     NULL};
    const char *events[PLAN_EVENTS];
    struct fields f;
    yyjson_val *arms, *arm;
    size_t i, max;
    int event = 0, rc = fields_open(&f, root, KNOWN, e, "$");
    for (int v = 0; v < PLAN_EVENTS; v++)
        events[v] = plan_event_name(v);
    for (size_t k = 0; rc == 0 && KNOWN[k]; k++)
        rc = fields_need(&f, KNOWN[k], e);
    if (rc || (rc = fields_whole(&f, "wall_ns", 0, UINT64_MAX, &ret->wall_ns, e)) ||
        (rc = fields_choice(&f, "event", events, PLAN_EVENTS, &event, e)) ||
        (rc = fields_text(&f, "actor", ret->actor, sizeof ret->actor, e)) || (rc = read_note(&f, ret, e)) ||
        (rc = fields_array(&f, "arms", GUARD_ARMS_MAX, &arms, e)))
        return rc;
    ret->event = event;
    yyjson_arr_foreach(arms, i, max, arm)
    {
        rc = read_arm(arm, (uint32_t)i, ret, e);
        if (rc)
            return rc;
    }
    return 0;
}

int rollout_record_decode(struct str json, struct rollout_input *ret, struct err *e)
{
    yyjson_read_err why;
    memset(ret, 0, sizeof *ret);
    if (json.n > LIMIT_ROLLOUT_RECORD_BYTES)
        return err_set(e, ERR_TOO_LARGE, "a record of %zu bytes is larger than any of ours", json.n);
    // Without YYJSON_READ_INSITU the bytes are only read.
    yyjson_doc *doc = yyjson_read_opts((char *)(uintptr_t)json.p, json.n, 0, NULL, &why);
    if (!doc && why.code == YYJSON_READ_ERROR_MEMORY_ALLOCATION)
        return err_set(e, ERR_NOMEM, "no memory to read a record");
    if (!doc)
        return err_set(e, ERR_BAD_JSON, "not JSON at byte %zu: %s", why.pos, why.msg);
    int rc = read_root(yyjson_doc_get_root(doc), ret, e);
    yyjson_doc_free(doc);
    return rc;
}

// What the program does by itself must follow from what it knew.
static bool is_justified(const struct rollout_spec *spec, const struct plan *p,
                         const struct rollout_input *in)
{
    struct judgement arms[GUARD_ARMS_MAX], all;
    struct plan_facts facts = {.ready = in->event == EVENT_READY,
                               .lost = in->event == EVENT_LOST,
                               .routed = in->event == EVENT_ROUTED,
                               .canary_requests = rollout_requests(spec, in)};
    if (in->event == EVENT_START || in->event >= EVENT_PAUSE)
        return true;
    rollout_judge(spec, p, in, arms, &all);
    return plan_due(spec, p, in->wall_ns, &all, &facts) == in->event;
}

static int compare(struct str want, struct str got, struct err *e)
{
    size_t at = 0;
    if (str_eq(want, got))
        return 0;
    while (at < want.n && at < got.n && want.p[at] == got.p[at])
        at++;
    size_t from = at > 30 ? at - 30 : 0;
    return err_set(e, ERR_CONFLICT,
                   "the record differs from its replay at byte %zu: '%.*s' there, '%.*s' here", at,
                   (int)(want.n - from < 60 ? want.n - from : 60), want.p + from,
                   (int)(got.n - from < 60 ? got.n - from : 60), got.p + from);
}

int rollout_replay(const struct rollout_spec *spec, struct plan *p, struct str json, struct err *e)
{
    struct buf again;
    struct plan next = *p;
    enum plan_action action;
    struct rollout_input *in = malloc(sizeof *in);
    if (!in)
        return err_set(e, ERR_NOMEM, "no memory to replay a record");
    buf_init(&again, LIMIT_ROLLOUT_RECORD_BYTES);
    int rc = rollout_record_decode(json, in, e);
    if (rc == 0 && plan_allows(spec, p, in->event) && !is_justified(spec, p, in))
        rc = err_set(e, ERR_CONFLICT, "the event %s was not due", plan_event_name(in->event));
    if (rc == 0)
        rc = rollout_move(spec, &next, in, &action, &again, e);
    if (rc == 0)
        rc = compare(json, buf_str(&again), e);
    if (rc == 0)
        *p = next;
    buf_done(&again);
    free(in);
    return rc;
}
