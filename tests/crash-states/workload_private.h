#ifndef WORKLOAD_PRIVATE_H
#define WORKLOAD_PRIVATE_H

#include "workload.h"

#include <memory_disk.h>

#define INDEX_MAX 16384u

struct workload {
    struct workload_result *result;
    uint64_t random, calls_max;
    const char *doing;
    struct group_settings settings;
    struct group_settings states_settings; /* the same, with the whole log in memory */
    struct states *states;
    struct history history;

    struct disk *disk;
    bool is_full; /* room is short */
    bool must_restart;
    struct disk_file *lock;
    struct node_identity identity;
    struct node_store *store;
    struct node_record record; /* as put last */

    struct segment_log *log;
    struct segment_log_job *job;
    uint32_t current[INDEX_MAX]; /* of the log as it is: past entries by index */
    uint64_t term;
    uint64_t committed;      /* never cut; at most what is durable */
    uint64_t boundary_index; /* a base is wanted here; 0: none */
    uint64_t bases[2];       /* the newest, and the one before it */
    uint64_t trim_index;     /* a TRIM entry that is not carried out yet; 0: none ... */
    uint64_t trim_to;        /* ... and what it lets go */
    bool is_beside;          /* a snapshot is being written: the log goes on meanwhile */
    bool is_sealing;         /* a cut waits for it */
    bool is_replaced;        /* an installed base is durable, and the log does not know yet */
};

uint64_t workload__draw(struct workload *w, uint64_t below);
void workload__fail(struct workload *w, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
bool workload__is_over(const struct workload *w);
struct segment_log_info workload__info(const struct workload *w);
const struct past_entry *workload__entry(const struct workload *w, uint64_t index);
void workload__put_record(struct workload *w, const struct node_record *record);
void workload__store_job(struct workload *w);
void workload__restart(struct workload *w, enum memory_disk_crash mode);

/* The disk changes by itself: nobody looks. */
void workload__look_away(struct workload *w, bool looks_away);

/* workload_log.c */
void workload__append(struct workload *w);
/* The payload is that of an entry of this type. False: there is no room. */
bool workload__append_entry(struct workload *w, enum entry_type type, const uint8_t *payload,
                            uint32_t bytes);
void workload__cut(struct workload *w);
void workload__cut_from(struct workload *w, uint64_t from_index);
void workload__do_job(struct workload *w, bool is_disturbed);
/* Until there is none. */
void workload__do_jobs(struct workload *w);
/* Some of what is durable is committed from now on. */
void workload__commit(struct workload *w);
void workload__seal(struct workload *w);

/* workload_snapshot.c */
void workload__checkpoint(struct workload *w);
void workload__base(struct workload *w);
void workload__install(struct workload *w);

/* workload_repair.c */
void workload__damage(struct workload *w);
void workload__repair(struct workload *w);

/* workload_replica.c */
void workload__make_replica(struct workload *w);
void workload__remake_replica(struct workload *w);

#endif
