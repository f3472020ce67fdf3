#include "chatter.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <criterion/criterion.h>

#define CHATTER_PORT 7000u
#define MESSAGE_MAX  3000u
#define FILE_PATH    "/data/file"
#define NODES_COUNT  5u
#define SEND_US      2000u
#define WRITE_US     3000u
#define RECONNECT_US 4000u

struct chatter;

struct chatter_peer {
    struct chatter *chatter;
    struct io_stream *stream;
    uint32_t node;
    bool is_connected;
    uint64_t sent; /* bytes of the pattern on this stream */
    uint64_t got;
    struct io_timer retry;
    struct chatter_peer *next; /* all */
};

struct chatter {
    struct sim *sim;
    struct io *io;
    struct disk *disk;
    struct chatter_totals *totals;
    uint32_t node;
    struct io_listener *listener;
    struct chatter_peer *peers;
    struct io_timer send;
    struct io_timer write;
    struct io_timer flush; /* posted */
    struct io_job_queue *queue;
    struct io_job job;
    bool is_job_busy;
    struct disk_file *file;
    uint64_t file_pos;
    uint8_t block[512];
};

static uint8_t pattern(uint64_t pos)
{
    return (uint8_t)((pos * UINT64_C(0x9e3779b97f4a7c15)) >> 56);
}

/* ---- streams ---------------------------------------------------------------------------------------------------------- */

static void peer_connect(struct chatter_peer *peer);

/* closed() may come when the chatter is gone: from here on the stream's data is what outlives it. */
static void peer_leave(struct chatter_peer *peer, bool linger)
{
    struct io_stream *stream = peer->stream;
    peer->stream = NULL;
    peer->is_connected = false;
    if (!stream) return;
    stream->data = peer->chatter->totals;
    io_stream_close(stream, linger);
}

static void peer_read(struct io_stream *stream, const uint8_t *data, ssize_t bytes)
{
    struct chatter_peer *peer = stream->data;
    struct chatter *chatter = peer->chatter;
    if (bytes < 0) {
        chatter->totals->ends_count++;
        peer_leave(peer, false);
        return;
    }
    for (ssize_t i = 0; i < bytes; i++) {
        cr_assert_eq(data[i], pattern(peer->got++));
    }
    chatter->totals->bytes_checked += (uint64_t)bytes;
    io_post(chatter->io, &chatter->flush);
}

static void peer_closed(struct io_stream *stream)
{
    struct chatter_totals *totals = stream->data;
    totals->closes_owed--;
}

static const struct io_stream_callbacks peer_callbacks = {.read = peer_read, .closed = peer_closed};

static void peer_adopt(struct chatter_peer *peer, struct io_stream *stream)
{
    peer->stream = stream;
    peer->is_connected = true;
    peer->sent = peer->got = 0;
    peer->chatter->totals->connections_count++;
    peer->chatter->totals->closes_owed++;
    io_stream_start(stream, &peer_callbacks, peer);
}

static void peer_connected(struct io_stream *stream, int status)
{
    struct chatter_peer *peer = stream->data;
    if (status == 0) {
        peer_adopt(peer, stream);
        return;
    }
    peer->stream = NULL;
    io_stream_close(stream, false);
}

static void peer_retry(struct io_timer *timer)
{
    peer_connect(timer->data);
}

static void peer_connect(struct chatter_peer *peer)
{
    if (!peer->stream) {
        char address[IO_ADDRESS_MAX];
        snprintf(address, sizeof(address), "%s:%u", sim_host(peer->node), CHATTER_PORT);
        peer->stream = io_connect(peer->chatter->io, address, peer_connected, peer);
    }
    io_timer_start(peer->chatter->io, &peer->retry, RECONNECT_US);
}

static struct chatter_peer *peer_create(struct chatter *chatter)
{
    struct chatter_peer *peer = calloc(1, sizeof(*peer));
    peer->chatter = chatter;
    peer->retry = (struct io_timer){.fire = peer_retry, .data = peer};
    peer->next = chatter->peers;
    chatter->peers = peer;
    return peer;
}

static void accepted(struct io_listener *listener, struct io_stream *stream)
{
    peer_adopt(peer_create(listener->data), stream);
}

struct message {
    struct chatter_totals *totals;
    uint8_t bytes[MESSAGE_MAX];
};

static void message_release(void *owner)
{
    struct message *message = owner;
    message->totals->releases_owed--;
    free(message);
}

