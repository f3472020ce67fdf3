/* A directory of its own for a test on the real disk. */
#ifndef SUPPORT_TEMP_DIRECTORY_H
#define SUPPORT_TEMP_DIRECTORY_H

struct temp_directory {
    char path[256];
};

/* Make an empty directory under $TMPDIR, or /tmp. Aborts when that fails: no test can go on without it. */
void temp_directory_make(struct temp_directory *directory);
/* Remove it with everything in it. */
void temp_directory_remove(struct temp_directory *directory);

#endif
