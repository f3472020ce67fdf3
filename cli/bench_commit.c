/* `raftmq bench commit`: offsets of consumer groups committed in a second, each group once, several in flight on every
 * connection. A commit that was not answered is sent again: committing the same offset twice changes nothing. */
#include <assert.h>
#include <broker/io_uv.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bench_topic.h"
#include "connection.h"
#include "histogram.h"
#include "message.h"
#include "problem.h"
#include "quantity.h"
#include "verbs.h"

#define PROGRESS_US    200000u
#define CLIENTS_MAX    1024u
#define INFLIGHT_MAX   16u /* a node leaves further requests of a connection in the socket */
#define GROUPS_MAX     10000000u
#define RETRY_US       50000u
#define SILENCE_US     10000000u
#define ATTEMPTS_MAX   200u /* without an answer in between: some ten seconds */
#define HEAD_BYTES_MAX 512u
#define BODY_BYTES_MAX 64u

struct bench;

struct commit {
    uint64_t group;
    uint64_t sent_us;
};

struct committer {
    struct bench *bench;
    struct servers servers;
    struct connection *connection;
    bool connected;
    struct commit sent[INFLIGHT_MAX]; /* a ring, answered in order */
    uint32_t sent_first, sent_count;
    uint64_t again[INFLIGHT_MAX]; /* groups whose commit has to be sent again */
    uint32_t again_count;
    uint32_t attempts;
    uint64_t asked_us;
    struct io_timer retry_timer;
};

struct bench {
    const struct options *options;
    struct client client;
    struct topic_info topic;
    uint64_t offsets[TOPIC_INFO_PARTITIONS_MAX]; /* what is committed: the end of each partition */
    struct io *io;
    struct committer *committers;
    uint32_t committers_count, inflight;
    uint64_t groups, next_group, done, retries;
    uint64_t from_us, to_us;
    struct io_timer progress_timer;
    struct histogram latency;
    enum exit_code code;
};

static void stop(struct bench *bench)
{
    if (bench->to_us == 0) bench->to_us = io_now_us(bench->io);
    io_uv_stop(bench->io);
}

/* ---- asking ---------------------------------------------------------------------------------------------------- */

static void send_commit(struct committer *committer, uint64_t group)
{
    struct bench *bench = committer->bench;
    const uint32_t partition = (uint32_t)(group % bench->topic.partitions_count);
    char body[BODY_BYTES_MAX], request[HEAD_BYTES_MAX + BODY_BYTES_MAX];
    snprintf(body, sizeof(body), "{\"offset\":%" PRIu64 "}", bench->offsets[partition]);
    int bytes =
        snprintf(request, sizeof(request),
                 "PUT /v1/groups/bench-%07" PRIu64 "/offsets/%s/%" PRIu32
                 " HTTP/1.1\r\nHost: raftmq\r\nContent-Type: application/json\r\n"
                 "Content-Length: %zu\r\n\r\n%s",
                 group, options_text(bench->options, "topic"), partition, strlen(body), body);
    assert(bytes > 0);
    assert((size_t)bytes < sizeof(request));
    assert(committer->sent_count < INFLIGHT_MAX);
    committer->sent[(committer->sent_first + committer->sent_count++) % INFLIGHT_MAX] =
        (struct commit){.group = group, .sent_us = io_now_us(bench->io)};
    connection_send(committer->connection, request, (size_t)bytes, NULL);
}

static void fill(struct committer *committer)
{
    struct bench *bench = committer->bench;
    while (committer->connected && committer->sent_count < bench->inflight) {
        if (committer->again_count > 0) {
            send_commit(committer, committer->again[--committer->again_count]);
        } else if (bench->next_group < bench->groups) {
            send_commit(committer, bench->next_group++);
        } else {
            break;
        }
    }
}

static void send_again_later(struct committer *committer, const char *slug, const char *reason)
{
    struct bench *bench = committer->bench;
    connection_close(committer->connection);
    committer->connection = NULL;
    committer->connected = false;
    for (; committer->sent_count > 0; committer->sent_count--, committer->sent_first++) {
        assert(committer->again_count < INFLIGHT_MAX);
        committer->again[committer->again_count++] =
            committer->sent[committer->sent_first % INFLIGHT_MAX].group;
    }
    bench->retries++;
    if (++committer->attempts >= ATTEMPTS_MAX) {
        message_error("bench commit: %s", reason);
        const char *hint = problem_hint(slug, 0);
        if (hint) message_hint("%s", hint);
        bench->code = EXIT_CODE_UNAVAILABLE;
        stop(bench);
        return;
    }
    servers_next(&committer->servers);
    io_timer_start(bench->io, &committer->retry_timer, RETRY_US);
}

