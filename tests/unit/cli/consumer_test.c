/* The consumer: what it says in the end of an outage. */
#include <broker/io_uv.h>
#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "consumer.h"
#include "fake_node.h"

#define BODY "{\"type\":\"urn:raftmq:problem:no-leader\",\"title\":\"no leader could be reached\"}"

static struct io *io;
static bool done;
static enum exit_code failure;
static char failure_reason[512], failure_slug[64];

#define DAMAGED                                                                    \
    "{\"type\":\"urn:raftmq:problem:damaged\",\"title\":\"the range is damaged\"," \
    "\"next_offset\":202}"

static const char *refuse(const char *body)
{
    static char answer[512];
    snprintf(answer, sizeof(answer), "HTTP/1.1 503 X\r\nContent-Length: %zu\r\n\r\n%s",
             strlen(body), body);
    return answer;
}

static const char *no_leader(struct fake_node *self, int index)
{
    (void)self;
    (void)index;
    return refuse(BODY);
}

static const char *damaged(struct fake_node *self, int index)
{
    (void)self;
    (void)index;
    return refuse(DAMAGED);
}

static const char *silent(struct fake_node *self, int index)
{
    (void)self;
    (void)index;
    return "";
}

/* Nothing is there, and that is an answer. */
static const char *nothing_new(struct fake_node *self, int index)
{
    (void)self;
    (void)index;
    return "HTTP/1.1 200 OK\r\nContent-Type: application/vnd.raftmq.batch\r\nContent-Length: 0\r\n"
           "Raftmq-Fetch-Offset: 7\r\nRaftmq-Next-Offset: 7\r\nRaftmq-High-Watermark: 7\r\n\r\n";
}

static bool on_record(void *data, const struct record_batch_header *batch,
                      const struct record_view *record)
{
    (void)data;
    (void)batch;
    (void)record;
    cr_assert_fail("a record came");
    return false;
}

static void on_fetched(void *data, uint64_t next_offset, uint64_t high_watermark)
{
    (void)data;
    (void)next_offset;
    (void)high_watermark;
    cr_assert_fail("an answer came");
}

static void on_failed(void *data, enum exit_code code, const char *slug, const char *reason)
{
    (void)data;
    failure = code;
    snprintf(failure_slug, sizeof(failure_slug), "%s", slug);
    snprintf(failure_reason, sizeof(failure_reason), "%s", reason);
    done = true;
    fake_node_wake(io);
}

/* Until one of the functions above says so. `options` names what differs from test to test. */
static void consume_until_done(struct consumer *consumer, struct servers *servers,
                               struct consumer_options options)
{
    options.io = io;
    options.servers = servers;
    options.topic = "t";
    options.bytes_max = 4096;
    options.record = on_record;
    options.failed = on_failed;
    consumer_init(consumer, &options);
    consumer_fetch(consumer);
    fake_node_run_until(io, &done);
}

Test(cli_consumer, the_newest_reason_of_a_node_outlives_a_server_that_is_not_there)
{
    static struct fake_node node;
    static struct servers servers;
    static struct consumer consumer;
    io = io_uv_create(1);
    fake_node_listen(&node, io, no_leader);
    servers_add(&servers, "127.0.0.1:1");
    servers_add(&servers, node.address);
    consume_until_done(&consumer, &servers,
                       (struct consumer_options){
                           .from = "earliest", .retry_for_us = 100000, .fetched = on_fetched});
    cr_assert_eq(failure, EXIT_CODE_UNAVAILABLE);
    cr_assert_str_eq(failure_reason, "no leader could be reached");
    cr_assert_gt(node.requests_count, 1);
    consumer_close(&consumer);
    io_uv_destroy(io);
    fake_node_close(&node);
}

static void on_answered(void *data, uint64_t next_offset, uint64_t high_watermark)
{
    (void)data;
    cr_assert_eq(next_offset, 7);
    cr_assert_eq(high_watermark, 7);
    done = true;
    fake_node_wake(io);
}

