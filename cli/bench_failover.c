/* `raftmq bench failover`: the leader killed again and again under load, and what that cost.
 *
 *     IN SYNC ──► kill -9 the leader ──► an ack again ──► start it again ──► IN SYNC ──► ... ──► read everything back
 *        ▲              │                                       │
 *        └── all nodes ready, no replica behind (asked by a job beside the loop) ──┘
 *
 * The outage of a kill is the longest time between two acks of the one producer, from the kill until all is in sync
 * again. At the end every node is read from the start and compared with what was acknowledged (bench_history.h). */
#include <assert.h>
#include <broker/io_uv.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bench_history.h"
#include "bench_topic.h"
#include "clock.h"
#include "consumer.h"
#include "local_cluster.h"
#include "message.h"
#include "producer.h"
#include "producer_id.h"
#include "quantity.h"
#include "verbs.h"

#define TICK_US      1000u
#define SETTLE_US    500000u   /* load between two kills */
#define RESTART_US   300000u   /* a dead node stays away this long after acks are back */
#define SYNC_US      60000000u /* give up when it is not in sync by then */
#define SYNC_POLL_US 20000u
#define LAG_MAX      64u /* entries; under load a replica is never quite there */
#define KILLS_MAX    1000u
#define OWN_NODES    3u
#define PATH_BYTES   512u

enum phase {
    PHASE_SYNC, /* the job waits until all is well */
    PHASE_SETTLE,
    PHASE_OUTAGE,  /* killed; no ack yet */
    PHASE_RESTART, /* acks are back; the dead node is not */
    PHASE_DRAIN,   /* the last acks */
    PHASE_READ,
};

struct kill {
    uint32_t node;
    uint64_t outage_us;
};

struct failover {
    const struct options *options;
    struct client client;
    struct topic_info topic;
    const char *topic_name, *pid_directory;
    struct io *io;
    struct local_cluster cluster;
    bool own;
    struct producer producer;
    struct producer_batch *open;
    struct bench_history history;
    uint8_t *value;
    uint64_t size, rate, started_us;
    enum phase phase;
    struct kill kills[KILLS_MAX];
    uint64_t kills_wanted, kills_done;
    uint64_t killed_us, last_ack_us, longest_gap_us;
    struct io_timer tick_timer, phase_timer, drain_post;
    struct io_job sync_job;
    struct io_job_queue *queue;
    bool syncing;
    volatile bool give_up;
    uint32_t leader; /* answer of the job; 0: not in sync in time */
    char why[256];
    struct consumer reader;
    uint32_t reading; /* index of the server that is read */
    bool end_known;
    uint64_t end;
    enum exit_code code;
};

static void finish(struct failover *failover, enum exit_code code)
{
    if (failover->code == EXIT_CODE_OK) failover->code = code;
    failover->give_up = true;
    io_uv_stop(failover->io);
}

static void fail(struct failover *failover, const char *text)
{
    message_error("bench failover: %s", text);
    finish(failover, EXIT_CODE_FAILED);
}

/* ---- in sync? (on a worker thread) ------------------------------------------------------------------------------ */

/* All replicas of partition 0 are at most LAG_MAX behind, by the word of a node that knows. */
static bool replicas_in_sync(const json_t *topic, uint32_t *ret_leader)
{
    const json_t *partition = json_array_get(reply_partitions(topic), 0);
    char leader[REPLY_NODE_BYTES];
    size_t i;
    json_t *replica;
    json_array_foreach(json_object_get(partition, "replicas"), i, replica)
    {
        if (reply_number(replica, "lag", UINT64_MAX) > LAG_MAX) return false;
    }
    reply_node(partition, "leader", leader);
    *ret_leader = leader[0] ? (uint32_t)strtoul(leader + 1, NULL, 10) : 0;
    return i > 0 && *ret_leader > 0;
}

