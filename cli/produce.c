/* `raftmq produce`: lines of stdin or files become messages.
 *
 *     input ──► open batch of a partition ── full, or the linger time is over ──► producer ──► acked
 *
 * Bounded by pulling: nothing is read while a partition has BATCHES_QUEUED_MAX batches that are not acked. */
#include <assert.h>
#include <broker/io_uv.h>
#include <errno.h>
#include <inttypes.h>
#include <segment_log/checksum.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "client.h"
#include "histogram.h"
#include "input.h"
#include "message.h"
#include "problem.h"
#include "producer.h"
#include "producer_id.h"
#include "quantity.h"
#include "topic_info.h"
#include "verbs.h"

#define BATCHES_QUEUED_MAX 8u
#define PROGRESS_US        200000u

struct produce;

struct produce_partition {
    struct produce *produce;
    struct producer producer;
    struct producer_batch *open; /* being filled */
};

struct produce {
    const struct options *options;
    struct client client;
    struct io *io;
    struct topic_info topic;
    const char *topic_name;
    struct input input;
    struct produce_partition *partitions;
    uint32_t partitions_count; /* made: 1 with -p */
    uint32_t partition_turn;   /* for messages without a key, until its batch is closed */
    struct record_header headers[RECORD_HEADERS_MAX];
    uint32_t headers_count;
    uint64_t batch_messages_max, batch_bytes_max, linger_us, rate;
    struct io_timer linger_timer, rate_timer, progress_timer;
    struct io_timer pull_post, finish_post; /* posted, never started */
    bool lingering, input_ended, input_broken, interrupted;
    FILE *acked_log;
    struct histogram latency;
    uint64_t started_us, ended_us;
    uint64_t taken_count, acked_count, acked_bytes, refused_count;
    uint64_t last_ack_us, longest_pause_us;
    enum exit_code
        code; /* other than OK: it ends with that, once all partitions have come to their end */
    char failure_slug[64], failure_reason[512];
    bool log_broken, told_failure;
};

static void pull(struct produce *produce);

static void stop(struct produce *produce)
{
    produce->ended_us = io_now_us(produce->io);
    io_uv_stop(produce->io);
}

/* ---- acknowledged ------------------------------------------------------------------------------------------- */

static void fail(struct produce *produce, enum exit_code code, const char *slug,
                 const char *reason);

/* "producer_id sequence offset hash" for each message of the batch, for whoever wants to prove that nothing was lost. */
static void log_acked(struct produce *produce, const struct producer_batch *batch,
                      const struct producer_ack *ack)
{
    struct record_batch_reader reader;
    struct record_view record;
    bool end = false;
    errno = 0;
    enum record_batch_status status =
        record_batch_reader_open(&reader, batch->builder.buffer, batch->builder.bytes, SIZE_MAX);
    assert(status == RECORD_BATCH_OK); /* our own bytes */
    for (uint32_t i = 0;; i++) {
        status = record_batch_reader_next(&reader, &record, &end);
        assert(status == RECORD_BATCH_OK);
        if (end) break;
        int64_t sequence =
            batch->base_sequence < 0 ? -1 : producer_sequence_add(batch->base_sequence, i);
        int64_t offset = ack->offset_known ? (int64_t)(ack->offset + i) : -1;
        fprintf(produce->acked_log, "%" PRId64 " %" PRId64 " %" PRId64 " %016" PRIx64 "\n",
                batch->producer->options.producer_id, sequence, offset,
                checksum64(record.value, record.value_bytes));
    }
    record_batch_reader_close(&reader);
    /* A killed producer leaves what it knew, and one that cannot does not go on. */
    if (fflush(produce->acked_log) == 0 && !ferror(produce->acked_log)) return;
    char reason[sizeof(produce->failure_reason)];
    snprintf(reason, sizeof(reason), "cannot write %.300s: %s",
             options_text(produce->options, "acked-log"), strerror(errno ? errno : EIO));
    fclose(produce->acked_log);
    produce->acked_log = NULL;
    produce->log_broken = true;
    fail(produce, EXIT_CODE_FAILED, "", reason);
}

static bool all_acked(const struct produce *produce)
{
    for (uint32_t i = 0; i < produce->partitions_count; i++) {
        if (produce->partitions[i].open) return false;
        if (producer_unacked_count(&produce->partitions[i].producer) > 0) return false;
    }
    return true;
}