/* ---- answers --------------------------------------------------------------------------------------------------- */

static void take_refusal(struct committer *committer, const struct connection_answer *answer)
{
    char slug[64], detail[512];
    json_t *json = json_loadb((const char *)answer->body, answer->body_bytes, 0, NULL);
    problem_read(json, answer->status, slug, sizeof(slug), detail, sizeof(detail));
    json_decref(json);
    if (exit_code_http_is_retryable(answer->status)) {
        send_again_later(committer, slug, detail);
        return;
    }
    message_error("bench commit: %s", detail);
    committer->bench->code = exit_code_of_http(answer->status, /* writes= */ true);
    stop(committer->bench);
}

static void on_answer(void *data, const struct connection_answer *answer)
{
    struct committer *committer = data;
    struct bench *bench = committer->bench;
    if (!committer->connected || committer->sent_count == 0) return;
    if (answer->status < 200 || answer->status > 299) {
        take_refusal(committer, answer);
        return;
    }
    const uint64_t now_us = io_now_us(bench->io);
    histogram_record(&bench->latency,
                     now_us - committer->sent[committer->sent_first % INFLIGHT_MAX].sent_us, 1);
    committer->sent_first++;
    committer->sent_count--;
    committer->attempts = 0;
    committer->asked_us = now_us;
    if (++bench->done == bench->groups) {
        stop(bench);
    } else {
        fill(committer);
    }
}

static void on_connected(void *data)
{
    struct committer *committer = data;
    committer->connected = true;
    fill(committer);
}

static void on_failed(void *data, const char *reason)
{
    struct committer *committer = data;
    send_again_later(committer, "", reason);
}

static void connect_now(struct io_timer *timer)
{
    static const struct connection_callbacks callbacks = {
        .connected = on_connected, .answer = on_answer, .failed = on_failed};
    struct committer *committer = timer->data;
    committer->asked_us = io_now_us(committer->bench->io);
    committer->connection = connection_open(
        committer->bench->io, servers_current(&committer->servers), &callbacks, committer);
}

