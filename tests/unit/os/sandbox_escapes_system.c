// SPDX-License-Identifier: Apache-2.0
// Escapes by memory, by the kernel's larger interfaces, and what changes the machine or the own rights. Calls
// that would do harm outside a sandbox have arguments that the kernel refuses; the sandbox refuses them
// before it looks.
#include "sandbox_escapes.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/seccomp.h>
#include <malloc.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/ipc.h>
#include <sys/mman.h>
#include <sys/msg.h>
#include <sys/personality.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/sem.h>
#include <sys/shm.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

#define ATTEMPT(name, call)                                                                                  \
    static int name(void)                                                                                    \
    {                                                                                                        \
        return escape_result(call);                                                                          \
    }

enum { PAGE = 4096, ANON = MAP_PRIVATE | MAP_ANONYMOUS };

static int map(size_t size, int prot, int flags, int fd)
{
    return mmap(NULL, size, prot, flags, fd, 0) == MAP_FAILED ? errno : 0;
}

static int map_writable_program(void)
{
    return map(PAGE, PROT_READ | PROT_WRITE | PROT_EXEC, ANON, -1);
}

static int map_program(void)
{
    return map(PAGE, PROT_READ | PROT_EXEC, MAP_PRIVATE, place.program_fd);
}

static int map_more_stack(void)
{
    return map(PAGE, PROT_READ | PROT_WRITE, ANON | MAP_GROWSDOWN, -1);
}

static int map_shared_memory(void)
{
    return map(PAGE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1);
}

static int map_shared_memory_validated(void)
{
    return map(PAGE, PROT_READ | PROT_WRITE, MAP_SHARED_VALIDATE | MAP_ANONYMOUS, -1);
}

static int map_too_much(void)
{
    return map(ESCAPE_MEMORY_BYTES, PROT_READ | PROT_WRITE, ANON, -1);
}

static int map_file_too_large(void)
{
    return map(ESCAPE_MEMORY_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE, place.secret_fd);
}

static int reserve_too_much(void)
{
    return map(1ULL << 40, PROT_NONE, ANON | MAP_NORESERVE, -1);
}

static void *reserve(size_t size)
{
    return mmap(NULL, size, PROT_NONE, ANON | MAP_NORESERVE, -1, 0);
}

static int make_program_of_memory(void)
{
    void *p = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, ANON, -1, 0);
    return escape_result(mprotect(p, PAGE, PROT_READ | PROT_EXEC));
}

static int make_program_with_key(void)
{
    return escape_result(syscall(SYS_pkey_mprotect, reserve(PAGE), PAGE, PROT_READ | PROT_EXEC, -1));
}

static int make_reserved_writable(void)
{
    return escape_result(mprotect(reserve(ESCAPE_MEMORY_BYTES), ESCAPE_MEMORY_BYTES, PROT_READ | PROT_WRITE));
}

// RLIMIT_DATA does not count the stack's pages, wherever they are moved.
static int move_the_stack(void)
{
    uintptr_t here = (uintptr_t)__builtin_frame_address(0) & ~(uintptr_t)(PAGE - 1);
    void *p = mremap((void *)(here - PAGE), PAGE, 64 * PAGE, MREMAP_MAYMOVE);
    return p == MAP_FAILED ? errno : 0;
}

static int move_onto_an_address(void)
{
    char *p = mmap(NULL, 2 * PAGE, PROT_READ, ANON, -1, 0);
    return mremap(p, PAGE, PAGE, MREMAP_MAYMOVE | MREMAP_FIXED, p + PAGE) == MAP_FAILED ? errno : 0;
}

static int allocate_too_much(void)
{
    char *volatile p = malloc(ESCAPE_MEMORY_BYTES);
    int why = p ? 0 : errno;
    free(p);
    return why;
}

static int move_break_too_far(void)
{
    char *at_first = sbrk(0);
    return escape_result(brk(at_first + ESCAPE_MEMORY_BYTES));
}

static int advise(int how)
{
    return escape_result(madvise(reserve(PAGE), PAGE, how));
}

static int merge_pages(void)
{
    return advise(12); // MADV_MERGEABLE
}

static int poison_page(void)
{
    return advise(100); // MADV_HWPOISON; of a page that is not there
}

static int raise_limit(void)
{
    struct rlimit l = {0};
    getrlimit(RLIMIT_NOFILE, &l);
    return escape_result(setrlimit(RLIMIT_NOFILE, &l));
}

static int ring_of_no_entries(void)
{
    return escape_result(syscall(SYS_io_uring_setup, 0, NULL));
}

