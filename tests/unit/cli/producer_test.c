/* The idempotent producer: whatever nodes answer, batches are acknowledged once and in order, retries carry the same
 * sequence, and an unknown fate is never called a failure. */
#include <broker/io_uv.h>
#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

#include "fake_node.h"
#include "producer.h"

#define OK_ANSWER "HTTP/1.1 201 Created\r\nContent-Length: 14\r\n\r\n{\"offset\": 10}"
#define PROBLEM(status, slug)                              \
    "HTTP/1.1 " status " X\r\nContent-Length: 200\r\n\r\n" \
    "{\"type\":\"urn:raftmq:problem:" slug "\",\"title\":\"t\",\"retry_after_ms\":5}"

static struct io *io;
static struct fake_node node, other;
static struct servers servers;
static struct producer producer;
static bool done;
static int32_t acked[64];
static int acked_count, acked_wanted;
static uint64_t last_offset;
static enum exit_code failure;
static char failure_slug[64], failure_reason[512];

/* A problem answer, padded to its Content-Length. */
static const char *problem(const char *text)
{
    static char answer[512];
    const char *body = strstr(text, "\r\n\r\n") + 4;
    snprintf(answer, sizeof(answer), "%.*s%-200s", (int)(body - text), text, body);
    return answer;
}

static void on_acked(void *data, struct producer_batch *batch, const struct producer_ack *ack)
{
    (void)data;
    acked[acked_count++] = batch->base_sequence;
    last_offset = ack->offset_known ? ack->offset : UINT64_MAX;
    if (acked_count == acked_wanted) {
        done = true;
        fake_node_wake(io);
    }
}

static void on_failed(void *data, enum exit_code code, const char *slug, const char *reason)
{
    (void)data;
    cr_assert_eq(failure, EXIT_CODE_OK, "failed twice");
    snprintf(failure_reason, sizeof(failure_reason), "%s", reason);
    failure = code;
    snprintf(failure_slug, sizeof(failure_slug), "%s", slug);
    done = true;
    fake_node_wake(io);
}

static void start(const char *(*answer)(struct fake_node *node, int index), int64_t id,
                  uint64_t retry_for_us)
{
    io = io_uv_create(1);
    fake_node_listen(&node, io, answer);
    servers_add(&servers, node.address);
    struct producer_options options = {.io = io,
                                       .servers = &servers,
                                       .topic = "t",
                                       .producer_id = id,
                                       .wants_offsets = true,
                                       .batch_bytes_max = 4096,
                                       .inflight_max = 5,
                                       .retry_for_us = retry_for_us,
                                       .answer_timeout_us = 5000000,
                                       .acked = on_acked,
                                       .failed = on_failed};
    producer_init(&producer, &options);
}

static void submit(int batches, int records)
{
    struct record record = {.value = (const uint8_t *)"v", .value_bytes = 1};
    for (int i = 0; i < batches; i++) {
        struct producer_batch *batch = producer_batch_take(&producer);
        for (int j = 0; j < records; j++) {
            cr_assert_eq(record_batch_add(&batch->builder, &record), RECORD_BATCH_OK);
        }
        producer_submit(&producer, batch);
    }
}

static void run(int wanted)
{
    acked_wanted = wanted;
    fake_node_run_until(io, &done);
}

static void finish(void)
{
    producer_close(&producer);
    io_uv_destroy(io);
    fake_node_close(&node);
    fake_node_close(&other);
}

static void expect_acked_in_order(int count, int records)
{
    cr_assert_eq(failure, EXIT_CODE_OK);
    cr_assert_eq(acked_count, count);
    for (int i = 0; i < count; i++) {
        cr_assert_eq(acked[i], i * records, "ack %d has sequence %d", i, acked[i]);
    }
}

static const char *always_ok(struct fake_node *self, int index)
{
    (void)self;
    (void)index;
    return OK_ANSWER;
}

Test(cli_producer, batches_leave_on_one_connection_in_sequence_and_are_acked_once)
{
    start(always_ok, 7, 1000000);
    submit(20, 3);
    run(20);
    expect_acked_in_order(20, 3);
    cr_assert_eq(node.requests_count, 20);
    cr_assert_eq(node.connections_count, 1);
    cr_assert_eq(last_offset, 10);
    finish();
}

/* Silent until a moment after the fifth request, when a sixth would long have come. */
static int seen_in_flight;

static void answer_five(struct io_timer *timer)
{
    (void)timer;
    seen_in_flight = node.requests_count;
    done = true;
    fake_node_wake(io);
}

static const char *always_silent(struct fake_node *self, int index)
{
    static struct io_timer later = {.fire = answer_five};
    if (index == 4) io_timer_start(self->io, &later, 100000);
    return "";
}

