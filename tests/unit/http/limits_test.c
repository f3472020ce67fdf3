/* Goal: every bound of A2-A5 and A10-A12 (heads, bodies, chunks, time, budgets, connections) holds and is answered with
 * its own status. Method: one byte below the bound passes, one byte above does not. */
#include "fixture.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static char *request_with_line(size_t line_bytes)
{
    char *text = malloc(line_bytes + 64);
    size_t path = line_bytes - strlen("GET /livez? HTTP/1.1");
    strcpy(text, "GET /livez?");
    memset(text + 11, '&', path);
    strcpy(text + 11 + path, " HTTP/1.1\r\nHost: a\r\n\r\n");
    return text;
}

static int status_of(const char *request, bool *ret_closed)
{
    struct fixture fixture;
    struct reply reply;
    fixture_open(&fixture, NULL);
    struct fake_stream *stream = fixture_connect(&fixture);
    fixture_send(&fixture, stream, request);
    cr_assert(fixture_reply(stream, &reply));
    int status = reply.status;
    if (ret_closed) *ret_closed = stream->closed;
    reply_close(&reply);
    fixture_close(&fixture);
    return status;
}

Test(http_limits, a_request_line_above_4_kib_is_414)
{
    bool closed;
    char *fits = request_with_line(4096), *too_long = request_with_line(4097);
    cr_assert_eq(status_of(fits, &closed), 200);
    cr_assert(!closed);
    cr_assert_eq(status_of(too_long, &closed), 414);
    cr_assert(closed);
    free(fits);
    free(too_long);
}

static char *request_with_head(size_t head_bytes, size_t headers_count)
{
    char *text = malloc(head_bytes + 1);
    strcpy(text, "GET /livez HTTP/1.1\r\nHost: a\r\n");
    for (size_t i = 2; i < headers_count; i++)
        strcat(text, "X: y\r\n");
    size_t used = strlen(text);
    strcpy(text + used, "Z: ");
    memset(text + used + 3, 'z', head_bytes - used - 3 - 4);
    strcpy(text + head_bytes - 4, "\r\n\r\n");
    return text;
}

Test(http_limits, a_head_above_16_kib_is_431)
{
    bool closed;
    char *fits = request_with_head(16384, 2), *too_large = request_with_head(16385, 2);
    cr_assert_eq(strlen(fits), 16384);
    cr_assert_eq(status_of(fits, &closed), 200);
    cr_assert_eq(status_of(too_large, &closed), 431);
    cr_assert(closed);
    free(fits);
    free(too_large);
}

Test(http_limits, more_than_64_headers_are_431)
{
    char *fits = request_with_head(1000, 64), *too_many = request_with_head(1000, 65);
    cr_assert_eq(status_of(fits, NULL), 200);
    cr_assert_eq(status_of(too_many, NULL), 431);
    free(fits);
    free(too_many);
}

Test(http_limits, an_endless_head_is_cut_off_at_16_kib)
{
    struct fixture fixture;
    fixture_open(&fixture, NULL);
    struct fake_stream *stream = fixture_connect(&fixture);
    fixture_send(&fixture, stream, "GET /livez HTTP/1.1\r\nHost: a\r\nX: ");
    size_t sent = 0;
    while (!stream->closed && sent < 1000000) {
        fixture_send(&fixture, stream, "0123456789012345678901234567890123456789");
        sent += 40;
    }
    cr_assert_lt(sent, 17000);
    fixture_expect(stream, 431, NULL);
    fixture_close(&fixture);
}

Test(http_limits, a_body_over_the_topics_limit_is_413_before_it_is_read)
{
    struct fixture fixture;
    fixture_open(&fixture, NULL);
    struct fake_stream *stream = fixture_connect(&fixture);
    fixture_send(
        &fixture, stream,
        "POST /v1/topics/t/messages HTTP/1.1\r\nHost: a\r\nContent-Length: 1048577\r\n\r\n");
    fixture_expect(stream, 413, NULL);
    cr_assert(stream->closed);
    fixture_close(&fixture);
}

