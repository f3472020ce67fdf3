/* Names as the page cache shows them and as the medium holds them. */
#include "memory_disk_private.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- small parts -------------------------------------------------------------------------------------- */

void *memory_disk__must(void *memory)
{
    /* A test without memory has nothing to tell. */
    if (!memory) abort();
    return memory;
}

uint64_t memory_disk__draw(struct memory_disk *disk)
{
    /* splitmix64: every seed, 0 too, gives a good sequence. */
    uint64_t z = disk->random += 0x9e3779b97f4a7c15u;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
}

bool memory_disk__coin(struct memory_disk *disk)
{
    return (memory_disk__draw(disk) >> 32) & 1u;
}

void memory_path__copy(char target[DISK_PATH_MAX], const char *path)
{
    size_t length = strlen(path);
    assert(length < DISK_PATH_MAX);
    while (length > 1 && path[length - 1] == '/') {
        length--;
    }
    memmove(target, path, length);
    target[length] = 0;
}

bool memory_path__is_in(const char *path, const char *directory)
{
    const char *slash = strrchr(path, '/');
    if (!slash) return path[0] && strcmp(directory, ".") == 0;
    if (slash == path) return strcmp(directory, "/") == 0;
    size_t length = (size_t)(slash - path);
    return strncmp(path, directory, length) == 0 && directory[length] == 0;
}

void memory_path__parent(char target[DISK_PATH_MAX], const char *path)
{
    memory_path__copy(target, path);
    char *slash = strrchr(target, '/');
    if (!slash) {
        memory_path__copy(target, ".");
    } else if (slash == target) {
        target[1] = 0;
    } else {
        *slash = 0;
    }
}

static char *path_duplicate(const char *path)
{
    char copy[DISK_PATH_MAX];
    memory_path__copy(copy, path);
    return memory_disk__must(strdup(copy));
}

struct inode *memory_inode__ref(struct inode *inode)
{
    inode->refs++;
    return inode;
}

/* ---- names -------------------------------------------------------------------------------------------- */

size_t memory_names__position(const struct names *names, const char *path)
{
    size_t low = 0, high = names->count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (strcmp(names->items[middle].path, path) < 0) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low;
}

struct inode *memory_names__get(const struct names *names, const char *path)
{
    size_t position = memory_names__position(names, path);
    if (position == names->count || strcmp(names->items[position].path, path) != 0) return NULL;
    return names->items[position].inode;
}

void memory_names__remove(struct names *names, const char *path)
{
    size_t position = memory_names__position(names, path);
    if (position == names->count || strcmp(names->items[position].path, path) != 0) return;
    memory_inode__unref(names->items[position].inode);
    free(names->items[position].path); /* `path` may be it */
    names->count--;
    memmove(&names->items[position], &names->items[position + 1],
            (names->count - position) * sizeof *names->items);
}

static void names_reserve(struct names *names)
{
    if (names->count < names->capacity) return;
    names->capacity = names->capacity ? 2 * names->capacity : 16;
    names->items = memory_disk__must(realloc(names->items, names->capacity * sizeof *names->items));
}

void memory_names__set(struct names *names, const char *path, struct inode *inode)
{
    memory_inode__ref(inode);
    memory_names__remove(names, path);
    names_reserve(names);
    size_t position = memory_names__position(names, path);
    memmove(&names->items[position + 1], &names->items[position],
            (names->count - position) * sizeof *names->items);
    names->items[position] = (struct name){path_duplicate(path), inode};
    names->count++;
}

void memory_names__append(struct names *names, const char *path, struct inode *inode)
{
    memory_inode__ref(inode);
    names_reserve(names);
    names->items[names->count++] = (struct name){path_duplicate(path), inode};
}

void memory_names__clear(struct names *names)
{
    for (size_t i = 0; i < names->count; i++) {
        memory_inode__unref(names->items[i].inode);
        free(names->items[i].path);
    }
    free(names->items);
    *names = (struct names){0};
}

void memory_names__copy(struct names *target, const struct names *source)
{
    memory_names__clear(target);
    for (size_t i = 0; i < source->count; i++) {
        memory_names__append(target, source->items[i].path, source->items[i].inode);
    }
}

void memory_names__apply(struct names *names, const struct pending *pending)
{
    if (pending->from[0]) {
        /* A rename whose source name was never made durable still moves only its own file. */
        struct inode *inode = memory_names__get(names, pending->from);
        if (!pending->to[0] || inode == pending->inode) memory_names__remove(names, pending->from);
    }
    if (pending->to[0]) memory_names__set(names, pending->to, pending->inode);
}

void memory_disk__change_name(struct memory_disk *disk, const char *from, const char *to,
                              struct inode *inode)
{
    if (disk->pending_count == disk->pending_capacity) {
        disk->pending_capacity = disk->pending_capacity ? 2 * disk->pending_capacity : 16;
        disk->pending = memory_disk__must(
            realloc(disk->pending, disk->pending_capacity * sizeof *disk->pending));
    }
    struct pending *pending = &disk->pending[disk->pending_count++];
    memory_path__copy(pending->from, from);
    memory_path__copy(pending->to, to);
    pending->inode = memory_inode__ref(inode);
    memory_names__apply(&disk->cache, pending);
}
