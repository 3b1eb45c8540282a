// SPDX-License-Identifier: Apache-2.0
// Nodes are files and folders by inode number. Each holds what is safe, and a list of what was done since.
//
// A cut chooses one of four ways: all that is not safe is lost; all is kept; a journal (changes of names up
// to some moment, of each file the writes up to some moment, the last one torn); or chaos (each page of each
// write and the changes of each name on their own; what a file grew by without its bytes may hold anything).
#include "disk_model.h"

#include <dirent.h>
#include <err.h>
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

enum { PAGE_BYTES = 4096, SECTOR_BYTES = 512, PATH_BYTES = 1024, LARGEST_BYTES = 64 << 20 };
enum way { WAY_LOST, WAY_KEPT, WAY_JOURNAL, WAY_CHAOS, WAYS };

struct change { // of a file
    bool is_resize;
    uint64_t offset, n; // a resize: offset is the size
    const uint8_t *bytes;
};

struct entry {
    const char *name;
    struct node *node; // NULL: none of that name
    uint64_t when;     // of a change of names: its number on this disk
};

struct entries {
    struct entry *p;
    size_t n, cap;
};

struct node {
    uint64_t ino;
    bool is_dir;
    char *name;     // that it was loaded by, or NULL
    uint8_t *bytes; // (size): what is safe
    size_t size;
    struct change *changes;
    size_t n_changes, changes_cap;
    struct entries safe, now, since; // names: what is safe, what programs see, the changes in between
};

struct disk {
    struct node *root;
    struct node **nodes; // the latest last: an inode number may come again
    size_t n_nodes, cap;
    uint64_t n_name_changes;
};

uint64_t dice_roll(struct dice *d, uint64_t n)
{
    uint64_t z = d->state += UINT64_C(0x9e3779b97f4a7c15);
    z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
    return (z ^ (z >> 31)) % n;
}

// Room for one more of `size` bytes.
static void *grown(void *p, size_t n, size_t *cap, size_t size)
{
    if (n < *cap)
        return p;
    *cap = *cap ? 2 * *cap : 8;
    p = realloc(p, *cap * size);
    if (!p)
        err(1, "no memory for the model of a disk");
    return p;
}

static void entries_add(struct entries *e, struct entry one)
{
    e->p = grown(e->p, e->n, &e->cap, sizeof *e->p);
    e->p[e->n++] = one;
}

static void entries_set(struct entries *e, const char *name, struct node *node)
{
    for (size_t i = 0; i < e->n; i++) {
        if (strcmp(e->p[i].name, name) == 0) {
            e->p[i].node = node;
            return;
        }
    }
    entries_add(e, (struct entry){.name = name, .node = node});
}

static struct node *entries_find(const struct entries *e, const char *name)
{
    for (size_t i = 0; i < e->n; i++)
        if (strcmp(e->p[i].name, name) == 0)
            return e->p[i].node;
    return NULL;
}

static struct node *node_new(struct disk *d, uint64_t ino, bool is_dir)
{
    struct node *node = calloc(1, sizeof *node);
    d->nodes = grown(d->nodes, d->n_nodes, &d->cap, sizeof(struct node *));
    if (!node)
        err(1, "no memory for the model of a disk");
    *node = (struct node){.ino = ino, .is_dir = is_dir};
    d->nodes[d->n_nodes++] = node;
    return node;
}

static struct node *node_find(const struct disk *d, uint64_t ino)
{
    for (size_t i = d->n_nodes; i-- > 0;)
        if (d->nodes[i]->ino == ino)
            return d->nodes[i];
    return NULL;
}

static void load_file(struct node *node, int fd, size_t size)
{
    node->size = size;
    node->bytes = malloc(size + 1);
    if (!node->bytes || read(fd, node->bytes, size) != (ssize_t)size)
        err(1, "read a file of the disk");
}

static struct node *load(struct disk *d, int parent, const char *name)
{
    struct stat st;
    int fd = openat(parent, name, O_RDONLY | O_CLOEXEC);
    if (fd < 0 || fstat(fd, &st) < 0)
        err(1, "open '%s'", name);
    struct node *node = node_new(d, st.st_ino, S_ISDIR(st.st_mode));
    node->name = strdup(name);
    if (!node->is_dir) {
        load_file(node, fd, (size_t)st.st_size);
        close(fd);
        return node;
    }
    DIR *dir = fdopendir(fd);
    for (struct dirent *one; dir && (one = readdir(dir));) {
        if (one->d_type != DT_REG && (one->d_type != DT_DIR || one->d_name[0] == '.'))
            continue;
        struct node *child = load(d, fd, one->d_name);
        struct entry entry = {.name = child->name, .node = child};
        entries_add(&node->safe, entry);
        entries_add(&node->now, entry);
    }
    closedir(dir);
    return node;
}

