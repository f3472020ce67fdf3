/* Every entry that ever was in the log of the replica, and what was promised of it and of the node's small files.
 *
 * An entry's chain names everything in front of it, so index and chain find it, and its parents are the log that ends
 * with it. The state of the replica is a digest over all entries in order, so that a snapshot and the tail behind it
 * can be held against the whole. */
#ifndef HISTORY_H
#define HISTORY_H

#include <segment_log/node_store.h>
#include <segment_log/segment_log.h>

#define NOBODY UINT32_MAX

struct past_entry {
    struct segment_log_point point; /* behind it */
    uint32_t parent; /* NOBODY: nothing is known in front of it: the origin, or a base */
    uint64_t digest; /* state behind it */
    enum entry_type type;
    uint8_t *payload;
    uint32_t payload_bytes;
    bool is_cut;
    /* Cut, and the disk work for that is over: never to be seen again. */
    bool is_dead;
};

#define RECORDS_MAX 512u

/* What the node told others, or could have. Versions are numbers that rise with every write. */
struct promise {
    uint64_t identity_durable, identity_issued;

    bool store_is_made; /* it may not be missing any more */
    struct node_record records[RECORDS_MAX];
    uint32_t records_count, record_durable; /* position of the newest that was reported durable */

    uint32_t durable;       /* past entry: reported durable */
    uint32_t installed;     /* past entry: a base that is being published; NOBODY: none */
    uint64_t dropped_index; /* the log may start as high as this */
    /* Damage was done to these entries, and its repair was not reported: holes may be there, and nowhere else. 0: to none */
    uint64_t damaged_first, damaged_last;
    uint64_t snapshot_durable, snapshot_issued;
};

struct history {
    struct past_entry *entries;
    uint32_t count, capacity;
    struct promise promise;
};

void history_init(struct history *history);
void history_close(struct history *history);

/* The state behind an entry, from the one in front of it. */
uint64_t history_digest(uint64_t before, const struct entry_header *header);

/* A log that starts at `point`. */
uint32_t history_add_root(struct history *history, const struct segment_log_point *point,
                          uint64_t digest);
/* The payload is copied. */
uint32_t history_add(struct history *history, uint32_t parent, const struct entry_header *header,
                     const uint8_t *payload);
/* NOBODY: there never was such an entry. */
uint32_t history_find(const struct history *history, uint64_t index, uint64_t chain);
/* The entry at `index` of the log that ends with `tip`; NOBODY: that log starts behind it. */
uint32_t history_at(const struct history *history, uint32_t tip, uint64_t index);

/* May a log that is recovered now end with this entry? NULL: yes, else why not. */
const char *history_judge_tip(const struct history *history, uint32_t tip);
/* May the votes say this? NULL: yes. */
const char *history_judge_record(const struct history *history, const struct node_record *record);

#endif
