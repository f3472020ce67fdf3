#include "consumer.h"

#include <assert.h>
#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "client.h"
#include "problem.h"

#define BACKOFF_US_MIN     5000u
#define BACKOFF_US_MAX     100000u
#define WATCH_US           250000u
#define CONNECT_US_MAX     1000000u
#define ANSWER_US_MAX      11000000u /* a node that waits for others refuses after 10 s */
#define INFLATED_BYTES_MAX (64u * 1024u * 1024u)

static void connect_now(struct consumer *consumer);

static void drop_connection(struct consumer *consumer)
{
    connection_close(consumer->connection);
    consumer->connection = NULL;
    consumer->connected = false;
}

static void give_up(struct consumer *consumer, enum exit_code code, const char *slug,
                    const char *reason)
{
    if (consumer->failed) return;
    consumer->failed = true;
    drop_connection(consumer);
    io_timer_stop(consumer->options.io, &consumer->retry_timer);
    io_timer_stop(consumer->options.io, &consumer->watch_timer);
    consumer->options.failed(consumer->options.data, code, slug, reason);
}

/* ---- asking ------------------------------------------------------------------------------------------------- */

static void send_fetch(struct consumer *consumer)
{
    char head[1024], offset[CONSUMER_FROM_BYTES];
    if (consumer->position_known) {
        snprintf(offset, sizeof(offset), "%" PRIu64, consumer->position);
    } else {
        snprintf(offset, sizeof(offset), "%s", consumer->from);
    }
    int bytes =
        snprintf(head, sizeof(head),
                 "GET /v1/topics/%s/messages?partition=%" PRIu32 "&offset=%s&max_bytes=%" PRIu64
                 "&wait=%" PRIu32 "ms HTTP/1.1\r\nHost: raftmq\r\n"
                 "Accept: application/vnd.raftmq.batch\r\n\r\n",
                 consumer->topic, consumer->options.partition, offset, consumer->options.bytes_max,
                 consumer->options.wait_ms);
    assert(bytes > 0);
    assert((size_t)bytes < sizeof(head));
    consumer->sent_us = io_now_us(consumer->options.io);
    connection_send(consumer->connection, head, (size_t)bytes, NULL);
}

void consumer_fetch(struct consumer *consumer)
{
    assert(!consumer->asked);
    assert(!consumer->closed);
    if (consumer->failed) return;
    consumer->asked = true;
    consumer->stopped = false;
    if (consumer->connected) send_fetch(consumer);
}

static uint64_t backoff_us(const struct consumer *consumer)
{
    uint32_t round = consumer->attempts / consumer->servers.count;
    if (round == 0) return 0;
    uint64_t pause_us = BACKOFF_US_MIN;
    for (uint32_t i = 1; i < round && pause_us < BACKOFF_US_MAX; i++) {
        pause_us *= 2;
    }
    return pause_us < BACKOFF_US_MAX ? pause_us : BACKOFF_US_MAX;
}

static void retry(struct consumer *consumer, const char *reason)
{
    struct io *io = consumer->options.io;
    uint64_t now_us = io_now_us(io);
    drop_connection(consumer);
    if (consumer->failing_since_us == 0) consumer->failing_since_us = now_us;
    if (now_us - consumer->failing_since_us >= consumer->options.retry_for_us) {
        give_up(consumer, consumer->meets_damage ? EXIT_CODE_FAILED : EXIT_CODE_UNAVAILABLE,
                consumer->meets_damage ? "damaged" : "",
                consumer->refusal[0] ? consumer->refusal : reason);
        return;
    }
    consumer->attempts++;
    if (!consumer->options.stays) servers_next(&consumer->servers);
    io_timer_start(io, &consumer->retry_timer, backoff_us(consumer));
}

static void retry_now(struct io_timer *timer)
{
    connect_now(timer->data);
}

/* ---- answers ------------------------------------------------------------------------------------------------ */

static void on_connected(void *data)
{
    struct consumer *consumer = data;
    consumer->connected = true;
    if (consumer->asked) send_fetch(consumer);
}

static void on_connection_failed(void *data, const char *reason)
{
    struct consumer *consumer = data;
    char text[384];
    snprintf(text, sizeof(text), "%s: %s", servers_current(&consumer->servers), reason);
    retry(consumer, text);
}

