/* Is a data directory somebody else's? */
#include "directory.h"

#include "problem.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#define NAMES_SHOWN 3u

static void note_any(void *data, const char *name)
{
    (void)name;
    *(bool *)data = true;
}

int directory__lost_found_is_used(struct disk *disk, const char *directory)
{
    char path[DISK_PATH_MAX];
    bool is_used = false;
    if (!path__join(path, directory, DIRECTORY_LOST_FOUND)) return -ENAMETOOLONG;
    const int error = disk_list(disk, path, note_any, &is_used);
    if (error == -ENOENT) return 0;
    if (error == -ENOTDIR) return 1;
    if (error != -EACCES && error != -EPERM) return error ? error : is_used;
    /* It is its owner's alone, as always where a node does not run as root. A node's directory has directories in it, and what
     * is found again of it is put in there with them. */
    const int found = disk_has_subdirectories(disk, path);
    return found == -ENOSYS ? 1 : found;
}

struct names {
    bool has_node_files, has_lost_found;
    uint32_t strangers;
    char *text;
    size_t bytes;
};

static void add_stranger(struct names *names, const char *name)
{
    if (names->strangers++ >= NAMES_SHOWN) return;
    const size_t used = strlen(names->text);
    snprintf(names->text + used, names->bytes - used, "%s%.60s", used ? ", " : "", name);
}

static void note_name(void *data, const char *name)
{
    struct names *names = data;
    if (strcmp(name, "LOCK") == 0) return; /* left by a start that was refused */
    if (node_directory_is_node_name(name)) {
        names->has_node_files = true;
    } else if (strcmp(name, DIRECTORY_LOST_FOUND) == 0) {
        names->has_lost_found = true;
    } else {
        add_stranger(names, name);
    }
}

int node_directory_find_strangers(struct disk *disk, const char *directory, char *ret_names,
                                  size_t bytes)
{
    struct names names = {.text = ret_names, .bytes = bytes};
    ret_names[0] = '\0';
    int error = disk_list(disk, directory, note_name, &names);
    if (error == -ENOENT) return 0;
    if (error) return error;
    if (names.has_node_files) return 0;
    if (names.has_lost_found) {
        error = directory__lost_found_is_used(disk, directory);
        if (error != 0)
            return error < 0 ? error : 0; /* that may be a node's, and is for it to say */
    }
    if (names.strangers > NAMES_SHOWN) {
        const size_t used = strlen(ret_names);
        snprintf(ret_names + used, bytes - used, " and %u more", names.strangers - NAMES_SHOWN);
    }
    return names.strangers > 0;
}
