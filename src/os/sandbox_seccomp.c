// SPDX-License-Identifier: Apache-2.0
// Turns the rules into a program for seccomp and installs it. Not here: what is allowed (sandbox_rules*.c).
//
//   architecture is ours? no: kill
//   number of another ABI? kill        newer than the rules? ENOSYS
//   for each system call that has rules:
//     number equal? no: on to the next
//     rule's conditions hold? allow      (each rule)
//     kill or errno
//   EPERM
//
// Calls allowed without conditions cost nothing: the kernel (5.11) finds them by running the program once per
// number and keeps them in a bitmap.
#include "os/sandbox_parts.h"

#include "base/assert.h"
#include "base/limits.h"

#include <errno.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

enum { CODE_MAX = 1536 };

struct program {
    struct sock_filter code[CODE_MAX];
    unsigned short n;
    unsigned have;        // enum sandbox_need
    uint64_t stack_floor; // the stack lies above, all other mappings below
};

static void emit(struct program *p, unsigned op, uint32_t k, uint8_t jump_true, uint8_t jump_false)
{
    ASSERT(p->n < CODE_MAX);
    p->code[p->n++] = (struct sock_filter){(uint16_t)op, jump_true, jump_false, k};
}

static void load(struct program *p, size_t offset)
{
    emit(p, BPF_LD | BPF_W | BPF_ABS, (uint32_t)offset, 0, 0);
}

static void answer(struct program *p, uint32_t action)
{
    emit(p, BPF_RET | BPF_K, action, 0, 0);
}

static void answer_errno(struct program *p, int errno_value)
{
    answer(p, SECCOMP_RET_ERRNO | (uint32_t)errno_value);
}

// Both architectures are little-endian.
static void load_half(struct program *p, unsigned arg, bool upper)
{
    load(p, offsetof(struct seccomp_data, args) + arg * 8 + (upper ? 4 : 0));
}

// Where a rule's conditions leave it when they fail: unconditional jumps, which get their distance at its
// end.
struct exits {
    unsigned short at[RULE_CONDS * 3];
    unsigned n;
};

// Goes on when the comparison of the loaded half with k has the wanted result, else leaves the rule.
static void test(struct program *p, struct exits *out, unsigned comparison, uint32_t k, bool wanted)
{
    emit(p, BPF_JMP | comparison | BPF_K, k, wanted ? 1 : 0, wanted ? 0 : 1);
    ASSERT(out->n < sizeof out->at / sizeof out->at[0]);
    out->at[out->n++] = p->n;
    emit(p, BPF_JMP | BPF_JA, 0, 0, 0);
}

static void test_masked(struct program *p, struct exits *out, unsigned arg, uint64_t mask, uint64_t value)
{
    for (int upper = 0; upper < 2; upper++) {
        uint32_t bits = (uint32_t)(upper ? mask >> 32 : mask);
        if (bits == 0)
            continue;
        load_half(p, arg, upper);
        if (bits != UINT32_MAX)
            emit(p, BPF_ALU | BPF_AND | BPF_K, bits, 0, 0);
        test(p, out, BPF_JEQ, (uint32_t)(upper ? value >> 32 : value), true);
    }
}

static void test_below(struct program *p, struct exits *out, unsigned arg, uint64_t bound)
{
    uint32_t upper = (uint32_t)(bound >> 32);
    load_half(p, arg, true);
    test(p, out, BPF_JGT, upper, false);
    emit(p, BPF_JMP | BPF_JEQ | BPF_K, upper, 0,
         3); // smaller already: past the three that look at the lower half
    load_half(p, arg, false);
    test(p, out, BPF_JGE, (uint32_t)bound, false);
}

