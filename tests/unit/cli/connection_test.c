/* The pipelining connection: answers in order, split anywhere; anything that is not an answer ends it with a reason. */
#include <broker/io_uv.h>
#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

#include "connection.h"
#include "fake_node.h"

static struct io *io;
static struct fake_node node;
static struct connection *connection;
static bool done, connected;
static int answers, statuses[8];
static char bodies[8][64], failure[256];
static struct connection_answer last;
static int requests = 1;

static void on_connected(void *data)
{
    (void)data;
    static const char head[] = "GET / HTTP/1.1\r\nHost: x\r\n\r\n";
    connected = true;
    for (int i = 0; i < requests; i++) {
        connection_send(connection, head, sizeof(head) - 1, NULL);
    }
}

static void on_answer(void *data, const struct connection_answer *answer)
{
    (void)data;
    statuses[answers] = answer->status;
    snprintf(bodies[answers], sizeof(bodies[0]), "%.*s", (int)answer->body_bytes,
             (const char *)answer->body);
    last = *answer;
    if (++answers == requests) {
        done = true;
        fake_node_wake(io);
    }
}

static void on_failed(void *data, const char *reason)
{
    (void)data;
    snprintf(failure, sizeof(failure), "%s", reason);
    done = true;
    fake_node_wake(io);
}

static const struct connection_callbacks callbacks = {on_connected, on_answer, on_failed};

static const char *script;

static const char *by_script(struct fake_node *self, int index)
{
    (void)self;
    return index == requests - 1 ? script : "";
}

static void run(const char *text)
{
    script = text;
    io = io_uv_create(1);
    fake_node_listen(&node, io, by_script);
    connection = connection_open(io, node.address, &callbacks, NULL);
    fake_node_run_until(io, &done);
    connection_close(connection);
    io_uv_destroy(io);
    fake_node_close(&node);
}

Test(cli_connection, pipelined_answers_come_in_order_with_their_bodies)
{
    requests = 3;
    run("HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\noneHTTP/1.1 503 X\r\nContent-Length: "
        "3\r\n\r\ntwo"
        "HTTP/1.1 204 No Content\r\n\r\n");
    cr_assert_eq(answers, 3);
    cr_assert_eq(statuses[0], 200);
    cr_assert_eq(statuses[1], 503);
    cr_assert_eq(statuses[2], 204);
    cr_assert_str_eq(bodies[0], "one");
    cr_assert_str_eq(bodies[1], "two");
    cr_assert_str_eq(bodies[2], "");
}

Test(cli_connection, the_headers_of_a_fetch_are_read)
{
    run("HTTP/1.1 200 OK\r\ncontent-type: application/vnd.raftmq.batch\r\nRAFTMQ-NEXT-OFFSET: "
        "12\r\n"
        "Raftmq-High-Watermark:  13 \r\nRaftmq-Fetch-Offset: 9\r\nRetry-After: "
        "2\r\nContent-Length: 0\r\n\r\n");
    cr_assert(last.binary);
    cr_assert(last.has_next_offset && last.next_offset == 12);
    cr_assert(last.has_high_watermark && last.high_watermark == 13);
    cr_assert(last.has_fetch_offset && last.fetch_offset == 9);
    cr_assert_eq(last.retry_after_ms, 2000);
}

static void expect_broken(const char *text)
{
    answers = 0;
    done = false;
    failure[0] = '\0';
    run(text);
    cr_assert_eq(answers, 0, "%s", text);
    cr_assert_neq(failure[0], '\0', "%s", text);
}

Test(cli_connection, what_is_not_an_answer_of_a_node_ends_the_connection)
{
    expect_broken("SSH-2.0-OpenSSH\r\n\r\n");
    expect_broken("HTTP/1.1 2x0 OK\r\nContent-Length: 0\r\n\r\n");
    expect_broken("HTTP/1.1 200 OK\r\n\r\n");
    expect_broken("HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n");
    expect_broken("HTTP/1.1 200 OK\r\nContent-Length: 99999999999\r\n\r\n");
    expect_broken("HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nxx");
    expect_broken("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n");
    expect_broken("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nContent-Length: 0\r\n\r\n");
    expect_broken("HTTP/1.1 200 OK\r\nno colon\r\nContent-Length: 0\r\n\r\n");
}

Test(cli_connection, a_head_without_end_is_cut_off)
{
    static char endless[CONNECTION_HEAD_BYTES_MAX + 64];
    memset(endless, 'a', sizeof(endless) - 1);
    memcpy(endless, "HTTP/1.1 200 OK\r\n", 17);
    expect_broken(endless);
    cr_assert(strstr(failure, "too long"));
}

Test(cli_connection, an_answer_nobody_asked_for_ends_the_connection)
{
    requests = 1;
    script =
        "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n";
    io = io_uv_create(1);
    fake_node_listen(&node, io, by_script);
    connection = connection_open(io, node.address, &callbacks, NULL);
    bool failed = false;
    while (!failed) {
        done = false;
        fake_node_run_until(io, &done);
        failed = failure[0] != '\0';
    }
    cr_assert_eq(answers, 1);
    cr_assert(strstr(failure, "nobody asked"), "%s", failure);
    connection_close(connection);
    io_uv_destroy(io);
    fake_node_close(&node);
}

Test(cli_connection, a_port_where_nobody_listens_is_told_as_such)
{
    io = io_uv_create(1);
    fake_node_listen(&node, io, by_script);
    io_listener_close(node.listener);
    connection = connection_open(io, node.address, &callbacks, NULL);
    fake_node_run_until(io, &done);
    cr_assert_not(connected);
    cr_assert(strstr(failure, "refused"), "%s", failure);
    connection_close(connection);
    io_uv_destroy(io);
    fake_node_close(&node);
}

Test(cli_connection, closing_before_it_is_connected_calls_nobody_back)
{
    io = io_uv_create(1);
    fake_node_listen(&node, io, by_script);
    connection = connection_open(io, node.address, &callbacks, NULL);
    connection_close(connection);
    io_uv_destroy(io);
    fake_node_close(&node);
    cr_assert_not(connected);
    cr_assert_not(done);
}
