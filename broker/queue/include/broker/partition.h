/* The state machine of a partition: consumer offsets per group and the producer table, pure (PROTOCOL S1, P).
 *
 *     partition_apply(partition, entry) -> state
 *
 * The state is a copy-on-write tree (snapshot/tree.h), so a snapshot is one reference. apply() reads only the log:
 * the same entries give the same state, byte for byte, on every replica (M7). Beside the state stands the leader's
 * *overlay*: idempotent batches that are appended and not yet applied (P1). */
#ifndef BROKER_PARTITION_H
#define BROKER_PARTITION_H

#include <segment_log/entry.h>
#include <snapshot/tree.h>

#define PARTITION_GROUP_NAME_BYTES_MAX 128u
#define PARTITION_METADATA_BYTES_MAX   1024u
#define PARTITION_BATCHES_KEPT         5u     /* per producer (P2) */
#define PARTITION_PRODUCERS_MAX        10000u /* older ones are evicted in apply() (P3) */

struct partition {
    struct tree *state;
    uint64_t applied_index;
    int64_t applied_timestamp_ms;
    uint64_t next_offset;      /* of the applied prefix */
    uint64_t log_start_offset; /* of the applied TRIM */
    uint64_t trimmed_index;    /* likewise; the counters of the state have it, too */
    struct partition_overlay *overlay;
};

/* An empty partition at index 0; the overlay is allocated lazily. */
void partition_init(struct partition *partition);
void partition_close(struct partition *partition);

/* Take over a loaded snapshot, after partition_init(); `state` is moved. False: the state holds something that this
 * version cannot read; it was unreferenced and the partition is empty: the node must stop rather than guess. O(n). */
bool partition_restore(struct partition *partition, struct tree *state, uint64_t index,
                       uint64_t next_offset, uint64_t log_start_offset, int64_t timestamp_ms);

/* Apply the entry applied_index + 1. Payload bytes come from a checked log but may still be malformed (a newer
 * version's): false = unknown or malformed content, the node must stop rather than guess. */
bool partition_apply(struct partition *partition, const struct entry_header *header,
                     const uint8_t *payload);

/* ---- trimming and settings --------------------------------------------------------------------------------- */

/* Payload of a TRIM entry: everything up to the entry `up_to_index`, and so every offset below log_start_offset, may go
 * (PROTOCOL S4). apply() only ever raises both; by the rule "consumed" never above what every durable group has
 * consumed in the state at that entry, and not at all when no group is durable. Returns the size; writes it when it fits. */
enum partition_trim_rule {
    PARTITION_TRIM_RETENTION = 1, /* time or size */
    PARTITION_TRIM_CONSUMED,
};
#define PARTITION_TRIM_BYTES 24u
size_t partition_encode_trim(enum partition_trim_rule rule, uint64_t up_to_index,
                             uint64_t log_start_offset, uint8_t *buffer, size_t buffer_bytes);
uint64_t partition_trimmed_index(const struct partition *partition); /* 0: nothing was trimmed */
/* Of a frozen state. */
uint64_t partition_trimmed_index_of_state(struct tree *state);

/* Payload of a SETTINGS entry: what the partition needs from meta (PROTOCOL M7). The applied one wins over what meta
 * says; false: none was applied yet. */
struct meta_settings;
#define PARTITION_SETTINGS_BYTES     24u
#define PARTITION_SETTINGS_BYTES_MAX 32u /* with what came later */
size_t partition_encode_settings(const struct meta_settings *settings, uint8_t *buffer,
                                 size_t buffer_bytes);
bool partition_settings_get(const struct partition *partition, struct meta_settings *ret_settings);

/* ---- idempotent producers ------------------------------------------------------------------------------ */

struct partition_batch_id { /* from the record batch header; producer_id < 0 = not idempotent */
    int64_t producer_id;
    int16_t producer_epoch;
    int32_t base_sequence;
    uint32_t records_count;
};

enum partition_verdict {
    PARTITION_ACCEPT,
    PARTITION_DUPLICATE,         /* ret_offset = its original base offset, committed */
    PARTITION_DUPLICATE_PENDING, /* appended, not yet applied: wait for the fate of ret_index (P1) */
    PARTITION_DUPLICATE_UNKNOWN, /* a duplicate older than the kept window: Kafka 46, success-like (P2) */
    PARTITION_OUT_OF_ORDER,     /* a gap, or overlap without equality */
    PARTITION_FENCED,           /* lower epoch than the producer's newest */
    PARTITION_UNKNOWN_PRODUCER, /* evicted: must take a new id (P3) */
    PARTITION_TOO_MANY_IN_FLIGHT, /* more than PARTITION_BATCHES_KEPT appended-not-applied of this producer */
};

