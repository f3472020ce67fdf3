#include "producer.h"

#include <assert.h>
#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "client.h"
#include "problem.h"

#define BACKOFF_US_MIN 5000u
#define BACKOFF_US_MAX 100000u
#define WATCH_US       250000u

static void connect_now(struct producer *producer);
static void pump(struct producer *producer);

/* ---- batches ------------------------------------------------------------------------------------------------ */

static void batch_free(struct producer_batch *batch)
{
    record_batch_builder_close(&batch->builder);
    free(batch);
}

struct producer_batch *producer_batch_take(struct producer *producer)
{
    struct producer_batch *batch = producer->idle;
    if (batch) {
        producer->idle = batch->next;
    } else {
        batch = calloc(1, sizeof(*batch));
        assert(batch);
        record_batch_builder_init(&batch->builder, producer->options.batch_bytes_max);
        batch->all_next = producer->all;
        producer->all = batch;
    }
    record_batch_begin(&batch->builder);
    batch->producer = producer;
    batch->next = NULL;
    batch->state = PRODUCER_BATCH_WAITING;
    batch->fate_unknown = false;
    batch->is_done = false;
    batch->created_us = 0;
    batch->first_number = 0;
    batch->value_bytes = 0;
    assert(batch->writes_pending == 0);
    return batch;
}

void producer_batch_return(struct producer *producer, struct producer_batch *batch)
{
    batch->next = producer->idle;
    producer->idle = batch;
}

static void recycle(struct producer *producer, struct producer_batch *batch)
{
    batch->is_done = true;
    if (batch->writes_pending == 0) producer_batch_return(producer, batch);
}

/* A stream no longer needs the bytes: they were written, or the stream was closed. */
static void write_released(void *owner)
{
    struct producer_batch *batch = owner;
    assert(batch->writes_pending > 0);
    batch->writes_pending--;
    if (!batch->is_done || batch->writes_pending > 0) return;
    if (batch->producer) {
        producer_batch_return(batch->producer, batch);
    } else {
        batch_free(batch); /* the producer was closed meanwhile */
    }
}

int32_t producer_sequence_add(int32_t sequence, uint32_t count)
{
    assert(sequence >= 0);
    return (int32_t)(((uint32_t)sequence + count) & 0x7fffffffu);
}

/* ---- failing ------------------------------------------------------------------------------------------------ */

static void drop_connection(struct producer *producer)
{
    connection_close(producer->connection);
    producer->connection = NULL;
    producer->connected = false;
}

static bool any_fate_unknown(const struct producer *producer)
{
    for (const struct producer_batch *batch = producer->oldest; batch; batch = batch->next) {
        if (batch->fate_unknown || batch->state == PRODUCER_BATCH_SENT) return true;
    }
    return false;
}

static void give_up(struct producer *producer, enum exit_code code, const char *slug,
                    const char *reason)
{
    if (producer->failed) return;
    char both[sizeof(producer->doubt) + sizeof(producer->end_reason) + 32];
    producer->failed = true;
    if (code == EXIT_CODE_UNAVAILABLE && producer->refusal[0]) reason = producer->refusal;
    /* What was sent and not answered may be stored, whatever else went wrong. */
    if (any_fate_unknown(producer)) {
        const bool ends_again = code != EXIT_CODE_UNAVAILABLE && code != EXIT_CODE_UNKNOWN;
        const char *doubt = producer->doubt[0] ? producer->doubt : reason;
        const bool tells_both = ends_again && strcmp(doubt, reason) != 0;
        if (tells_both) {
            snprintf(both, sizeof(both), "%s; the newest answer: %s", doubt, reason);
        }
        code = EXIT_CODE_UNKNOWN;
        reason = tells_both ? both : doubt;
    }
    drop_connection(producer);
    io_timer_stop(producer->options.io, &producer->retry_timer);
    io_timer_stop(producer->options.io, &producer->watch_timer);
    producer->options.failed(producer->options.data, code, slug, reason);
}

void producer_end(struct producer *producer, enum exit_code code, const char *slug,
                  const char *reason)
{
    if (producer->failed || producer->closed) return;
    if (!producer->ending) {
        producer->ending = true;
        producer->end_code = code;
        snprintf(producer->end_slug, sizeof(producer->end_slug), "%s", slug);
        snprintf(producer->end_reason, sizeof(producer->end_reason), "%s", reason);
        snprintf(producer->refusal, sizeof(producer->refusal), "%s", reason);
    }
    if (producer->sent_count == 0) {
        give_up(producer, producer->end_code, producer->end_slug, producer->end_reason);
    }
}

