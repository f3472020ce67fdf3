/* `raftmq bench produce`: messages acknowledged in a second, and how long each took from its making to its ack.
 *
 * Each client keeps `inflight` messages made and not acknowledged. What has been made goes out as one batch as soon as a
 * request may leave (at most 5 of a client are out), as a Kafka client without linger does; so the load shapes its own
 * batches. The latency of a batch's messages counts from its oldest one: never flattering. */
#include <assert.h>
#include <broker/io_uv.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bench_topic.h"
#include "histogram.h"
#include "message.h"
#include "producer.h"
#include "producer_id.h"
#include "quantity.h"
#include "verbs.h"

#define PROGRESS_US     200000u
#define CLIENTS_MAX     1024u
#define BATCH_BYTES_MAX (1024u * 1024u)

struct bench;

struct bench_client {
    struct bench *bench;
    struct producer producer;
    struct producer_batch *open;
    uint64_t unacked; /* messages made, the open batch's included */
    struct io_timer fill_post, linger_timer;
    bool lingering;
};

struct bench {
    const struct options *options;
    struct client client;
    struct topic_info topic;
    struct io *io;
    struct bench_client *clients;
    uint32_t clients_count;
    uint64_t inflight, batch_max, linger_us, size, msgs_max, made;
    uint8_t *value;
    struct io_timer phase_timer, progress_timer;
    bool measuring, stopping;
    uint64_t measure_from_us, measure_to_us;
    uint64_t acked, batches; /* while measuring */
    uint64_t acked_total;
    struct histogram latency;
    enum exit_code code;
};

static void stop(struct bench *bench)
{
    if (bench->stopping) return;
    bench->stopping = true;
    bench->measure_to_us = io_now_us(bench->io);
    io_uv_stop(bench->io);
}

/* ---- load ------------------------------------------------------------------------------------------------------ */

static void send_open(struct bench_client *client)
{
    struct producer_batch *batch = client->open;
    client->open = NULL;
    producer_submit(&client->producer, batch);
}

static bool may_send(const struct bench_client *client)
{
    const struct bench *bench = client->bench;
    if (!client->open || !producer_has_room(&client->producer)) return false;
    if (bench->linger_us == 0) return true;
    bool full = client->open->builder.records_count >= bench->batch_max ||
                client->unacked >= bench->inflight;
    return full || !client->lingering;
}

/* Add one message to the open batch; false when the batch is full. */
static bool make_message(struct bench_client *client, uint64_t now_us, int64_t now_ms)
{
    struct bench *bench = client->bench;
    struct record record = {
        .timestamp_ms = now_ms, .value = bench->value, .value_bytes = (uint32_t)bench->size};
    if (!client->open) {
        client->open = producer_batch_take(&client->producer);
        client->open->created_us = now_us;
        if (bench->linger_us > 0) {
            client->lingering = true;
            io_timer_start(bench->io, &client->linger_timer, bench->linger_us);
        }
    }
    if (client->open->builder.records_count >= bench->batch_max) return false;
    if (record_batch_add(&client->open->builder, &record) != RECORD_BATCH_OK) return false;
    client->unacked++;
    bench->made++;
    return true;
}

static void fill(struct bench_client *client)
{
    struct bench *bench = client->bench;
    if (bench->stopping || client->producer.failed) return;
    uint64_t now_us = io_now_us(bench->io);
    int64_t now_ms = io_wall_ms(bench->io);
    while (client->unacked < bench->inflight &&
           (bench->msgs_max == 0 || bench->made < bench->msgs_max)) {
        if (make_message(client, now_us, now_ms)) continue;
        if (!may_send(client)) break; /* full, and five are out: wait for an ack */
        send_open(client);
    }
    if (may_send(client) && client->open->builder.records_count > 0) send_open(client);
}

static void fill_posted(struct io_timer *timer)
{
    fill(timer->data);
}

static void linger_over(struct io_timer *timer)
{
    struct bench_client *client = timer->data;
    client->lingering = false;
    fill(client);
}

static void on_acked(void *data, struct producer_batch *batch, const struct producer_ack *ack)
{
    struct bench_client *client = data;
    struct bench *bench = client->bench;
    uint32_t count = batch->builder.records_count;
    (void)ack;
    client->unacked -= count;
    bench->acked_total += count;
    if (bench->measuring) {
        histogram_record(&bench->latency, io_now_us(bench->io) - batch->created_us, count);
        bench->acked += count;
        bench->batches++;
    }
    if (bench->msgs_max > 0 && bench->acked_total >= bench->msgs_max) {
        stop(bench);
    } else {
        io_post(bench->io, &client->fill_post);
    }
}

static void on_ready(void *data)
{
    struct bench_client *client = data;
    io_post(client->bench->io, &client->fill_post);
}