static bool look(const struct failover *failover, char *why, uint32_t *ret_leader)
{
    char path[256];
    bool in_sync = false;
    snprintf(path, sizeof(path), "/v1/topics/%s", failover->topic_name);
    for (uint32_t i = 0; i < failover->client.servers.count; i++) {
        struct client client;
        struct reply reply;
        const char *address = failover->client.servers.addresses[i];
        client_init_for(&client, address, 1000000);
        bool ready = client_get_once(&client, "/readyz", &reply) == EXIT_CODE_OK;
        reply_close(&reply);
        if (ready && !in_sync) {
            bool answered = client_get_once(&client, path, &reply) == EXIT_CODE_OK;
            in_sync = answered && replicas_in_sync(reply.json, ret_leader);
            reply_close(&reply);
        }
        client_close(&client);
        if (!ready) {
            snprintf(why, PATH_BYTES, "%.200s is not ready", address);
            return false;
        }
    }
    if (!in_sync) snprintf(why, PATH_BYTES, "a replica of %.128s is behind", failover->topic_name);
    return in_sync;
}

static void wait_sync(struct io_job *job)
{
    struct failover *failover = job->data;
    uint64_t deadline_us = clock_monotonic_us() + SYNC_US;
    char why[PATH_BYTES] = "nobody answers";
    failover->leader = 0;
    while (!failover->give_up && clock_monotonic_us() < deadline_us) {
        uint32_t leader = 0;
        if (look(failover, why, &leader)) {
            failover->leader = leader;
            return;
        }
        clock_sleep_us(SYNC_POLL_US);
    }
    snprintf(failover->why, sizeof(failover->why), "%.250s", why);
}

/* ---- phases ------------------------------------------------------------------------------------------------------ */

static void enter(struct failover *failover, enum phase phase, uint64_t after_us)
{
    failover->phase = phase;
    if (after_us > 0) io_timer_start(failover->io, &failover->phase_timer, after_us);
}

static void begin_sync(struct failover *failover)
{
    enter(failover, PHASE_SYNC, 0);
    failover->syncing = true;
    io_job_submit(failover->io, failover->queue, &failover->sync_job);
}

static pid_t pid_of(const struct failover *failover, uint32_t node)
{
    char path[PATH_BYTES];
    long pid = 0;
    if (failover->own) return node <= OWN_NODES ? failover->cluster.nodes[node - 1].pid : 0;
    snprintf(path, sizeof(path), "%.400s/n%" PRIu32 ".pid", failover->pid_directory, node);
    FILE *file = fopen(path, "re");
    if (!file) return 0;
    if (fscanf(file, "%ld", &pid) != 1 || pid <= 1) pid = 0;
    fclose(file);
    return (pid_t)pid;
}

static void kill_leader(struct failover *failover)
{
    pid_t pid = pid_of(failover, failover->leader);
    if (pid <= 1 || kill(pid, SIGKILL) != 0) {
        fail(failover, "the leader's process cannot be found; is its pid file there?");
        return;
    }
    failover->killed_us = io_now_us(failover->io);
    failover->longest_gap_us = 0;
    failover->kills[failover->kills_done] = (struct kill){.node = failover->leader};
    message_progress("kill %" PRIu64 " of %" PRIu64 ": n%" PRIu32, failover->kills_done + 1,
                     failover->kills_wanted, failover->leader);
    enter(failover, PHASE_OUTAGE, 0);
}

static void restart_node(struct failover *failover)
{
    uint32_t node = failover->kills[failover->kills_done].node;
    if (failover->own && !local_cluster_start(&failover->cluster, node)) {
        fail(failover, failover->cluster.error);
        return;
    }
    begin_sync(failover); /* a running `dev` starts it again by itself */
}

static void begin_drain(struct failover *failover)
{
    enter(failover, PHASE_DRAIN, 0);
    io_timer_stop(failover->io, &failover->tick_timer);
    io_post(failover->io, &failover->drain_post);
}

