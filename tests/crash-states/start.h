/* What a node does with its disk when it starts, part by part, and what it finds. */
#ifndef START_H
#define START_H

#include "history.h"

#define NODE_PARENT    "/srv"
#define NODE_DIRECTORY "/srv/node"
#define NODE_ID        3u
#define GROUP_ID       7u
#define GROUPS_PATH    NODE_DIRECTORY "/groups"
#define GROUP_PATH     GROUPS_PATH "/00000000000000000007"
#define IDENTITY_PATH  NODE_DIRECTORY "/identity"
#define VOTES_PATH     NODE_DIRECTORY "/votes"

extern const struct cluster_id node_cluster;

/* Recovery of one reads and writes nothing of another. */
enum part { PART_IDENTITY, PART_VOTES, PART_GROUP };
#define PARTS_COUNT 3
const char *part_name(enum part part);
const char *part_path(enum part part);

/* What was found; equal bytes mean equal findings. */
struct finding {
    char problem[240]; /* "": none; else it did not start */
    bool is_missing;   /* the identity, or the votes */
    uint64_t identity_version;
    struct node_record record; /* of the group */
    uint32_t tip;              /* past entry; the log ends with it */
    uint64_t base_index, snapshot_index;
    uint64_t hole_first, hole_last; /* all holes lie here; 0: there is none */
};

/* How the log of the group is kept. */
struct group_settings {
    uint64_t segment_bytes_max, extend_bytes, cache_bytes_max;
    uint32_t sector_bytes;
};
struct segment_log_options group_options(struct disk *disk, const struct group_settings *settings);

/* Start with this part of the disk. `store_is_made`: the identity says that the votes may not be missing. On a group
 * that was found whole *ret_log is its log, to be closed by the caller; NULL: it is closed. Everything that is found is
 * compared with the history, byte by byte. */
void start_part(enum part part, struct disk *disk, const struct history *history,
                const struct group_settings *settings, bool store_is_made,
                struct finding *ret_finding, struct segment_log **ret_log);

/* Is every entry of the log that is in no hole in the files, too? NULL: yes. By read jobs, so it takes long. */
const char *start_check_files(struct segment_log *log, const struct history *history, uint32_t tip);

/* The state of the replica as a snapshot holds it: the digest, and pairs that depend on it, so that the file has some
 * sectors. */
struct tree *state_of(const struct past_entry *entry);
bool state_is(const struct tree *state, const struct past_entry *entry);

/* Does it hold against what was promised? NULL: yes. */
const char *finding_judge(enum part part, const struct finding *finding,
                          const struct history *history);

#endif
