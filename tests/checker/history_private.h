/* What the files of the checker share. history.c takes operations and asks the others, one file per question:
 *
 *   produce.c   acks: one offset per value, one value per offset, offsets in the order of sending
 *   fetch.c     reads: the order within one answer and within a session, staleness, durability
 *   register.c  consumer offsets, as registers
 *   finish.c    what only the end tells, batch by batch
 *   report.c    counts and texts
 *
 * Facts are kept once per message and once per offset: the first read of a value, the first value read and the first
 * value acked at an offset. A later fact either repeats the first or is an anomaly, so nothing more is needed.
 *
 * An ack and a read that disagree are judged at the end only, by the value's fate: never read again it is lost, read
 * elsewhere it is a duplicate. "Two values at one offset" compares reads with reads and acks with acks; so each fault is
 * called by one name. */
#ifndef CHECKER_HISTORY_PRIVATE_H
#define CHECKER_HISTORY_PRIVATE_H

#include "history_checker.h"

#include "id_map.h"
#include "names.h"
#include "paged.h"
#include "timeline.h"

#include <stddef.h>

#define HISTORY__NO_OFFSET UINT64_MAX

enum {
    HISTORY__MESSAGE_READ = 1,
    HISTORY__MESSAGE_DUPLICATE = 2, /* reported */
};

/* A value; all zero: neither sent nor read. */
struct history__message {
    uint64_t read_offset;    /* of the first read */
    uint64_t read_completed; /* when that read ended */
    uint32_t read_session, read_node;
    uint32_t batch; /* number + 1; 0: not sent as far as known */
    uint32_t flags;
};

enum {
    HISTORY__PLACE_READ = 1,
    HISTORY__PLACE_ACKED = 2,
    HISTORY__PLACE_INCONSISTENT = 4, /* reported */
};

/* An offset; all zero: never heard of. */
struct history__place {
    uint64_t read_value, acked_value;
    uint32_t flags;
};

struct history__attempt {
    uint64_t invoked, completed;
    uint32_t session, node;
};

enum {
    HISTORY__BATCH_ACKED = 1,
    HISTORY__BATCH_POSSIBLE = 2, /* an attempt was ok or unknown */
    HISTORY__BATCH_FAILED = 4,   /* an attempt failed for certain */
    HISTORY__BATCH_PRODUCER = 8, /* has a producer id */
    HISTORY__BATCH_DEDUP_BREACH = 16,
    HISTORY__BATCH_TORN_APART = 32,   /* int-nonmonotonic-send is reported */
    HISTORY__BATCH_MISORDERED = 64,   /* nonmonotonic-send is reported */
    HISTORY__BATCH_READ_UNSENT = 128, /* aborted-read or phantom is reported */
};

struct history__batch {
    uint64_t value;
    uint64_t base; /* ACKED: offset of the first message, as the first ack told it */
    uint64_t producer, sequence;
    uint64_t possible_invoked;    /* POSSIBLE: the earliest attempt that may have had its effect */
    struct history__attempt ack;  /* ACKED: the first ack */
    struct history__attempt fail; /* FAILED: the failed attempt that was invoked first */
    uint32_t count, epoch, flags;
};

/* The last acked batches of a producer by (epoch, sequence). Five may be in flight (PROTOCOL P2), so an ack that comes
 * out of order finds its neighbours here; one that is older than the window is compared with its oldest. */
#define HISTORY__WINDOW 32u
struct history__producer {
    uint32_t batches[HISTORY__WINDOW]; /* ascending */
    uint32_t batches_count;
};

/* Offsets [from, to) that a fetch passed without returning them. */
struct history__gap {
    uint64_t from, to;
};

struct history__partition {
    struct paged messages; /* by value */
    struct paged places;   /* by offset */
    struct history__batch *batches;
    uint32_t batches_count, batches_capacity;
    struct id_map producer_of_id;
    struct history__producer *producers;
    uint32_t producers_count, producers_capacity;
    struct timeline ends;   /* the highest end that an answer has told or implied */
    struct timeline firsts; /* the highest log start */
    uint32_t *suspects;     /* batches acked below an end that was known before they were sent */
    uint32_t suspects_count, suspects_capacity;
    struct history__gap *gaps;
    uint32_t gaps_count, gaps_capacity;
    bool any_read;
    uint64_t read_highest; /* offset, while any_read */
    bool drained;
    uint64_t drained_invoked, drained_first; /* of the last drain */
};

/* Where a session stands in a partition. */
struct history__position {
    bool known;
    uint64_t offset; /* the next one, while known */
    uint64_t fetch_completed;
};