static void end_kill(struct failover *failover)
{
    struct kill *kill = &failover->kills[failover->kills_done];
    char took[QUANTITY_TEXT_BYTES], acked[QUANTITY_TEXT_BYTES];
    kill->outage_us = failover->longest_gap_us;
    failover->kills_done++;
    failover->killed_us = 0;
    message_note("kill %3" PRIu64 "  n%" PRIu32 "  outage %8s   acked %9s", failover->kills_done,
                 kill->node, quantity_duration(took, kill->outage_us),
                 quantity_count(acked, failover->history.acked_count));
}

static void synced(struct io_job *job)
{
    struct failover *failover = job->data;
    failover->syncing = false;
    if (failover->give_up) {
        io_uv_stop(failover->io);
        return;
    }
    if (failover->leader == 0) {
        char text[PATH_BYTES];
        snprintf(text, sizeof(text), "not in sync after %u s: %.250s", SYNC_US / 1000000u,
                 failover->why);
        fail(failover, text);
        return;
    }
    if (failover->killed_us > 0) end_kill(failover);
    if (failover->kills_done == failover->kills_wanted) {
        begin_drain(failover);
    } else {
        enter(failover, PHASE_SETTLE, SETTLE_US);
    }
}

static void phase_over(struct io_timer *timer)
{
    struct failover *failover = timer->data;
    if (failover->phase == PHASE_SETTLE) kill_leader(failover);
    if (failover->phase == PHASE_RESTART) restart_node(failover);
}

/* ---- load -------------------------------------------------------------------------------------------------------- */

static void tick(struct io_timer *timer)
{
    struct failover *failover = timer->data;
    uint64_t now_us = io_now_us(failover->io);
    uint64_t due =
        1 + (uint64_t)((double)(now_us - failover->started_us) / 1e6 * (double)failover->rate);
    while (failover->history.made < due && !failover->producer.failed) {
        if (!failover->open) {
            failover->open = producer_batch_take(&failover->producer);
            failover->open->created_us = now_us;
            failover->open->first_number = failover->history.made;
        }
        struct record record = {.timestamp_ms = io_wall_ms(failover->io),
                                .value = failover->value,
                                .value_bytes = (uint32_t)failover->size};
        /* During an outage the batch fills up; when it is full nothing more is made. */
        if (failover->open->builder.bytes + failover->size + 64 >
            failover->open->builder.bytes_max) {
            failover->started_us =
                now_us - (uint64_t)((double)failover->history.made * 1e6 / (double)failover->rate);
            break;
        }
        bench_history_make(&failover->history, failover->value, failover->size);
        enum record_batch_status status = record_batch_add(&failover->open->builder, &record);
        assert(status == RECORD_BATCH_OK);
    }
    if (failover->open && producer_has_room(&failover->producer)) {
        producer_submit(&failover->producer, failover->open);
        failover->open = NULL;
    }
    io_timer_start(failover->io, timer, TICK_US);
}

static void begin_reading(struct failover *failover);

static void drain(struct io_timer *timer)
{
    struct failover *failover = timer->data;
    if (failover->phase != PHASE_DRAIN || failover->producer.failed) return;
    if (failover->open) {
        producer_submit(&failover->producer, failover->open);
        failover->open = NULL;
    }
    if (producer_unacked_count(&failover->producer) == 0) begin_reading(failover);
}

static void on_acked(void *data, struct producer_batch *batch, const struct producer_ack *ack)
{
    struct failover *failover = data;
    uint64_t now_us = io_now_us(failover->io);
    (void)ack;
    bench_history_ack(&failover->history, batch->first_number, batch->builder.records_count);
    if (failover->last_ack_us > 0 && now_us - failover->last_ack_us > failover->longest_gap_us) {
        failover->longest_gap_us = now_us - failover->last_ack_us;
    }
    failover->last_ack_us = now_us;
    /* An ack that was on its way when the leader died is none of its successor's: created after the kill counts. */
    if (failover->phase == PHASE_OUTAGE && batch->created_us > failover->killed_us) {
        enter(failover, PHASE_RESTART, RESTART_US);
    }
    if (failover->phase == PHASE_DRAIN) io_post(failover->io, &failover->drain_post);
}