static void peer_send(struct chatter_peer *peer)
{
    struct chatter *chatter = peer->chatter;
    uint32_t bytes;
    io_random(chatter->io, &bytes, sizeof(bytes));
    bytes = 1u + bytes % MESSAGE_MAX;
    struct message *message = calloc(1, sizeof(*message));
    message->totals = chatter->totals;
    for (uint32_t i = 0; i < bytes; i++) {
        message->bytes[i] = pattern(peer->sent++);
    }
    chatter->totals->releases_owed++;
    io_stream_write(
        peer->stream,
        &(struct io_buffer){
            .data = message->bytes, .bytes = bytes, .release = message_release, .owner = message},
        1);
}

static void send_all(struct io_timer *timer)
{
    struct chatter *chatter = timer->data;
    for (struct chatter_peer *peer = chatter->peers; peer; peer = peer->next) {
        if (peer->is_connected && peer->stream) peer_send(peer);
    }
    io_timer_start(chatter->io, timer, SEND_US);
}

static void flush(struct io_timer *timer)
{
    struct chatter *chatter = timer->data;
    sim_trace_note(chatter->sim, &chatter->totals->bytes_checked, sizeof(uint64_t));
}

/* ---- disk -------------------------------------------------------------------------------------------------------------- */

static void write_run(struct io_job *job)
{
    struct chatter *chatter = job->data;
    if (disk_pwrite(chatter->file, chatter->block, sizeof(chatter->block), chatter->file_pos) < 0)
        return;
    disk_datasync(chatter->file);
}

static void write_done(struct io_job *job)
{
    struct chatter *chatter = job->data;
    chatter->totals->jobs_done++;
    chatter->file_pos += sizeof(chatter->block);
    chatter->is_job_busy = false;
}

static void write_again(struct io_timer *timer)
{
    struct chatter *chatter = timer->data;
    if (!chatter->is_job_busy) {
        memset(chatter->block, (int)(chatter->file_pos / 512u % 251u + 1u), sizeof(chatter->block));
        chatter->is_job_busy = true;
        io_job_submit(chatter->io, chatter->queue, &chatter->job);
    }
    io_timer_start(chatter->io, timer, WRITE_US);
}

static void file_open(struct chatter *chatter)
{
    if (disk_open(chatter->disk, FILE_PATH, DISK_WRITE, &chatter->file) == 0) {
        chatter->totals->starts_with_files++;
        disk_size(chatter->file, &chatter->file_pos);
        chatter->file_pos -= chatter->file_pos % 512u;
        return;
    }
    disk_make_directory(chatter->disk, "/data");
    disk_open(chatter->disk, FILE_PATH, DISK_CREATE_NEW, &chatter->file);
    disk_sync_directory(chatter->disk, "/data");
    disk_sync_directory(chatter->disk, "/");
}

/* ---- life --------------------------------------------------------------------------------------------------------------- */

static void *chatter_create(void *data, struct sim *sim, uint32_t node, struct io *io,
                            struct disk *disk)
{
    struct chatter *chatter = calloc(1, sizeof(*chatter));
    *chatter = (struct chatter){.sim = sim, .io = io, .disk = disk, .totals = data, .node = node};
    chatter->send = (struct io_timer){.fire = send_all, .data = chatter};
    chatter->write = (struct io_timer){.fire = write_again, .data = chatter};
    chatter->flush = (struct io_timer){.fire = flush, .data = chatter};
    chatter->job = (struct io_job){.run = write_run, .done = write_done, .data = chatter};
    chatter->queue = io_job_queue_create(io);
    file_open(chatter);
    cr_assert_eq(io_listen(io, ":7000", accepted, chatter, &chatter->listener), 0);
    for (uint32_t other = 0; other < NODES_COUNT; other++) {
        if (other == node) continue;
        struct chatter_peer *peer = peer_create(chatter);
        peer->node = other;
        peer_connect(peer);
    }
    io_timer_start(io, &chatter->send, SEND_US);
    if (chatter->file) io_timer_start(io, &chatter->write, WRITE_US);
    return chatter;
}

static void chatter_destroy(void *instance)
{
    struct chatter *chatter = instance;
    io_listener_close(chatter->listener);
    io_timer_stop(chatter->io, &chatter->send);
    io_timer_stop(chatter->io, &chatter->write);
    io_timer_stop(chatter->io, &chatter->flush);
    io_job_queue_destroy(chatter->io, chatter->queue);
    while (chatter->peers) {
        struct chatter_peer *peer = chatter->peers;
        chatter->peers = peer->next;
        io_timer_stop(chatter->io, &peer->retry);
        peer_leave(peer, peer->node % 2u == 0);
        free(peer);
    }
    disk_close(chatter->file);
    free(chatter);
}

const struct sim_program chatter_program = {.create = chatter_create, .destroy = chatter_destroy};
