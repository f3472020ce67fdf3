#include "fake_node.h"

#include <broker/io_uv.h>
#include <broker/record_batch.h>
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct fake_client {
    struct fake_node *node;
    struct fake_client *next;
    struct io_stream *stream;
    int number;
    char *bytes;
    size_t count;
};

static void take_request(struct fake_node *node, struct fake_client *client, const char *body,
                         size_t body_bytes)
{
    struct fake_request *request = &node->requests[node->requests_count++];
    struct record_batch_header header;
    *request = (struct fake_request){.base_sequence = -2, .connection = client->number};
    if (body_bytes == 0) return;
    enum record_batch_status status =
        record_batch_check((const uint8_t *)body, body_bytes, &header);
    cr_assert_eq(status, RECORD_BATCH_OK, "the batch on the wire: %s",
                 record_batch_status_text(status));
    request->base_sequence = header.base_sequence;
    request->records = header.records_count;
}

static void on_read(struct io_stream *stream, const uint8_t *data, ssize_t bytes)
{
    struct fake_client *client = stream->data;
    struct fake_node *node = client->node;
    if (bytes < 0) {
        io_stream_close(stream, false);
        return;
    }
    client->bytes = realloc(client->bytes, client->count + (size_t)bytes + 1);
    memcpy(client->bytes + client->count, data, (size_t)bytes);
    client->count += (size_t)bytes;
    for (;;) {
        client->bytes[client->count] = '\0';
        char *end = memmem(client->bytes, client->count, "\r\n\r\n", 4);
        if (!end) return;
        char *length = strcasestr(client->bytes, "content-length: ");
        size_t body_bytes = length && length < end ? strtoul(length + 16, NULL, 10) : 0;
        size_t head_bytes = (size_t)(end - client->bytes) + 4;
        if (client->count < head_bytes + body_bytes) return;
        take_request(node, client, client->bytes + head_bytes, body_bytes);
        client->count -= head_bytes + body_bytes;
        memmove(client->bytes, client->bytes + head_bytes + body_bytes, client->count);
        const char *answer = node->answer(node, node->requests_count - 1);
        if (!answer) {
            io_stream_close(stream, false);
            return;
        }
        struct io_buffer buffer = {.data = answer, .bytes = strlen(answer)};
        if (buffer.bytes > 0) io_stream_write(stream, &buffer, 1);
    }
}

void fake_node_answer(struct fake_client *client, const char *answer)
{
    struct io_buffer buffer = {.data = answer, .bytes = strlen(answer)};
    io_stream_write(client->stream, &buffer, 1);
}

static void free_client(struct fake_client *client)
{
    struct fake_client **at = &client->node->clients;
    while (*at != client) {
        at = &(*at)->next;
    }
    *at = client->next;
    free(client->bytes);
    free(client);
}

static void on_closed(struct io_stream *stream)
{
    free_client(stream->data);
}

void fake_node_close(struct fake_node *node)
{
    while (node->clients) {
        free_client(node->clients);
    }
}

static const struct io_stream_callbacks callbacks = {.read = on_read, .closed = on_closed};

static void on_accept(struct io_listener *listener, struct io_stream *stream)
{
    struct fake_client *client = calloc(1, sizeof(*client));
    client->node = listener->data;
    client->number = client->node->connections_count++;
    client->stream = stream;
    client->next = client->node->clients;
    client->node->clients = client;
    io_stream_start(stream, &callbacks, client);
}

void fake_node_listen(struct fake_node *node, struct io *io,
                      const char *(*answer)(struct fake_node *node, int index))
{
    memset(node, 0, sizeof(*node));
    node->io = io;
    node->answer = answer;
    cr_assert_eq(io_listen(io, "127.0.0.1:0", on_accept, node, &node->listener), 0);
    snprintf(node->address, sizeof(node->address), "127.0.0.1:%u", node->listener->port);
}

static void too_late(struct io_timer *timer)
{
    *(bool *)timer->data = true;
}

static void over(struct io_timer *timer)
{
    struct io **io = timer->data;
    io_uv_stop(*io);
}

void fake_node_wake(struct io *io)
{
    io_uv_stop(io);
}

void fake_node_run_until(struct io *io, const bool *done)
{
    bool late = false;
    struct io_timer limit = {.fire = too_late, .data = &late};
    struct io_timer stop = {.fire = over, .data = &io};
    io_timer_start(io, &limit, 10000000);
    io_timer_start(io, &stop, 10000001);
    while (!*done && !late) {
        io_uv_run(io);
    }
    io_timer_stop(io, &limit);
    io_timer_stop(io, &stop);
    cr_assert(*done, "nothing more happened for 10 s");
}