struct disk *disk_new(const char *root)
{
    struct disk *d = calloc(1, sizeof *d);
    if (!d)
        err(1, "no memory for the model of a disk");
    d->root = load(d, AT_FDCWD, root);
    return d;
}

struct disk *disk_new_empty(uint64_t root_ino)
{
    struct disk *d = calloc(1, sizeof *d);
    if (!d)
        err(1, "no memory for the model of a disk");
    d->root = node_new(d, root_ino, true);
    return d;
}

static void change_name(struct disk *d, uint64_t dir_ino, const char *name, struct node *node)
{
    struct node *dir = node_find(d, dir_ino);
    if (!dir || !dir->is_dir)
        return;
    entries_set(&dir->now, name, node);
    entries_add(&dir->since, (struct entry){.name = name, .node = node, .when = d->n_name_changes});
}

static void move(struct disk *d, const struct io_record *r)
{
    const char *name = (const char *)(r + 1), *to_name = name + strlen(name) + 1;
    struct node *dir = node_find(d, r->dir), *node = dir ? entries_find(&dir->now, name) : NULL;
    if (!node)
        return;
    change_name(d, r->to_dir, to_name, node);
    if (r->op == IO_OP_RENAME)
        change_name(d, r->dir, name, NULL);
    d->n_name_changes++; // both at one moment
}

// Makes *bytes hold `size` of them, zeros where there were none.
static void resize(uint8_t **bytes, size_t *size, uint64_t to)
{
    if (to > LARGEST_BYTES)
        errx(1, "a file of %llu bytes is none for a test", (unsigned long long)to);
    uint8_t *p = realloc(*bytes, to + 1);
    if (!p)
        err(1, "no memory for the model of a disk");
    if (to > *size)
        memset(p + *size, 0, to - *size);
    *bytes = p;
    *size = to;
}

static void put(uint8_t **bytes, size_t *size, const struct change *c, uint64_t from, uint64_t n)
{
    if (c->offset + from + n > *size)
        resize(bytes, size, c->offset + from + n);
    memcpy(*bytes + c->offset + from, c->bytes + from, n);
}

static void apply_change(uint8_t **bytes, size_t *size, const struct change *c)
{
    if (c->is_resize)
        resize(bytes, size, c->offset);
    else
        put(bytes, size, c, 0, c->n);
}

static void sync_node(struct node *node)
{
    for (size_t i = 0; i < node->n_changes; i++)
        apply_change(&node->bytes, &node->size, &node->changes[i]);
    node->n_changes = 0;
    for (size_t i = 0; i < node->since.n; i++)
        entries_set(&node->safe, node->since.p[i].name, node->since.p[i].node);
    node->since.n = 0;
}

static void add_change(struct node *node, struct change c)
{
    node->changes = grown(node->changes, node->n_changes, &node->changes_cap, sizeof *node->changes);
    node->changes[node->n_changes++] = c;
}

void disk_apply(struct disk *d, const struct io_record *r)
{
    const char *name = (const char *)(r + 1);
    struct node *node = NULL;
    if (r->op == IO_OP_WRITE || r->op == IO_OP_RESIZE || r->op == IO_OP_SYNC)
        node = node_find(d, r->node);
    switch ((enum io_op)r->op) {
    case IO_OP_CREATE:
    case IO_OP_MKDIR:
        if (node_find(d, r->dir))
            change_name(d, r->dir, name, node_new(d, r->node, r->op == IO_OP_MKDIR));
        d->n_name_changes++;
        break;
    case IO_OP_UNLINK:
        change_name(d, r->dir, name, NULL);
        d->n_name_changes++;
        break;
    case IO_OP_RENAME:
    case IO_OP_LINK:
        move(d, r);
        break;
    case IO_OP_WRITE:
    case IO_OP_RESIZE:
        if (node)
            add_change(node, (struct change){.is_resize = r->op == IO_OP_RESIZE,
                                             .offset = r->offset,
                                             .n = r->n_bytes,
                                             .bytes = (const uint8_t *)name});
        break;
    case IO_OP_SYNC:
        if (node)
            sync_node(node);
        break;
    }
}

struct cut {
    struct dice dice;
    enum way way;
    uint64_t percent;     // of the pages that chaos keeps
    bool is_junk;         // where a file grew without its bytes
    uint64_t names_until; // of a journal
};