/* The records of one batch from the position on. NULL, or what is wrong with the batch. */
static const char *deliver_batch(struct consumer *consumer, const uint8_t *bytes,
                                 size_t bytes_count)
{
    struct record_batch_reader reader;
    struct record_view record;
    bool end = false;
    enum record_batch_status status =
        record_batch_reader_open(&reader, bytes, bytes_count, INFLATED_BYTES_MAX);
    if (status != RECORD_BATCH_OK) return record_batch_status_text(status);
    while (!consumer->stopped && !consumer->closed) {
        status = record_batch_reader_next(&reader, &record, &end);
        if (status != RECORD_BATCH_OK || end) break;
        if (record.offset < consumer->position)
            continue; /* the batch begins before the offset that was asked for */
        bool more = consumer->options.record(consumer->options.data, &reader.header, &record);
        consumer->position = record.offset + 1;
        if (!more) consumer->stopped = true;
    }
    record_batch_reader_close(&reader);
    return status == RECORD_BATCH_OK ? NULL : record_batch_status_text(status);
}

/* Batches stand back to back. NULL, or what is wrong. */
static const char *deliver_batches(struct consumer *consumer, const uint8_t *body,
                                   size_t body_bytes)
{
    for (size_t at = 0; at < body_bytes && !consumer->stopped && !consumer->closed;) {
        struct record_batch_header header;
        const uint8_t *bytes = body + at;
        if (body_bytes - at < RECORD_BATCH_HEADER_BYTES) return "the answer ends inside of a batch";
        uint32_t length = (uint32_t)bytes[8] << 24 | (uint32_t)bytes[9] << 16 |
                          (uint32_t)bytes[10] << 8 | (uint32_t)bytes[11];
        if (length > body_bytes - at - 12) return "the answer ends inside of a batch";
        size_t bytes_count = (size_t)length + 12;
        enum record_batch_status status =
            consumer->options.checks_crc ? record_batch_check(bytes, bytes_count, &header)
                                         : record_batch_decode_header(bytes, bytes_count, &header);
        if (status != RECORD_BATCH_OK) return record_batch_status_text(status);
        const char *problem = deliver_batch(consumer, bytes, bytes_count);
        if (problem) return problem;
        at += bytes_count;
    }
    return NULL;
}

static void take_records(struct consumer *consumer, const struct connection_answer *answer)
{
    if (!answer->binary || !answer->has_next_offset || !answer->has_high_watermark) {
        give_up(consumer, EXIT_CODE_FAILED, "", "the node did not answer with record batches");
        return;
    }
    if (!consumer->position_known) {
        consumer->position = answer->has_fetch_offset ? answer->fetch_offset : 0;
        consumer->position_known = true;
    }
    consumer->failing_since_us = 0;
    consumer->refusal[0] = '\0';
    consumer->meets_damage = false;
    consumer->attempts = 0;
    consumer->silences = 0;
    consumer->answers_count++;
    consumer->bytes_count += answer->body_bytes;
    const char *problem = deliver_batches(consumer, answer->body, answer->body_bytes);
    if (consumer->closed) return;
    if (problem) {
        char text[384];
        snprintf(text, sizeof(text), "%s served a bad batch near offset %" PRIu64 ": %s",
                 servers_current(&consumer->servers), consumer->position, problem);
        give_up(consumer, EXIT_CODE_FAILED, "", text);
        return;
    }
    /* Records may end short of it (a gap left by entries that carry none), never beyond. */
    if (!consumer->stopped && answer->next_offset > consumer->position) {
        consumer->position = answer->next_offset;
    }
    consumer->options.fetched(consumer->options.data, consumer->position, answer->high_watermark);
}

/* True: the next fetch begins at the earliest message that is left. */
static bool goes_on_behind_trimmed(struct consumer *consumer, const json_t *problem,
                                   const char *slug)
{
    const json_t *first = json_object_get(problem, "first_offset");
    if (strcmp(slug, "offset-out-of-range") != 0 || !json_is_integer(first)) return false;
    const uint64_t first_offset = (uint64_t)json_integer_value(first);
    uint64_t position = consumer->position;
    if (!consumer
             ->position_known) { /* --from, or where a group stopped: a number, or it would be in range */
        char *end;
        position = strtoull(consumer->from, &end, 10);
        if (*consumer->from == '\0' || *end != '\0') return false;
    }
    if (position >= first_offset || !consumer->options.trimmed) return false;
    if (!consumer->options.trimmed(consumer->options.data, position, first_offset)) return false;
    consumer->position = first_offset;
    consumer->position_known = true;
    return true;
}