static void allow_if(struct program *p, const struct cond *conds)
{
    struct exits out = {.n = 0};
    for (size_t i = 0; i < RULE_CONDS && conds[i].op != COND_NONE; i++) {
        const struct cond *c = &conds[i];
        switch (c->op) {
        case COND_MASKED:
            test_masked(p, &out, c->arg, c->mask, c->value);
            break;
        case COND_OWN_PID:
            test_masked(p, &out, c->arg, INT_MASK, (uint32_t)getpid());
            break;
        case COND_BELOW:
            test_below(p, &out, c->arg, c->value);
            break;
        case COND_BELOW_STACK:
            test_below(p, &out, c->arg, p->stack_floor);
            break;
        case COND_NONE:
        case COND_NEVER:
            break;
        }
    }
    answer(p, SECCOMP_RET_ALLOW);
    for (unsigned i = 0; i < out.n; i++)
        p->code[out.at[i]].k = (uint32_t)(p->n - out.at[i] - 1);
}

// All rules of the call that r[0] is for; returns how many they are.
static size_t one_call(struct program *p, const struct rule *r, size_t n_left)
{
    unsigned short start = p->n;
    size_t n = 0;
    bool closed = false; // an unconditional answer was given
    emit(p, BPF_JMP | BPF_JEQ | BPF_K, (uint32_t)r->nr, 0, 0);
    for (; n < n_left && r[n].nr == r->nr; n++) {
        if (r[n].otherwise == RULE_KILL || r[n].conds[0].op == COND_NEVER || closed ||
            (r[n].need & p->have) != r[n].need)
            continue;
        allow_if(p, r[n].conds);
        closed = r[n].conds[0].op == COND_NONE;
    }
    if (!closed && r->otherwise == RULE_KILL)
        answer(p, SECCOMP_RET_KILL_PROCESS);
    else if (!closed)
        answer_errno(p, r->otherwise ? r->otherwise : EPERM);
    unsigned distance = p->n - start - 1u;
    ASSERT(distance <= UINT8_MAX);
    p->code[start].jf = (uint8_t)distance;
    return n;
}

static void all_calls(struct program *p, const struct rules *rules)
{
    for (size_t i = 0; i < rules->n;)
        i += one_call(p, &rules->p[i], rules->n - i);
}

// Leaves the number of the call loaded.
static void check_abi(struct program *p)
{
    load(p, offsetof(struct seccomp_data, arch));
    emit(p, BPF_JMP | BPF_JEQ | BPF_K, sandbox_arch.audit, 1, 0);
    answer(p, SECCOMP_RET_KILL_PROCESS);
    load(p, offsetof(struct seccomp_data, nr));
    emit(p, BPF_JMP | BPF_JGE | BPF_K, sandbox_arch.call_limit, 0, 1);
    answer(p, SECCOMP_RET_KILL_PROCESS);
}

static int install(const struct program *p, struct err *e)
{
    struct sock_fprog prog = {.len = p->n, .filter = (struct sock_filter *)(uintptr_t)p->code};
    long rc = syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_TSYNC, &prog);
    if (rc == 0)
        return 0;
    if (rc > 0)
        return err_set(e, ERR_INTERNAL, "thread %ld has a seccomp filter of its own", rc);
    if (errno == ENOSYS || errno == EINVAL)
        return err_set(e, ERR_UNAVAILABLE, "the kernel has no seccomp filter, so nothing untrusted is run");
    return err_errno(e, errno, "install the seccomp filter");
}

int sandbox_seccomp(unsigned have, struct err *e)
{
    struct rlimit stack;
    uint64_t stack_bytes = (uint64_t)LIMIT_SANDBOX_STACK_MB << 20;
    if (getrlimit(RLIMIT_STACK, &stack) == 0 && stack.rlim_cur < stack_bytes)
        stack_bytes = stack.rlim_cur;
    struct program p = {.have = have, .stack_floor = (uintptr_t)__builtin_frame_address(0) - stack_bytes};
    check_abi(&p);
    all_calls(&p, &sandbox_rules);
    all_calls(&p, &sandbox_rules_arch);
    emit(&p, BPF_JMP | BPF_JGT | BPF_K, sandbox_arch.call_newest, 0, 1);
    answer_errno(&p, ENOSYS);
    answer_errno(&p, EPERM);
    return install(&p, e);
}

int sandbox_seccomp_end_tasks(struct err *e)
{
    struct program p = {.n = 0};
    check_abi(&p);
    all_calls(&p, &sandbox_rules_end_tasks);
    answer(&p, SECCOMP_RET_ALLOW);
    return install(&p, e);
}