static void on_acked(void *data, struct producer_batch *batch, const struct producer_ack *ack)
{
    struct produce_partition *partition = data;
    struct produce *produce = partition->produce;
    uint64_t now_us = io_now_us(produce->io);
    uint32_t count = batch->builder.records_count;
    histogram_record(&produce->latency, now_us - batch->created_us, count);
    /* A pause is time without acks while something was owed: it began with the later of the last ack and the batch. */
    uint64_t since_us =
        produce->last_ack_us > batch->created_us ? produce->last_ack_us : batch->created_us;
    if (now_us - since_us > produce->longest_pause_us)
        produce->longest_pause_us = now_us - since_us;
    produce->last_ack_us = now_us;
    produce->acked_count += count;
    produce->acked_bytes += batch->value_bytes;
    if (produce->acked_log) log_acked(produce, batch, ack);
    if (produce->input_ended) {
        /* The batch itself still counts as not acked here: look again when this callback has returned. */
        io_post(produce->io, &produce->finish_post);
    } else {
        io_post(produce->io, &produce->pull_post);
    }
}

/* With ids a batch is stored behind those before it alone. Without them those behind one that was refused may be stored, and
 * behind a message that was too large they are. */
static bool stores_in_order(const struct produce *produce)
{
    const struct producer_options *options = &produce->partitions[0].producer.options;
    const bool batches_are = options->producer_id >= 0 || options->inflight_max == 1;
    return produce->partitions_count == 1 && batches_are && produce->refused_count == 0;
}

static void explain_failure(const struct produce *produce)
{
    char acked[QUANTITY_TEXT_BYTES], others[QUANTITY_TEXT_BYTES];
    quantity_count(acked, produce->acked_count);
    quantity_count(others, produce->taken_count - produce->acked_count);
    if (produce->log_broken) {
        message_error("%s", produce->failure_reason);
        message_hint("the log of acknowledged messages is incomplete: %s were acknowledged", acked);
        if (produce->taken_count > produce->acked_count) {
            message_hint("up to %s more may be stored", others);
        }
        return;
    }
    message_error("%s: %s", produce->topic_name, produce->failure_reason);
    if (produce->code == EXIT_CODE_UNKNOWN) {
        message_hint("it is unknown whether the last messages are stored: %s were acknowledged,",
                     acked);
        message_hint("up to %s more may be", others);
        return;
    }
    if (produce->acked_count > 0) {
        message_hint("%s%s messages are stored, the others are not",
                     stores_in_order(produce) ? "the first " : "", acked);
    } else if (produce->code == EXIT_CODE_UNAVAILABLE &&
               !strstr(produce->failure_reason, "nothing was stored")) {
        message_hint("nothing was stored");
    }
    const char *slug = produce->failure_slug;
    if (strcmp(slug, "producer-fenced") == 0 || strcmp(slug, "unknown-producer") == 0) {
        message_hint(
            "the producer id is no longer valid; start again behind the last acknowledged message");
        return;
    }
    const char *hint = problem_hint(slug, produce->code == EXIT_CODE_UNAVAILABLE ? 503 : 0);
    if (hint) message_hint(hint, produce->topic_name);
}

/* Every partition has come to its end: what is stored, and what is not, is as well known as it can be. */
static void tell_failure(struct produce *produce)
{
    for (uint32_t i = 0; i < produce->partitions_count; i++) {
        if (!produce->partitions[i].producer.failed) return;
    }
    if (produce->told_failure) return;
    produce->told_failure = true;
    explain_failure(produce);
    bool partial = produce->acked_count > 0 && produce->code != EXIT_CODE_UNKNOWN;
    if (partial && !produce->log_broken) produce->code = EXIT_CODE_PARTIAL;
    stop(produce);
}

/* The first reason counts, unless what another partition has sent is unknown: then that does. */
static void fail(struct produce *produce, enum exit_code code, const char *slug, const char *reason)
{
    const bool is_first = produce->code == EXIT_CODE_OK;
    if (is_first || (code == EXIT_CODE_UNKNOWN && !produce->log_broken)) {
        produce->code = code;
        snprintf(produce->failure_slug, sizeof(produce->failure_slug), "%s", slug);
        snprintf(produce->failure_reason, sizeof(produce->failure_reason), "%s", reason);
    }
    for (uint32_t i = 0; is_first && i < produce->partitions_count; i++) {
        producer_end(&produce->partitions[i].producer, EXIT_CODE_UNAVAILABLE, "", reason);
    }
}

