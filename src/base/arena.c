// SPDX-License-Identifier: Apache-2.0
// The arena: one anonymous mapping, one cursor. Freed space is poisoned in AddressSanitizer builds.
#include "base/arena.h"

#include <stdint.h>
#include <string.h>
#include <sys/mman.h>

#if defined(__SANITIZE_ADDRESS__)
#define ARENA_ASAN 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define ARENA_ASAN 1
#endif
#endif
#ifdef ARENA_ASAN
#include <sanitizer/asan_interface.h>
#define POISON(p, n)   __asan_poison_memory_region((p), (n))
#define UNPOISON(p, n) __asan_unpoison_memory_region((p), (n))
#else
#define POISON(p, n)   ((void)(p), (void)(n))
#define UNPOISON(p, n) ((void)(p), (void)(n))
#endif

enum { ALIGN = 16, PAGE = 4096 };

int arena_init(struct arena *a, size_t cap, struct err *e)
{
    *a = (struct arena){0};
    void *p = mmap(NULL, cap, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (p == MAP_FAILED)
        return err_set(e, ERR_NOMEM, "reserve %zu bytes for an arena", cap);
    a->base = p;
    a->cap = cap;
    POISON(a->base, cap);
    return 0;
}

void arena_done(struct arena *a)
{
    if (!a || !a->base)
        return;
    UNPOISON(a->base, a->cap);
    munmap(a->base, a->cap);
    *a = (struct arena){0};
}

void *arena_alloc(struct arena *a, size_t n)
{
    size_t start = (a->used + ALIGN - 1) & ~(size_t)(ALIGN - 1);
    if (start > a->cap || n > a->cap - start)
        return NULL;
    a->used = start + n;
    UNPOISON(a->base + start, n);
    return a->base + start;
}

void *arena_calloc(struct arena *a, size_t n, size_t size)
{
    size_t bytes;
    if (__builtin_mul_overflow(n, size, &bytes))
        return NULL;
    void *p = arena_alloc(a, bytes);
    return p && bytes ? memset(p, 0, bytes) : p;
}

void arena_reset(struct arena *a, size_t keep_bytes)
{
    if (a->used > a->high)
        a->high = a->used;
    POISON(a->base, a->used);
    a->used = 0;
    size_t keep = (keep_bytes + PAGE - 1) & ~(size_t)(PAGE - 1);
    if (a->high > keep && keep < a->cap) {
        madvise(a->base + keep, a->cap - keep, MADV_DONTNEED);
        a->high = keep;
    }
}