/* ---- retrying ----------------------------------------------------------------------------------------------- */

/* All that is not acked becomes WAITING again, in its order. */
static void rewind_batches(struct producer *producer)
{
    producer->sent_count = 0;
    producer->waiting_count = 0;
    for (struct producer_batch *batch = producer->oldest; batch; batch = batch->next) {
        batch->state = PRODUCER_BATCH_WAITING;
        producer->waiting_count++;
    }
}

/* The first round over all servers goes without a pause, since the next one may lead already; later rounds back off. */
static uint64_t backoff_us(struct producer *producer)
{
    if (producer->retry_after_us > 0) return producer->retry_after_us;
    uint32_t round = producer->attempts / producer->servers.count;
    if (round == 0) return 0;
    uint64_t pause_us = BACKOFF_US_MIN;
    for (uint32_t i = 1; i < round && pause_us < BACKOFF_US_MAX; i++) {
        pause_us *= 2;
    }
    if (pause_us > BACKOFF_US_MAX) pause_us = BACKOFF_US_MAX;
    uint32_t random;
    io_random(producer->options.io, &random, sizeof(random));
    return pause_us / 2 +
           random % (pause_us / 2 + 1); /* producers of one outage do not return in step */
}

/* Begin again, on the next server when this one could not serve. The pipeline is empty or its connection is gone. */
static void retry(struct producer *producer, bool next_server, const char *reason)
{
    struct io *io = producer->options.io;
    uint64_t now_us = io_now_us(io);
    snprintf(producer->last_reason, sizeof(producer->last_reason), "%s", reason);
    if (producer->failing_since_us == 0) producer->failing_since_us = now_us;
    if (producer->options.producer_id < 0 && any_fate_unknown(producer)) {
        give_up(producer, EXIT_CODE_UNKNOWN, "", reason);
        return;
    }
    if (now_us - producer->failing_since_us >= producer->options.retry_for_us) {
        give_up(producer, EXIT_CODE_UNAVAILABLE, "", reason);
        return;
    }
    rewind_batches(producer);
    producer->recovering = true;
    producer->retries_count++;
    producer->attempts++;
    if (next_server) {
        drop_connection(producer);
        servers_next(&producer->servers);
    }
    if (producer->options.retrying && producer->attempts > 1) {
        producer->options.retrying(producer->options.data, reason);
    }
    io_timer_start(io, &producer->retry_timer, backoff_us(producer));
    producer->retry_after_us = 0;
}

static void retry_now(struct io_timer *timer)
{
    struct producer *producer = timer->data;
    assert(producer->sent_count == 0);
    producer->recovering = false;
    if (!producer->connection) {
        connect_now(producer);
    } else {
        pump(producer);
    }
}

/* ---- answers ------------------------------------------------------------------------------------------------ */

static void on_connected(void *data)
{
    struct producer *producer = data;
    producer->connected = true;
    pump(producer);
    if (producer->options.ready && !producer->recovering) {
        producer->options.ready(producer->options.data);
    }
}

static void doubt_fate(struct producer *producer, struct producer_batch *batch, const char *reason)
{
    batch->fate_unknown = true;
    snprintf(producer->doubt, sizeof(producer->doubt), "%s", reason);
}

/* Mark what was on the wire: its answers are lost. */
static void lose_answers(struct producer *producer, const char *reason)
{
    for (struct producer_batch *batch = producer->oldest; batch; batch = batch->next) {
        if (batch->state == PRODUCER_BATCH_SENT) doubt_fate(producer, batch, reason);
    }
}

static void on_connection_failed(void *data, const char *reason)
{
    struct producer *producer = data;
    char text[384];
    snprintf(text, sizeof(text), "%s: %s", servers_current(&producer->servers), reason);
    lose_answers(producer, text);
    io_timer_stop(producer->options.io, &producer->retry_timer);
    if (producer->ending) {
        give_up(producer, producer->end_code, producer->end_slug, producer->end_reason);
        return;
    }
    retry(producer, /* next_server= */ true, text);
}

static void remove_batch(struct producer *producer, struct producer_batch *batch)
{
    struct producer_batch *before = NULL;
    for (struct producer_batch *at = producer->oldest; at != batch; at = at->next) {
        assert(at);
        before = at;
    }
    *(before ? &before->next : &producer->oldest) = batch->next;
    if (producer->newest == batch) producer->newest = before;
    batch->next = NULL;
}