static void on_failed(void *data, enum exit_code code, const char *slug, const char *reason)
{
    struct produce_partition *partition = data;
    fail(partition->produce, code, slug, reason);
    tell_failure(partition->produce);
}

static void on_retrying(void *data, const char *reason)
{
    (void)data;
    message_progress("retrying: %s", reason);
}

/* ---- messages to batches ------------------------------------------------------------------------------------ */

/* Whatever closes the batch: messages without a key go on in the next partition. */
static void submit_open(struct produce_partition *partition)
{
    struct produce *produce = partition->produce;
    struct producer_batch *batch = partition->open;
    if (!batch || partition->producer.failed) return;
    partition->open = NULL;
    if (batch->builder.records_count == 0) {
        producer_batch_return(&partition->producer, batch);
        return;
    }
    producer_submit(&partition->producer, batch);
    if (partition == &produce->partitions[produce->partition_turn]) {
        produce->partition_turn = (produce->partition_turn + 1) % produce->partitions_count;
    }
}

/* The partition whose turn it is comes last, so that the turn moves on by one however many batches with keys are open. */
static void submit_all(struct produce *produce)
{
    const uint32_t count = produce->partitions_count, turn = produce->partition_turn;
    for (uint32_t i = 1; i <= count; i++) {
        submit_open(&produce->partitions[(turn + i) % count]);
    }
}

static void linger_over(struct io_timer *timer)
{
    struct produce *produce = timer->data;
    produce->lingering = false;
    submit_all(produce);
}

static void finish(struct io_timer *timer)
{
    struct produce *produce = timer->data;
    if (produce->code != EXIT_CODE_OK) return; /* stopped already */
    submit_all(produce);
    if (all_acked(produce)) stop(produce);
}

static struct produce_partition *choose_partition(struct produce *produce,
                                                  const struct record *record)
{
    if (record->key && produce->partitions_count > 1) {
        uint64_t hash = checksum64(record->key, record->key_bytes);
        return &produce->partitions[hash % produce->partitions_count];
    }
    return &produce->partitions[produce->partition_turn];
}

/* --batch-bytes is what a batch should have; a message that is larger than that is a batch of its own. */
static bool is_full_for(const struct produce *produce, const struct producer_batch *batch,
                        const struct record *record)
{
    size_t bytes = batch->builder.bytes + record->key_bytes + record->value_bytes;
    return batch->builder.records_count > 0 && bytes > produce->batch_bytes_max;
}

/* Into the open batch, or a new one. False: it does not fit behind what is there, or at all. */
static bool append(struct produce_partition *partition, const struct record *record)
{
    struct produce *produce = partition->produce;
    if (!partition->open) {
        partition->open = producer_batch_take(&partition->producer);
        partition->open->created_us = io_now_us(produce->io);
    }
    struct producer_batch *batch = partition->open;
    if (is_full_for(produce, batch, record)) return false;
    if (record_batch_add(&batch->builder, record) != RECORD_BATCH_OK) return false;
    batch->value_bytes += record->value_bytes;
    return true;
}

/* False: the message is larger than the topic takes. */
static bool add_message(struct produce *produce, const struct record *record)
{
    struct produce_partition *partition = choose_partition(produce, record);
    /* Each round closes a batch that has messages, of the partition or of those whose turn comes: so many are open. */
    for (uint32_t i = 0; !append(partition, record); i++) {
        if (partition->open->builder.records_count == 0 || i == produce->partitions_count) {
            return false; /* an empty batch stays open for the next message */
        }
        submit_open(partition);
        partition = choose_partition(produce, record);
    }
    if (!produce->lingering) { /* one for all partitions, from the first open batch on */
        produce->lingering = true;
        io_timer_start(produce->io, &produce->linger_timer, produce->linger_us);
    }
    if (partition->open->builder.records_count >= produce->batch_messages_max) {
        submit_open(partition);
    }
    return true;
}

static void refuse_message(struct produce *produce, const char *reason)
{
    if (produce->refused_count++ > 0) return;
    message_error("message %" PRIu64 " is refused: %s", produce->input.line, reason);
    message_hint("at most %" PRIu64 " bytes fit in a batch of this topic; the others are sent",
                 produce->topic.message_bytes_max);
}