/* Shows how far it came, and gives up connections that fell silent. */
static void watch(struct io_timer *timer)
{
    struct bench *bench = timer->data;
    const uint64_t now_us = io_now_us(bench->io);
    char rate[QUANTITY_TEXT_BYTES], count[QUANTITY_TEXT_BYTES];
    for (uint32_t i = 0; i < bench->committers_count; i++) {
        struct committer *committer = &bench->committers[i];
        bool waits = committer->connection && (!committer->connected || committer->sent_count > 0);
        if (waits && now_us - committer->asked_us > SILENCE_US) on_failed(committer, "no answer");
    }
    if (message_progress_is_shown()) {
        message_progress("%s commits  %s/s", quantity_count(count, bench->done),
                         quantity_count_rate(rate, bench->done, now_us - bench->from_us));
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

/* ---- set up and result ----------------------------------------------------------------------------------------- */

static enum exit_code learn_offsets(struct bench *bench)
{
    char path[512];
    struct reply reply;
    snprintf(path, sizeof(path), "/v1/topics/%s", options_text(bench->options, "topic"));
    enum exit_code code = client_get(&bench->client, path, &reply);
    if (code != EXIT_CODE_OK) {
        client_explain(&bench->client, &reply, options_text(bench->options, "topic"));
    }
    const json_t *partitions = reply_partitions(reply.json);
    for (uint32_t i = 0; code == EXIT_CODE_OK && i < bench->topic.partitions_count; i++) {
        uint64_t first = 0;
        code = topic_partition_offsets(&bench->client, options_text(bench->options, "topic"),
                                       json_array_get(partitions, i), &first, &bench->offsets[i]);
    }
    reply_close(&reply);
    return code;
}

static enum exit_code prepare(struct bench *bench)
{
    const struct options *options = bench->options;
    const uint64_t clients = options_number(options, "clients");
    const uint64_t inflight = options_number(options, "inflight");
    bench->groups = options_number(options, "groups");
    if (clients < 1 || clients > CLIENTS_MAX || inflight < 1 || inflight > INFLIGHT_MAX ||
        bench->groups < 1 || bench->groups > GROUPS_MAX) {
        message_error("bench commit: --clients takes 1 to %u, --inflight 1 to %u, --groups 1 to %u",
                      CLIENTS_MAX, INFLIGHT_MAX, GROUPS_MAX);
        return EXIT_CODE_USAGE;
    }
    bench->committers_count = (uint32_t)clients;
    bench->inflight = (uint32_t)inflight;
    enum exit_code code = bench_topic_prepare(&bench->client, options_text(options, "topic"),
                                              options_number(options, "partitions"), &bench->topic);
    if (code == EXIT_CODE_OK) code = learn_offsets(bench);
    if (code != EXIT_CODE_OK) return code;
    bench->io = io_uv_create(1);
    bench->committers = calloc(bench->committers_count, sizeof(*bench->committers));
    assert(bench->io);
    assert(bench->committers);
    for (uint32_t i = 0; i < bench->committers_count; i++) {
        struct committer *committer = &bench->committers[i];
        committer->bench = bench;
        committer->servers = bench->client.servers;
        committer->retry_timer = (struct io_timer){.fire = connect_now, .data = committer};
    }
    return EXIT_CODE_OK;
}

static void run(struct bench *bench)
{
    histogram_init(&bench->latency);
    bench->from_us = io_now_us(bench->io);
    bench->progress_timer = (struct io_timer){.fire = watch, .data = bench};
    for (uint32_t i = 0; i < bench->committers_count; i++) {
        connect_now(&bench->committers[i].retry_timer);
    }
    io_timer_start(bench->io, &bench->progress_timer, PROGRESS_US);
    io_uv_on_signal(bench->io, SIGINT, on_signal, bench);
    io_uv_on_signal(bench->io, SIGTERM, on_signal, bench);
    io_uv_run(bench->io);
    io_timer_stop(bench->io, &bench->progress_timer);
    message_progress_end();
}

static void print_result(const struct bench *bench)
{
    const uint64_t us = bench->to_us - bench->from_us;
    const uint64_t p50_us = histogram_quantile(&bench->latency, 0.5);
    const uint64_t p99_us = histogram_quantile(&bench->latency, 0.99);
    if (options_on(bench->options, "json")) {
        json_t *json =
            json_pack("{s:I, s:I, s:f, s:I, s:f, s:I, s:I, s:I, s:I}", "clients",
                      (json_int_t)bench->committers_count, "inflight", (json_int_t)bench->inflight,
                      "seconds", (double)us / 1e6, "commits", (json_int_t)bench->done,
                      "commits_per_second", us > 0 ? (double)bench->done * 1e6 / (double)us : 0.0,
                      "p50_us", (json_int_t)p50_us, "p99_us", (json_int_t)p99_us, "max_us",
                      (json_int_t)bench->latency.max, "retries", (json_int_t)bench->retries);
        json_dumpf(json, stdout, JSON_COMPACT);
        putchar('\n');
        json_decref(json);
        return;
    }
    char count[QUANTITY_TEXT_BYTES], rate[QUANTITY_TEXT_BYTES], p50[QUANTITY_TEXT_BYTES],
        p99[QUANTITY_TEXT_BYTES], max[QUANTITY_TEXT_BYTES];
    printf("%" PRIu32 " client%s x %" PRIu32 " in flight, %s groups, %.1f s\n",
           bench->committers_count, bench->committers_count == 1 ? "" : "s", bench->inflight,
           quantity_count(count, bench->done), (double)us / 1e6);
    printf("%s commits/s  p50 %s  p99 %s  max %s  retries %" PRIu64 "\n",
           quantity_count_rate(rate, bench->done, us), quantity_duration(p50, p50_us),
           quantity_duration(p99, p99_us), quantity_duration(max, bench->latency.max),
           bench->retries);
}

int bench_commit_command(const struct options *options)
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
    for (uint32_t i = 0; bench->committers && i < bench->committers_count; i++) {
        io_timer_stop(bench->io, &bench->committers[i].retry_timer);
        connection_close(bench->committers[i].connection);
    }
    client_close(&bench->client);
    io_uv_destroy(bench->io);
    free(bench->committers);
    free(bench);
    return (int)code;
}