static void take_ack(struct producer *producer, struct producer_batch *batch,
                     const struct connection_answer *answer)
{
    struct producer_ack ack = {0};
    if (producer->options.wants_offsets && answer->status < 300) {
        json_t *json = json_loadb((const char *)answer->body, answer->body_bytes, 0, NULL);
        ack.offset = reply_number(json, "offset", UINT64_MAX);
        ack.offset_known = ack.offset != UINT64_MAX;
        json_decref(json);
    }
    remove_batch(producer, batch);
    if (!producer->ending) producer->refusal[0] = '\0';
    if (!producer->recovering) {
        producer->failing_since_us = 0;
        producer->attempts = 0;
    }
    producer->options.acked(producer->options.data, batch, &ack);
    recycle(producer, batch);
}

/* The oldest batch that has no answer yet: answers come in the order of the requests. */
static struct producer_batch *first_sent(struct producer *producer)
{
    struct producer_batch *batch = producer->oldest;
    while (batch && batch->state != PRODUCER_BATCH_SENT) {
        batch = batch->next;
    }
    return batch;
}

static void take_refusal(struct producer *producer, struct producer_batch *batch,
                         const struct connection_answer *answer)
{
    char slug[64], detail[512];
    json_t *json = json_loadb((const char *)answer->body, answer->body_bytes, 0, NULL);
    problem_read(json, answer->status, slug, sizeof(slug), detail, sizeof(detail));
    uint64_t retry_after_ms = reply_number(json, "retry_after_ms", answer->retry_after_ms);
    json_decref(json);

    if (strcmp(slug, "duplicate-offset-unknown") ==
        0) { /* stored before, too long ago to say where (P2) */
        take_ack(producer, batch, answer);
        return;
    }
    /* Sent behind a batch that was not acked: that one may have been delayed (it waits for a leader, or for the topic to
     * be made) and be stored meanwhile. In order again, nothing is wrong. */
    bool echo = strcmp(slug, "out-of-order-sequence") == 0 && batch->sent_behind;
    /* What is no problem document of a node stands for an answer that was lost. */
    const enum exit_code code = exit_code_of_http(answer->status, /* writes= */ true);
    if (code == EXIT_CODE_UNKNOWN || slug[0] == '\0') doubt_fate(producer, batch, detail);
    batch->state = PRODUCER_BATCH_ANSWERED;
    if (!echo && !exit_code_http_is_retryable(answer->status)) {
        producer_end(producer, code, slug, detail);
        return;
    }
    if (answer->status == 429) {
        uint64_t us = retry_after_ms * 1000u;
        producer->retry_after_us = us > 1000000u ? 1000000u : us < 1000u ? 1000u : us;
    }
    producer->recovering = true;
    if (!echo && !producer->ending) {
        snprintf(producer->last_reason, sizeof(producer->last_reason), "%s", detail);
        snprintf(producer->refusal, sizeof(producer->refusal), "%s", detail);
    }
}

static void on_answer(void *data, const struct connection_answer *answer)
{
    struct producer *producer = data;
    struct producer_batch *batch = first_sent(producer);
    assert(batch); /* the connection refuses answers nobody asked for */
    producer->sent_count--;
    producer->last_progress_us = io_now_us(producer->options.io);
    bool was_recovering = producer->recovering;
    char reason[sizeof(producer->last_reason)];
    if (answer->status >= 200 && answer->status < 300) {
        take_ack(producer, batch, answer);
    } else {
        take_refusal(producer, batch, answer);
    }
    if (producer->failed || producer->closed) return;
    if (producer->ending) {
        if (producer->sent_count == 0) {
            give_up(producer, producer->end_code, producer->end_slug, producer->end_reason);
        }
        return;
    }
    if (producer->recovering && producer->sent_count == 0) {
        bool stay = producer->retry_after_us > 0; /* 429: this node works, it is only busy */
        snprintf(reason, sizeof(reason), "%s", producer->last_reason);
        retry(producer, !stay, reason);
        return;
    }
    if (!producer->recovering && !was_recovering) pump(producer);
}

static const struct connection_callbacks connection_callbacks = {
    .connected = on_connected, .answer = on_answer, .failed = on_connection_failed};

static void connect_now(struct producer *producer)
{
    assert(!producer->connection);
    producer->connected = false;
    producer->last_progress_us = io_now_us(producer->options.io);
    producer->connection = connection_open(
        producer->options.io, servers_current(&producer->servers), &connection_callbacks, producer);
}

/* ---- sending ------------------------------------------------------------------------------------------------ */