static void take_message(struct produce *produce, const struct input_message *message)
{
    const char *key = options_text(produce->options, "key");
    const char *delimiter = options_text(produce->options, "key-delimiter");
    struct record record = {
        .timestamp_ms = io_wall_ms(produce->io),
        .key = (const uint8_t *)key,
        .key_bytes = key ? (uint32_t)strlen(key) : 0,
        .value = message->data ? message->data : (const uint8_t *)"",
        .value_bytes = (uint32_t)message->bytes,
        .headers = produce->headers,
        .headers_count = produce->headers_count,
    };
    if (delimiter && message->bytes > 0) {
        size_t length = strlen(delimiter);
        const uint8_t *at = memmem(message->data, message->bytes, delimiter, length);
        if (at) {
            record.key = message->data;
            record.key_bytes = (uint32_t)(at - message->data);
            record.value = at + length;
            record.value_bytes = (uint32_t)(message->bytes - record.key_bytes - length);
        }
    }
    produce->taken_count++;
    if (!add_message(produce, &record)) refuse_message(produce, "it is too large");
}

/* ---- pulling ------------------------------------------------------------------------------------------------ */

static bool has_room(const struct produce *produce)
{
    for (uint32_t i = 0; i < produce->partitions_count; i++) {
        const struct producer *producer = &produce->partitions[i].producer;
        if (producer_unacked_count(producer) >= BATCHES_QUEUED_MAX) return false;
    }
    return true;
}

/* With --rate: how many messages may have been taken by now; UINT64_MAX without. */
static uint64_t allowed_count(const struct produce *produce)
{
    if (produce->rate == 0) return UINT64_MAX;
    double seconds = (double)(io_now_us(produce->io) - produce->started_us) / 1e6;
    return 1 + (uint64_t)(seconds * (double)produce->rate);
}

static void end_input(struct produce *produce)
{
    produce->input_ended = true;
    io_timer_stop(produce->io, &produce->rate_timer);
    io_post(produce->io, &produce->finish_post);
}

static void pull(struct produce *produce)
{
    struct input_message message = {0};
    uint64_t allowed = allowed_count(produce);
    while (!produce->input_ended && produce->code == EXIT_CODE_OK && has_room(produce)) {
        if (produce->taken_count >= allowed) {
            io_timer_start(produce->io, &produce->rate_timer, 1000);
            return;
        }
        switch (input_next(&produce->input, &message)) {
        case INPUT_MESSAGE:
            take_message(produce, &message);
            break;
        case INPUT_TOO_LARGE:
            refuse_message(produce, "it is too large");
            break;
        case INPUT_WAIT:
            return;
        case INPUT_END:
            end_input(produce);
            return;
        case INPUT_FAILED:
            message_error("%s", produce->input.error);
            produce->input_broken = true;
            end_input(produce);
            return;
        }
    }
}

static void input_ready(void *data)
{
    pull(data);
}

static void rate_reached(struct io_timer *timer)
{
    pull(timer->data);
}

static void show_progress(struct io_timer *timer)
{
    struct produce *produce = timer->data;
    char count[QUANTITY_TEXT_BYTES], rate[QUANTITY_TEXT_BYTES];
    uint64_t us = io_now_us(produce->io) - produce->started_us;
    message_progress("%s messages  %s", quantity_count(count, produce->acked_count),
                     quantity_byte_rate(rate, produce->acked_bytes, us));
    io_timer_start(produce->io, timer, PROGRESS_US);
}

static void on_signal(void *data, int number)
{
    struct produce *produce = data;
    if (produce->interrupted) _exit(128 + number);
    produce->interrupted = true;
    end_input(produce); /* what was taken is still sent; a second signal ends at once */
}

/* ---- set up ------------------------------------------------------------------------------------------------- */

static bool read_headers(struct produce *produce)
{
    for (int i = 0; i < produce->options->list_count; i++) {
        char *text = produce->options->list[i];
        char *colon = strchr(text, ':');
        if (!colon || colon == text) {
            message_error("header '%.100s' is not NAME:VALUE", text);
            return false;
        }
        const char *value = colon + 1 + strspn(colon + 1, " ");
        produce->headers[produce->headers_count++] =
            (struct record_header){.name = text,
                                   .name_bytes = (uint32_t)(colon - text),
                                   .value = (const uint8_t *)value,
                                   .value_bytes = (uint32_t)strlen(value)};
    }
    return true;
}

/* "\n", "\t", "\0" or one character. */
static bool read_delimiter(const char *text, char *ret_delimiter)
{
    static const char letters[] = "nt0r", values[] = "\n\t\0\r";
    if (text[0] == '\\' && text[1] && !text[2]) {
        const char *at = strchr(letters, text[1]);
        if (at) {
            *ret_delimiter = values[at - letters];
            return true;
        }
    }
    if (!text[0] || text[1]) return false;
    *ret_delimiter = text[0];
    return true;
}