ATTEMPT(lock_memory, syscall(SYS_mlock, &place, 1)) // the sanitizers' own mlock does nothing
ATTEMPT(lock_all_memory, syscall(SYS_mlockall, MCL_FUTURE))
ATTEMPT(enter_ring, syscall(SYS_io_uring_enter, -1, 0, 0, 0, NULL, 0))
ATTEMPT(register_ring, syscall(SYS_io_uring_register, -1, 0, NULL, 0))
ATTEMPT(load_bpf, syscall(SYS_bpf, -1, NULL, 0))
ATTEMPT(watch_events, syscall(SYS_perf_event_open, NULL, 0, -1, -1, ~0UL))
ATTEMPT(serve_page_faults, syscall(SYS_userfaultfd, -1))
ATTEMPT(use_key, syscall(SYS_keyctl, 0, -1, 0))
ATTEMPT(add_key, syscall(SYS_add_key, "user", "slipway-test", NULL, 1, 0))
ATTEMPT(request_key, syscall(SYS_request_key, NULL, NULL, NULL, 0))
ATTEMPT(load_module, syscall(SYS_init_module, NULL, 0, NULL))
ATTEMPT(load_module_of_file, syscall(SYS_finit_module, -1, NULL, 0))
ATTEMPT(load_kernel, syscall(SYS_kexec_load, 0, 0, NULL, ~0UL))
ATTEMPT(reboot_machine, syscall(SYS_reboot, 0, 0, 0, NULL))
ATTEMPT(name_machine, syscall(SYS_sethostname, "x", -1))
ATTEMPT(set_time, syscall(SYS_clock_settime, -1, NULL))
ATTEMPT(read_kernel_log, syscall(SYS_syslog, -1, NULL, 0))
ATTEMPT(change_personality, personality(0xffffffff))
ATTEMPT(set_user, setuid(getuid()))
ATTEMPT(set_group, setgid(getgid()))
ATTEMPT(set_groups, setgroups((size_t)-1, NULL))
ATTEMPT(set_capabilities, syscall(SYS_capset, NULL, NULL))
ATTEMPT(get_system_v_memory, shmget(IPC_PRIVATE, 0, 0))
ATTEMPT(get_system_v_queue, msgget(0x51170001, 0))
ATTEMPT(get_system_v_semaphores, semget(0x51170001, 0, 0))
ATTEMPT(open_posix_queue, syscall(SYS_mq_open, "slipway-sandbox-test", O_RDONLY, 0, NULL))
ATTEMPT(make_timer, timer_create(CLOCK_MONOTONIC, NULL, &(timer_t){0}))
ATTEMPT(set_interval_timer, setitimer(ITIMER_REAL, &(struct itimerval){0}, NULL))
ATTEMPT(start_asynchronous_io, syscall(SYS_io_setup, 0, NULL))
ATTEMPT(place_memory, syscall(SYS_set_mempolicy, 0, NULL, 0))
ATTEMPT(become_real_time, sched_setscheduler(0, SCHED_OTHER, &(struct sched_param){0}))
ATTEMPT(set_mask, syscall(SYS_umask, 077))
ATTEMPT(undo_seccomp, prctl(PR_SET_SECCOMP, 0, 0, 0, 0))
ATTEMPT(go_strict, prctl(PR_SET_SECCOMP, SECCOMP_MODE_STRICT, 0, 0, 0))
ATTEMPT(ask_seccomp, syscall(SYS_seccomp, SECCOMP_GET_ACTION_AVAIL, 0, &(unsigned){SECCOMP_RET_ALLOW}))
ATTEMPT(landlock_again, syscall(444, NULL, 0, 1))
ATTEMPT(call_of_the_future, syscall(1000))

#if defined __x86_64__
#include <sys/io.h>

static int call_x32(void)
{
    return escape_result(syscall(0x40000000 | SYS_getpid));
}

static int call_i386(void)
{
    long r;
    __asm__ volatile("int $0x80" : "=a"(r) : "0"(20L) : "memory", "r8", "r9", "r10", "r11"); // getpid
    return r > 0 ? 0 : (int)-r;
}

ATTEMPT(open_with_old_call, syscall(SYS_open, place.secret, O_RDONLY))
ATTEMPT(fork_with_old_call, syscall(SYS_fork))
ATTEMPT(set_ports, ioperm((unsigned long)-1, 1, 1))
ATTEMPT(set_all_ports, iopl(99))
ATTEMPT(set_segments, syscall(SYS_modify_ldt, 99, NULL, 0))
ATTEMPT(set_alarm, syscall(SYS_alarm, 0))
#endif

#define ALWAYS .works_without = true
#define LIMIT  .is_limit = true