static void on_produce_failed(void *data, enum exit_code code, const char *slug, const char *reason)
{
    struct failover *failover = data;
    (void)slug;
    message_error("bench failover: %s", reason);
    finish(failover, code);
}

/* ---- reading everything back -------------------------------------------------------------------------------------- */

static bool on_record(void *data, const struct record_batch_header *batch,
                      const struct record_view *record)
{
    struct failover *failover = data;
    (void)batch;
    bench_history_read(&failover->history, record->value, record->value_bytes);
    return true;
}

static void on_fetched(void *data, uint64_t next_offset, uint64_t high_watermark)
{
    struct failover *failover = data;
    if (!failover->end_known) {
        failover->end_known = true;
        failover->end = high_watermark;
    }
    if (next_offset < failover->end) {
        consumer_fetch(&failover->reader);
        return;
    }
    bench_history_end_reading(&failover->history);
    failover->reading++;
    io_post(failover->io,
            &failover->phase_timer); /* the consumer cannot be closed inside of its callback */
}

static void on_read_failed(void *data, enum exit_code code, const char *slug, const char *reason)
{
    struct failover *failover = data;
    (void)slug;
    message_error("bench failover: reading back: %s", reason);
    finish(failover, code);
}

static void read_next(struct io_timer *timer)
{
    struct failover *failover = timer->data;
    const struct servers *servers = &failover->client.servers;
    consumer_close(&failover->reader);
    if (failover->reading == servers->count) {
        finish(failover, EXIT_CODE_OK);
        return;
    }
    struct servers one = {.count = 1};
    memcpy(one.addresses[0], servers->addresses[failover->reading], SERVER_ADDRESS_BYTES);
    struct consumer_options consumer_options = {
        .io = failover->io,
        .servers = &one,
        .topic = failover->topic_name,
        .partition = 0,
        .from = "earliest",
        .bytes_max = 1024 * 1024,
        .retry_for_us = 10000000,
        .checks_crc = true,
        .stays = true,
        .record = on_record,
        .fetched = on_fetched,
        .failed = on_read_failed,
        .data = failover,
    };
    failover->end_known = false;
    bench_history_begin_reading(&failover->history);
    consumer_init(&failover->reader, &consumer_options);
    consumer_fetch(&failover->reader);
}

static void begin_reading(struct failover *failover)
{
    enter(failover, PHASE_READ, 0);
    failover->phase_timer.fire = read_next;
    message_progress("reading back from %" PRIu32 " nodes", failover->client.servers.count);
    io_post(failover->io, &failover->phase_timer);
}

/* ---- result ------------------------------------------------------------------------------------------------------ */

static int by_outage(const void *a, const void *b)
{
    const struct kill *left = a, *right = b;
    return (left->outage_us > right->outage_us) - (left->outage_us < right->outage_us);
}