static enum exit_code open_partitions(struct produce *produce, const struct producer_id *id)
{
    const struct options *options = produce->options;
    bool one = options_is_set(options, "partition");
    uint64_t first = options_number(options, "partition");
    if (one && produce->topic.exists && first >= produce->topic.partitions_count) {
        message_error("%s has no partition %" PRIu64 "; it has %" PRIu32, produce->topic_name,
                      first, produce->topic.partitions_count);
        return EXIT_CODE_NOT_FOUND;
    }
    /* Whoever bounds the whole command by --timeout does not want a minute of retries. */
    uint64_t retry_for_us = options_number(options, "retry-for");
    if (options_is_set(options, "timeout") && !options_is_set(options, "retry-for")) {
        retry_for_us = options_number(options, "timeout");
    }
    produce->partitions_count = one ? 1 : produce->topic.partitions_count;
    produce->partitions = calloc(produce->partitions_count, sizeof(*produce->partitions));
    assert(produce->partitions);
    /* Many short runs of one message each would otherwise all begin at partition 0. */
    io_random(produce->io, &produce->partition_turn, sizeof(produce->partition_turn));
    produce->partition_turn %= produce->partitions_count;
    for (uint32_t i = 0; i < produce->partitions_count; i++) {
        struct produce_partition *partition = &produce->partitions[i];
        partition->produce = produce;
        struct producer_options producer_options = {
            .io = produce->io,
            .servers = &produce->client.servers,
            .topic = produce->topic_name,
            .partition = one ? (uint32_t)first : i,
            .producer_id = id->id,
            .producer_epoch = id->epoch,
            .wants_offsets = produce->acked_log != NULL,
            .batch_bytes_max = (size_t)produce->topic.message_bytes_max,
            .inflight_max = PRODUCER_INFLIGHT_MAX,
            .retry_for_us = retry_for_us,
            .answer_timeout_us =
                id->id >= 0 ? PRODUCER_ANSWER_TIMEOUT_US : produce->client.timeout_us + 2000000u,
            .acked = on_acked,
            .failed = on_failed,
            .retrying = on_retrying,
            .data = partition,
        };
        producer_init(&partition->producer, &producer_options);
    }
    return EXIT_CODE_OK;
}

static bool open_files(struct produce *produce)
{
    const struct options *options = produce->options;
    const char *path = options_text(options, "acked-log");
    if (path) {
        produce->acked_log = fopen(path, "ae");
        if (!produce->acked_log) {
            message_error("cannot open %s: %m", path);
            return false;
        }
    }
    for (int i = 1; i < options->arguments_count; i++) {
        const char *file = options->arguments[i];
        if (strcmp(file, "-") != 0 && access(file, R_OK) != 0) {
            message_error("cannot open %s: %m", file);
            return false;
        }
    }
    return true;
}

static void print_summary(const struct produce *produce)
{
    char count[QUANTITY_TEXT_BYTES], rate[QUANTITY_TEXT_BYTES], p50[QUANTITY_TEXT_BYTES],
        p99[QUANTITY_TEXT_BYTES];
    uint64_t us = produce->ended_us - produce->started_us;
    if (produce->acked_count == 0) {
        message_note("0 messages sent");
    } else {
        message_note("%s message%s  %s  p50 %s  p99 %s  longest pause %.1f ms",
                     quantity_count(count, produce->acked_count),
                     produce->acked_count == 1 ? "" : "s",
                     quantity_byte_rate(rate, produce->acked_bytes, us),
                     quantity_duration(p50, histogram_quantile(&produce->latency, 0.5)),
                     quantity_duration(p99, histogram_quantile(&produce->latency, 0.99)),
                     (double)produce->longest_pause_us / 1e3);
    }
    if (produce->refused_count > 0) {
        message_note("%s refused", quantity_count(count, produce->refused_count));
    }
}

