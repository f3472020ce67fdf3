#include "fixture.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

static void answer_all(struct fake_io *io, struct node *node)
{
    fake_io_run(io);
    while (node->requests_count > 0) {
        struct node_request *request = node->requests[0];
        request->ret_offset = (uint64_t)node->submitted_total;
        fake_node_answer(node, NODE_OK);
        fake_io_run(io);
    }
}

static void remove_all(char *text, const char *part)
{
    size_t bytes = strlen(part);
    char *at = text;
    while ((at = strstr(at, part)))
        memmove(at, at + bytes, strlen(at + bytes) + 1);
}

char *fixture_converse(const void *data, size_t bytes, size_t read_bytes_max)
{
    struct fake_io io;
    struct node node = {.partitions_count = 1, .message_bytes_max = 1024, .ready = true};
    struct http_server *server;
    struct http_server_options options = {
        .io = &io.base, .node = &node, .node_id = 1, .listen_address = "a:1"};
    fake_io_init(&io);
    io.read_bytes_max = read_bytes_max;
    int status = http_server_create(&options, &server);
    assert(status == 0);
    (void)status;
    struct fake_stream *stream = fake_io_connect(&io);
    fake_stream_send(stream, data, bytes);
    answer_all(&io, &node);
    /* Whatever was left incomplete is timed out and answered, too. */
    fake_io_advance(&io, 130 * 1000);
    answer_all(&io, &node);
    assert(stream->closed);
    for (size_t i = 0; i < stream->output_bytes; i++)
        assert(stream->output[i] != '\0');
    char *output = strdup((char *)stream->output);
    remove_all(output, "HTTP/1.1 100 Continue\r\n\r\n");
    http_server_destroy(server);
    fake_io_run(&io);
    assert(node.requests_count == 0);
    assert(io.timers_count == 0);
    fake_io_close(&io);
    return output;
}
