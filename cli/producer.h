/* An idempotent producer of one partition: batches in, acknowledgements out, failovers survived.
 *
 *     WAITING ── room on the connection ──► SENT ── 2xx, or "stored before" ──► ACKED
 *        ▲                                    │
 *        └── connection lost, 429, 502-504 ◄──┘      the same bytes, the same sequence, in the same order
 *
 * 1. At most PRODUCER_INFLIGHT_MAX batches are SENT (PROTOCOL P2), on one pipelined connection, so that a node sees
 *    them in sequence.
 * 2. After a retryable answer nothing new is sent until every SENT batch has its answer; then all that are not acked
 *    leave again from the oldest on. "Out of order" behind such a batch is an echo of it and is retried as well.
 * 3. A batch that was sent and whose answer was lost, is 504, or is in no node's words has an unknown fate until it is
 *    acked: a later refusal says nothing of an earlier attempt. While a batch's fate is unknown, whatever ends the
 *    producer ends it with EXIT_CODE_UNKNOWN. Else the end of the time for retries is EXIT_CODE_UNAVAILABLE, and a
 *    refusal that no retry changes has the code of its own.
 * 4. Without a producer id a retry could store a batch twice, so an unknown fate ends the producer at once.
 * 5. A producer id that is fenced or forgotten ends the producer: taking a new one could store twice what is in flight.
 * 6. Whatever ends it, nothing new leaves, and what is SENT gets its answer or loses it before `failed` is called: so what was
 *    refused is known to be, and only what is unknown is called so.
 */
#ifndef CLI_PRODUCER_H
#define CLI_PRODUCER_H

#include <broker/io.h>
#include <broker/record_batch.h>

#include "connection.h"
#include "exit_code.h"
#include "servers.h"

#define PRODUCER_INFLIGHT_MAX 5u

enum producer_batch_state {
    PRODUCER_BATCH_WAITING,
    PRODUCER_BATCH_SENT,
    PRODUCER_BATCH_ANSWERED, /* retryable; waits for the pipeline to empty */
};

/* One record batch; taken from producer_batch_take, filled through `builder`, given to producer_submit. */
struct producer_batch {
    struct record_batch_builder builder;
    struct producer *producer;
    struct producer_batch *next;
    struct producer_batch *all_next;
    uint64_t created_us;   /* of its first message; the owner's */
    uint64_t first_number; /* the owner's */
    uint64_t value_bytes;  /* the owner's: payload of its messages */
    int32_t base_sequence;
    enum producer_batch_state state;
    bool fate_unknown;
    bool sent_behind;        /* when it was sent last, an earlier batch was not acked yet */
    uint32_t writes_pending; /* buffers lent to streams */
    bool is_done;            /* acked: recycled when no write holds it any more */
};

struct producer_ack {
    bool offset_known;
    uint64_t offset; /* of the batch's first message */
};

/* With sequences a batch may be sent elsewhere at any time: a node that is paused or cut off costs this, not the time that a
 * slow answer may take. Longer than an election, so that an ordinary failover does not move producers about. */
#define PRODUCER_ANSWER_TIMEOUT_US 1500000u

struct producer_options {
    struct io *io;
    const struct servers *servers; /* copied: each producer finds its own way through a failover */
    const char *topic;             /* borrowed */
    uint32_t partition;
    int64_t producer_id; /* -1: not idempotent */
    int16_t producer_epoch;
    bool wants_offsets; /* answers are parsed for the offset: costs a little */
    size_t batch_bytes_max;
    uint32_t inflight_max; /* 1 .. PRODUCER_INFLIGHT_MAX */
    uint64_t retry_for_us; /* from a batch's first failure on */
    uint64_t
        answer_timeout_us; /* without any answer for so long the batches go to the next server */
    /* In order of sequence for the batches of one connection; the batch is recycled on return. */
    void (*acked)(void *data, struct producer_batch *batch, const struct producer_ack *ack);
    /* It will send nothing more: `code` and a sentence. Called at most once; nothing is acked afterwards. */
    void (*failed)(void *data, enum exit_code code, const char *slug, const char *reason);
    /* A batch would leave at once: the connection stands, first or after an outage. May be NULL. */
    void (*ready)(void *data);
    /* Trouble that is being retried, for a progress line; may be NULL. */
    void (*retrying)(void *data, const char *reason);
    void *data;
};

struct producer {
    struct producer_options options;
    struct servers servers;
    struct connection *connection;
    bool connected;
    char head[768]; /* request head up to the length */
    size_t head_bytes;
    struct producer_batch *oldest, *newest; /* not acked, in order */
    struct producer_batch *idle;            /* recycled */
    struct producer_batch *all;             /* every batch ever made, for close */
    uint32_t waiting_count, sent_count;
    int32_t next_sequence;
    bool recovering; /* rule 2: draining or backing off */
    bool ending;     /* rule 6: with what follows, once nothing is SENT */
    enum exit_code end_code;
    char end_slug[64], end_reason[512];
    bool failed;
    bool closed;
    uint32_t attempts;         /* failures in a row */
    uint64_t failing_since_us; /* 0: the last answer was good */
    uint64_t retry_after_us;
    uint64_t
        last_progress_us; /* an answer came or the pipeline was empty: base of the answer timeout */
    char last_reason[512];
    char refusal[512]; /* what a node said last; "": nothing since the last ack */
    char doubt[512];   /* why the fate of a batch is unknown, while one's is */
    struct io_timer retry_timer, watch_timer;
    uint64_t retries_count; /* statistics */
};

void producer_init(struct producer *producer, const struct producer_options *options);
/* Rule 6: `failed` comes with this code (EXIT_CODE_UNKNOWN instead where rule 3 says so), at once or within the answer
 * timeout. Nothing happens when it has failed, or is ending, already. */
void producer_end(struct producer *producer, enum exit_code code, const char *slug,
                  const char *reason);
/* Drops everything, also batches taken and not submitted, and closes the connection; nothing is called back. Batches
 * that are lent to a stream are freed when it lets go of them. */
void producer_close(struct producer *producer);

/* An empty batch, begun. */
struct producer_batch *producer_batch_take(struct producer *producer);
/* Finish the batch with the next sequence and send it when there is room. Moved. */
void producer_submit(struct producer *producer, struct producer_batch *batch);
/* Put back a batch that was taken and not submitted. */
void producer_batch_return(struct producer *producer, struct producer_batch *batch);

/* Room for a batch to leave at once. */
bool producer_has_room(const struct producer *producer);
uint32_t producer_unacked_count(const struct producer *producer);

/* Sequences count modulo 2^31 (Kafka). */
int32_t producer_sequence_add(int32_t sequence, uint32_t count);

#endif