static void run(struct produce *produce, char delimiter)
{
    const struct options *options = produce->options;
    struct io *io = produce->io;
    produce->batch_messages_max = options_number(options, "batch");
    produce->batch_bytes_max = options_number(options, "batch-bytes");
    produce->linger_us = options_number(options, "linger-ms") * 1000u;
    produce->rate = options_number(options, "rate");
    produce->linger_timer = (struct io_timer){.fire = linger_over, .data = produce};
    produce->rate_timer = (struct io_timer){.fire = rate_reached, .data = produce};
    produce->pull_post = (struct io_timer){.fire = rate_reached, .data = produce};
    produce->finish_post = (struct io_timer){.fire = finish, .data = produce};
    produce->progress_timer = (struct io_timer){.fire = show_progress, .data = produce};
    histogram_init(&produce->latency);
    input_init(&produce->input, io, options->arguments + 1, options->arguments_count - 1, delimiter,
               options_on(options, "whole-file"), (size_t)produce->topic.message_bytes_max,
               input_ready, produce);
    io_uv_on_signal(io, SIGINT, on_signal, produce);
    io_uv_on_signal(io, SIGTERM, on_signal, produce);
    produce->started_us = io_now_us(io);
    produce->last_ack_us = produce->started_us;
    io_post(io, &produce->pull_post);
    if (message_progress_is_shown()) io_timer_start(io, &produce->progress_timer, PROGRESS_US);
    io_uv_run(io);
    message_progress_end();
    if (produce->interrupted) message_interrupted();
    io_timer_stop(io, &produce->progress_timer);
    io_timer_stop(io, &produce->rate_timer);
    io_timer_stop(io, &produce->linger_timer);
    if (produce->acked_count > 0 || produce->code == EXIT_CODE_OK) print_summary(produce);
}

static enum exit_code ask_cluster(struct produce *produce, struct producer_id *ret_id)
{
    enum exit_code code = topic_info_get(&produce->client, produce->topic_name, &produce->topic);
    if (code != EXIT_CODE_OK) return code;
    topic_info_prefer_leader(&produce->client, &produce->topic);
    if (!options_on(produce->options, "idempotent")) return EXIT_CODE_OK;
    return producer_id_take(&produce->client, ret_id);
}

/* Whoever names --retry-for means an outage at the start as well. Its preset counts later alone: a server that was named wrong
 * is told soon. */
static enum exit_code prepare(struct produce *produce)
{
    struct producer_id id = {.id = -1, .epoch = -1};
    struct client *client = &produce->client;
    const uint64_t timeout_us = client->timeout_us;
    const uint64_t retry_for_us = options_number(produce->options, "retry-for");
    if (options_is_set(produce->options, "retry-for") && retry_for_us > timeout_us) {
        client->timeout_us = retry_for_us;
        client->timeout_flag = "--retry-for";
    }
    enum exit_code code = ask_cluster(produce, &id);
    client->timeout_us = timeout_us;
    if (code != EXIT_CODE_OK) return code;
    produce->io = io_uv_create(1);
    if (!produce->io) {
        message_error("cannot start the event loop: %m");
        return EXIT_CODE_FAILED;
    }
    return open_partitions(produce, &id);
}

int produce_command(const struct options *options)
{
    struct produce produce = {.options = options, .topic_name = options->arguments[0]};
    char delimiter = '\n';
    if (!client_init(&produce.client, options)) return EXIT_CODE_USAGE;
    enum exit_code code = EXIT_CODE_USAGE;
    if (!read_delimiter(options_text(options, "delimiter"), &delimiter)) {
        message_error("--delimiter takes one character, or \\n \\t \\r \\0");
    } else if (topic_name_check("topic", produce.topic_name) && read_headers(&produce)) {
        code = open_files(&produce) ? prepare(&produce) : EXIT_CODE_FAILED;
    }
    if (code == EXIT_CODE_OK) {
        run(&produce, delimiter);
        code = produce.code;
        if (code == EXIT_CODE_OK && (produce.refused_count > 0 || produce.input_broken)) {
            code = produce.acked_count > 0 ? EXIT_CODE_PARTIAL : EXIT_CODE_FAILED;
        }
        if (code == EXIT_CODE_OK && produce.interrupted) code = EXIT_CODE_INTERRUPTED;
        for (uint32_t i = 0; i < produce.partitions_count; i++) {
            producer_close(&produce.partitions[i].producer);
        }
    }
    if (produce.acked_log && fclose(produce.acked_log) != 0) {
        message_error("cannot write %s: %m", options_text(options, "acked-log"));
        message_hint("the log of acknowledged messages is incomplete");
        if (code == EXIT_CODE_OK) code = EXIT_CODE_FAILED;
    }
    client_close(&produce.client);
    if (produce.input.reading) exit((int)code); /* a read of the terminal cannot be called back */
    input_close(&produce.input);
    if (produce.io) io_uv_destroy(produce.io);
    free(produce.partitions);
    return (int)code;
}