static const struct escape list[] = {
    {"map memory that is writable and executable", map_writable_program, .refused = EPERM, ALWAYS},
    {"map a program", map_program, .refused = EPERM, ALWAYS},
    {"make memory executable", make_program_of_memory, .refused = EPERM, ALWAYS},
    {"make memory executable with a key", make_program_with_key, .refused = EPERM},
    {"map a second stack", map_more_stack, .refused = EPERM, ALWAYS},
    {"move the stack", move_the_stack, .refused = EPERM},
    {"move memory onto an address", move_onto_an_address, .refused = EPERM, ALWAYS},
    {"map anonymous shared memory", map_shared_memory, .refused = EPERM, ALWAYS},
    {"map anonymous shared memory, validated", map_shared_memory_validated, .refused = EPERM},
    {"map too much memory", map_too_much, .refused = ENOMEM, ALWAYS, LIMIT},
    {"map too much of a file, privately", map_file_too_large, .refused = ENOMEM, ALWAYS, LIMIT},
    {"reserve too much address space", reserve_too_much, .refused = ENOMEM, ALWAYS, LIMIT},
    {"make too much memory writable", make_reserved_writable, .refused = ENOMEM, ALWAYS, LIMIT},
    {"allocate too much", allocate_too_much, .refused = ENOMEM, ALWAYS, LIMIT},
    {"move the break too far", move_break_too_far, .refused = ENOMEM, ALWAYS, LIMIT},
    {"have pages merged", merge_pages, .refused = EPERM},
    {"poison a page", poison_page, .refused = EPERM},
    {"lock memory", lock_memory, .refused = EPERM},
    {"lock all memory", lock_all_memory, .refused = EPERM},
    {"raise a limit", raise_limit, .refused = EPERM, ALWAYS},
    {"io_uring_setup", ring_of_no_entries, .refused = ESCAPE_KILLED},
    {"io_uring_enter", enter_ring, .refused = ESCAPE_KILLED},
    {"io_uring_register", register_ring, .refused = ESCAPE_KILLED},
    {"bpf", load_bpf, .refused = ESCAPE_KILLED},
    {"perf_event_open", watch_events, .refused = ESCAPE_KILLED},
    {"userfaultfd", serve_page_faults, .refused = ESCAPE_KILLED},
    {"keyctl", use_key, .refused = ESCAPE_KILLED},
    {"add_key", add_key, .refused = ESCAPE_KILLED},
    {"request_key", request_key, .refused = ESCAPE_KILLED},
    {"init_module", load_module, .refused = ESCAPE_KILLED},
    {"finit_module", load_module_of_file, .refused = ESCAPE_KILLED},
    {"kexec_load", load_kernel, .refused = ESCAPE_KILLED},
    {"reboot", reboot_machine, .refused = ESCAPE_KILLED},
    {"sethostname", name_machine, .refused = ESCAPE_KILLED},
    {"clock_settime", set_time, .refused = ESCAPE_KILLED},
    {"read the kernel's log", read_kernel_log, .refused = ESCAPE_KILLED},
    {"personality", change_personality, .refused = ESCAPE_KILLED, ALWAYS},
    {"setuid", set_user, .refused = ESCAPE_KILLED, ALWAYS},
    {"setgid", set_group, .refused = ESCAPE_KILLED, ALWAYS},
    {"setgroups", set_groups, .refused = ESCAPE_KILLED},
    {"capset", set_capabilities, .refused = ESCAPE_KILLED},
    {"shmget", get_system_v_memory, .refused = EPERM},
    {"msgget", get_system_v_queue, .refused = EPERM},
    {"semget", get_system_v_semaphores, .refused = EPERM},
    {"mq_open", open_posix_queue, .refused = EPERM},
    {"timer_create", make_timer, .refused = EPERM, ALWAYS},
    {"setitimer", set_interval_timer, .refused = EPERM, ALWAYS},
    {"io_setup", start_asynchronous_io, .refused = EPERM},
    {"set_mempolicy", place_memory, .refused = EPERM},
    {"sched_setscheduler", become_real_time, .refused = EPERM, ALWAYS},
    {"umask", set_mask, .refused = EPERM, ALWAYS},
    {"undo seccomp", undo_seccomp, .refused = EPERM},
    {"seccomp's strict mode", go_strict, .refused = EPERM},
    {"ask seccomp", ask_seccomp, .refused = EPERM, ALWAYS},
    {"Landlock again", landlock_again, .refused = EPERM},
    {"a call that the rules do not know", call_of_the_future, .refused = ENOSYS},
#if defined __x86_64__
    {"a call of the x32 ABI", call_x32, .refused = ESCAPE_KILLED},
    {"a call of the i386 ABI", call_i386, .refused = ESCAPE_KILLED},
    {"open by its old call", open_with_old_call, .refused = EPERM, ALWAYS, .landlock_abi = 1},
    {"fork by its old call", fork_with_old_call, .refused = EPERM},
    {"ioperm", set_ports, .refused = ESCAPE_KILLED},
    {"iopl", set_all_ports, .refused = ESCAPE_KILLED},
    {"modify_ldt", set_segments, .refused = ESCAPE_KILLED},
    {"alarm", set_alarm, .refused = EPERM, ALWAYS},
#endif
};
const struct escapes escapes_system = {list, sizeof list / sizeof list[0]};