Test(cli_producer, five_batches_and_no_more_are_in_flight)
{
    start(always_silent, 7, 1000000);
    submit(8, 1);
    run(99);
    cr_assert_eq(seen_in_flight, 5);
    cr_assert_not(producer_has_room(&producer));
    cr_assert_eq(producer_unacked_count(&producer), 8);
    finish();
}

static const char *lose_the_first_connection(struct fake_node *self, int index)
{
    (void)self;
    if (index < 2) return "";
    return index == 2 ? NULL : OK_ANSWER;
}

Test(cli_producer, a_lost_connection_is_retried_from_the_oldest_with_the_same_sequences)
{
    start(lose_the_first_connection, 7, 2000000);
    submit(3, 2);
    run(3);
    expect_acked_in_order(3, 2);
    cr_assert_eq(node.requests_count, 6);
    for (int i = 0; i < 3; i++) {
        cr_assert_eq(node.requests[3 + i].base_sequence, node.requests[i].base_sequence);
        cr_assert_eq(node.requests[3 + i].connection, 1);
    }
    finish();
}

/* The first batch finds no leader; those behind it in the pipeline are then out of order. */
static const char *no_leader_then_echoes(struct fake_node *self, int index)
{
    (void)self;
    if (index == 0) return problem(PROBLEM("503", "no-leader"));
    if (index < 3) return problem(PROBLEM("409", "out-of-order-sequence"));
    return OK_ANSWER;
}

Test(cli_producer, out_of_order_behind_a_refused_batch_is_an_echo_and_retried)
{
    start(no_leader_then_echoes, 7, 2000000);
    submit(3, 1);
    run(3);
    expect_acked_in_order(3, 1);
    cr_assert_eq(node.requests_count, 6);
    finish();
}

static const char *no_leader_then_four_echoes(struct fake_node *self, int index)
{
    (void)self;
    if (index == 0) return problem(PROBLEM("503", "no-leader"));
    return index < 5 ? problem(PROBLEM("409", "out-of-order-sequence")) : OK_ANSWER;
}

Test(cli_producer, nothing_new_leaves_before_every_batch_in_flight_has_its_answer)
{
    start(no_leader_then_four_echoes, 7, 2000000);
    submit(8, 1);
    run(8);
    expect_acked_in_order(8, 1);
    cr_assert_eq(node.requests_count, 13);
    for (int i = 0; i < 8; i++) {
        cr_assert_eq(node.requests[5 + i].base_sequence, i, "the oldest comes first again");
    }
    finish();
}

static const char *out_of_order_at_once(struct fake_node *self, int index)
{
    (void)self;
    (void)index;
    return problem(PROBLEM("409", "out-of-order-sequence"));
}

Test(cli_producer, out_of_order_with_nothing_before_it_ends_the_producer)
{
    start(out_of_order_at_once, 7, 2000000);
    submit(1, 1);
    run(1);
    cr_assert_eq(failure, EXIT_CODE_CONFLICT);
    cr_assert_str_eq(failure_slug, "out-of-order-sequence");
    cr_assert_eq(node.requests_count, 1, "it must not be sent again");
    finish();
}

static const char *fenced(struct fake_node *self, int index)
{
    (void)self;
    return index == 0 ? OK_ANSWER : problem(PROBLEM("409", "producer-fenced"));
}

Test(cli_producer, a_fenced_id_ends_the_producer_without_another_try)
{
    start(fenced, 7, 2000000);
    submit(1, 1);
    run(1);
    done = false;
    submit(1, 1);
    run(99);
    cr_assert_eq(failure, EXIT_CODE_CONFLICT);
    cr_assert_str_eq(failure_slug, "producer-fenced");
    cr_assert_eq(node.requests_count, 2);
    finish();
}

static const char *always_no_leader(struct fake_node *self, int index)
{
    (void)self;
    (void)index;
    return problem(PROBLEM("503", "no-leader"));
}

Test(cli_producer, refusals_until_the_time_is_over_mean_unavailable_for_nothing_was_stored)
{
    start(always_no_leader, 7, 100000);
    submit(1, 1);
    run(1);
    cr_assert_eq(failure, EXIT_CODE_UNAVAILABLE);
    cr_assert_gt(node.requests_count, 1);
    finish();
}

static const char *no_leader_and_gone(struct fake_node *self, int index)
{
    (void)index;
    io_listener_close(self->listener);
    return problem(PROBLEM("503", "no-leader"));
}

Test(cli_producer, the_newest_reason_of_a_node_outlives_a_server_that_is_not_there)
{
    start(no_leader_and_gone, 7, 100000);
    submit(1, 1);
    run(1);
    cr_assert_eq(failure, EXIT_CODE_UNAVAILABLE);
    cr_assert_str_eq(failure_reason, "t");
    cr_assert_eq(node.requests_count, 1);
    finish();
}