Test(cli_consumer, a_node_that_hangs_is_left_after_the_answer_timeout_and_no_later)
{
    static struct fake_node hung, node;
    static struct servers servers;
    static struct consumer consumer;
    io = io_uv_create(1);
    fake_node_listen(&hung, io, silent);
    fake_node_listen(&node, io, nothing_new);
    servers_add(&servers, hung.address);
    servers_add(&servers, node.address);
    const uint64_t began_us = io_now_us(io);
    consume_until_done(&consumer, &servers,
                       (struct consumer_options){.from = "latest",
                                                 .wait_ms = 500,
                                                 .retry_for_us = 20000000,
                                                 .answer_timeout_us = 500000,
                                                 .fetched = on_answered});
    const uint64_t took_us = io_now_us(io) - began_us;
    cr_assert_geq(took_us, 1000000u, "a long poll is not cut short: %lu us",
                  (unsigned long)took_us);
    cr_assert_lt(took_us, 10000000u, "%lu us", (unsigned long)took_us);
    cr_assert_eq(hung.requests_count, 1);
    cr_assert_eq(node.requests_count, 1);
    consumer_close(&consumer);
    io_uv_destroy(io);
    fake_node_close(&hung);
    fake_node_close(&node);
}

/* Each round over all servers waits twice as long, so that one that needs long for its answer is heard. */
static struct fake_client *asked_by;

static void answer_late(struct io_timer *timer)
{
    fake_node_answer(asked_by, nothing_new(timer->data, 0));
}

static const char *after_a_while(struct fake_node *self, int index)
{
    static struct io_timer later = {.fire = answer_late};
    later.data = self;
    asked_by = self->clients;
    io_timer_stop(self->io, &later);
    io_timer_start(self->io, &later, 900000);
    (void)index;
    return "";
}

Test(cli_consumer, a_node_that_needs_longer_is_heard_in_a_later_round)
{
    static struct fake_node node;
    static struct servers servers;
    static struct consumer consumer;
    io = io_uv_create(1);
    fake_node_listen(&node, io, after_a_while);
    servers_add(&servers, node.address);
    consume_until_done(&consumer, &servers,
                       (struct consumer_options){.from = "latest",
                                                 .retry_for_us = 20000000,
                                                 .answer_timeout_us = 200000,
                                                 .fetched = on_answered});
    cr_assert_gt(node.requests_count, 1);
    cr_assert_leq(node.requests_count, 5);
    consumer_close(&consumer);
    io_uv_destroy(io);
    fake_node_close(&node);
}

/* ---- the loop itself stands still: a reader of the output is slow, or the process was stopped ------------------------------ */

static struct fake_node slow_node, waiting_node;
static struct consumer slow, waiting;
static int fetched_count;

static void on_one_fetched(void *data, uint64_t next_offset, uint64_t high_watermark)
{
    (void)data;
    (void)next_offset;
    (void)high_watermark;
    if (++fetched_count < 2) return;
    done = true;
    fake_node_wake(io);
}

static const char *keep_for_later(struct fake_node *self, int index)
{
    (void)index;
    asked_by = self->clients;
    return "";
}

/* The other consumer's answer is on its way when the loop stands still, and is read after the timers that are due by then. */
static const char *stand_still(struct fake_node *self, int index)
{
    if (index > 0) return nothing_new(self, index); /* it was left, and is asked again */
    fake_node_answer(asked_by, nothing_new(self, index));
    usleep(3000000);
    return nothing_new(self, index);
}

static void fetch_slow(struct io_timer *timer)
{
    cr_assert_eq(waiting_node.requests_count, 1);
    consumer_fetch(timer->data);
}