// Of one write under chaos: each page is there or not.
static void put_some(struct cut *cut, uint8_t **bytes, size_t *size, const struct change *c)
{
    size_t was = *size;
    if (c->offset + c->n > was)
        resize(bytes, size, c->offset + c->n);
    for (uint64_t at = 0; at < c->n;) {
        uint64_t n = PAGE_BYTES - (c->offset + at) % PAGE_BYTES;
        n = n < c->n - at ? n : c->n - at;
        if (dice_roll(&cut->dice, 100) < cut->percent)
            put(bytes, size, c, at, n);
        else if (cut->is_junk && c->offset + at >= was)
            memset(*bytes + c->offset + at, 0xa5, n);
        at += n;
    }
}

static void put_torn(struct cut *cut, uint8_t **bytes, size_t *size, const struct change *c)
{
    uint64_t sectors = dice_roll(&cut->dice, c->n / SECTOR_BYTES + 1);
    if (!c->is_resize)
        put(bytes, size, c, 0, sectors * SECTOR_BYTES);
}

static void write_file(struct cut *cut, const struct node *node, int dir_fd, const char *name)
{
    uint8_t *bytes = malloc(node->size + 1);
    size_t size = node->size, kept = 0;
    if (!bytes)
        err(1, "no memory for the model of a disk");
    memcpy(bytes, node->bytes ? node->bytes : (const uint8_t *)"", size);
    if (cut->way == WAY_KEPT)
        kept = node->n_changes;
    else if (cut->way == WAY_JOURNAL)
        kept = dice_roll(&cut->dice, node->n_changes + 1);
    for (size_t i = 0; i < kept; i++)
        apply_change(&bytes, &size, &node->changes[i]);
    if (cut->way == WAY_JOURNAL && kept < node->n_changes)
        put_torn(cut, &bytes, &size, &node->changes[kept]);
    for (size_t i = 0; cut->way == WAY_CHAOS && i < node->n_changes; i++) {
        const struct change *c = &node->changes[i];
        if (!c->is_resize)
            put_some(cut, &bytes, &size, c);
        else if (dice_roll(&cut->dice, 100) < cut->percent)
            resize(&bytes, &size, c->offset);
    }
    int fd = openat(dir_fd, name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0640);
    if (fd < 0 || write(fd, bytes, size) != (ssize_t)size)
        err(1, "write '%s' of what the cut left", name);
    close(fd);
    free(bytes);
}

// The names that the cut leaves in a folder.
static struct entries names_left(struct cut *cut, const struct node *dir)
{
    struct entries left = {0};
    for (size_t i = 0; i < dir->safe.n; i++)
        entries_add(&left, dir->safe.p[i]);
    for (size_t i = 0; i < dir->since.n; i++) {
        const struct entry *change = &dir->since.p[i];
        bool is_kept = cut->way == WAY_KEPT || (cut->way == WAY_JOURNAL && change->when < cut->names_until);
        if (cut->way == WAY_CHAOS)
            is_kept = dice_roll(&cut->dice, 2);
        if (is_kept)
            entries_set(&left, change->name, change->node);
    }
    return left;
}

static void write_dir(struct cut *cut, const struct node *dir, int fd)
{
    struct entries left = names_left(cut, dir);
    for (size_t i = 0; i < left.n; i++) {
        const struct node *node = left.p[i].node;
        if (node && !node->is_dir)
            write_file(cut, node, fd, left.p[i].name);
        if (!node || !node->is_dir)
            continue;
        int sub_fd = -1;
        if (mkdirat(fd, left.p[i].name, 0750) == 0)
            sub_fd = openat(fd, left.p[i].name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        if (sub_fd < 0)
            err(1, "make the folder '%s' of what the cut left", left.p[i].name);
        write_dir(cut, node, sub_fd);
        close(sub_fd);
    }
    free(left.p);
}

void disk_cut(const struct disk *d, uint64_t seed, const char *to)
{
    struct cut cut = {.dice.state = seed};
    cut.way = (enum way)dice_roll(&cut.dice, WAYS);
    cut.percent = 10 + 40 * dice_roll(&cut.dice, 3);
    cut.is_junk = dice_roll(&cut.dice, 2);
    cut.names_until = dice_roll(&cut.dice, d->n_name_changes + 1);
    int fd = -1;
    if (mkdir(to, 0750) == 0)
        fd = open(to, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        err(1, "make the folder '%s'", to);
    write_dir(&cut, d->root, fd);
    close(fd);
}

void disk_free(struct disk *d)
{
    for (size_t i = 0; i < d->n_nodes; i++) {
        struct node *node = d->nodes[i];
        free(node->name);
        free(node->bytes);
        free(node->changes);
        free(node->safe.p);
        free(node->now.p);
        free(node->since.p);
        free(node);
    }
    free(d->nodes);
    free(d);
}