static void on_failed(void *data, enum exit_code code, const char *slug, const char *reason)
{
    struct bench_client *client = data;
    (void)slug;
    if (client->bench->code == EXIT_CODE_OK) {
        message_error("bench produce: %s", reason);
        client->bench->code = code;
    }
    stop(client->bench);
}

/* ---- phases ------------------------------------------------------------------------------------------------------ */

static void next_phase(struct io_timer *timer)
{
    struct bench *bench = timer->data;
    if (bench->measuring) {
        stop(bench);
        return;
    }
    bench->measuring = true;
    bench->measure_from_us = io_now_us(bench->io);
    if (bench->msgs_max == 0) {
        io_timer_start(bench->io, timer, options_number(bench->options, "duration"));
    }
}

static void show_progress(struct io_timer *timer)
{
    struct bench *bench = timer->data;
    char rate[QUANTITY_TEXT_BYTES];
    if (bench->measuring) {
        uint64_t us = io_now_us(bench->io) - bench->measure_from_us;
        message_progress("%s msgs/s  %.1f s", quantity_count_rate(rate, bench->acked, us),
                         (double)us / 1e6);
    } else {
        message_progress("warming up");
    }
    io_timer_start(bench->io, timer, PROGRESS_US);
}

static void on_signal(void *data, int number)
{
    struct bench *bench = data;
    (void)number;
    bench->code = EXIT_CODE_INTERRUPTED;
    stop(bench);
}

/* ---- result ------------------------------------------------------------------------------------------------------ */

static uint64_t retries_count(const struct bench *bench)
{
    uint64_t count = 0;
    for (uint32_t i = 0; i < bench->clients_count; i++) {
        count += bench->clients[i].producer.retries_count;
    }
    return count;
}

static void print_json(const struct bench *bench, uint64_t us)
{
    const struct histogram *latency = &bench->latency;
    double seconds = (double)us / 1e6;
    json_t *json = json_pack(
        "{s:I, s:I, s:I, s:f, s:I, s:f, s:f, s:f, s:I, s:I, s:I, s:I, s:I}", "clients",
        (json_int_t)bench->clients_count, "inflight", (json_int_t)bench->inflight, "size",
        (json_int_t)bench->size, "seconds", seconds, "acked", (json_int_t)bench->acked,
        "msgs_per_second", seconds > 0 ? (double)bench->acked / seconds : 0.0, "bytes_per_second",
        seconds > 0 ? (double)(bench->acked * bench->size) / seconds : 0.0, "msgs_per_batch",
        bench->batches ? (double)bench->acked / (double)bench->batches : 0.0, "p50_us",
        (json_int_t)histogram_quantile(latency, 0.5), "p99_us",
        (json_int_t)histogram_quantile(latency, 0.99), "max_us", (json_int_t)latency->max,
        "retries", (json_int_t)retries_count(bench), "errors",
        (json_int_t)(bench->code != EXIT_CODE_OK));
    json_dumpf(json, stdout, JSON_COMPACT);
    putchar('\n');
    json_decref(json);
}

static void print_result(const struct bench *bench)
{
    char rate[QUANTITY_TEXT_BYTES], bytes[QUANTITY_TEXT_BYTES], p50[QUANTITY_TEXT_BYTES],
        p99[QUANTITY_TEXT_BYTES], max[QUANTITY_TEXT_BYTES];
    if (!bench->measuring) return;
    uint64_t us = bench->measure_to_us - bench->measure_from_us;
    if (options_on(bench->options, "json")) {
        print_json(bench, us);
        return;
    }
    printf("%" PRIu32 " client%s x %" PRIu64 " in flight, %" PRIu64
           " B, %.1f s, %.1f messages in a batch\n",
           bench->clients_count, bench->clients_count == 1 ? "" : "s", bench->inflight, bench->size,
           (double)us / 1e6, bench->batches ? (double)bench->acked / (double)bench->batches : 0.0);
    printf("%s msgs/s  %s  p50 %s  p99 %s  max %s  retries %" PRIu64 "\n",
           quantity_count_rate(rate, bench->acked, us),
           quantity_byte_rate(bytes, bench->acked * bench->size, us),
           quantity_duration(p50, histogram_quantile(&bench->latency, 0.5)),
           quantity_duration(p99, histogram_quantile(&bench->latency, 0.99)),
           quantity_duration(max, bench->latency.max), retries_count(bench));
}

/* ---- set up ------------------------------------------------------------------------------------------------------ */

