/* Sending a base to another node and receiving one, in chunks (PROTOCOL S3).
 *
 *   source  a base of a group, checked as a whole when it is opened; read at any position
 *   sink    a temporary file that grows by chunks; then synced, read back and held against what was announced; then renamed
 *
 * The identity names one file among all: two files of the same identity hold the same bytes, so a transfer that was
 * interrupted goes on where it was, also with another sender.
 *
 * All calls block; any thread, one at a time per struct. */
#ifndef SNAPSHOT_TRANSFER_H
#define SNAPSHOT_TRANSFER_H

#include <snapshot/snapshot.h>

struct snapshot_identity {
    struct segment_log_point point;
    uint64_t bytes; /* of the file */
    uint64_t hash;  /* of the whole file: the checksum in its trailer */
};

bool snapshot_identity_is_same(const struct snapshot_identity *a,
                               const struct snapshot_identity *b);

/* Bases that are not whole, and have no whole copy. */
struct snapshot_damage {
    uint32_t count;
    uint64_t lowest, highest; /* their indices */
};

/* The newest bases of a group, newest first, at most `max`. Their headers are checked, not what follows. Damaged ones are
 * left out and told (ret_damage may be NULL). */
SNAPSHOT_CHECKED enum snapshot_status snapshot_list_bases(
    struct disk *disk, const char *directory, const struct cluster_id *cluster, uint64_t group,
    struct segment_log_point *ret_points, uint32_t max, uint32_t *ret_count,
    struct snapshot_damage *ret_damage, struct segment_log_problem *ret_problem);

/* Remove bases below `index` and checkpoints below it: the newer base holds what they hold. 0 or a negative errno. */
int snapshot_remove_below(struct disk *disk, const char *directory, uint64_t index);

/* Remove the base at `index`, which nothing needs. 0 or a negative errno. */
int snapshot_remove_base(struct disk *disk, const char *directory, uint64_t index);

/* ---- sending -------------------------------------------------------------------------------------------------------- */

struct snapshot_source {
    struct disk_file *file; /* stays readable when the name is removed */
    struct snapshot_identity identity;
};

/* Open the base at `index`, 0: the newest, and read all of it from the device. On OK to be closed; a damaged one is never
 * sent. MISSING: there is none. ret_problem->index: of the base that is not whole or missing. Blocks. */
SNAPSHOT_CHECKED enum snapshot_status snapshot_source_open(struct disk *disk, const char *directory,
                                                           const struct cluster_id *cluster,
                                                           uint64_t group, uint64_t index,
                                                           struct snapshot_source *ret_source,
                                                           struct segment_log_problem *ret_problem);
/* 0 or a negative errno; -EIO also when the file is shorter than it was. */
int snapshot_source_read(const struct snapshot_source *source, uint64_t pos, void *buffer,
                         size_t bytes);
void snapshot_source_close(struct snapshot_source *source);

/* ---- receiving ------------------------------------------------------------------------------------------------------ */

struct snapshot_sink {
    struct disk *disk;
    struct disk_file *file;
    char directory[DISK_PATH_MAX];
    struct snapshot_identity identity; /* as announced */
    uint64_t received;                 /* bytes in the file, from its start */
};

/* Begin a temporary file, in place of one that a process before left. */
SNAPSHOT_CHECKED enum snapshot_status snapshot_sink_open(struct disk *disk, const char *directory,
                                                         const struct snapshot_identity *identity,
                                                         struct snapshot_sink *ret_sink,
                                                         struct segment_log_problem *ret_problem);
/* The bytes that follow what was received. Not beyond the announced size. FULL: nothing was taken. */
SNAPSHOT_CHECKED enum snapshot_status snapshot_sink_write(struct snapshot_sink *sink,
                                                          const void *bytes, size_t bytes_count,
                                                          struct segment_log_problem *ret_problem);
/* All bytes are there: sync, read back from the device, and hold all of it against the identity and the group. DAMAGED:
 * it is not what was announced. *ret_state is a new reference. */
SNAPSHOT_CHECKED enum snapshot_status snapshot_sink_verify(struct snapshot_sink *sink,
                                                           const struct cluster_id *cluster,
                                                           uint64_t group,
                                                           struct snapshot_header *ret_header,
                                                           struct tree **ret_state,
                                                           struct segment_log_problem *ret_problem);
/* Verified: give it its name and sync the directory. From here on it is a base of the group. */
SNAPSHOT_CHECKED enum snapshot_status snapshot_sink_publish(
    struct snapshot_sink *sink, struct segment_log_problem *ret_problem);
/* It is not needed after all: remove its copy, if it has one, and then the base, durably. */
SNAPSHOT_CHECKED enum snapshot_status snapshot_sink_unpublish(
    struct snapshot_sink *sink, struct segment_log_problem *ret_problem);
/* Accepts one that was never opened. remove: the temporary file goes, too. */
void snapshot_sink_close(struct snapshot_sink *sink, bool remove);

#endif
