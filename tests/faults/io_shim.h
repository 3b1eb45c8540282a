// SPDX-License-Identifier: Apache-2.0
// A layer between a program and the C library's calls that change files or send: it can count them, end the
// process at the Nth, let the Nth fail, pretend that a disk is full, leave syncs out, and record what a disk
// was asked to do, from which disk_model.h tells what a power cut leaves. Linked into a program it serves the
// libraries of that program, too, such as SQLite. Only calls on files below one folder, the data directory,
// and on sockets count.
//
// In a server (tests/faults/server_plan.c) it looks for its plan beside the data directory, DATA_DIR.faults,
// in the controller and in the helpers that are handed descriptors of the data directory; the monitor and
// what seals its log have a plan of their own, DATA_DIR.faults-log; elsewhere it does nothing.
#pragma once

#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

// What a file is in a data directory, by its path.
enum io_file {
    IO_FILE_ROOT = 1 << 0,   // the data directory
    IO_FILE_DB = 1 << 1,     // registry.db
    IO_FILE_WAL = 1 << 2,    // registry.db-wal
    IO_FILE_BLOBS = 1 << 3,  // the folder blobs
    IO_FILE_SHA256 = 1 << 4, // the folder blobs/sha256
    IO_FILE_SHARD = 1 << 5,  // a folder blobs/sha256/ab
    IO_FILE_BLOB = 1 << 6,   // a file in a shard or in blobs/tmp
    IO_FILE_OTHER = 1 << 7,  // all else in the data directory
    IO_FILE_SOCKET = 1 << 8, // any socket
};

enum io_kind {
    IO_KIND_WRITE = 1 << 0, // write, pwrite, writev
    IO_KIND_SYNC = 1 << 1,  // fsync, fdatasync
    IO_KIND_NAME = 1 << 2,  // a file made or opened to be written, mkdir, rename, link, unlink
    IO_KIND_SIZE = 1 << 3,  // ftruncate, fallocate
    IO_KIND_SEND = 1 << 4,  // send, sendmsg, write to a socket
};

enum io_action { IO_ACTION_NONE, IO_ACTION_KILL, IO_ACTION_TEAR, IO_ACTION_FAIL, IO_ACTION_STALL };

// Shared by all processes that obey it, and by who gives the orders; tests/flows/faults.py knows this layout.
struct io_plan {
    _Atomic uint32_t is_armed; // nothing below counts before
    uint32_t action; // at call `at`: IO_ACTION_TEAR writes whole pages of about the first half and ends the
                     // process; IO_ACTION_STALL keeps the call waiting while it is the action
    uint32_t kinds, files;  // which calls count: masks of io_kind and io_file
    uint32_t error;         // of IO_ACTION_FAIL
    uint32_t is_sticky;     // all later ones fail as well
    uint32_t at;            // 1: the first
    _Atomic uint32_t count; // calls that counted
    _Atomic uint32_t n_fired;
    uint32_t fired_kind, fired_file;
    uint32_t ignored_syncs; // mask of io_file: answered with success, not recorded
    uint32_t has_room;      // else the disk has no end
    uint32_t is_recording;
    _Atomic int64_t room_bytes; // free on the disk; writes beyond answer ENOSPC
};

enum io_op {      // of a record
    IO_OP_CREATE, // node, dir, name
    IO_OP_MKDIR,  // node, dir, name
    IO_OP_WRITE,  // node, offset, bytes
    IO_OP_RESIZE, // node, offset: the new size
    IO_OP_SYNC,   // node
    IO_OP_RENAME, // dir, name, to_dir, to_name
    IO_OP_LINK,   // the same
    IO_OP_UNLINK, // dir, name
};

// One call that was made, in the order they ended. Folders and files are named by inode number, which another
// file has from the record on that creates it.
struct io_record {
    uint32_t op, n_bytes; // of what follows: the bytes written, or one or two names with NUL
    uint64_t node, dir, to_dir, offset;
};
enum { IO_RECORD_ALIGN = 8 };
size_t io_record_size(const struct io_record *r); // with what follows and the padding

// Obeys *plan in this process from now on for files below `root`, an absolute path, and appends records to
// log_fd, a file opened with O_APPEND, or -1.
void io_shim_attach(struct io_plan *plan, const char *root, int log_fd);
// Obeys none.
void io_shim_detach(void);
