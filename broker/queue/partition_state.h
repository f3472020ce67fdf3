/* How the state of a partition lies in its tree, and what the files of the state machine share. Private to queue/.
 *
 *   key                      value (little endian; docs/FORMATS.md)
 *   "c"                      counters: fence, number of producers and groups, trimmed index
 *   "d" offset, u64 BE, name nothing; a durable group, so the first of these keys tells the lowest offset of them all
 *   "o" group name           the newest commit of a consumer group
 *   "p" producer id, u64 BE  epoch, last use and newest batches of a producer
 *   "s"                      settings, the payload of the last SETTINGS entry
 *   "u" index, u64 BE        the id of the producer whose newest batch is the entry `index`: the first of these keys
 *                            names the producer that was used least recently, so an eviction is O(log n)
 *
 * Invariants:
 *   1. There is one "u" per "p", at its last_use_index; their number is counters.producers_count, at most
 *      PARTITION_PRODUCERS_MAX between entries.
 *   2. There is one "d" per "o" of a durable group, at its offset.
 *   3. Values were written by apply() or checked by partition_restore(): reading one asserts its form. */
#ifndef BROKER_QUEUE_PARTITION_STATE_H
#define BROKER_QUEUE_PARTITION_STATE_H

#include <broker/partition.h>

#define STATE_COUNTERS 'c'
#define STATE_DURABLE  'd'
#define STATE_OFFSET   'o'
#define STATE_PRODUCER 'p'
#define STATE_SETTINGS 's'
#define STATE_LAST_USE 'u'

/* A tag and a number; offset keys are longer and built in offsets.c. */
#define STATE_NUMBER_KEY_BYTES 9u
struct tree_slice state__number_key(uint8_t *buffer, uint8_t tag, uint64_t number);

struct partition_counters {
    int64_t fenced_below; /* unknown producer ids at or below it were evicted; -1: none */
    uint32_t producers_count;
    uint32_t groups_count;
    uint64_t trimmed_index;
};
void counters__load(const struct partition *partition, struct partition_counters *ret_counters);
void counters__store(struct partition *partition, const struct partition_counters *counters);

/* ---- sequences: numbers of 31 bits that wrap to 0 ------------------------------------------------------------- */

#define SEQUENCE_MASK 0x7fffffffu

static inline uint32_t sequence_add(uint32_t sequence, uint32_t count)
{
    return (sequence + count) & SEQUENCE_MASK;
}

/* How far `to` lies ahead of `from`, going up. */
static inline uint32_t sequence_distance(uint32_t from, uint32_t to)
{
    return (to - from) & SEQUENCE_MASK;
}

/* ---- producers ------------------------------------------------------------------------------------------------- */

struct producer_batch {
    uint32_t first_sequence;
    uint32_t last_sequence;
    uint64_t base_offset;
};

struct producer {
    int16_t epoch;
    uint64_t last_use_index;
    uint64_t
        records_total; /* of this epoch, those that left the window included: what lies further back never was */
    uint32_t batches_count; /* >= 1, oldest first, each one following the one before */
    struct producer_batch batches[PARTITION_BATCHES_KEPT];
};

bool producer__load(const struct partition *partition, int64_t producer_id,
                    struct producer *ret_producer);
/* Note a DATA entry. False: malformed. */
bool producer__apply(struct partition *partition, const struct entry_header *header,
                     const uint8_t *payload);

/* ---- offsets and settings --------------------------------------------------------------------------------------- */

bool offsets__apply(struct partition *partition, const struct entry_header *header,
                    const uint8_t *payload);
bool settings__apply(struct partition *partition, const struct entry_header *header,
                     const uint8_t *payload);

/* ---- the forms of the values, for partition_restore() ------------------------------------------------------------ */

bool producer__is_sound(struct tree_slice value, uint64_t *ret_last_use_index);
bool offsets__is_sound(struct tree_slice key, struct tree_slice value, bool *ret_durable);
/* It names a durable group at the offset that the group has. */
bool offsets__is_durable_key_sound(const struct tree *state, struct tree_slice key,
                                   struct tree_slice value);
bool settings__is_sound(struct tree_slice value);

/* ---- overlay ------------------------------------------------------------------------------------------------------ */

struct overlay_batch {
    int64_t producer_id;
    uint64_t index;
    uint64_t base_offset;
    uint32_t first_sequence;
    uint32_t last_sequence;
    int16_t producer_epoch;
};

/* The batches of a producer that are appended and not applied, oldest first. Returns their number. */
uint32_t overlay__batches(const struct partition_overlay *overlay, int64_t producer_id,
                          struct overlay_batch ret_batches[PARTITION_BATCHES_KEPT]);
bool overlay__is_full(const struct partition_overlay *overlay);
bool overlay__has_commit(const struct partition_overlay *overlay, const char *group,
                         uint64_t applied_index);
void overlay__applied(struct partition_overlay *overlay, uint64_t index);
void overlay__destroy(struct partition_overlay *overlay); /* accepts NULL */

#endif
