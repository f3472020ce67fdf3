/* Goal: answers in order, bounded work per connection, clean ends. Method: pipelined requests against a node that
 * answers when the test says so. */
#include "fixture.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define PRODUCE "POST /v1/topics/t/messages HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nhi"
#define FETCH   "GET /v1/topics/t/messages?wait=30s HTTP/1.1\r\nHost: a\r\n\r\n"
#define LIVEZ   "GET /livez HTTP/1.1\r\nHost: a\r\n\r\n"

Test(http_connection, produces_run_side_by_side_and_are_answered_in_order)
{
    struct fixture fixture;
    fixture_open(&fixture, NULL);
    struct fake_stream *stream = fixture_connect(&fixture);
    fixture_send(&fixture, stream, PRODUCE PRODUCE PRODUCE);
    cr_assert_eq(fixture.node.requests_count, 3);
    fixture.node.requests[0]->ret_offset = 10;
    fixture.node.requests[1]->ret_offset = 11;
    fixture.node.requests[2]->ret_offset = 12;
    fake_node_answer_at(&fixture.node, 2, NODE_OK);
    fake_node_answer_at(&fixture.node, 1, NODE_OK);
    fake_io_run(&fixture.io);
    cr_assert_eq(stream->output_bytes, 0, "an answer overtook the first");
    fake_node_answer_at(&fixture.node, 0, NODE_OK);
    fake_io_run(&fixture.io);
    for (int i = 0; i < 3; i++) {
        struct reply reply;
        char offset[32];
        fixture_expect(stream, 201, &reply);
        snprintf(offset, sizeof offset, "\"offset\":%d,", 10 + i);
        cr_assert(strstr(reply.body, offset), "%s", reply.body);
        reply_close(&reply);
    }
    fixture_close(&fixture);
}

Test(http_connection, any_other_request_waits_for_all_before_it)
{
    struct fixture fixture;
    fixture_open(&fixture, NULL);
    struct fake_stream *stream = fixture_connect(&fixture);
    fixture_send(&fixture, stream, PRODUCE FETCH PRODUCE LIVEZ);
    cr_assert_eq(fixture.node.requests_count, 1, "the fetch must see what was produced before it");
    fake_node_answer(&fixture.node, NODE_OK);
    fake_io_run(&fixture.io);
    fixture_expect(stream, 201, NULL);
    cr_assert_eq(fixture.node.requests_count, 1, "the second produce must not overtake the fetch");
    cr_assert_eq(fixture.node.requests[0]->type, NODE_REQUEST_FETCH);
    fake_node_answer(&fixture.node, NODE_OK);
    fake_io_run(&fixture.io);
    fixture_expect(stream, 200, NULL);
    cr_assert_eq(fixture.node.requests[0]->type, NODE_REQUEST_PRODUCE);
    fake_node_answer(&fixture.node, NODE_OK);
    fake_io_run(&fixture.io);
    fixture_expect(stream, 201, NULL);
    fixture_expect(stream, 200, NULL);
    fixture_close(&fixture);
}

Test(http_connection, replies_of_one_turn_leave_in_one_piece_and_in_order)
{
    struct fixture fixture;
    fixture_open(&fixture, NULL);
    struct fake_stream *stream = fixture_connect(&fixture);
    for (int i = 0; i < 50; i++)
        fake_stream_send(stream, LIVEZ, strlen(LIVEZ));
    fake_stream_send(stream, "GET /version HTTP/1.1\r\nHost: a\r\n\r\n", 35);
    fake_io_run(&fixture.io);
    for (int i = 0; i < 50; i++)
        fixture_expect(stream, 200, NULL);
    struct reply reply;
    fixture_expect(stream, 200, &reply);
    cr_assert_str_eq(reply.body, "{\"name\":\"raftmq\",\"version\":\"0.1.0\"}");
    reply_close(&reply);
    fixture_close(&fixture);
}