static const char *always_a_bare_503(struct fake_node *self, int index)
{
    (void)self;
    (void)index;
    return "HTTP/1.1 503 X\r\nContent-Length: 0\r\n\r\n";
}

/* A node out of memory in the midst of an answer, or a proxy: what was asked for may be done. */
Test(cli_producer, a_refusal_without_a_nodes_words_is_unknown)
{
    start(always_a_bare_503, 7, 100000);
    submit(1, 1);
    run(1);
    cr_assert_eq(failure, EXIT_CODE_UNKNOWN);
    finish();
}

static const char *disk_full(struct fake_node *self, int index)
{
    (void)self;
    (void)index;
    return problem(PROBLEM("507", "disk-full"));
}

Test(cli_producer, what_every_node_refused_to_store_is_known_not_to_be_stored)
{
    start(disk_full, 7, 2000000);
    submit(1, 1);
    run(1);
    cr_assert_eq(failure, EXIT_CODE_UNAVAILABLE, "exit status %d", failure);
    cr_assert_str_eq(failure_slug, "disk-full");
    finish();
}

/* The batches behind the refused one are on their way already: their answers are waited for. */
Test(cli_producer, batches_in_flight_behind_a_refused_one_get_their_answers_before_the_end)
{
    start(disk_full, 7, 2000000);
    submit(5, 1);
    run(1);
    cr_assert_eq(failure, EXIT_CODE_UNAVAILABLE, "exit status %d", failure);
    cr_assert_eq(node.requests_count, 5);
    finish();
}

static const char *disk_full_then_gone(struct fake_node *self, int index)
{
    return index == 0 ? disk_full(self, index) : NULL;
}

Test(cli_producer, a_batch_behind_a_refused_one_whose_answer_is_lost_is_unknown)
{
    start(disk_full_then_gone, 7, 2000000);
    submit(3, 1);
    run(1);
    cr_assert_eq(failure, EXIT_CODE_UNKNOWN, "exit status %d", failure);
    finish();
}

/* Something between us and the node fails, behind or before it passed the batch on. */
static const char *stored_then_a_bare_500(struct fake_node *self, int index)
{
    (void)self;
    return index == 0 ? OK_ANSWER : "HTTP/1.1 500 X\r\nContent-Length: 0\r\n\r\n";
}

Test(cli_producer, an_end_by_an_answer_without_a_nodes_words_is_unknown_whatever_its_status)
{
    start(stored_then_a_bare_500, 7, 2000000);
    submit(2, 1);
    run(99);
    cr_assert_eq(acked_count, 1);
    cr_assert_eq(failure, EXIT_CODE_UNKNOWN, "exit status %d", failure);
    finish();
}

static const char *lost_then_too_large(struct fake_node *self, int index)
{
    (void)self;
    return index == 0 ? NULL : problem(PROBLEM("413", "message-too-large"));
}

/* The limit was lowered after the batch was stored: its size is judged before it is known as a repetition. */
Test(cli_producer, a_definite_refusal_says_nothing_of_an_attempt_that_was_lost_before)
{
    start(lost_then_too_large, 7, 2000000);
    submit(1, 1);
    run(1);
    cr_assert_eq(failure, EXIT_CODE_UNKNOWN, "exit status %d", failure);
    cr_assert(strstr(failure_reason, "closed the connection"), "%s", failure_reason);
    cr_assert(strstr(failure_reason, "the newest answer: t"), "%s", failure_reason);
    cr_assert_eq(node.requests_count, 2);
    finish();
}

static const char *too_large_then_gone(struct fake_node *self, int index)
{
    (void)self;
    return index == 0 ? problem(PROBLEM("413", "message-too-large")) : NULL;
}

Test(cli_producer, a_definite_refusal_says_nothing_of_another_batch_whose_answer_is_lost)
{
    start(too_large_then_gone, -1, 2000000);
    submit(2, 1);
    run(1);
    cr_assert_eq(failure, EXIT_CODE_UNKNOWN, "exit status %d", failure);
    finish();
}

static const char *always_too_large(struct fake_node *self, int index)
{
    (void)self;
    (void)index;
    return problem(PROBLEM("413", "message-too-large"));
}

Test(cli_producer, a_definite_refusal_of_all_that_was_sent_keeps_its_own_exit_status)
{
    start(always_too_large, 7, 2000000);
    submit(3, 1);
    run(1);
    cr_assert_eq(failure, EXIT_CODE_FAILED, "exit status %d", failure);
    cr_assert_str_eq(failure_slug, "message-too-large");
    cr_assert_str_eq(failure_reason, "t");
    finish();
}

static const char *unknown_then_no_leader(struct fake_node *self, int index)
{
    (void)self;
    return problem(index == 0 ? PROBLEM("504", "outcome-unknown") : PROBLEM("503", "no-leader"));
}

