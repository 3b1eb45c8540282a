// SPDX-License-Identifier: Apache-2.0
// Fibers by ucontext. The stack is a mapping with an inaccessible page below it, of which only what is used
// takes memory. AddressSanitizer is told of each change of stacks.
#include "os/fiber.h"

#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <ucontext.h>

#if defined(__SANITIZE_ADDRESS__)
#define FIBER_ASAN 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define FIBER_ASAN 1
#endif
#endif
#ifdef FIBER_ASAN
#include <sanitizer/common_interface_defs.h>
#define LEAVE(save, p, n)          __sanitizer_start_switch_fiber((save), (p), (n))
#define ARRIVE(save, ret_p, ret_n) __sanitizer_finish_switch_fiber((save), (ret_p), (ret_n))
#else
#define LEAVE(save, p, n)          ((void)(p), (void)(n))
#define ARRIVE(save, ret_p, ret_n) ((void)0)
#endif

enum { STACK_BYTES = 256 << 10, GUARD_BYTES = 64 << 10 }; // the guard: a page of any architecture's size

struct fiber {
    ucontext_t inside, outside;
    void (*run)(void *ctx);
    void *ctx;
    char *mapping; // guard, then stack
    bool ended;
    // For AddressSanitizer
    void *inside_fake, *outside_fake;
    const void *outside_stack;
    size_t outside_bytes;
};

// makecontext passes ints only.
static void enter(unsigned high, unsigned low)
{
    struct fiber *f = (struct fiber *)(uintptr_t)((uint64_t)high << 32 | low);
    ARRIVE(NULL, &f->outside_stack, &f->outside_bytes);
    f->run(f->ctx);
    f->ended = true;
    LEAVE(NULL, f->outside_stack, f->outside_bytes); // NULL: this stack is done with
    setcontext(&f->outside);
}

int fiber_new(void (*run)(void *ctx), void *ctx, struct fiber **ret, struct err *e)
{
    struct fiber *f = calloc(1, sizeof *f);
    if (!f)
        return err_set(e, ERR_NOMEM, "a fiber");
    char *mapping = mmap(NULL, GUARD_BYTES + STACK_BYTES, PROT_NONE,
                         MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_STACK, -1, 0);
    f->mapping = mapping == MAP_FAILED ? NULL : mapping;
    if (!f->mapping || mprotect(mapping + GUARD_BYTES, STACK_BYTES, PROT_READ | PROT_WRITE) ||
        getcontext(&f->inside)) {
        fiber_free(f);
        return err_set(e, ERR_NOMEM, "the stack of a fiber");
    }
    f->run = run;
    f->ctx = ctx;
    f->inside.uc_stack.ss_sp = mapping + GUARD_BYTES;
    f->inside.uc_stack.ss_size = STACK_BYTES;
    uint64_t self = (uintptr_t)f;
    makecontext(&f->inside, (void (*)(void))enter, 2, (unsigned)(self >> 32), (unsigned)self);
    *ret = f;
    return 0;
}

void fiber_free(struct fiber *f)
{
    if (!f)
        return;
    if (f->mapping)
        munmap(f->mapping, GUARD_BYTES + STACK_BYTES);
    free(f);
}

bool fiber_resume(struct fiber *f)
{
    LEAVE(&f->outside_fake, f->inside.uc_stack.ss_sp, f->inside.uc_stack.ss_size);
    swapcontext(&f->outside, &f->inside);
    ARRIVE(f->outside_fake, NULL, NULL);
    return !f->ended;
}

void fiber_pause(struct fiber *f)
{
    LEAVE(&f->inside_fake, f->outside_stack, f->outside_bytes);
    swapcontext(&f->inside, &f->outside);
    ARRIVE(f->inside_fake, &f->outside_stack, &f->outside_bytes);
}
