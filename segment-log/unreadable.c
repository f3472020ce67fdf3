/* A data directory whose identity cannot be read: what a node made in it goes into a directory of its own inside, so that
 * this also works where the data directory is a mount point, and nothing else there is touched. */
#include <segment_log/node_store.h>

#include "problem.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#define SET_ASIDE_MAX 1000u /* in one data directory */

/* In this order: as long as the first is there, the directory is no empty one. */
static const char *const own_names[] = {"groups",    "lost",         "votes",   "votes.lost",
                                        "votes.new", "identity.new", "identity"};

struct own_files {
    uint32_t found;       /* bit per name */
    uint32_t numbers_end; /* above the numbers that are taken */
};

static void note_name(void *data, const char *name)
{
    struct own_files *files = data;
    for (uint32_t i = 0; i < sizeof own_names / sizeof *own_names; i++) {
        if (strcmp(name, own_names[i]) == 0) files->found |= 1u << i;
    }
    uint32_t number;
    char end;
    if (sscanf(name, NODE_UNREADABLE_PREFIX "%u%c", &number, &end) == 1 &&
        number >= files->numbers_end && number <= SET_ASIDE_MAX) {
        files->numbers_end = number + 1u;
    }
}

static int move_all(struct disk *disk, const char *directory, const struct own_files *files,
                    const char *target)
{
    int error = 0;
    for (uint32_t i = 0; !error && i < sizeof own_names / sizeof *own_names; i++) {
        char from[DISK_PATH_MAX], to[DISK_PATH_MAX];
        if (!(files->found & 1u << i)) continue;
        if (!path__join(from, directory, own_names[i]) || !path__join(to, target, own_names[i])) {
            return -ENAMETOOLONG;
        }
        error = disk_rename(disk, from, to);
    }
    return error;
}

int node_directory_set_aside(struct disk *disk, const char *directory, char ret_path[DISK_PATH_MAX])
{
    struct own_files files = {.numbers_end = 1};
    char name[64];
    ret_path[0] = '\0';
    int error = disk_list(disk, directory, note_name, &files);
    if (error || files.found == 0) return error;
    if (files.numbers_end > SET_ASIDE_MAX) return -EEXIST;
    snprintf(name, sizeof name, NODE_UNREADABLE_PREFIX "%u", files.numbers_end);
    if (!path__join(ret_path, directory, name)) return -ENAMETOOLONG;
    error = disk_make_directory(disk, ret_path);
    /* Its name first: whoever finds it knows that this is no empty directory. */
    if (!error) error = disk_sync_directory(disk, directory);
    if (!error) error = move_all(disk, directory, &files, ret_path);
    if (!error) error = disk_sync_directory(disk, ret_path);
    return error ? error : disk_sync_directory(disk, directory);
}

bool node_directory_is_node_name(const char *name)
{
    for (uint32_t i = 0; i < sizeof own_names / sizeof *own_names; i++) {
        if (strcmp(name, own_names[i]) == 0) return true;
    }
    return node_directory_is_aside_name(name);
}

bool node_directory_is_aside_name(const char *name)
{
    return strncmp(name, NODE_UNREADABLE_PREFIX, strlen(NODE_UNREADABLE_PREFIX)) == 0;
}