Test(http_limits, a_body_of_an_unknown_topic_is_bounded_by_16_mib)
{
    bool closed;
    cr_assert_eq(
        status_of("PUT /v1/topics/t HTTP/1.1\r\nHost: a\r\nContent-Length: 65537\r\n\r\n", &closed),
        413);
    cr_assert(closed);
    struct fixture fixture;
    fixture_open(&fixture, NULL);
    fixture.node.partitions_count = 0;
    struct fake_stream *stream = fixture_connect(&fixture);
    fixture_send(
        &fixture, stream,
        "POST /v1/topics/t/messages HTTP/1.1\r\nHost: a\r\nContent-Length: 16777217\r\n\r\n");
    fixture_expect(stream, 413, NULL);
    fixture_close(&fixture);
}

Test(http_limits, a_chunked_body_is_413_as_soon_as_it_is_too_large)
{
    struct fixture fixture;
    fixture_open(&fixture, NULL);
    fixture.node.message_bytes_max = 100;
    struct fake_stream *stream = fixture_connect(&fixture);
    fixture_send(
        &fixture, stream,
        "POST /v1/topics/t/messages HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n");
    char chunk[70];
    memset(chunk, 'x', sizeof chunk);
    memcpy(chunk, "3C\r\n", 4);
    memcpy(chunk + 64, "\r\n", 2);
    fixture_send_bytes(&fixture, stream, chunk, 66);
    cr_assert_eq(stream->output_bytes, 0);
    fixture_send_bytes(&fixture, stream, chunk, 66);
    fixture_expect(stream, 413, NULL);
    cr_assert(stream->closed);
    cr_assert_eq(fixture.node.submitted_total, 0);
    fixture_close(&fixture);
}

Test(http_limits, more_chunks_than_allowed_are_413)
{
    struct http_limits limits = {.chunks_max = 10};
    for (int chunks = 10; chunks <= 11; chunks++) {
        struct fixture fixture;
        fixture_open(&fixture, &limits);
        struct fake_stream *stream = fixture_connect(&fixture);
        fixture_send(
            &fixture, stream,
            "POST /v1/topics/t/messages HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n");
        for (int i = 0; i < chunks; i++)
            fake_stream_send(stream, "1\r\nx\r\n", 6);
        fixture_send(&fixture, stream, "0\r\n\r\n");
        cr_assert_eq(fixture.node.requests_count, chunks == 10 ? 1 : 0);
        if (chunks == 10) {
            fake_node_answer(&fixture.node, NODE_OK);
        } else {
            fixture_expect(stream, 413, NULL);
        }
        fixture_close(&fixture);
    }
}

static void send_produce(struct fixture *fixture, struct fake_stream *stream, size_t bytes)
{
    char head[128];
    char *body = calloc(1, bytes);
    snprintf(head, sizeof head,
             "POST /v1/topics/t/messages HTTP/1.1\r\nHost: a\r\nContent-Length: %zu\r\n\r\n",
             bytes);
    fake_stream_send(stream, head, strlen(head));
    fixture_send_bytes(fixture, stream, body, bytes);
    free(body);
}

Test(http_limits, one_connection_cannot_hold_more_than_its_budget)
{
    struct http_limits limits = {.connection_body_bytes_max = 1000};
    struct fixture fixture;
    struct reply reply;
    fixture_open(&fixture, &limits);
    struct fake_stream *stream = fixture_connect(&fixture);
    send_produce(&fixture, stream, 900);
    send_produce(&fixture, stream, 200); /* refused: 429, read and dropped */
    send_produce(&fixture, stream, 100);
    cr_assert_eq(fixture.node.requests_count, 2);
    fake_node_answer(&fixture.node, NODE_OK);
    fake_node_answer(&fixture.node, NODE_OK);
    fake_io_run(&fixture.io);
    fixture_expect(stream, 201, NULL);
    fixture_expect(stream, 429, &reply);
    cr_assert_str_eq(reply_header(&reply, "retry-after"), "1");
    cr_assert(strstr(reply.body, "\"retry_after_ms\":1000"));
    reply_close(&reply);
    fixture_expect(stream, 201, NULL);
    send_produce(&fixture, stream, 5000); /* alone it always fits, and the budget is free again */
    cr_assert_eq(fixture.node.requests_count, 1);
    fixture_close(&fixture);
}