static void print_result(struct failover *failover)
{
    const struct bench_history *history = &failover->history;
    char acked[QUANTITY_TEXT_BYTES], min[QUANTITY_TEXT_BYTES], median[QUANTITY_TEXT_BYTES],
        max[QUANTITY_TEXT_BYTES];
    uint64_t count = failover->kills_done;
    if (count == 0) return;
    qsort(failover->kills, count, sizeof(failover->kills[0]), by_outage);
    uint64_t min_us = failover->kills[0].outage_us, max_us = failover->kills[count - 1].outage_us;
    uint64_t median_us =
        (failover->kills[(count - 1) / 2].outage_us + failover->kills[count / 2].outage_us) / 2;
    if (options_on(failover->options, "json")) {
        printf("{\"kills\":%" PRIu64 ",\"outage_us\":{\"min\":%" PRIu64 ",\"median\":%" PRIu64
               ",\"max\":%" PRIu64 "},\"acked\":%" PRIu64 ",\"nodes_read\":%" PRIu32
               ",\"lost\":%" PRIu64 ",\"duplicated\":%" PRIu64 ",\"reordered\":%" PRIu64 "}\n",
               count, min_us, median_us, max_us, history->acked_count, failover->reading,
               history->lost, history->duplicated, history->reordered);
        return;
    }
    printf("outage over %" PRIu64 " kill%s   min %s  median %s  max %s\n", count,
           count == 1 ? "" : "s", quantity_duration(min, min_us),
           quantity_duration(median, median_us), quantity_duration(max, max_us));
    printf("acked %s  lost %" PRIu64 "  duplicated %" PRIu64 "  reordered %" PRIu64
           "   (read back from each of %" PRIu32 " nodes)\n",
           quantity_count(acked, history->acked_count), history->lost, history->duplicated,
           history->reordered, failover->reading);
}

/* ---- set up ------------------------------------------------------------------------------------------------------ */

static void on_child(void *data, int number)
{
    struct failover *failover = data;
    int status;
    (void)number;
    for (uint32_t node; (node = local_cluster_reap(&failover->cluster, &status)) > 0;) {
        bool expected =
            failover->killed_us > 0 && node == failover->kills[failover->kills_done].node;
        if (expected || failover->give_up) continue;
        char text[PATH_BYTES], words[256];
        local_cluster_last_words(&failover->cluster, node, words, sizeof(words));
        snprintf(text, sizeof(text), "n%" PRIu32 " ended by itself: %s", node, words);
        failover->cluster.options.keep = true;
        fail(failover, text);
    }
}

static void on_signal(void *data, int number)
{
    (void)number;
    finish(data, EXIT_CODE_INTERRUPTED);
}

static bool start_own_cluster(struct failover *failover)
{
    struct local_cluster_options cluster_options = {
        .nodes_count = OWN_NODES,
        .base_port = (uint32_t)options_number(failover->options, "base-port"),
        .log_level = "info",
    };
    uint32_t leader;
    bool never = false;
    bool fine = local_cluster_init(&failover->cluster, &cluster_options) &&
                local_cluster_ports_are_free(&failover->cluster);
    for (uint32_t i = 1; fine && i <= OWN_NODES; i++) {
        fine = local_cluster_start(&failover->cluster, i);
    }
    if (fine && !local_cluster_wait_ready(&failover->cluster, 30000000, &never, &leader)) {
        fine = false;
        failover->cluster.options.keep = true;
        snprintf(failover->cluster.error, sizeof(failover->cluster.error),
                 "the nodes are not ready after 30 s; their logs are in %.400s",
                 failover->cluster.directory);
    }
    if (!fine) {
        message_error("bench failover: %s", failover->cluster.error);
        return false;
    }
    memset(&failover->client.servers, 0, sizeof(failover->client.servers));
    for (uint32_t i = 0; i < OWN_NODES; i++) {
        servers_add(&failover->client.servers, failover->cluster.nodes[i].http);
    }
    return true;
}

