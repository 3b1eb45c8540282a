// SPDX-License-Identifier: Apache-2.0
// Escapes by names of files, by descriptors and by sockets.
#include "sandbox_escapes.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/fanotify.h>
#include <sys/file.h>
#include <sys/inotify.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/swap.h>
#include <sys/syscall.h>
#include <unistd.h>

int escape_result(long r)
{
    return r < 0 ? errno : 0;
}

#define ATTEMPT(name, call)                                                                                  \
    static int name(void)                                                                                    \
    {                                                                                                        \
        return escape_result(call);                                                                          \
    }

ATTEMPT(open_to_read, open(place.secret, O_RDONLY))
ATTEMPT(open_to_write, open(place.secret, O_WRONLY | O_TRUNC))
ATTEMPT(open_to_create, open(place.made, O_WRONLY | O_CREAT, 0600))
ATTEMPT(open_unnamed, open(place.dir, O_TMPFILE | O_RDWR, 0600))
ATTEMPT(open_in_directory, openat(place.dir_fd, "secret", O_RDONLY))
ATTEMPT(open_parent_directory, openat(place.dir_fd, "..", O_PATH))
ATTEMPT(open_own_memory, open("/proc/self/mem", O_RDWR))
ATTEMPT(open_dev_mem, open("/dev/mem", O_RDWR))
ATTEMPT(open_dev_null, open("/dev/null", O_WRONLY))
ATTEMPT(open_terminal, open("/dev/tty", O_RDWR))
ATTEMPT(find_by_stat, fstatat(AT_FDCWD, place.secret, &(struct stat){0}, 0))
ATTEMPT(find_by_statx, statx(AT_FDCWD, place.secret, 0, STATX_BASIC_STATS, &(struct statx){0}))
ATTEMPT(find_by_access, access(place.secret, F_OK))
ATTEMPT(read_link, readlink("/proc/self/exe", (char[64]){0}, 64))
ATTEMPT(make_symlink, symlink("secret", place.made))
ATTEMPT(make_link, link(place.secret, place.made))
ATTEMPT(rename_file, rename(place.secret, place.made))
ATTEMPT(unlink_file, unlink(place.secret))
ATTEMPT(remove_in_directory, unlinkat(place.dir_fd, "sub", AT_REMOVEDIR))
ATTEMPT(make_directory, mkdir(place.made, 0700))
ATTEMPT(make_fifo, mknod(place.made, S_IFIFO | 0600, 0))
ATTEMPT(make_device, mknod(place.made, S_IFCHR | 0600, 0x101))
ATTEMPT(change_mode, chmod(place.secret, 0777))
ATTEMPT(change_mode_of_descriptor, fchmod(place.secret_fd, 0777))
ATTEMPT(change_owner, chown(place.secret, getuid(), getgid()))
ATTEMPT(change_times, utimensat(AT_FDCWD, place.secret, NULL, 0))
ATTEMPT(truncate_file, truncate(place.secret, 1))
ATTEMPT(grow_given_memory, ftruncate(place.memfd, 1 << 16))
ATTEMPT(reserve_in_given_memory, fallocate(place.memfd, 0, 0, 1 << 16))
ATTEMPT(change_directory, chdir(place.dir))
ATTEMPT(change_directory_by_descriptor, fchdir(place.dir_fd))
ATTEMPT(list_directory, syscall(SYS_getdents64, place.dir_fd, (char[1024]){0}, 1024))
ATTEMPT(watch_files, inotify_init1(0))
ATTEMPT(watch_all_files, fanotify_init(0, 0))
ATTEMPT(name_to_handle, syscall(SYS_name_to_handle_at, AT_FDCWD, place.secret, NULL, NULL, 0))
ATTEMPT(open_by_handle, syscall(SYS_open_by_handle_at, place.dir_fd, NULL, O_RDONLY))
ATTEMPT(make_shared_memory, memfd_create("more", 0))
ATTEMPT(lock_for_others, flock(place.secret_fd, LOCK_EX | LOCK_NB))
ATTEMPT(signal_by_owner, fcntl(place.unix_fd, F_SETOWN, place.parent))
ATTEMPT(unblock_for_others, fcntl(place.unix_fd, F_SETFL, O_NONBLOCK))
ATTEMPT(control_device, ioctl(place.unix_fd, FIONREAD, &(int){0}))
ATTEMPT(copy_between_files, syscall(SYS_sendfile, place.memfd, place.secret_fd, NULL, 1))
ATTEMPT(mount_files, mount("none", place.dir, "tmpfs", 1UL << 63, NULL))
ATTEMPT(unmount_files, umount2("/nowhere/at/all", 0))
ATTEMPT(pivot_root_away, syscall(SYS_pivot_root, "/nowhere", "/nowhere"))
ATTEMPT(change_root, chroot("/nowhere"))
ATTEMPT(open_file_system, syscall(SYS_fsopen, "none", ~0U))
ATTEMPT(open_a_tree, syscall(SYS_open_tree, AT_FDCWD, "/nowhere", 0))
ATTEMPT(move_a_mount, syscall(SYS_move_mount, -1, "", -1, "", 0))
ATTEMPT(swap_to_file, swapon("/nowhere", 0))
ATTEMPT(make_socket_pair, socketpair(AF_UNIX, SOCK_STREAM, 0, (int[2]){0}))
ATTEMPT(listen_on_socket, listen(place.tcp_fd, 1))
ATTEMPT(set_socket_option, setsockopt(place.tcp_fd, SOL_SOCKET, SO_KEEPALIVE, &(int){1}, sizeof(int)))