static void on_answer(void *data, const struct connection_answer *answer)
{
    struct consumer *consumer = data;
    if (!consumer->asked) return;
    if (answer->status == 200) {
        consumer->asked = false;
        take_records(consumer, answer);
        return;
    }
    char slug[64], detail[512];
    json_t *json = json_loadb((const char *)answer->body, answer->body_bytes, 0, NULL);
    problem_read(json, answer->status, slug, sizeof(slug), detail, sizeof(detail));
    const bool goes_on = goes_on_behind_trimmed(consumer, json, slug);
    consumer->meets_damage = strcmp(slug, "damaged") == 0;
    consumer->behind_damage = reply_number(json, "next_offset", 0);
    json_decref(json);
    if (goes_on) {
        send_fetch(consumer);
    } else if (exit_code_http_is_retryable(answer->status)) {
        snprintf(consumer->refusal, sizeof(consumer->refusal), "%s", detail);
        retry(consumer, detail);
    } else {
        give_up(consumer, exit_code_of_http(answer->status, /* writes= */ false), slug, detail);
    }
}

static const struct connection_callbacks connection_callbacks = {
    .connected = on_connected, .answer = on_answer, .failed = on_connection_failed};

static void connect_now(struct consumer *consumer)
{
    assert(!consumer->connection);
    consumer->sent_us = io_now_us(consumer->options.io);
    consumer->connection = connection_open(
        consumer->options.io, servers_current(&consumer->servers), &connection_callbacks, consumer);
}

/* Without a byte for longer than this the node hangs, or the path to it is dead without a word. */
static uint64_t silence_us_max(const struct consumer *consumer)
{
    if (!consumer->connected) return CONNECT_US_MAX;
    uint64_t us = consumer->options.answer_timeout_us;
    if (us == 0) us = ANSWER_US_MAX;
    const uint32_t rounds = consumer->silences / consumer->servers.count;
    for (uint32_t i = 0; i < rounds && us < ANSWER_US_MAX; i++) {
        us *= 2;
    }
    return consumer->options.wait_ms * 1000ull + (us < ANSWER_US_MAX ? us : ANSWER_US_MAX);
}

static uint64_t not_after(uint64_t us, uint64_t now_us)
{
    return us < now_us ? us : now_us;
}

/* Without this a slow reader of the output, or whoever stopped the process, would cost every node its connection. What came
 * while the loop stood still is read behind the timers: so that time does not count yet. Later it counts as one turn of the
 * watch, so that a loop that is always late leaves a node that hangs, too. Returns since when the node is silent. */
static uint64_t since_without_stall(struct consumer *consumer, uint64_t since_us, uint64_t now_us)
{
    const uint64_t passed_us = now_us - consumer->watched_us;
    consumer->watched_us = now_us;
    if (passed_us <= 2u * WATCH_US) return since_us;
    const uint64_t stood_us = passed_us - WATCH_US;
    consumer->sent_us = not_after(since_us + stood_us, now_us);
    if (consumer->failing_since_us > 0) {
        consumer->failing_since_us = not_after(consumer->failing_since_us + stood_us, now_us);
    }
    return not_after(since_us + passed_us, now_us);
}

static void watch(struct io_timer *timer)
{
    struct consumer *consumer = timer->data;
    struct io *io = consumer->options.io;
    const uint64_t now_us = io_now_us(io);
    const bool waits = consumer->connection && (!consumer->connected || consumer->asked);
    uint64_t since_us = consumer->sent_us;
    if (waits && connection_heard_us(consumer->connection) > since_us) { /* a large answer */
        since_us = connection_heard_us(consumer->connection);
    }
    since_us = since_without_stall(consumer, since_us, now_us);
    if (waits && now_us - since_us > silence_us_max(consumer)) {
        consumer->silences += consumer->connected;
        on_connection_failed(consumer,
                             consumer->connected ? "no answer" : "cannot connect in time");
    }
    if (!consumer->failed) io_timer_start(io, &consumer->watch_timer, WATCH_US);
}

void consumer_init(struct consumer *consumer, const struct consumer_options *options)
{
    memset(consumer, 0, sizeof(*consumer));
    consumer->options = *options;
    consumer->servers = *options->servers;
    consumer->options.servers = NULL;
    consumer->options.from = NULL;
    bool fits = client_encode_segment(options->topic, consumer->topic, sizeof(consumer->topic)) &&
                client_encode_segment(options->from, consumer->from, sizeof(consumer->from));
    assert(fits); /* the verb has checked both */
    consumer->retry_timer = (struct io_timer){.fire = retry_now, .data = consumer};
    consumer->watch_timer = (struct io_timer){.fire = watch, .data = consumer};
    connect_now(consumer);
    consumer->watched_us = consumer->sent_us;
    io_timer_start(options->io, &consumer->watch_timer, WATCH_US);
}

void consumer_close(struct consumer *consumer)
{
    if (!consumer->options.io || consumer->closed) return;
    consumer->closed = true;
    io_timer_stop(consumer->options.io, &consumer->retry_timer);
    io_timer_stop(consumer->options.io, &consumer->watch_timer);
    drop_connection(consumer);
}