static enum exit_code prepare(struct failover *failover)
{
    const struct options *options = failover->options;
    struct producer_id id;
    failover->topic_name = options_text(options, "topic");
    failover->pid_directory = options_text(options, "pid-dir");
    failover->own = failover->pid_directory == NULL;
    failover->kills_wanted = options_number(options, "kills");
    failover->rate = options_number(options, "rate");
    failover->size = options_number(options, "size");
    uint64_t port = options_number(options, "base-port");
    if (failover->kills_wanted < 1 || failover->kills_wanted > KILLS_MAX || failover->rate < 1 ||
        failover->size < BENCH_HISTORY_VALUE_BYTES_MIN || failover->size > 65536 || port < 1 ||
        port > 65000) {
        message_error(
            "bench failover: --kills takes 1 to %u, --rate at least 1, --size %u to 65536",
            KILLS_MAX, BENCH_HISTORY_VALUE_BYTES_MIN);
        return EXIT_CODE_USAGE;
    }
    if (failover->own && !start_own_cluster(failover)) return EXIT_CODE_FAILED;
    enum exit_code code =
        bench_topic_prepare(&failover->client, failover->topic_name, 1, &failover->topic);
    if (code == EXIT_CODE_OK) code = producer_id_take(&failover->client, &id);
    if (code != EXIT_CODE_OK) return code;
    failover->value = malloc(failover->size);
    assert(failover->value);
    struct producer_options producer_options = {
        .io = failover->io,
        .servers = &failover->client.servers,
        .topic = failover->topic_name,
        .producer_id = id.id,
        .producer_epoch = id.epoch,
        .batch_bytes_max = 256 * 1024,
        .inflight_max = PRODUCER_INFLIGHT_MAX,
        .retry_for_us = 60000000,
        .answer_timeout_us = 5000000,
        .acked = on_acked,
        .failed = on_produce_failed,
        .data = failover,
    };
    producer_init(&failover->producer, &producer_options);
    return EXIT_CODE_OK;
}

static void run(struct failover *failover)
{
    uint64_t run;
    io_random(failover->io, &run, sizeof(run));
    bench_history_init(&failover->history, run);
    failover->queue = io_job_queue_create(failover->io);
    assert(failover->queue);
    failover->sync_job = (struct io_job){.run = wait_sync, .done = synced, .data = failover};
    failover->tick_timer = (struct io_timer){.fire = tick, .data = failover};
    failover->phase_timer = (struct io_timer){.fire = phase_over, .data = failover};
    failover->drain_post = (struct io_timer){.fire = drain, .data = failover};
    failover->started_us = io_now_us(failover->io);
    if (failover->own) io_uv_on_signal(failover->io, SIGCHLD, on_child, failover);
    io_uv_on_signal(failover->io, SIGINT, on_signal, failover);
    io_uv_on_signal(failover->io, SIGTERM, on_signal, failover);
    io_timer_start(failover->io, &failover->tick_timer, TICK_US);
    begin_sync(failover);
    io_uv_run(failover->io);
    while (failover->syncing) { /* synced() stops the loop */
        io_uv_run(failover->io);
    }
    message_progress_end();
}

static void close_all(struct failover *failover)
{
    if (failover->queue) {
        io_timer_stop(failover->io, &failover->tick_timer);
        io_timer_stop(failover->io, &failover->phase_timer);
        io_timer_stop(failover->io, &failover->drain_post);
        io_job_queue_destroy(failover->io, failover->queue);
    }
    consumer_close(&failover->reader);
    producer_close(&failover->producer);
    if (failover->own && failover->cluster.directory[0]) {
        if (failover->cluster.options.keep) {
            message_hint("logs and data are kept in %s", failover->cluster.directory);
        }
        local_cluster_close(&failover->cluster);
    }
    client_close(&failover->client);
    io_uv_destroy(failover->io);
    bench_history_close(&failover->history);
    free(failover->value);
}

int bench_failover_command(const struct options *options)
{
    struct failover *failover = calloc(1, sizeof(*failover));
    assert(failover);
    failover->options = options;
    if (!client_init(&failover->client, options)) {
        free(failover);
        return EXIT_CODE_USAGE;
    }
    failover->io = io_uv_create(1);
    assert(failover->io);
    enum exit_code code = prepare(failover);
    if (code == EXIT_CODE_OK) {
        run(failover);
        code = failover->code;
        if (code == EXIT_CODE_OK || code == EXIT_CODE_INTERRUPTED) print_result(failover);
        const struct bench_history *history = &failover->history;
        bool clean = history->lost == 0 && history->duplicated == 0 && history->reordered == 0;
        if (code == EXIT_CODE_OK && !clean) code = EXIT_CODE_FAILED;
    }
    close_all(failover);
    free(failover);
    return (int)code;
}
