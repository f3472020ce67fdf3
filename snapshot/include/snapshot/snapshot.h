/* Snapshot files: the state of a group at one index, without its messages (PROTOCOL S1, S2; docs/FORMATS.md).
 *
 * A *base* stands at the log start or a segment boundary; a *checkpoint* makes restart fast. Both have this format. A
 * file is written to a temporary name, synced, read back, renamed into place and its directory synced; a file under
 * its final name is whole or damaged, never half-written. What the disk cannot read of it (EIO) is damage, too; any
 * other error is the disk's. The caller writes one only when the log is durable through its index (S2). */
#ifndef SNAPSHOT_SNAPSHOT_H
#define SNAPSHOT_SNAPSHOT_H

#include <segment_log/disk.h>
#include <segment_log/segment_log.h>
#include <snapshot/tree.h>

#define SNAPSHOT_CHECKED __attribute__((warn_unused_result))

enum snapshot_kind {
    SNAPSHOT_BASE = 1,
    SNAPSHOT_CHECKPOINT,
};

#define SNAPSHOT_CONFIGURATION_BYTES_MAX 4096u

struct snapshot_header {
    enum snapshot_kind kind;
    struct cluster_id cluster;
    uint64_t group;
    struct segment_log_point point; /* last index, its term, chain, next_offset, last stamp */
    uint64_t log_start_offset;
    uint64_t configuration_index;
    uint32_t configuration_bytes; /* encoded by broker/wire, also joint ones */
    uint8_t configuration[SNAPSHOT_CONFIGURATION_BYTES_MAX];
};

#define SNAPSHOT_STATUSES(X)                                            \
    X(SNAPSHOT_OK, "ok")                                                \
    X(SNAPSHOT_MISSING, "no snapshot file")                             \
    X(SNAPSHOT_DAMAGED, "the file is damaged")                          \
    X(SNAPSHOT_FOREIGN, "the file belongs to another cluster or group") \
    X(SNAPSHOT_BAD_VERSION, "written by another format version")        \
    X(SNAPSHOT_FULL, "no space left; nothing changed")                  \
    X(SNAPSHOT_IO, "the disk returned an error; this node must stop")

enum snapshot_status {
#define X(name, text) name,
    SNAPSHOT_STATUSES(X)
#undef X
};
const char *snapshot_status_text(enum snapshot_status status);

/* Write base-<index>.snap or checkpoint-<index>.snap into `directory`. Blocks; any thread; only reads `state`, which
 * the caller has frozen by a reference. After OK older checkpoints (kind CHECKPOINT) may be removed with
 * snapshot_remove_older. Memory: one buffer of 256 KiB.
 * OK; FULL; DAMAGED: it does not read back as it was written; IO. */
SNAPSHOT_CHECKED enum snapshot_status snapshot_write(struct disk *disk, const char *directory,
                                                     const struct snapshot_header *header,
                                                     const struct tree *state,
                                                     struct segment_log_problem *ret_problem);

/* Load one file, checking everything before returning it. *ret_state is a new reference. Of which cluster and group it is is
 * for the caller to check.
 * OK; MISSING; DAMAGED; BAD_VERSION: a newer version wrote it; IO: also when there is no memory. */
SNAPSHOT_CHECKED enum snapshot_status snapshot_read(struct disk *disk, const char *path,
                                                    struct snapshot_header *ret_header,
                                                    struct tree **ret_state,
                                                    struct segment_log_problem *ret_problem);

/* Load the snapshot with the highest index of either kind. A damaged one is skipped for the next older file, a base for its
 * copy (copy.h) first, and reported through on_skipped (may be NULL): the log is replayed from there, which its driver has to
 * hold against where the log begins. DAMAGED: there are files, and none is whole. Temporary files are removed. */
typedef void (*snapshot_skipped_cb)(void *data, const struct segment_log_problem *problem);
SNAPSHOT_CHECKED enum snapshot_status snapshot_load_newest(
    struct disk *disk, const char *directory, const struct cluster_id *cluster, uint64_t group,
    snapshot_skipped_cb on_skipped, void *data, struct snapshot_header *ret_header,
    struct tree **ret_state, struct segment_log_problem *ret_problem);

/* Offline, for segment_log_walk(): what all of them say of the log beside them, by their headers. Nothing is written, and of
 * which cluster and group they are is not asked, but told. OK or IO; without any OK, and nothing is set. */
SNAPSHOT_CHECKED enum snapshot_status snapshot_survey(struct disk *disk, const char *directory,
                                                      struct segment_log_snapshots *ret_snapshots,
                                                      struct segment_log_problem *ret_problem);

/* Remove checkpoints below `index`; bases stay. 0 or a negative errno. */
int snapshot_remove_older(struct disk *disk, const char *directory, uint64_t index);

#endif