/* Judge a batch against the state and the overlay. Changes nothing. ret_offset is set on DUPLICATE and, as it will be
 * if the batch survives, on DUPLICATE_PENDING; ret_index on DUPLICATE_PENDING; ret_expected_sequence, which helps the
 * error text, on OUT_OF_ORDER. Each may be NULL. O(log n).
 *
 * Whoever owns the partition must refuse producer ids that meta never handed out (meta_producer_next) before it asks:
 * an eviction fences all unknown ids up to the evicted one, so one invented id near 2^63 could fence everybody. */
enum partition_verdict partition_check(const struct partition *partition,
                                       const struct partition_batch_id *batch, uint64_t *ret_offset,
                                       uint64_t *ret_index, int32_t *ret_expected_sequence);

/* The leader appended this batch, which partition_check() accepted just before, at `index` with this base offset.
 * Without a producer id: nothing. Memory is bounded: check answers TOO_MANY_IN_FLIGHT at PARTITION_OVERLAY_BATCHES_MAX
 * batches of all producers. */
#define PARTITION_OVERLAY_BATCHES_MAX 16384u
void partition_overlay_add(struct partition *partition, const struct partition_batch_id *batch,
                           uint64_t index, uint64_t base_offset);
/* Entries from `from_index` on were cut, or the leader stepped down (from_index = 0: drop everything). apply() drops
 * what it applies by itself. */
void partition_overlay_drop(struct partition *partition, uint64_t from_index);
/* No batch is in flight. */
bool partition_overlay_is_empty(const struct partition *partition);

/* ---- consumer offsets ------------------------------------------------------------------------------------ */

struct partition_offset {
    char group[PARTITION_GROUP_NAME_BYTES_MAX + 1];
    uint64_t offset;    /* next to read */
    int64_t generation; /* of the group when it was committed; -1 = a simple consumer */
    int64_t timestamp_ms;
    bool
        durable; /* it keeps what it has not consumed from being trimmed as consumed (PROTOCOL S4) */
    uint64_t expired; /* messages that were trimmed before it had committed them */
    uint32_t metadata_bytes;
    uint8_t metadata[PARTITION_METADATA_BYTES_MAX];
};

/* Groups with an offset here. The caller refuses a commit of a new group at PARTITION_GROUPS_MAX of them, or when keys and
 * values of the state take PARTITION_STATE_BYTES_MAX; apply() takes it. */
#define PARTITION_GROUPS_MAX      1000000u
#define PARTITION_STATE_BYTES_MAX (512u * 1024u * 1024u)
uint32_t partition_offsets_count(const struct partition *partition);
/* No room for one more group. */
bool partition_offsets_are_full(const struct partition *partition);

bool partition_offset_get(const struct partition *partition, const char *group,
                          struct partition_offset *ret_offset);
/* In the order of group names, from `after` (NULL: the first) on; at most `max`. Returns the count. */
uint32_t partition_offset_list(const struct partition *partition, const char *after,
                               struct partition_offset *ret_offsets, uint32_t max);

enum partition_durable {
    PARTITION_DURABLE_KEEP, /* as the group is; a new one is not durable */
    PARTITION_DURABLE_SET,
    PARTITION_DURABLE_CLEAR,
};

/* The lowest offset that a durable group has committed; false: no group is durable. O(log n). */
bool partition_durable_lowest(const struct partition *partition, uint64_t *ret_offset);

/* Payload of an OFFSETS entry: commits of several groups in one entry. A tombstone (remove = true) deletes. */
struct partition_commit {
    const char *group;
    uint64_t offset;
    int64_t generation;
    const uint8_t *metadata; /* may be NULL when metadata_bytes = 0 */
    uint32_t metadata_bytes;
    bool remove;
    enum partition_durable durable;
};
/* Returns the encoded size; writes it when it fits in buffer_bytes. 0: a name is empty or too long, the metadata is
 * too long, the offset or generation is out of range, or commits_count is not 1..PARTITION_COMMITS_MAX. */
#define PARTITION_COMMITS_MAX 1024u
size_t partition_encode_offsets(const struct partition_commit *commits, uint32_t commits_count,
                                uint8_t *buffer, size_t buffer_bytes);

/* The leader appended these commits at `index`: until it is applied, partition_commit_is_noop() is false for their
 * groups, because the state that it compares with is about to change (P5). partition_overlay_drop() forgets them. */
void partition_overlay_add_commits(struct partition *partition,
                                   const struct partition_commit *commits, uint32_t commits_count,
                                   uint64_t index);

/* Same offset, generation and metadata as applied, and none of this group is in flight: nothing to append (P5). */
bool partition_commit_is_noop(const struct partition *partition,
                              const struct partition_commit *commit);
/* A commit of this group is appended and not applied yet (or of another group whose name collides with it: then the
 * answer is yes for longer than needed). */
bool partition_commits_in_flight(const struct partition *partition, const char *group);

/* A commit of an older generation than the newest applied one is fenced; one without a generation (-1) never is. The
 * same rule stands in apply(), for a commit that was overtaken in flight: it changes nothing there, and asking again
 * after it was applied tells that it was fenced. */
bool partition_commit_is_fenced(const struct partition *partition,
                                const struct partition_commit *commit);

#endif