static enum exit_code open_client(struct bench *bench, uint32_t index)
{
    struct bench_client *client = &bench->clients[index];
    struct producer_id id = {.id = -1, .epoch = -1};
    if (options_on(bench->options, "idempotent")) {
        enum exit_code code = producer_id_take(&bench->client, &id);
        if (code != EXIT_CODE_OK) return code;
    }
    uint64_t batch_bytes = bench->topic.message_bytes_max < BATCH_BYTES_MAX
                               ? bench->topic.message_bytes_max
                               : BATCH_BYTES_MAX;
    struct producer_options producer_options = {
        .io = bench->io,
        .servers = &bench->client.servers,
        .topic = options_text(bench->options, "topic"),
        .partition = index % bench->topic.partitions_count,
        .producer_id = id.id,
        .producer_epoch = id.epoch,
        .batch_bytes_max = (size_t)batch_bytes,
        .inflight_max = PRODUCER_INFLIGHT_MAX,
        .retry_for_us = 30000000,
        .answer_timeout_us =
            id.id >= 0 ? PRODUCER_ANSWER_TIMEOUT_US : bench->client.timeout_us + 2000000u,
        .acked = on_acked,
        .failed = on_failed,
        .ready = on_ready,
        .data = client,
    };
    client->bench = bench;
    client->fill_post = (struct io_timer){.fire = fill_posted, .data = client};
    client->linger_timer = (struct io_timer){.fire = linger_over, .data = client};
    producer_init(&client->producer, &producer_options);
    return EXIT_CODE_OK;
}

static bool read_options(struct bench *bench)
{
    const struct options *options = bench->options;
    bench->size = options_number(options, "size");
    bench->inflight = options_number(options, "inflight");
    bench->msgs_max = options_number(options, "msgs");
    bench->linger_us = options_number(options, "batch-linger");
    bench->batch_max =
        options_has(options, "batch") ? options_number(options, "batch") : UINT64_MAX;
    uint64_t clients = options_number(options, "clients");
    if (clients < 1 || clients > CLIENTS_MAX || bench->inflight < 1 || bench->batch_max < 1) {
        message_error("bench produce: --clients takes 1 to %u, --inflight and --batch at least 1",
                      CLIENTS_MAX);
        return false;
    }
    if (bench->size < 1 || bench->size > BATCH_BYTES_MAX - 1024) {
        message_error("bench produce: --size takes 1 to %u", BATCH_BYTES_MAX - 1024);
        return false;
    }
    bench->clients_count = (uint32_t)clients;
    return true;
}

static enum exit_code prepare(struct bench *bench)
{
    const struct options *options = bench->options;
    if (!read_options(bench)) return EXIT_CODE_USAGE;
    enum exit_code code = bench_topic_prepare(&bench->client, options_text(options, "topic"),
                                              options_number(options, "partitions"), &bench->topic);
    if (code != EXIT_CODE_OK) return code;
    bench->io = io_uv_create(1);
    bench->value = malloc(bench->size);
    bench->clients = calloc(bench->clients_count, sizeof(*bench->clients));
    assert(bench->io);
    assert(bench->value);
    assert(bench->clients);
    io_random(bench->io, bench->value, bench->size); /* nothing on the way can compress it */
    for (uint32_t i = 0; i < bench->clients_count && code == EXIT_CODE_OK; i++) {
        code = open_client(bench, i);
    }
    return code;
}

static void run(struct bench *bench)
{
    histogram_init(&bench->latency);
    bench->phase_timer = (struct io_timer){.fire = next_phase, .data = bench};
    bench->progress_timer = (struct io_timer){.fire = show_progress, .data = bench};
    uint64_t warmup_us = bench->msgs_max > 0 ? 0 : options_number(bench->options, "warmup");
    if (warmup_us == 0) {
        next_phase(&bench->phase_timer);
    } else {
        io_timer_start(bench->io, &bench->phase_timer, warmup_us);
    }
    if (message_progress_is_shown()) io_timer_start(bench->io, &bench->progress_timer, PROGRESS_US);
    io_uv_on_signal(bench->io, SIGINT, on_signal, bench);
    io_uv_on_signal(bench->io, SIGTERM, on_signal, bench);
    io_uv_run(bench->io);
    io_timer_stop(bench->io, &bench->phase_timer);
    io_timer_stop(bench->io, &bench->progress_timer);
    message_progress_end();
}

int bench_produce_command(const struct options *options)
{
    struct bench *bench = calloc(1, sizeof(*bench));
    assert(bench);
    bench->options = options;
    if (!client_init(&bench->client, options)) {
        free(bench);
        return EXIT_CODE_USAGE;
    }
    enum exit_code code = prepare(bench);
    if (code == EXIT_CODE_OK) {
        run(bench);
        code = bench->code;
        print_result(bench);
    }
    for (uint32_t i = 0; bench->clients && i < bench->clients_count; i++) {
        if (bench->io) io_timer_stop(bench->io, &bench->clients[i].linger_timer);
        producer_close(&bench->clients[i].producer);
    }
    client_close(&bench->client);
    io_uv_destroy(bench->io);
    free(bench->clients);
    free(bench->value);
    free(bench);
    return (int)code;
}