Test(http_connection, reading_stops_at_sixteen_unanswered_requests)
{
    struct fixture fixture;
    fixture_open(&fixture, NULL);
    struct fake_stream *stream = fixture_connect(&fixture);
    for (int i = 0; i < 40; i++)
        fake_stream_send(stream, PRODUCE, strlen(PRODUCE));
    fake_io_run(&fixture.io);
    cr_assert_eq(fixture.node.requests_count, 16);
    cr_assert(stream->paused);
    fake_stream_send(stream, PRODUCE, strlen(PRODUCE));
    fake_io_run(&fixture.io);
    cr_assert_gt(stream->input_bytes, 0, "bytes were read while nothing may be read");
    for (int answered = 0; answered < 41; answered++) {
        cr_assert_leq(fixture.node.requests_count, 16);
        fake_node_answer(&fixture.node, NODE_OK);
        fake_io_run(&fixture.io);
        fixture_expect(stream, 201, NULL);
    }
    cr_assert_eq(fixture.node.submitted_total, 41);
    cr_assert(!stream->paused);
    fixture_close(&fixture);
}

Test(http_connection, a_client_that_goes_away_cancels_what_runs)
{
    for (int error = 0; error < 2; error++) {
        struct fixture fixture;
        fixture_open(&fixture, NULL);
        struct fake_stream *stream = fixture_connect(&fixture);
        fixture_send(&fixture, stream, PRODUCE PRODUCE FETCH);
        cr_assert_eq(fixture.node.requests_count, 2);
        fake_stream_end(stream, error ? -104 : -32);
        fake_io_run(&fixture.io);
        cr_assert_eq(fixture.node.cancelled_total, 2);
        cr_assert_eq(fixture.node.requests_count, 0);
        cr_assert(stream->closed);
        cr_assert_eq(http_server_connections(fixture.server), 0);
        fixture_close(&fixture);
    }
}

