/* Judges what clients saw of a raftmq cluster: a history of operations in, anomalies out.
 *
 * The log of a partition is dense and every message carries a value that was sent once, so no search is needed: each
 * operation is looked at once, and memory grows with the number of distinct messages, not of reads.
 *
 *     struct history *history = history_create(&(struct history_options){0});
 *     uint32_t orders = history_partition(history, "orders/0");
 *     uint32_t session = history_session(history, "c1");
 *     status = history_add(history, &operation);      ... in the order of completion
 *     history_finish(history);
 *     if (history_anomalies(history) > 0) history_print(history, stdout);
 *
 * Time is any number that grows: nanoseconds of one monotonic clock, or the event number of a simulator. A comes before
 * B when A completed < B invoked; equal numbers count as concurrent, so a coarse clock misses anomalies and never
 * invents one.
 *
 * A value is 64 bits, unique per partition and message. A batch carries values that follow one another (value, value +
 * 1, ...), so the usual choice is (number of the producer) << 32 | number of the message; texts show it as "7.12".
 *
 * What the caller must keep to, because no checker can know it:
 *   - `fail` means that the batch was provably never appended and never will be. Everything else is `unknown`.
 *   - An operation that a client library retries by itself spans from the first attempt to the last answer.
 *   - A value is sent again only in the same batch, under the same producer id, epoch and sequence; without a producer
 *     id only after definite failures. A client that takes a new producer id takes new values.
 *   - One session's fetches of one partition follow one another.
 *   - "Offset out of range" is a failed fetch; what it tells (first, end) is recorded as HISTORY_OFFSETS beside it.
 *
 * One thread. Out of memory aborts. */
#ifndef HISTORY_CHECKER_H
#define HISTORY_CHECKER_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#define HISTORY_CHECKED __attribute__((warn_unused_result))

/* The classes of anomalies. `phantom` is not one of Jepsen's: it needs a store that makes up messages. */
#define HISTORY_ANOMALIES(X)                                                                       \
    X(HISTORY_LOST_WRITE, "lost-write", "acked, and reads passed its offset without it")           \
    X(HISTORY_UNSEEN, "unseen", "acked, and still unread after the final drain")                   \
    X(HISTORY_DUPLICATE, "duplicate", "one value at two offsets")                                  \
    X(HISTORY_INCONSISTENT_OFFSETS, "inconsistent-offsets", "two values at one offset")            \
    X(HISTORY_ABORTED_READ, "aborted-read", "a value whose send definitely failed was read (G1a)") \
    X(HISTORY_PRECOMMITTED_READ, "precommitted-read", "read before a majority had it on disk")     \
    X(HISTORY_TORN_BATCH, "torn-batch", "a part of a batch was read, the rest never")              \
    X(HISTORY_NONMONOTONIC_POLL, "nonmonotonic-poll",                                              \
      "a session went back or skipped without a seek (poll-skip)")                                 \
    X(HISTORY_INT_NONMONOTONIC_POLL, "int-nonmonotonic-poll",                                      \
      "one fetch goes back or skips (int-poll-skip)")                                              \
    X(HISTORY_NONMONOTONIC_SEND, "nonmonotonic-send", "a later send was acked at a lower offset")  \
    X(HISTORY_INT_NONMONOTONIC_SEND, "int-nonmonotonic-send",                                      \
      "a batch does not stand together and in order (int-send-skip)")                              \
    X(HISTORY_STALE_READ, "stale-read", "a read missed what was known before it began")            \
    X(HISTORY_OFFSET_LOSS, "offset-loss", "a committed consumer offset was lost")                  \
    X(HISTORY_DEDUP_BREACH, "dedup-breach", "a retry of an acked batch got another offset")        \
    X(HISTORY_PHANTOM, "phantom", "a value was read that nobody had sent")

enum history_anomaly {
#define X(name, text, meaning) name,
    HISTORY_ANOMALIES(X)
#undef X
};
#define HISTORY_ANOMALIES_COUNT (HISTORY_PHANTOM + 1u)

/* "lost-write", ... */
const char *history_anomaly_name(enum history_anomaly anomaly);
/* One clause that says what it means. */
const char *history_anomaly_meaning(enum history_anomaly anomaly);

/* Why an operation is not taken: it breaks the caller's side, and the history cannot be judged. */
#define HISTORY_STATUSES(X)                                                                 \
    X(HISTORY_OK, "ok")                                                                     \
    X(HISTORY_TIME_REVERSED, "completes before it is invoked")                              \
    X(HISTORY_OUT_OF_ORDER, "operations must come in the order of completion")              \
    X(HISTORY_UNKNOWN_NAME, "the partition, session or group was never named")              \
    X(HISTORY_BAD_RANGE, "a run of messages is empty, too long or passes 2^64")             \
    X(HISTORY_BAD_ACK, "an ack must tell the offsets of exactly the batch that was sent")   \
    X(HISTORY_ANSWER_WITHOUT_OK, "only an operation that is ok carries an answer")          \
    X(HISTORY_ANSWER_MISSING, "the answer that such an operation gets is missing")          \
    X(HISTORY_VALUE_REUSED, "a value is sent again in another batch")                       \
    X(HISTORY_RESENT, "a value is sent again under another producer id, epoch or sequence") \
    X(HISTORY_SESSION_OVERLAP, "two fetches of one session and partition overlap")          \
    X(HISTORY_FINISHED, "the history is already judged")