static int open_with_openat2(void)
{
    uint64_t how[3] = {O_RDONLY};
    return escape_result(syscall(437, AT_FDCWD, place.secret, how, sizeof how)); // SYS_openat2
}

static int open_descriptor_again(void)
{
    char path[64];
    snprintf(path, sizeof path, "/proc/self/fd/%d", place.secret_fd);
    return escape_result(open(path, O_WRONLY));
}

static int open_memory_of_parent(void)
{
    char path[64];
    snprintf(path, sizeof path, "/proc/%d/mem", place.parent);
    return escape_result(open(path, O_RDWR));
}

static int make_named_shared_memory(void)
{
    int fd = shm_open("/slipway-sandbox-test", O_CREAT | O_RDWR, 0600);
    if (fd >= 0)
        shm_unlink("/slipway-sandbox-test");
    return escape_result(fd);
}

static int socket_of_any_family(void)
{
    int why = 0;
    for (int family = 0; family < 48; family++)
        for (int type = SOCK_STREAM; type <= SOCK_SEQPACKET; type++) {
            if (socket(family, type, 0) >= 0)
                return 0;
            if (why && errno != why)
                return EPROTO; // not refused alike, so some were looked at
            why = errno;
        }
    return why;
}

static struct sockaddr_in loopback(uint16_t port)
{
    return (struct sockaddr_in){
        .sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
}

static int connect_given_socket(void)
{
    struct sockaddr_in to = loopback(place.port);
    return escape_result(connect(place.tcp_fd, (struct sockaddr *)&to, sizeof to));
}

static int bind_given_socket(void)
{
    struct sockaddr_in to = loopback(0);
    return escape_result(bind(place.tcp_fd, (struct sockaddr *)&to, sizeof to));
}

static int send_to_an_address(void)
{
    struct sockaddr_in to = loopback(place.port);
    return escape_result(sendto(place.udp_fd, "x", 1, 0, (struct sockaddr *)&to, sizeof to));
}

static int send_a_descriptor(void)
{
    union {
        struct cmsghdr head;
        char space[CMSG_SPACE(sizeof(int))];
    } control = {
        .head = {.cmsg_len = CMSG_LEN(sizeof(int)), .cmsg_level = SOL_SOCKET, .cmsg_type = SCM_RIGHTS}};
    struct iovec iov = {(char[]){"x"}, 1};
    struct msghdr h = {
        .msg_iov = &iov, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof control.space};
    memcpy(CMSG_DATA(&control.head), &place.secret_fd, sizeof(int));
    return escape_result(sendmsg(place.unix_fd, &h, 0));
}

static int dup_without_end(void)
{
    for (int i = 0; i < ESCAPE_FILES; i++)
        if (dup(place.secret_fd) < 0)
            return errno;
    return 0;
}

static int write_a_large_file(void)
{
    signal(SIGXFSZ, SIG_IGN);
    return escape_result(pwrite(place.memfd, "x", 1, ESCAPE_FILE_BYTES));
}

#define ALWAYS .works_without = true
#define TRACE  .works_without = true, .leaves_trace = true

static const struct escape list[] = {
    {"open a file to read", open_to_read, .refused = EPERM, ALWAYS, .landlock_abi = 1},
    {"open a file to write", open_to_write, .refused = EPERM, TRACE, .landlock_abi = 1},
    {"create a file", open_to_create, .refused = EPERM, TRACE, .landlock_abi = 1},
    {"create a file without a name", open_unnamed, .refused = EPERM, .landlock_abi = 1},
    {"open in a given directory", open_in_directory, .refused = EPERM, ALWAYS, .landlock_abi = 1},
    {"open with openat2", open_with_openat2, .refused = EPERM, .landlock_abi = 1},
    {"open the directory above a given one", open_parent_directory, .refused = EPERM, ALWAYS},
    {"open a descriptor again, to write", open_descriptor_again, .refused = EPERM, ALWAYS, .landlock_abi = 1},
    {"open the own memory", open_own_memory, .refused = EPERM, .landlock_abi = 1},
    {"open the memory of the parent", open_memory_of_parent, .refused = EPERM, .landlock_abi = 1},
    {"open /dev/mem", open_dev_mem, .refused = EPERM},
    {"open /dev/null", open_dev_null, .refused = EPERM, ALWAYS, .landlock_abi = 1},
    {"open the terminal", open_terminal, .refused = EPERM},
    {"find a file by stat", find_by_stat, .refused = EPERM, ALWAYS},
    {"find a file by statx", find_by_statx, .refused = EPERM, ALWAYS},
    {"find a file by access", find_by_access, .refused = EPERM, ALWAYS},
    {"read a link", read_link, .refused = EPERM, ALWAYS},
    {"make a symbolic link", make_symlink, .refused = EPERM, TRACE, .landlock_abi = 1},
    {"make a hard link", make_link, .refused = EPERM, TRACE, .landlock_abi = 1},
    {"rename a file", rename_file, .refused = EPERM, TRACE, .landlock_abi = 1},
    {"unlink a file", unlink_file, .refused = EPERM, TRACE, .landlock_abi = 1},
    {"remove in a given directory", remove_in_directory, .refused = EPERM, TRACE, .landlock_abi = 1},
    {"make a directory", make_directory, .refused = EPERM, TRACE, .landlock_abi = 1},
    {"make a FIFO", make_fifo, .refused = EPERM, TRACE, .landlock_abi = 1},
    {"make a device", make_device, .refused = EPERM},
    {"change a mode", change_mode, .refused = EPERM, TRACE},
    {"change the mode of a descriptor", change_mode_of_descriptor, .refused = EPERM, TRACE},
    {"change an owner", change_owner, .refused = EPERM, ALWAYS},
    {"change times", change_times, .refused = EPERM, ALWAYS},
    {"truncate a file", truncate_file, .refused = EPERM, TRACE, .landlock_abi = 3},
    {"grow given memory", grow_given_memory, .refused = EPERM, ALWAYS},
    {"reserve in given memory", reserve_in_given_memory, .refused = EPERM, ALWAYS},
    {"change the directory", change_directory, .refused = EPERM, ALWAYS},
    {"change to a given directory", change_directory_by_descriptor, .refused = EPERM, ALWAYS},
    {"list a given directory", list_directory, .refused = EPERM, ALWAYS},
    {"watch files", watch_files, .refused = EPERM},
    {"watch all files", watch_all_files, .refused = ESCAPE_KILLED},
    {"make a handle of a name", name_to_handle, .refused = ESCAPE_KILLED},
    {"open by handle", open_by_handle, .refused = ESCAPE_KILLED},
    {"make shared memory", make_shared_memory, .refused = EPERM, ALWAYS},
    {"make named shared memory", make_named_shared_memory, .refused = EPERM, .landlock_abi = 1},
    {"lock a file for others", lock_for_others, .refused = EPERM, ALWAYS},
    {"have the kernel signal others", signal_by_owner, .refused = EPERM, ALWAYS},
    {"unblock a descriptor for others", unblock_for_others, .refused = EPERM, ALWAYS},
    {"control a device", control_device, .refused = ENOTTY, ALWAYS},
    {"copy between files", copy_between_files, .refused = EPERM, ALWAYS},
    {"mount", mount_files, .refused = ESCAPE_KILLED},
    {"unmount", unmount_files, .refused = ESCAPE_KILLED},
    {"pivot_root", pivot_root_away, .refused = ESCAPE_KILLED},
    {"chroot", change_root, .refused = ESCAPE_KILLED},
    {"fsopen", open_file_system, .refused = ESCAPE_KILLED},
    {"open_tree", open_a_tree, .refused = ESCAPE_KILLED},
    {"move_mount", move_a_mount, .refused = ESCAPE_KILLED},
    {"swapon", swap_to_file, .refused = ESCAPE_KILLED},
    {"a socket of any family", socket_of_any_family, .refused = EPERM, ALWAYS},
    {"a pair of sockets", make_socket_pair, .refused = EPERM, ALWAYS},
    {"connect a given socket", connect_given_socket, .refused = EPERM, ALWAYS, .landlock_abi = 4},
    {"bind a given socket", bind_given_socket, .refused = EPERM, ALWAYS, .landlock_abi = 4},
    {"listen on a given socket", listen_on_socket, .refused = EPERM, ALWAYS},
    {"set an option of a socket", set_socket_option, .refused = EPERM, ALWAYS},
    {"send to an address", send_to_an_address, .refused = EPERM, ALWAYS},
    {"send a descriptor", send_a_descriptor, .refused = EPERM, ALWAYS, .only_strict = true},
    {"duplicate descriptors without end", dup_without_end, .refused = EMFILE, ALWAYS},
    {"write a large file", write_a_large_file, .refused = EFBIG, ALWAYS},
};
const struct escapes escapes_files = {list, sizeof list / sizeof list[0]};
