#include "temp_directory.h"

#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

void temp_directory_make(struct temp_directory *directory)
{
    const char *root = getenv("TMPDIR");
    if (!root || !root[0]) root = "/tmp";
    int length = snprintf(directory->path, sizeof directory->path, "%s/raftmq-test-XXXXXX", root);
    if (length < 0 || (size_t)length >= sizeof directory->path || !mkdtemp(directory->path)) {
        perror("making a temporary directory");
        abort();
    }
}

static int remove_one(const char *path, const struct stat *about, int type, struct FTW *place)
{
    (void)about;
    (void)type;
    (void)place;
    return remove(path);
}

void temp_directory_remove(struct temp_directory *directory)
{
    /* Links are not followed and no other file system is entered. */
    if (nftw(directory->path, remove_one, 16, FTW_DEPTH | FTW_PHYS | FTW_MOUNT) != 0) {
        perror(directory->path);
    }
    directory->path[0] = 0;
}
