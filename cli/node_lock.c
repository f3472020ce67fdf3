#include "node_lock.h"

#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define DEPTH_MAX 3 /* data directory / groups / group / file */

/* Asked for, never taken: a node that starts in just this moment gets it. */
static bool is_locked(const char *directory)
{
    char path[PATH_MAX + 8];
    snprintf(path, sizeof(path), "%s/LOCK", directory);
    const int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOFOLLOW);
    if (fd < 0) return false;
    struct flock whole = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
    const bool is_held = fcntl(fd, F_OFD_GETLK, &whole) == 0 && whole.l_type != F_UNLCK;
    close(fd);
    return is_held;
}

bool node_lock_is_held(const char *path, char *ret_directory, size_t directory_bytes)
{
    char at[PATH_MAX];
    if (!realpath(path, at)) return false;
    for (int depth = 0; depth <= DEPTH_MAX; depth++) {
        if (is_locked(at)) {
            snprintf(ret_directory, directory_bytes, "%s", at);
            return true;
        }
        char *slash = strrchr(at, '/');
        if (!slash || slash == at) return false;
        *slash = '\0';
    }
    return false;
}
