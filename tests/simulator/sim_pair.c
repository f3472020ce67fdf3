#include "sim_pair.h"

#include <stdlib.h>

#include <criterion/criterion.h>

struct sim *pair_sim;
struct io *pair_io[2];
struct pair_end pair_client, pair_server;
int pair_releases_count;
struct io_listener *pair_listener;

static uint8_t pattern(uint64_t pos)
{
    return (uint8_t)((pos * UINT64_C(0x9e3779b97f4a7c15)) >> 56);
}

static void end_read(struct io_stream *stream, const uint8_t *data, ssize_t bytes)
{
    struct pair_end *end = stream->data;
    cr_assert_neq(bytes, 0);
    cr_assert_eq(end->ends_count, 0, "read after the end");
    if (bytes < 0) {
        end->ends_count++;
        end->end_status = (int)bytes;
        return;
    }
    end->reads_count++;
    for (ssize_t i = 0; i < bytes; i++) {
        cr_assert_eq(data[i], pattern(end->got++));
    }
}

static void end_drained(struct io_stream *stream)
{
    struct pair_end *end = stream->data;
    cr_assert_leq(io_stream_write_queue_bytes(stream), IO_WRITE_LOW_WATER_BYTES);
    end->drained_count++;
}

static void end_closed(struct io_stream *stream)
{
    struct pair_end *end = stream->data;
    end->closed_count++;
}

const struct io_stream_callbacks pair_callbacks = {
    .read = end_read, .drained = end_drained, .closed = end_closed};

static void accepted(struct io_listener *listener, struct io_stream *stream)
{
    struct pair_end *end = listener->data;
    end->stream = stream;
    io_stream_start(stream, &pair_callbacks, end);
}

static void connected(struct io_stream *stream, int status)
{
    struct pair_end *end = stream->data;
    end->connected_count++;
    end->connected_status = status;
    if (status == 0) io_stream_start(stream, &pair_callbacks, end);
}

void pair_setup(void)
{
    struct sim_options options;
    sim_options_init(&options, 7, 3);
    pair_sim = sim_create(&options);
    pair_io[0] = sim_start(pair_sim, 0, NULL, NULL);
    pair_io[1] = sim_start(pair_sim, 1, NULL, NULL);
    cr_assert_eq(io_listen(pair_io[1], "n2:7000", accepted, &pair_server, &pair_listener), 0);
}

void pair_teardown(void)
{
    sim_destroy(pair_sim);
}

void pair_connect(void)
{
    pair_client.stream = io_connect(pair_io[0], "n2:7000", connected, &pair_client);
    sim_run_for(pair_sim, 5000);
    cr_assert_eq(pair_client.connected_count, 1);
    cr_assert_eq(pair_client.connected_status, 0);
    cr_assert_not_null(pair_server.stream);
}

static void release(void *owner)
{
    pair_releases_count++;
    free(owner);
}

void pair_write(struct io_stream *stream, uint64_t pos, size_t bytes)
{
    uint8_t *data = malloc(bytes + 1);
    for (size_t i = 0; i < bytes; i++) {
        data[i] = pattern(pos + i);
    }
    io_stream_write(
        stream,
        &(struct io_buffer){.data = data, .bytes = bytes, .release = release, .owner = data}, 1);
}
