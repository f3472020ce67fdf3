/* Goal: the front end works over real sockets and the real loop, and leaves nothing open. Method: a client stream in
 * the same loop; the fake node answers in a timer. */
#include "fake_node.h"

#include <broker/http.h>
#include <broker/io.h>
#include <broker/io_uv.h>

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define REQUESTS 200

struct client {
    struct io *io;
    struct node node;
    struct http_server *server;
    struct io_timer answer, limit;
    struct io_stream *stream;
    uint8_t *entry;
    size_t entry_bytes;
    char *output;
    size_t output_bytes;
    size_t expected_bytes; /* of all bodies and heads; 0: not known yet */
    int replies;
    bool timed_out;
};

static void on_answer(struct io_timer *timer)
{
    struct client *client = timer->data;
    while (client->node.requests_count > 0) {
        struct node_request *request = client->node.requests[0];
        if (request->type == NODE_REQUEST_FETCH) {
            request->ret_view = fake_view(&client->node, client->entry, client->entry_bytes);
        }
        fake_node_answer(&client->node, NODE_OK);
    }
    io_timer_start(client->io, timer, 200);
}

static void on_limit(struct io_timer *timer)
{
    struct client *client = timer->data;
    client->timed_out = true;
    io_uv_stop(client->io);
}

static void count_replies(struct client *client)
{
    size_t at = 0;
    client->replies = 0;
    while (at < client->output_bytes) {
        char *head_end = memmem(client->output + at, client->output_bytes - at, "\r\n\r\n", 4);
        if (!head_end) return;
        char *length = memmem(client->output + at, (size_t)(head_end - client->output) - at,
                              "Content-Length: ", 16);
        cr_assert_not_null(length);
        size_t next = (size_t)(head_end - client->output) + 4 + strtoul(length + 16, NULL, 10);
        if (next > client->output_bytes) return;
        client->replies++;
        at = next;
    }
}

static void stopped(void *data)
{
    struct client *client = data;
    io_uv_stop(client->io);
}

static void on_read(struct io_stream *stream, const uint8_t *data, ssize_t bytes)
{
    struct client *client = stream->data;
    if (bytes < 0) {
        io_stream_close(stream, false);
        return;
    }
    client->output = realloc(client->output, client->output_bytes + (size_t)bytes);
    memcpy(client->output + client->output_bytes, data, (size_t)bytes);
    client->output_bytes += (size_t)bytes;
    count_replies(client);
    if (client->replies == REQUESTS) {
        client->replies++; /* once */
        http_server_stop(client->server, stopped, client);
    }
}

static const struct io_stream_callbacks callbacks = {.read = on_read};

static void on_connected(struct io_stream *stream, int status)
{
    struct client *client = stream->data;
    cr_assert_eq(status, 0);
    io_stream_start(stream, &callbacks, client);
    static const char produce[] =
        "POST /v1/topics/t/messages HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello";
    static const char fetch[] = "GET /v1/topics/t/messages HTTP/1.1\r\nHost: a\r\nAccept: "
                                "application/vnd.raftmq.batch\r\n\r\n";
    for (int i = 0; i < REQUESTS; i++) {
        const char *text = i % 10 == 9 ? fetch : produce;
        struct io_buffer buffer = {.data = text, .bytes = strlen(text)};
        io_stream_write(stream, &buffer, 1);
    }
}

Test(http_loopback, two_hundred_pipelined_requests_are_answered_over_sockets, .timeout = 300)
{
    struct client client = {0};
    uint8_t *payload = calloc(1, 300000);
    char address[32];
    client.entry = malloc(310000);
    client.entry_bytes = fake_entry(client.entry, 1, 1, 0, 1, payload, 300000);
    client.node.partitions_count = 1;
    client.node.message_bytes_max = 1024;
    client.io = io_uv_create(1);
    struct http_server_options options = {
        .io = client.io, .node = &client.node, .node_id = 1, .listen_address = "127.0.0.1:0"};
    cr_assert_eq(http_server_create(&options, &client.server), 0);
    client.answer = (struct io_timer){.fire = on_answer, .data = &client};
    client.limit = (struct io_timer){.fire = on_limit, .data = &client};
    io_timer_start(client.io, &client.answer, 200);
    io_timer_start(client.io, &client.limit, 20 * 1000 * 1000);
    snprintf(address, sizeof address, "127.0.0.1:%u", http_server_port(client.server));
    client.stream = io_connect(client.io, address, on_connected, &client);
    io_uv_run(client.io);
    cr_assert(!client.timed_out, "only %d replies came", client.replies);
    cr_assert_eq(client.node.submitted_total, REQUESTS);
    cr_assert_eq(http_server_connections(client.server), 0);
    io_timer_stop(client.io, &client.answer);
    io_timer_stop(client.io, &client.limit);
    http_server_destroy(client.server);
    io_uv_destroy(client.io);
    cr_assert_eq(client.node.views_released, REQUESTS / 10);
    free(client.output);
    free(client.entry);
    free(payload);
}