static void send_batch(struct producer *producer, struct producer_batch *batch)
{
    char head[sizeof(producer->head) + 32];
    memcpy(head, producer->head, producer->head_bytes);
    int tail = snprintf(head + producer->head_bytes, sizeof(head) - producer->head_bytes,
                        "%zu\r\n\r\n", batch->builder.bytes);
    struct io_buffer body = {.data = batch->builder.buffer,
                             .bytes = batch->builder.bytes,
                             .release = write_released,
                             .owner = batch};
    batch->state = PRODUCER_BATCH_SENT;
    batch->sent_behind = producer->oldest != batch;
    batch->writes_pending++;
    producer->waiting_count--;
    if (producer->sent_count == 0) producer->last_progress_us = io_now_us(producer->options.io);
    producer->sent_count++;
    connection_send(producer->connection, head, producer->head_bytes + (size_t)tail, &body);
}

static void pump(struct producer *producer)
{
    if (producer->failed || producer->closed || producer->ending) return;
    if (producer->recovering || !producer->connected) return;
    struct producer_batch *batch = producer->oldest;
    while (batch && batch->state != PRODUCER_BATCH_WAITING) {
        batch = batch->next;
    }
    for (; batch && producer->sent_count < producer->options.inflight_max; batch = batch->next) {
        send_batch(producer, batch);
    }
}

/* No answer for too long: the node hangs, or the path to it is dead without a word. */
static void watch(struct io_timer *timer)
{
    struct producer *producer = timer->data;
    struct io *io = producer->options.io;
    bool waits = producer->sent_count > 0 || (producer->connection && !producer->connected);
    uint64_t limit_us = producer->connected ? producer->options.answer_timeout_us : 1000000u;
    if (waits && io_now_us(io) - producer->last_progress_us > limit_us) {
        on_connection_failed(producer,
                             producer->connected ? "no answer" : "cannot connect in time");
    }
    if (!producer->failed) io_timer_start(io, &producer->watch_timer, WATCH_US);
}

void producer_init(struct producer *producer, const struct producer_options *options)
{
    assert(options->inflight_max >= 1);
    assert(options->inflight_max <= PRODUCER_INFLIGHT_MAX);
    memset(producer, 0, sizeof(*producer));
    producer->options = *options;
    producer->servers = *options->servers;
    producer->options.servers = NULL;
    char topic[3 * 128 + 1];
    bool fits = client_encode_segment(options->topic, topic, sizeof(topic));
    assert(fits); /* the verb has checked the name */
    int bytes =
        snprintf(producer->head, sizeof(producer->head),
                 "POST /v1/topics/%s/messages?partition=%" PRIu32 "&auto_create=1 HTTP/1.1\r\n"
                 "Host: raftmq\r\nContent-Type: application/vnd.raftmq.batch\r\nContent-Length: ",
                 topic, options->partition);
    producer->head_bytes = (size_t)bytes;
    assert(producer->head_bytes < sizeof(producer->head));
    producer->retry_timer = (struct io_timer){.fire = retry_now, .data = producer};
    producer->watch_timer = (struct io_timer){.fire = watch, .data = producer};
    connect_now(producer);
    io_timer_start(options->io, &producer->watch_timer, WATCH_US);
}

void producer_close(struct producer *producer)
{
    if (!producer->options.io || producer->closed) return;
    producer->closed = true;
    io_timer_stop(producer->options.io, &producer->retry_timer);
    io_timer_stop(producer->options.io, &producer->watch_timer);
    drop_connection(producer); /* releases what it still held */
    for (struct producer_batch *batch = producer->all, *next; batch; batch = next) {
        next = batch->all_next;
        batch->producer = NULL;
        batch->is_done = true;
        if (batch->writes_pending == 0) batch_free(batch);
    }
}

void producer_submit(struct producer *producer, struct producer_batch *batch)
{
    assert(batch->builder.records_count > 0);
    assert(!producer->closed);
    bool idempotent = producer->options.producer_id >= 0;
    batch->base_sequence = idempotent ? producer->next_sequence : -1;
    if (idempotent) {
        producer->next_sequence =
            producer_sequence_add(producer->next_sequence, batch->builder.records_count);
    }
    record_batch_finish(&batch->builder, producer->options.producer_id,
                        idempotent ? producer->options.producer_epoch : (int16_t)-1,
                        batch->base_sequence);
    if (producer->newest) {
        producer->newest->next = batch;
    } else {
        producer->oldest = batch;
    }
    producer->newest = batch;
    producer->waiting_count++;
    pump(producer);
}

bool producer_has_room(const struct producer *producer)
{
    return producer->connected && !producer->recovering && !producer->failed && !producer->ending &&
           producer->waiting_count == 0 && producer->sent_count < producer->options.inflight_max;
}

uint32_t producer_unacked_count(const struct producer *producer)
{
    return producer->waiting_count + producer->sent_count;
}