Test(http_limits, all_connections_together_cannot_hold_more_than_the_budget)
{
    struct http_limits limits = {.body_bytes_max = 1000, .body_bytes_total_max = 1500};
    struct fixture fixture;
    struct reply reply;
    fixture_open(&fixture, &limits);
    struct fake_stream *first = fixture_connect(&fixture), *second = fixture_connect(&fixture);
    send_produce(&fixture, first, 1000);
    send_produce(&fixture, second, 501);
    fixture_expect(second, 503, &reply);
    cr_assert_not_null(reply_header(&reply, "retry-after"));
    reply_close(&reply);
    cr_assert(!second->closed);
    fake_node_answer(&fixture.node, NODE_OK);
    fake_io_run(&fixture.io);
    send_produce(&fixture, second, 501);
    cr_assert_eq(fixture.node.requests_count, 1);
    fixture_close(&fixture);
}

Test(http_limits, a_reply_that_no_memory_is_left_for_is_503)
{
    struct http_limits limits = {.reply_bytes_total_max = 1000};
    struct fixture fixture;
    struct reply reply;
    static uint8_t payload[2000], entry[4000];
    fixture_open(&fixture, &limits);
    struct fake_stream *stream = fixture_connect(&fixture);
    fixture_send(&fixture, stream, "GET /v1/topics/t/messages HTTP/1.1\r\nHost: a\r\n\r\n");
    size_t bytes = fake_entry(entry, 1, 1, 0, 1, payload, sizeof payload);
    fixture.node.requests[0]->ret_view = fake_view(&fixture.node, entry, bytes);
    fake_node_answer(&fixture.node, NODE_OK);
    fake_io_run(&fixture.io);
    fixture_expect(stream, 503, &reply);
    cr_assert_not_null(reply_header(&reply, "retry-after"));
    reply_close(&reply);
    cr_assert_eq(fixture.node.views_released, 1);
    fixture_close(&fixture);
}

Test(http_limits, connections_above_the_limit_are_refused_with_503)
{
    struct http_limits limits = {.connections_max = 2};
    struct fixture fixture;
    fixture_open(&fixture, &limits);
    struct fake_stream *first = fixture_connect(&fixture);
    fixture_connect(&fixture);
    struct fake_stream *third = fixture_connect(&fixture);
    fake_io_run(&fixture.io);
    struct reply reply;
    fixture_expect(third, 503, &reply);
    cr_assert(strstr(reply.body, "urn:raftmq:problem:overloaded"),
              "in words that prove that nothing was done: %s", reply.body);
    reply_close(&reply);
    cr_assert(third->closed);
    fake_stream_end(first, -32);
    fake_io_run(&fixture.io);
    struct fake_stream *fourth = fixture_connect(&fixture);
    fixture_send(&fixture, fourth, "GET /livez HTTP/1.1\r\nHost: a\r\n\r\n");
    fixture_expect(fourth, 200, NULL);
    fixture_close(&fixture);
}

/* ---- time --------------------------------------------------------------------------------------------------- */

Test(http_limits, a_head_that_drips_is_cut_off_after_10_s)
{
    struct fixture fixture;
    fixture_open(&fixture, NULL);
    struct fake_stream *stream = fixture_connect(&fixture);
    for (int i = 0; i < 9; i++) {
        fixture_send(&fixture, stream, i == 0 ? "GET /livez HTTP/1.1\r\nX: " : "x");
        fake_io_advance(&fixture.io, 1000);
    }
    cr_assert(!stream->closed);
    fake_io_advance(&fixture.io, 2000);
    fixture_expect(stream, 408, NULL);
    cr_assert(stream->closed);
    fixture_close(&fixture);
}