Test(cli_producer, one_unknown_answer_makes_the_outcome_unknown_whatever_refusals_follow)
{
    start(unknown_then_no_leader, 7, 100000);
    submit(1, 1);
    run(1);
    cr_assert_eq(failure, EXIT_CODE_UNKNOWN);
    finish();
}

static const char *lost_then_no_leader(struct fake_node *self, int index)
{
    (void)self;
    return index == 0 ? NULL : problem(PROBLEM("503", "no-leader"));
}

Test(cli_producer, a_lost_answer_makes_the_outcome_unknown_whatever_refusals_follow)
{
    start(lost_then_no_leader, 7, 100000);
    submit(1, 1);
    run(1);
    cr_assert_eq(failure, EXIT_CODE_UNKNOWN);
    cr_assert(strstr(failure_reason, "closed the connection"), "%s", failure_reason);
    cr_assert_gt(node.requests_count, 1);
    finish();
}

static const char *unknown_once(struct fake_node *self, int index)
{
    (void)self;
    return index == 0 ? problem(PROBLEM("504", "outcome-unknown")) : OK_ANSWER;
}

Test(cli_producer, an_unknown_fate_is_settled_by_the_retry)
{
    start(unknown_once, 7, 2000000);
    submit(1, 4);
    run(1);
    expect_acked_in_order(1, 4);
    cr_assert_eq(node.requests_count, 2);
    cr_assert_eq(node.requests[1].base_sequence, 0);
    finish();
}

Test(cli_producer, without_an_id_an_unknown_fate_is_never_retried)
{
    start(unknown_once, -1, 2000000);
    submit(1, 1);
    run(1);
    cr_assert_eq(failure, EXIT_CODE_UNKNOWN);
    cr_assert_eq(node.requests_count, 1);
    cr_assert_eq(node.requests[0].base_sequence, -1);
    finish();
}

Test(cli_producer, without_an_id_a_lost_connection_is_never_retried)
{
    start(lost_then_no_leader, -1, 2000000);
    submit(1, 1);
    run(1);
    cr_assert_eq(failure, EXIT_CODE_UNKNOWN);
    cr_assert_eq(node.requests_count, 1);
    finish();
}

static const char *busy_once(struct fake_node *self, int index)
{
    (void)self;
    return index == 0 ? problem(PROBLEM("429", "overloaded")) : OK_ANSWER;
}

Test(cli_producer, a_busy_node_is_asked_again_on_the_same_connection)
{
    start(busy_once, 7, 2000000);
    submit(1, 1);
    run(1);
    expect_acked_in_order(1, 1);
    cr_assert_eq(node.connections_count, 1);
    finish();
}

static const char *stored_before(struct fake_node *self, int index)
{
    (void)self;
    (void)index;
    return "HTTP/1.1 200 OK\r\nContent-Length: 15\r\n\r\n{\"offset\":null}";
}

Test(cli_producer, stored_before_at_a_forgotten_offset_is_an_ack_without_offset)
{
    start(stored_before, 7, 2000000);
    submit(1, 1);
    run(1);
    expect_acked_in_order(1, 1);
    cr_assert_eq(last_offset, UINT64_MAX);
    finish();
}

static const char *gone(struct fake_node *self, int index)
{
    (void)self;
    (void)index;
    return NULL;
}

Test(cli_producer, a_dead_server_is_left_for_the_next_one)
{
    io = io_uv_create(1);
    fake_node_listen(&other, io, gone);
    servers_add(&servers, other.address);
    fake_node_listen(&node, io, always_ok);
    servers_add(&servers, node.address);
    struct producer_options options = {.io = io,
                                       .servers = &servers,
                                       .topic = "t",
                                       .producer_id = 7,
                                       .batch_bytes_max = 4096,
                                       .inflight_max = 5,
                                       .retry_for_us = 2000000,
                                       .answer_timeout_us = 5000000,
                                       .acked = on_acked,
                                       .failed = on_failed};
    producer_init(&producer, &options);
    submit(2, 1);
    run(2);
    expect_acked_in_order(2, 1);
    cr_assert_geq(other.requests_count, 1);
    cr_assert_eq(node.requests_count, 2);
    finish();
}

Test(cli_producer, closing_with_batches_in_flight_frees_everything)
{
    start(always_silent, 7, 1000000);
    submit(3, 1);
    struct producer_batch *open = producer_batch_take(&producer);
    cr_assert_not_null(open);
    finish(); /* the leak checker of the sanitized build is the judge */
}

Test(cli_producer, sequences_count_modulo_2_to_the_31)
{
    cr_assert_eq(producer_sequence_add(0, 5), 5);
    cr_assert_eq(producer_sequence_add(INT32_MAX, 1), 0);
    cr_assert_eq(producer_sequence_add(INT32_MAX - 1, 3), 1);
}
