/* `raftmq bench consume`: messages read in a second, from the earliest on, each batch's CRC checked and each record
 * walked, as a consumer must. */
#include <assert.h>
#include <broker/io_uv.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>

#include "client.h"
#include "consumer.h"
#include "message.h"
#include "problem.h"
#include "quantity.h"
#include "topic_info.h"
#include "verbs.h"

#define CLIENTS_MAX 1024u

struct bench;

struct bench_reader {
    struct bench *bench;
    struct consumer consumer;
    bool end_known, done;
    uint64_t end;
};

struct bench {
    const struct options *options;
    struct client client;
    struct topic_info topic;
    struct io *io;
    struct bench_reader *readers;
    uint32_t readers_count, done_count;
    uint64_t messages, bytes, answers;
    uint64_t from_us, to_us;
    struct io_timer end_timer;
    enum exit_code code;
};

static void stop(struct bench *bench)
{
    if (bench->to_us == 0) bench->to_us = io_now_us(bench->io);
    io_uv_stop(bench->io);
}

static bool on_record(void *data, const struct record_batch_header *batch,
                      const struct record_view *record)
{
    struct bench_reader *reader = data;
    (void)batch;
    reader->bench->messages++;
    reader->bench->bytes += record->value_bytes;
    return true;
}

static void on_fetched(void *data, uint64_t next_offset, uint64_t high_watermark)
{
    struct bench_reader *reader = data;
    struct bench *bench = reader->bench;
    bench->answers++;
    if (!reader->end_known) {
        reader->end_known = true;
        reader->end = high_watermark;
    }
    if (next_offset < reader->end) {
        consumer_fetch(&reader->consumer);
        return;
    }
    reader->done = true;
    if (++bench->done_count == bench->readers_count) stop(bench);
}

static void on_failed(void *data, enum exit_code code, const char *slug, const char *reason)
{
    struct bench_reader *reader = data;
    if (reader->bench->code == EXIT_CODE_OK) {
        message_error("bench consume: %s", reason);
        const char *hint = problem_hint(slug, 0);
        if (hint) message_hint(hint, options_text(reader->bench->options, "topic"));
        reader->bench->code = code;
    }
    stop(reader->bench);
}

static void time_over(struct io_timer *timer)
{
    stop(timer->data);
}

static void on_signal(void *data, int number)
{
    struct bench *bench = data;
    (void)number;
    bench->code = EXIT_CODE_INTERRUPTED;
    stop(bench);
}

static void open_reader(struct bench *bench, uint32_t index)
{
    struct bench_reader *reader = &bench->readers[index];
    struct consumer_options consumer_options = {
        .io = bench->io,
        .servers = &bench->client.servers,
        .topic = options_text(bench->options, "topic"),
        .partition = index % bench->topic.partitions_count,
        .from = "earliest",
        .bytes_max = options_number(bench->options, "max-bytes"),
        .retry_for_us = 30000000,
        .checks_crc = true,
        .record = on_record,
        .fetched = on_fetched,
        .failed = on_failed,
        .data = reader,
    };
    reader->bench = bench;
    consumer_init(&reader->consumer, &consumer_options);
    consumer_fetch(&reader->consumer);
    servers_next(&bench->client.servers); /* consumers spread over the nodes: every one serves */
}

static enum exit_code prepare(struct bench *bench)
{
    const char *topic = options_text(bench->options, "topic");
    uint64_t clients = options_number(bench->options, "clients");
    if (!topic_name_check("topic", topic)) return EXIT_CODE_USAGE;
    if (clients < 1 || clients > CLIENTS_MAX) {
        message_error("bench consume: --clients takes 1 to %u", CLIENTS_MAX);
        return EXIT_CODE_USAGE;
    }
    enum exit_code code = topic_info_get(&bench->client, topic, &bench->topic);
    if (code != EXIT_CODE_OK) return code;
    if (!bench->topic.exists) {
        message_error("%s: there is no such topic", topic);
        message_hint("raftmq bench produce   makes one and fills it");
        return EXIT_CODE_NOT_FOUND;
    }
    if (clients > 1) client_learn_servers(&bench->client, NULL);
    bench->io = io_uv_create(1);
    bench->readers = calloc(clients, sizeof(*bench->readers));
    assert(bench->io);
    assert(bench->readers);
    bench->readers_count = (uint32_t)clients;
    return EXIT_CODE_OK;
}

static void print_result(const struct bench *bench)
{
    char count[QUANTITY_TEXT_BYTES], rate[QUANTITY_TEXT_BYTES], bytes[QUANTITY_TEXT_BYTES];
    uint64_t us = bench->to_us - bench->from_us;
    if (options_on(bench->options, "json")) {
        double seconds = (double)us / 1e6;
        printf("{\"clients\":%" PRIu32 ",\"seconds\":%.6f,\"messages\":%" PRIu64
               ",\"msgs_per_second\":%.1f,\"bytes_per_second\":%.1f,\"fetch_answers\":%" PRIu64
               "}\n",
               bench->readers_count, seconds, bench->messages,
               seconds > 0 ? (double)bench->messages / seconds : 0.0,
               seconds > 0 ? (double)bench->bytes / seconds : 0.0, bench->answers);
        return;
    }
    printf("%s messages in %.2f s from %" PRIu32 " consumer%s, %" PRIu64 " fetch answers\n",
           quantity_count(count, bench->messages), (double)us / 1e6, bench->readers_count,
           bench->readers_count == 1 ? "" : "s", bench->answers);
    printf("%s msgs/s  %s\n", quantity_count_rate(rate, bench->messages, us),
           quantity_byte_rate(bytes, bench->bytes, us));
}

int bench_consume_command(const struct options *options)
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
        bench->from_us = io_now_us(bench->io);
        for (uint32_t i = 0; i < bench->readers_count; i++) {
            open_reader(bench, i);
        }
        bench->end_timer = (struct io_timer){.fire = time_over, .data = bench};
        io_timer_start(bench->io, &bench->end_timer, options_number(options, "duration"));
        io_uv_on_signal(bench->io, SIGINT, on_signal, bench);
        io_uv_run(bench->io);
        io_timer_stop(bench->io, &bench->end_timer);
        code = bench->code;
        if (code == EXIT_CODE_OK || code == EXIT_CODE_INTERRUPTED) print_result(bench);
    }
    for (uint32_t i = 0; i < bench->readers_count; i++) {
        consumer_close(&bench->readers[i].consumer);
    }
    client_close(&bench->client);
    io_uv_destroy(bench->io);
    free(bench->readers);
    free(bench);
    return (int)code;
}
