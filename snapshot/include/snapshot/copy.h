/* Looking after snapshot files that stand on a disk for long (PROTOCOL D, S2).
 *
 * Of most of them another one takes the place when they rot: a state is found again by replay from an older one. The base at
 * the start of the log is the oldest, and so it has a *copy*, `base-<index>.snap.copy`, the same bytes once more. A start takes
 * the copy for the base when that is damaged or missing. A copy is removed before its base, durably, so that it never stands
 * for one that was dropped.
 *
 * All calls block; any thread, one at a time per directory. */
#ifndef SNAPSHOT_COPY_H
#define SNAPSHOT_COPY_H

#include <snapshot/snapshot.h>

enum snapshot_form {
    SNAPSHOT_COPY,
    SNAPSHOT_FINAL,
    SNAPSHOT_TEMPORARY,
};

struct snapshot_file {
    enum snapshot_kind kind;
    enum snapshot_form form;
    uint64_t index;
};

/* Read the highest file below `after` (NULL: the highest of all) from the device, all of it.
 *   OK        *ret_file is whole
 *   DAMAGED   *ret_file is not; also of a base that is missing beside its copy
 *   MISSING   there is no further file: the end
 *   IO        the disk failed */
SNAPSHOT_CHECKED enum snapshot_status snapshot_check_next(
    struct disk *disk, const char *directory, const struct cluster_id *cluster, uint64_t group,
    const struct snapshot_file *after, struct snapshot_file *ret_file, uint64_t *ret_bytes,
    struct segment_log_problem *ret_problem);

/* There is a copy whose header is that of the base at `index`. */
bool snapshot_has_copy(struct disk *disk, const char *directory, const struct cluster_id *cluster,
                       uint64_t group, uint64_t index);

/* Make the copy of the base at `index` anew, or the base from its copy: read and checked, written under a temporary name,
 * synced, read back, renamed, the directory synced. DAMAGED, MISSING: that from which it is made is not whole; nothing
 * changed. */
SNAPSHOT_CHECKED enum snapshot_status snapshot_copy_base(struct disk *disk, const char *directory,
                                                         const struct cluster_id *cluster,
                                                         uint64_t group, uint64_t index,
                                                         struct segment_log_problem *ret_problem);
SNAPSHOT_CHECKED enum snapshot_status snapshot_restore_base(
    struct disk *disk, const char *directory, const struct cluster_id *cluster, uint64_t group,
    uint64_t index, struct segment_log_problem *ret_problem);

/* Remove a file, and sync the directory. One that is gone already is fine. 0 or a negative errno. */
int snapshot_remove_file(struct disk *disk, const char *directory,
                         const struct snapshot_file *file);

#endif