/* One value (a committed offset) of a register. */
struct history__setting {
    bool possible; /* some write of it is of unknown outcome */
    uint64_t possible_invoked;
    bool acked; /* written or seen for certain, last by an operation that ended at: */
    uint64_t acked_completed;
    uint32_t suspect; /* number + 1 of the last read of it that nothing explains yet */
};

struct history__read_suspect {
    uint32_t partition, group;
    uint64_t offset;
    struct history__attempt read;
    struct timeline_step over; /* what had overwritten it, with time 0 when it was never written */
    uint32_t next;             /* number + 1 of the one before */
    bool explained;
};

/* The committed offset of one group in one partition. */
struct history__register {
    struct id_map setting_of_offset;
    struct history__setting *settings;
    uint32_t settings_count, settings_capacity;
    struct timeline overwrites; /* value = when the latest acked write began; detail = its offset */
};

struct history {
    struct history_options options;
    struct names partition_names, session_names, group_names;
    struct history__partition *partitions; /* one per name */
    uint32_t partitions_count, partitions_capacity;
    struct id_map position_of;
    struct history__position *positions;
    uint32_t positions_count, positions_capacity;
    struct id_map register_of;
    struct history__register *registers;
    uint32_t registers_count, registers_capacity;
    struct history__read_suspect *suspects;
    uint32_t suspects_count, suspects_capacity;
    uint64_t completed; /* of the last operation */
    bool finished;
    struct history_totals totals;
    uint64_t counts[HISTORY_ANOMALIES_COUNT];
    char **witnesses; /* [HISTORY_ANOMALIES_COUNT][witnesses_max] */
};

/* ---- produce.c, fetch.c, register.c: check first, then take; never half --------------------------------------- */
HISTORY_CHECKED enum history_status history__produce(struct history *history,
                                                     const struct history_op *op);
HISTORY_CHECKED enum history_status history__fetch(struct history *history,
                                                   const struct history_op *op);
HISTORY_CHECKED enum history_status history__offsets(struct history *history,
                                                     const struct history_op *op);
HISTORY_CHECKED enum history_status history__commit(struct history *history,
                                                    const struct history_op *op);
HISTORY_CHECKED enum history_status history__committed(struct history *history,
                                                       const struct history_op *op);
void history__register_close(struct history__register *reg);

/* ---- history.c: the number of a name of so many bytes ---------------------------------------------------------- */
uint32_t history__partition_number(struct history *history, const char *name, size_t bytes);

/* ---- finish.c ------------------------------------------------------------------------------------------------- */
void history__finish_partition(struct history *history, uint32_t partition);
void history__finish_registers(struct history *history);

/* ---- report.c ------------------------------------------------------------------------------------------------- */
__attribute__((format(printf, 3, 4))) void history__report(struct history *history,
                                                           enum history_anomaly anomaly,
                                                           const char *format, ...);

/* Pieces of texts. Each fills and returns the caller's struct, so one call can hold several. */
struct history__text {
    char text[256];
};
#define HISTORY__TEXT (&(struct history__text){.text = {0}})
/* "7.12", or "12" below 2^32 */
const char *history__value_text(struct history__text *text, uint64_t value);
/* "value 7.12" or "values 7.12..7.14" */
const char *history__values_text(struct history__text *text, uint64_t value, uint64_t count);
/* "c1 on n2 (100..180)" */
const char *history__who_text(struct history__text *text, const struct history *history,
                              const struct history__attempt *attempt);
const char *history__partition_name(const struct history *history, uint32_t partition);
const char *history__session_name(const struct history *history, uint32_t session);

static inline struct history__attempt history__attempt_of(const struct history_op *op)
{
    return (struct history__attempt){
        .invoked = op->invoked,
        .completed = op->completed,
        .session = op->session,
        .node = op->node,
    };
}

/* The operation behind a step of a timeline. */
static inline struct history__attempt history__attempt_of_step(const struct timeline_step *step)
{
    return (struct history__attempt){
        .invoked = step->invoked,
        .completed = step->time,
        .session = step->session,
        .node = step->node,
    };
}

static inline struct timeline_step history__step_of(const struct history_op *op, uint64_t value)
{
    return (struct timeline_step){
        .time = op->completed,
        .value = value,
        .invoked = op->invoked,
        .session = op->session,
        .node = op->node,
    };
}

/* No run may be empty, huge, or pass the largest number. */
static inline bool history__range_is_good(uint64_t offset, uint64_t value, uint32_t count)
{
    return count > 0 && count <= HISTORY_RUN_MESSAGES_MAX && offset < UINT64_MAX - count &&
           value <= UINT64_MAX - count;
}

#endif