static void open_consumer(struct consumer *consumer, struct fake_node *node)
{
    struct servers servers = {0};
    servers_add(&servers, node->address);
    struct consumer_options options = {.io = io,
                                       .servers = &servers,
                                       .topic = "t",
                                       .from = "latest",
                                       .bytes_max = 4096,
                                       .retry_for_us = 1000000,
                                       .answer_timeout_us = 1000000,
                                       .record = on_record,
                                       .fetched = on_one_fetched,
                                       .failed = on_failed};
    consumer_init(consumer, &options);
}

Test(cli_consumer, a_loop_that_stood_still_is_no_silence_of_the_nodes)
{
    struct io_timer later = {.fire = fetch_slow, .data = &slow};
    io = io_uv_create(1);
    fake_node_listen(&slow_node, io, stand_still);
    fake_node_listen(&waiting_node, io, keep_for_later);
    open_consumer(&slow, &slow_node);
    open_consumer(&waiting, &waiting_node);
    consumer_fetch(&waiting);
    io_timer_start(io, &later, 300000);
    fake_node_run_until(io, &done);
    cr_assert_eq(failure, EXIT_CODE_OK, "%s", failure_reason);
    cr_assert_eq(waiting_node.connections_count, 1);
    cr_assert_eq(waiting_node.requests_count, 1);
    cr_assert_eq(slow_node.connections_count, 1);
    cr_assert_eq(waiting.silences + slow.silences, 0);
    consumer_close(&slow);
    consumer_close(&waiting);
    io_uv_destroy(io);
    fake_node_close(&slow_node);
    fake_node_close(&waiting_node);
}

static void stand_still_again(struct io_timer *timer)
{
    usleep(600000);
    io_timer_start(io, timer, 1000);
}

Test(cli_consumer, a_node_that_hangs_is_left_also_by_a_loop_that_is_always_late)
{
    static struct fake_node hung, node;
    static struct servers servers;
    static struct consumer consumer;
    struct io_timer late = {.fire = stand_still_again};
    io = io_uv_create(1);
    fake_node_listen(&hung, io, silent);
    fake_node_listen(&node, io, nothing_new);
    servers_add(&servers, hung.address);
    servers_add(&servers, node.address);
    struct consumer_options options = {.io = io,
                                       .servers = &servers,
                                       .topic = "t",
                                       .from = "latest",
                                       .bytes_max = 4096,
                                       .retry_for_us = 20000000,
                                       .answer_timeout_us = 500000,
                                       .record = on_record,
                                       .fetched = on_answered,
                                       .failed = on_failed};
    consumer_init(&consumer, &options);
    consumer_fetch(&consumer);
    io_timer_start(io, &late, 100000);
    fake_node_run_until(io, &done);
    cr_assert_eq(hung.requests_count, 1);
    cr_assert_eq(node.requests_count, 1);
    io_timer_stop(io, &late);
    consumer_close(&consumer);
    io_uv_destroy(io);
    fake_node_close(&hung);
    fake_node_close(&node);
}

/* Who waits and tries again gets no further: that is no exit status 4. It is asked for --timeout all the same, for a node that
 * has the range may come back. */
Test(cli_consumer, damage_is_no_outage_and_names_where_reading_goes_on)
{
    static struct fake_node node;
    static struct servers servers;
    static struct consumer consumer;
    io = io_uv_create(1);
    fake_node_listen(&node, io, damaged);
    servers_add(&servers, node.address);
    consume_until_done(&consumer, &servers,
                       (struct consumer_options){
                           .from = "earliest", .retry_for_us = 100000, .fetched = on_fetched});
    cr_assert_eq(failure, EXIT_CODE_FAILED);
    cr_assert_str_eq(failure_slug, "damaged");
    cr_assert_str_eq(failure_reason, "the range is damaged");
    cr_assert_eq(consumer.behind_damage, 202);
    cr_assert_gt(node.requests_count, 1);
    consumer_close(&consumer);
    io_uv_destroy(io);
    fake_node_close(&node);
}
