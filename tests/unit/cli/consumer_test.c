/* The consumer: what it says in the end of an outage. */
#include <broker/io_uv.h>
#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

#include "consumer.h"
#include "fake_node.h"

#define BODY "{\"type\":\"urn:raftmq:problem:no-leader\",\"title\":\"no leader could be reached\"}"

static struct io *io;
static bool done;
static enum exit_code failure;
static char failure_reason[512];

static const char *no_leader(struct fake_node *self, int index)
{
    static char answer[512];
    (void)self;
    (void)index;
    snprintf(answer, sizeof(answer), "HTTP/1.1 503 X\r\nContent-Length: %zu\r\n\r\n%s",
             strlen(BODY), BODY);
    return answer;
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
    (void)slug;
    failure = code;
    snprintf(failure_reason, sizeof(failure_reason), "%s", reason);
    done = true;
    fake_node_wake(io);
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
    struct consumer_options options = {.io = io,
                                       .servers = &servers,
                                       .topic = "t",
                                       .from = "earliest",
                                       .bytes_max = 4096,
                                       .retry_for_us = 100000,
                                       .record = on_record,
                                       .fetched = on_fetched,
                                       .failed = on_failed};
    consumer_init(&consumer, &options);
    consumer_fetch(&consumer);
    fake_node_run_until(io, &done);
    cr_assert_eq(failure, EXIT_CODE_UNAVAILABLE);
    cr_assert_str_eq(failure_reason, "no leader could be reached");
    cr_assert_gt(node.requests_count, 1);
    consumer_close(&consumer);
    io_uv_destroy(io);
    fake_node_close(&node);
}
