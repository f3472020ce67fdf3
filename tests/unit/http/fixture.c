#include "fixture.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

void fixture_open_with(struct fixture *fixture, struct http_server_options options)
{
    *fixture = (struct fixture){0};
    fake_io_init(&fixture->io);
    fixture->node.partitions_count = 1;
    fixture->node.message_bytes_max = 1024 * 1024;
    fixture->node.ready = true;
    options.io = &fixture->io.base;
    options.node = &fixture->node;
    options.node_id = 3;
    options.listen_address = "127.0.0.1:0";
    options.version = "0.1.0";
    cr_assert_eq(http_server_create(&options, &fixture->server), 0);
}

void fixture_open(struct fixture *fixture, const struct http_limits *limits)
{
    struct http_server_options options = {0};
    if (limits) options.limits = *limits;
    fixture_open_with(fixture, options);
}

void fixture_close(struct fixture *fixture)
{
    http_server_destroy(fixture->server);
    fake_io_run(&fixture->io);
    cr_assert_eq(fixture->node.requests_count, 0, "a request was neither answered nor cancelled");
    cr_assert_eq(fixture->io.timers_count, 0);
    fake_io_close(&fixture->io);
}

struct fake_stream *fixture_connect(struct fixture *fixture)
{
    return fake_io_connect(&fixture->io);
}

void fixture_send_bytes(struct fixture *fixture, struct fake_stream *stream, const void *data,
                        size_t bytes)
{
    fake_stream_send(stream, data, bytes);
    fake_io_run(&fixture->io);
}

void fixture_send(struct fixture *fixture, struct fake_stream *stream, const char *text)
{
    fixture_send_bytes(fixture, stream, text, strlen(text));
}

const char *reply_header(const struct reply *reply, const char *name)
{
    static char value[1024];
    size_t name_bytes = strlen(name);
    for (const char *line = strstr(reply->head, "\r\n"); line; line = strstr(line + 2, "\r\n")) {
        const char *at = line + 2;
        if (strncasecmp(at, name, name_bytes) != 0 || at[name_bytes] != ':') continue;
        at += name_bytes + 1;
        while (*at == ' ')
            at++;
        size_t bytes = strcspn(at, "\r");
        cr_assert_lt(bytes, sizeof value);
        memcpy(value, at, bytes);
        value[bytes] = '\0';
        return value;
    }
    return NULL;
}

bool fixture_reply(struct fake_stream *stream, struct reply *ret_reply)
{
    char *end = memmem(stream->output, stream->output_bytes, "\r\n\r\n", 4);
    if (!end) return false;
    size_t head_bytes = (size_t)((uint8_t *)end - stream->output) + 4;
    struct reply reply = {0};
    reply.storage = malloc(head_bytes + 1);
    memcpy(reply.storage, stream->output, head_bytes);
    reply.storage[head_bytes] = '\0';
    reply.head = reply.storage;
    cr_assert_eq(sscanf(reply.storage, "HTTP/1.1 %d ", &reply.status), 1, "no reply: %s",
                 reply.storage);
    const char *length = reply_header(&reply, "content-length");
    if (length) reply.body_bytes = strtoul(length, NULL, 10);
    if (stream->output_bytes < head_bytes + reply.body_bytes) {
        free(reply.storage);
        return false;
    }
    size_t json_bytes = 0;
    reply.body = malloc(reply.body_bytes + 1);
    memcpy(reply.body, stream->output + head_bytes, reply.body_bytes);
    reply.body[reply.body_bytes] = '\0';
    const char *type = reply_header(&reply, "content-type");
    if (type && strstr(type, "json") && !strstr(type, "ndjson") && reply.body_bytes > 0) {
        /* JSON ends its line; the tests compare what stands on it. */
        cr_assert_eq(reply.body[reply.body_bytes - 1], '\n', "no newline after %s", reply.body);
        reply.body[--reply.body_bytes] = '\0';
        json_bytes = 1;
    }
    stream->output_bytes -= head_bytes + reply.body_bytes + json_bytes;
    memmove(stream->output, stream->output + head_bytes + reply.body_bytes + json_bytes,
            stream->output_bytes + 1);
    *ret_reply = reply;
    return true;
}

void fixture_expect(struct fake_stream *stream, int status, struct reply *ret_reply)
{
    struct reply reply;
    cr_assert(fixture_reply(stream, &reply), "no reply where %d was expected", status);
    cr_assert_eq(reply.status, status, "expected %d: %s%s", status, reply.head, reply.body);
    if (ret_reply) {
        *ret_reply = reply;
    } else {
        reply_close(&reply);
    }
}

void reply_close(struct reply *reply)
{
    free(reply->storage);
    free(reply->body);
}

void fixture_ask(struct fixture *fixture, const char *request, struct reply *ret_reply)
{
    struct fake_stream *stream = fixture_connect(fixture);
    fixture_send(fixture, stream, request);
    if (fixture->node.requests_count > 0) fake_node_answer(&fixture->node, NODE_OK);
    fake_io_run(&fixture->io);
    cr_assert(fixture_reply(stream, ret_reply), "no reply to: %s", request);
    fake_stream_end(stream, -104);
    fake_io_run(&fixture->io);
}