Test(http_connection, a_long_poll_of_a_closing_client_is_cancelled_when_it_goes)
{
    struct fixture fixture;
    fixture_open(&fixture, NULL);
    struct fake_stream *stream = fixture_connect(&fixture);
    fixture_send(
        &fixture, stream,
        "GET /v1/topics/t/messages?wait=30s HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
    cr_assert_eq(fixture.node.requests_count, 1);
    cr_assert(!stream->paused, "the end of the client would not be seen");
    fake_stream_end(stream, -32);
    fake_io_run(&fixture.io);
    cr_assert_eq(fixture.node.cancelled_total, 1);
    fixture_close(&fixture);
}

Test(http_connection, a_reply_that_is_ready_reaches_a_client_that_ended_its_side)
{
    struct fixture fixture;
    fixture_open(&fixture, NULL);
    struct fake_stream *stream = fixture_connect(&fixture);
    fake_stream_send(stream, LIVEZ, strlen(LIVEZ));
    fake_stream_end(stream, -32);
    fake_io_run(&fixture.io);
    fixture_expect(stream, 200, NULL);
    cr_assert(stream->closed && stream->linger);
    fixture_close(&fixture);
}

Test(http_connection, connection_close_is_obeyed_and_nothing_behind_it_is_read)
{
    struct fixture fixture;
    fixture_open(&fixture, NULL);
    struct fake_stream *stream = fixture_connect(&fixture);
    fixture_send(&fixture, stream,
                 "GET /livez HTTP/1.1\r\nHost: a\r\nConnection: x, Close\r\n\r\n" PRODUCE);
    struct reply reply;
    fixture_expect(stream, 200, &reply);
    cr_assert_str_eq(reply_header(&reply, "connection"), "close");
    reply_close(&reply);
    cr_assert(stream->closed && stream->linger);
    cr_assert_eq(fixture.node.submitted_total, 0);
    fixture_close(&fixture);
}

Test(http_connection, http_1_0_gets_one_answer_and_needs_no_host)
{
    struct fixture fixture;
    fixture_open(&fixture, NULL);
    struct fake_stream *stream = fixture_connect(&fixture);
    fixture_send(&fixture, stream, "GET /livez HTTP/1.0\r\n\r\n" LIVEZ);
    fixture_expect(stream, 200, NULL);
    cr_assert_eq(stream->output_bytes, 0);
    cr_assert(stream->closed);
    fixture_close(&fixture);
}

Test(http_connection, expect_continue_is_answered_before_the_body)
{
    struct fixture fixture;
    fixture_open(&fixture, NULL);
    struct fake_stream *stream = fixture_connect(&fixture);
    fixture_send(&fixture, stream,
                 "POST /v1/topics/t/messages HTTP/1.1\r\nHost: a\r\nExpect: 100-Continue\r\n"
                 "Content-Length: 2\r\n\r\n");
    cr_assert_str_eq((char *)stream->output, "HTTP/1.1 100 Continue\r\n\r\n");
    stream->output_bytes = 0;
    fixture_send(&fixture, stream, "hi");
    fake_node_answer(&fixture.node, NODE_OK);
    fake_io_run(&fixture.io);
    fixture_expect(stream, 201, NULL);
    fixture_close(&fixture);
}

Test(http_connection, expect_continue_waits_for_the_answers_before_it)
{
    struct fixture fixture;
    fixture_open(&fixture, NULL);
    struct fake_stream *stream = fixture_connect(&fixture);
    fixture_send(&fixture, stream,
                 PRODUCE
                 "POST /v1/topics/t/messages HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\n"
                 "Content-Length: 2\r\n\r\n");
    cr_assert_eq(stream->output_bytes, 0);
    fake_node_answer(&fixture.node, NODE_OK);
    fake_io_run(&fixture.io);
    fixture_expect(stream, 201, NULL);
    cr_assert_str_eq((char *)stream->output, "HTTP/1.1 100 Continue\r\n\r\n");
    fixture_close(&fixture);
}

Test(http_connection, expect_continue_of_a_refused_body_is_refused_and_closed)
{
    struct fixture fixture;
    fixture_open(&fixture, NULL);
    struct fake_stream *stream = fixture_connect(&fixture);
    fixture_send(&fixture, stream,
                 "POST /v1/nothing HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\n"
                 "Content-Length: 2\r\n\r\n");
    fixture_expect(stream, 404, NULL);
    cr_assert(stream->closed);
    fixture_close(&fixture);
}

Test(http_connection, a_refused_small_body_is_dropped_and_the_connection_goes_on)
{
    struct fixture fixture;
    fixture_open(&fixture, NULL);
    struct fake_stream *stream = fixture_connect(&fixture);
    fixture_send(&fixture, stream,
                 "POST /v1/nothing HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhe");
    cr_assert_eq(stream->output_bytes, 0, "the answer must not come before the request's end");
    fixture_send(&fixture, stream, "llo" LIVEZ);
    fixture_expect(stream, 404, NULL);
    fixture_expect(stream, 200, NULL);
    cr_assert(!stream->closed);
    fixture_close(&fixture);
}

static void answer_fetch_with(struct fixture *fixture, const uint8_t *entry, size_t bytes)
{
    cr_assert_eq(fixture->node.requests[0]->type, NODE_REQUEST_FETCH);
    fixture->node.requests[0]->ret_view = fake_view(&fixture->node, entry, bytes);
    fake_node_answer(&fixture->node, NODE_OK);
    fake_io_run(&fixture->io);
}

Test(http_connection, a_reader_that_takes_nothing_gets_no_second_fetch)
{
    struct fixture fixture;
    fixture_open(&fixture, NULL);
    struct fake_stream *stream = fixture_connect(&fixture);
    static const char fetch[] = "GET /v1/topics/t/messages HTTP/1.1\r\nHost: a\r\n"
                                "Accept: application/vnd.raftmq.batch\r\n\r\n";
    uint8_t *payload = calloc(1, 600000), *entry = malloc(700000);
    size_t bytes = fake_entry(entry, 1, 1, 0, 1, payload, 600000);
    fake_stream_take(stream, 0);
    for (int i = 0; i < 4; i++)
        fake_stream_send(stream, fetch, strlen(fetch));
    fake_io_run(&fixture.io);
    answer_fetch_with(&fixture, entry, bytes);
    cr_assert_eq(fixture.node.requests_count, 0, "the next fetch runs before the reply was taken");
    cr_assert(stream->paused);
    cr_assert_eq(fixture.node.views_released, 0, "the view is still being written from");
    fake_stream_take(stream, SIZE_MAX);
    cr_assert_eq(fixture.node.views_released, 1);
    fake_io_run(&fixture.io);
    cr_assert_eq(fixture.node.requests_count, 1);
    fixture_expect(stream, 200, NULL);
    for (int i = 0; i < 3; i++) {
        answer_fetch_with(&fixture, entry, bytes);
        fixture_expect(stream, 200, NULL);
    }
    cr_assert_eq(fixture.node.views_released, 4);
    fixture_close(&fixture);
    free(payload);
    free(entry);
}

Test(http_connection, a_view_is_released_when_a_reader_that_is_stuck_is_given_up)
{
    struct fixture fixture;
    fixture_open(&fixture, NULL);
    struct fake_stream *stream = fixture_connect(&fixture);
    uint8_t *payload = calloc(1, 600000), *entry = malloc(700000);
    size_t bytes = fake_entry(entry, 1, 1, 0, 1, payload, 600000);
    fake_stream_take(stream, 1000);
    fixture_send(&fixture, stream,
                 "GET /v1/topics/t/messages HTTP/1.1\r\nHost: a\r\n"
                 "Accept: application/vnd.raftmq.batch\r\n\r\n");
    answer_fetch_with(&fixture, entry, bytes);
    cr_assert_eq(fixture.node.views_released, 0);
    fake_io_advance(&fixture.io, 11000);
    cr_assert(stream->closed);
    cr_assert_eq(fixture.node.views_released, 1);
    fixture_close(&fixture);
    free(payload);
    free(entry);
}

static int stopped_count;
static void count_stopped(void *data)
{
    (void)data;
    stopped_count++;
}

Test(http_connection, a_stop_answers_what_runs_and_closes_the_idle)
{
    struct fixture fixture;
    fixture_open(&fixture, NULL);
    struct fake_stream *busy = fixture_connect(&fixture);
    struct fake_stream *idle = fixture_connect(&fixture);
    struct fake_stream *half = fixture_connect(&fixture);
    fixture_send(&fixture, busy, PRODUCE PRODUCE);
    fixture_send(&fixture, half, "GET /livez HTTP/1.1\r\n");
    stopped_count = 0;
    http_server_stop(fixture.server, count_stopped, NULL);
    fake_io_run(&fixture.io);
    cr_assert(idle->closed);
    cr_assert(!busy->closed);
    cr_assert_eq(stopped_count, 0);
    fixture_send(&fixture, busy, PRODUCE);
    cr_assert_eq(fixture.node.submitted_total, 2, "a request was taken after the stop");
    fixture_send(&fixture, half, "Host: a\r\n\r\n");
    struct reply reply;
    fixture_expect(half, 200, &reply);
    cr_assert_str_eq(reply_header(&reply, "connection"), "close");
    reply_close(&reply);
    cr_assert(half->closed);
    fake_node_answer(&fixture.node, NODE_OK);
    fake_node_answer(&fixture.node, NODE_OK);
    fake_io_run(&fixture.io);
    fixture_expect(busy, 201, NULL);
    fixture_expect(busy, 201, &reply);
    cr_assert_str_eq(reply_header(&reply, "connection"), "close");
    reply_close(&reply);
    cr_assert(busy->closed && busy->linger);
    cr_assert_eq(stopped_count, 1);
    fixture_close(&fixture);
}

Test(http_connection, a_stop_without_connections_reports_later_and_once)
{
    struct fixture fixture;
    fixture_open(&fixture, NULL);
    stopped_count = 0;
    http_server_stop(fixture.server, count_stopped, NULL);
    cr_assert_eq(stopped_count, 0, "called from inside of the call");
    fake_io_run(&fixture.io);
    cr_assert_eq(stopped_count, 1);
    fixture_close(&fixture);
}

Test(http_connection, a_port_in_use_is_reported_and_leaves_nothing_behind)
{
    struct fake_io io;
    struct node node = {0};
    struct http_server *server = NULL;
    fake_io_init(&io);
    io.listen_status = -98;
    struct http_server_options options = {.io = &io.base, .node = &node, .listen_address = "a:1"};
    cr_assert_eq(http_server_create(&options, &server), -98);
    cr_assert_null(server);
    options.limits.headers_max = 65;
    cr_assert_eq(http_server_create(&options, &server), -22);
    fake_io_close(&io);
}