enum history_status {
#define X(name, text) name,
    HISTORY_STATUSES(X)
#undef X
};
const char *history_status_text(enum history_status status);

enum history_kind {
    HISTORY_PRODUCE = 1,
    HISTORY_FETCH,
    HISTORY_OFFSETS,   /* first offset and end of a partition */
    HISTORY_COMMIT,    /* a consumer group's offset is set */
    HISTORY_COMMITTED, /* a consumer group's offset is read */
    /* The caller's word that, from `invoked` to `completed`, the partition was read from `first` to its end after the
     * last produce. Without it nothing can be called unseen. */
    HISTORY_DRAINED,
};

enum history_outcome {
    HISTORY_OUTCOME_OK = 1,
    HISTORY_OUTCOME_FAIL,    /* provably without effect, now and later */
    HISTORY_OUTCOME_UNKNOWN, /* it may have had its effect, may have it later, or never */
};

struct history_optional {
    bool known;
    uint64_t value;
};

static inline struct history_optional history_known(uint64_t value)
{
    return (struct history_optional){.known = true, .value = value};
}

/* Messages that follow one another in offset and value: offset + i holds value + i, for i < count. */
#define HISTORY_RUN_MESSAGES_MAX (1u << 20)
struct history_run {
    uint64_t offset;
    uint64_t value;
    uint32_t count; /* 1 .. HISTORY_RUN_MESSAGES_MAX */
};

struct history_op {
    enum history_kind kind;
    enum history_outcome outcome;
    uint64_t invoked, completed;
    uint32_t session; /* of history_session() */
    uint32_t node;    /* the one asked, 0 = not known; only told in texts */
    uint32_t partition;

    struct { /* PRODUCE: one batch */
        uint64_t value;
        uint32_t count;
        bool has_producer;
        uint64_t producer;
        uint32_t epoch;
        uint64_t sequence; /* of the first message */
        /* OK: where the ack says that the batch stands; the runs hold exactly its values, in their order */
        const struct history_run *runs; /* borrowed until return */
        uint32_t runs_count;
    } produce;
    struct {        /* FETCH; OFFSETS and DRAINED use `first` and `end` */
        bool seek;  /* this fetch starts where the client wants, not where the session stood */
        bool local; /* not linearizable: what it misses is no stale read */
        struct history_optional from;
        /* OK: in the order of the answer; records below `from` are dropped by the client and do not appear */
        const struct history_run *runs; /* borrowed until return */
        uint32_t runs_count;
        struct history_optional next; /* where the answer says to go on */
        struct history_optional
            end; /* high watermark: the offset after the last committed message */
        struct history_optional first; /* log start */
        struct history_optional
            durable; /* simulator: end of what a majority had on disk at the answer */
    } fetch;
    struct { /* COMMIT, COMMITTED */
        uint32_t group;
        struct history_optional offset; /* COMMITTED, OK: not known = the group has none */
    } commit;
};

struct history;

struct history_options {
    uint32_t witnesses_max; /* texts kept per class; 0 = 5 */
    bool open;              /* not every producer is recorded: an unknown value is no phantom */
};

struct history *history_create(const struct history_options *options);
void history_destroy(struct history *history);

/* Numbers of names, made at the first use, dense from 0. Names are copied. */
uint32_t history_partition(struct history *history, const char *name);
uint32_t history_session(struct history *history, const char *name);
uint32_t history_group(struct history *history, const char *name);

/* Add one operation. Operations come in the order of `completed`; equal numbers in any order.
 *
 * Anything but OK says that the operation is malformed; it is then left out and the history is as before.
 *
 * Cost: O(messages it carries), amortized. */
HISTORY_CHECKED enum history_status history_add(struct history *history,
                                                const struct history_op *op);

/* Judge what only the end tells: lost, unseen, aborted, torn. Once. Cost: O(distinct messages). */
void history_finish(struct history *history);

/* Anomalies found so far. Those of messages and batches count once each, those of sessions once per operation. */
uint64_t history_anomalies(const struct history *history);
uint64_t history_anomaly_count(const struct history *history, enum history_anomaly anomaly);
/* The i-th text of a class, i < witnesses_max, in the order they were found; NULL when there are fewer. Borrowed until
 * destroy. */
const char *history_witness(const struct history *history, enum history_anomaly anomaly,
                            uint32_t i);

struct history_totals {
    uint64_t operations;
    uint64_t produces_ok, produces_fail, produces_unknown;
    uint64_t fetches_ok, fetches_not_ok;
    uint64_t commits, commit_reads;
    uint64_t messages_read;     /* every time counts */
    uint64_t messages_distinct; /* sent or read */
    uint64_t memory_bytes;      /* of messages, batches and registers, about */
};
void history_totals(const struct history *history, struct history_totals *ret_totals);

/* The totals, then every class that occurred with its texts, then one line that starts with "history: ". */
void history_print(const struct history *history, FILE *out);

#endif