Test(http_limits, a_connection_that_says_nothing_is_closed_after_10_s_and_an_idle_one_after_60)
{
    struct fixture fixture;
    fixture_open(&fixture, NULL);
    struct fake_stream *silent = fixture_connect(&fixture), *idle = fixture_connect(&fixture);
    fixture_send(&fixture, idle, "GET /livez HTTP/1.1\r\nHost: a\r\n\r\n");
    fixture_expect(idle, 200, NULL);
    fake_io_advance(&fixture.io, 9000);
    cr_assert(!silent->closed);
    fake_io_advance(&fixture.io, 2000);
    cr_assert(silent->closed);
    cr_assert_eq(silent->output_bytes, 0);
    fake_io_advance(&fixture.io, 48000);
    cr_assert(!idle->closed);
    fake_io_advance(&fixture.io, 2000);
    cr_assert(idle->closed);
    cr_assert_eq(idle->output_bytes, 0);
    fixture_close(&fixture);
}

Test(http_limits, a_body_below_1_kib_per_second_is_cut_off)
{
    struct fixture fixture;
    fixture_open(&fixture, NULL);
    struct fake_stream *slow = fixture_connect(&fixture), *steady = fixture_connect(&fixture);
    static const char head[] =
        "POST /v1/topics/t/messages HTTP/1.1\r\nHost: a\r\nContent-Length: 100000\r\n\r\n";
    static const char piece[1200];
    fixture_send(&fixture, slow, head);
    fixture_send(&fixture, steady, head);
    for (int second = 0; second < 20; second++) {
        if (!slow->closed) fixture_send_bytes(&fixture, slow, piece, 100);
        fixture_send_bytes(&fixture, steady, piece, sizeof piece);
        fake_io_advance(&fixture.io, 1000);
    }
    fixture_expect(slow, 408, NULL);
    cr_assert(slow->closed);
    cr_assert(!steady->closed);
    fixture_close(&fixture);
}

Test(http_limits, no_body_may_take_longer_than_60_s)
{
    struct fixture fixture;
    fixture_open(&fixture, NULL);
    struct fake_stream *stream = fixture_connect(&fixture);
    static const char piece[2000];
    fixture_send(
        &fixture, stream,
        "POST /v1/topics/t/messages HTTP/1.1\r\nHost: a\r\nContent-Length: 1000000\r\n\r\n");
    for (int second = 0; second < 59; second++) {
        fixture_send_bytes(&fixture, stream, piece, sizeof piece);
        fake_io_advance(&fixture.io, 1000);
    }
    cr_assert(!stream->closed);
    fake_io_advance(&fixture.io, 2500);
    fixture_expect(stream, 408, NULL);
    fixture_close(&fixture);
}

Test(http_limits, a_reader_that_takes_nothing_for_10_s_is_closed)
{
    struct fixture fixture;
    fixture_open(&fixture, NULL);
    struct fake_stream *stuck = fixture_connect(&fixture), *slow = fixture_connect(&fixture);
    static const char request[] = "GET /livez HTTP/1.1\r\nHost: a\r\n\r\n";
    fake_stream_take(stuck, 0);
    fake_stream_take(slow, 0);
    fixture_send(&fixture, stuck, request);
    fixture_send(&fixture, slow, request);
    for (int i = 0; i < 12; i++) {
        fake_stream_take(slow, 5);
        fake_io_advance(&fixture.io, 1000);
    }
    cr_assert(stuck->closed && !stuck->linger);
    cr_assert(!slow->closed);
    fixture_close(&fixture);
}

Test(http_limits, a_long_poll_is_not_a_slow_client)
{
    struct fixture fixture;
    fixture_open(&fixture, NULL);
    struct fake_stream *stream = fixture_connect(&fixture);
    fixture_send(&fixture, stream,
                 "GET /v1/topics/t/messages?wait=60s HTTP/1.1\r\nHost: a\r\n\r\n");
    fake_io_advance(&fixture.io, 65000);
    cr_assert(!stream->closed);
    fake_node_answer(&fixture.node, NODE_OK);
    fake_io_run(&fixture.io);
    fixture_expect(stream, 200, NULL);
    fake_io_advance(&fixture.io, 50000);
    cr_assert(!stream->closed, "idle time counts from the answer");
    fixture_close(&fixture);
}
