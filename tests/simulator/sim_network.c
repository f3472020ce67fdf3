/* The kernels and the wires between them: listening, connecting, bytes under way, links. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "sim_private.h"

#define UNREACHABLE_US_MAX 50000u
#define UNANSWERED_US \
    10000000u /* what nobody answers for so long breaks the connection (TCP_USER_TIMEOUT) */

/* ---- names ----------------------------------------------------------------------------------------------------------- */

/* "n2:7071" to (1, 7071). An empty host or 0.0.0.0 is `self`. */
static int parse_address(const char *address, uint32_t self, uint32_t nodes_count,
                         uint32_t *ret_node, uint16_t *ret_port)
{
    const char *colon = strrchr(address, ':');
    if (!colon || colon[1] == '\0') return -EINVAL;
    char *end;
    unsigned long port = strtoul(colon + 1, &end, 10);
    if (*end != '\0' || port > UINT16_MAX) return -EINVAL;
    *ret_port = (uint16_t)port;
    size_t host_bytes = (size_t)(colon - address);
    if (host_bytes == 0 || (host_bytes == 7 && memcmp(address, "0.0.0.0", 7) == 0)) {
        *ret_node = self;
        return 0;
    }
    for (uint32_t node = 0; node < nodes_count; node++) {
        const char *host = sim_host(node);
        if (strlen(host) == host_bytes && memcmp(address, host, host_bytes) == 0) {
            *ret_node = node;
            return 0;
        }
    }
    return -ENXIO;
}

/* ---- listening ---------------------------------------------------------------------------------------------------- */

static struct sim_listener *find_listener(struct sim_io *io, uint16_t port)
{
    for (struct sim_listener *listener = io->listeners; listener; listener = listener->next) {
        if (listener->base.port == port) return listener;
    }
    return NULL;
}

static uint16_t take_port(struct sim_io *io)
{
    do {
        io->next_port = io->next_port == UINT16_MAX ? 50000 : (uint16_t)(io->next_port + 1u);
    } while (find_listener(io, io->next_port));
    return io->next_port;
}

int sim__listen(struct io *base, const char *address, io_accept_cb accept, void *data,
                struct io_listener **ret_listener)
{
    struct sim_io *io = sim_io_of(base);
    uint32_t node;
    uint16_t port;
    assert(!io->is_in_job);
    int status = parse_address(address, io->node, io->sim->options.nodes_count, &node, &port);
    if (status < 0) return status;
    if (node != io->node) return -EADDRNOTAVAIL;
    if (port == 0) port = take_port(io);
    if (find_listener(io, port)) return -EADDRINUSE;
    struct sim_listener *listener = sim__allocate(sizeof(*listener));
    listener->base = (struct io_listener){.io = base, .data = data, .port = port};
    listener->accept = accept;
    listener->next = io->listeners;
    listener->previous = &io->listeners;
    if (listener->next) listener->next->previous = &listener->next;
    io->listeners = listener;
    *ret_listener = &listener->base;
    return 0;
}

void sim__listener_close(struct io_listener *base)
{
    struct sim_listener *listener = (struct sim_listener *)base;
    if (sim_io_of(base->io)->is_dead) return; /* goes with its io */
    assert(!sim_io_of(base->io)->is_in_job);
    *listener->previous = listener->next;
    if (listener->next) listener->next->previous = listener->previous;
    free(listener);
}

/* ---- connections -------------------------------------------------------------------------------------------------- */

static struct sim_connection *connection_create(struct sim *sim)
{
    struct sim_connection *connection = sim__allocate(sizeof(*connection));
    connection->references = 1;
    connection->id = ++sim->connections_count;
    for (int i = 0; i < 2; i++) {
        connection->pipes[i].ring = sim__allocate_raw(sim->options.window_bytes);
    }
    if (sim->connections_live_count == sim->connections_capacity) {
        sim->connections_capacity =
            sim->connections_capacity ? 2u * sim->connections_capacity : 16u;
        sim->connections = sim__reallocate(sim->connections, sim->connections_capacity *
                                                                 sizeof(struct sim_connection *));
    }
    sim->connections[sim->connections_live_count++] = connection;
    return connection;
}

void sim__connection_unref(struct sim *sim, struct sim_connection *connection)
{
    assert(connection->references > 0);
    if (--connection->references > 0) return;
    size_t index = 0;
    while (sim->connections[index] != connection) {
        index++;
    }
    sim->connections_live_count--;
    memmove(&sim->connections[index], &sim->connections[index + 1u],
            (sim->connections_live_count - index) * sizeof(struct sim_connection *));
    free(connection->pipes[0].ring);
    free(connection->pipes[1].ring);
    free(connection);
}

/* An event of the kernel at the end `side`. */
static struct sim_event *add_event(struct sim *sim, enum sim_event_kind kind, uint64_t delay_us,
                                   struct sim_connection *connection, unsigned side)
{
    struct sim_event *event = sim__event_add(sim, kind, delay_us);
    connection->references++;
    event->connection = connection;
    event->side = side;
    return event;
}

static uint64_t delay_to(struct sim *sim, const struct sim_connection *connection, unsigned side)
{
    return sim__link_delay_us(sim, connection->nodes[1u - side], connection->nodes[side]);
}

/* Behind everything that this end has sent. */
static uint64_t delay_in_order(struct sim *sim, struct sim_connection *connection, unsigned side)
{
    struct sim_pipe *pipe = &connection->pipes[1u - side];
    uint64_t time_us = sim->now_us + delay_to(sim, connection, side);
    if (pipe->arrive_us < time_us) pipe->arrive_us = time_us;
    return pipe->arrive_us - sim->now_us;
}

void sim__connection_reset(struct sim *sim, struct sim_connection *connection, unsigned side_told,
                           uint64_t delay_us)
{
    connection->is_broken = true;
    add_event(sim, SIM_EVENT_RESET, delay_us, connection, side_told);
}

static void wake_peer_writer(struct sim *sim, struct sim_connection *connection, unsigned side)
{
    struct sim_stream *writer = connection->ends[1u - side];
    if (writer) sim__stream_wake_writer(writer, delay_to(sim, connection, 1u - side));
}

void sim__connection_leave(struct sim *sim, struct sim_connection *connection, unsigned side,
                           bool is_discarding)
{
    unsigned other = 1u - side;
    struct sim_pipe *inbound = &connection->pipes[other];
    connection->ends[side] = NULL;
    connection->is_discarding[side] = is_discarding;
    if (connection->is_broken) return;
    if (inbound->arrived_bytes > 0 && !is_discarding) {
        /* A socket that is closed with unread bytes in it resets the connection. */
        sim__connection_reset(sim, connection, other, delay_to(sim, connection, other));
        return;
    }
    inbound->head = (inbound->head + inbound->arrived_bytes) % sim->options.window_bytes;
    inbound->arrived_bytes = 0;
    if (is_discarding) wake_peer_writer(sim, connection, side);
    add_event(sim, SIM_EVENT_FIN, delay_in_order(sim, connection, other), connection, other);
}

/* ---- bytes ----------------------------------------------------------------------------------------------------------- */

static void ring_copy_in(struct sim_pipe *pipe, size_t capacity, const uint8_t *data, size_t bytes)
{
    size_t at = (pipe->head + pipe->arrived_bytes + pipe->in_flight_bytes) % capacity;
    size_t first = bytes < capacity - at ? bytes : capacity - at;
    memcpy(pipe->ring + at, data, first);
    memcpy(pipe->ring, data + first, bytes - first);
}

size_t sim__pipe_write(struct sim *sim, struct sim_connection *connection, unsigned side,
                       const uint8_t *data, size_t bytes)
{
    struct sim_pipe *pipe = &connection->pipes[side];
    if (connection->is_broken) { /* taken by a kernel that does not know it yet, and lost */
        pipe->unacknowledged_bytes += bytes;
        return bytes;
    }
    size_t capacity = sim->options.window_bytes;
    size_t space = capacity - pipe->arrived_bytes - pipe->in_flight_bytes;
    size_t taken = bytes < space ? bytes : space;
    if (taken == 0) return 0;
    ring_copy_in(pipe, capacity, data, taken);
    pipe->in_flight_bytes += taken;
    pipe->unacknowledged_bytes += taken;
    struct sim_event *event = add_event(
        sim, SIM_EVENT_ARRIVE, delay_in_order(sim, connection, 1u - side), connection, 1u - side);
    event->bytes = taken;
    return taken;
}

size_t sim__pipe_read(struct sim *sim, struct sim_connection *connection, unsigned side,
                      uint8_t *data, size_t bytes)
{
    struct sim_pipe *pipe = &connection->pipes[1u - side];
    size_t capacity = sim->options.window_bytes;
    assert(bytes <= pipe->arrived_bytes);
    size_t first = bytes < capacity - pipe->head ? bytes : capacity - pipe->head;
    memcpy(data, pipe->ring + pipe->head, first);
    memcpy(data + first, pipe->ring, bytes - first);
    pipe->head = (pipe->head + bytes) % capacity;
    pipe->arrived_bytes -= bytes;
    wake_peer_writer(sim, connection, side);
    return bytes;
}

/* The kernel of end `side` tells all that arrived at it, when the way back lets it: each telling covers those before. */
static void acknowledge(struct sim *sim, struct sim_connection *connection, unsigned side)
{
    const unsigned other = 1u - side;
    struct sim_pipe *pipe = &connection->pipes[other];
    const uint32_t from = connection->nodes[side];
    const uint32_t to = connection->nodes[other];
    if (connection->is_broken || sim->links[from][to] != SIM_LINK_UP) return;
    pipe->unacknowledged_bytes = pipe->in_flight_bytes;
}

static void on_arrive(struct sim *sim, struct sim_connection *connection, unsigned side,
                      size_t bytes)
{
    struct sim_pipe *pipe = &connection->pipes[1u - side];
    assert(bytes <= pipe->in_flight_bytes);
    pipe->in_flight_bytes -= bytes;
    acknowledge(sim, connection, side);
    if (connection->ends[side]) {
        pipe->arrived_bytes += bytes;
        sim__stream_wake_reader(connection->ends[side], 0);
        return;
    }
    pipe->head = (pipe->head + bytes) % sim->options.window_bytes;
    if (connection->is_discarding[side]) {
        wake_peer_writer(sim, connection, side);
    } else {
        sim__connection_reset(sim, connection, 1u - side, delay_to(sim, connection, 1u - side));
    }
}

/* ---- connecting ------------------------------------------------------------------------------------------------------ */

static void tell_connected(struct sim_stream *stream, int status, uint64_t delay_us)
{
    if (stream->connected_event) return;
    stream->connected_event =
        sim__event_add(sim_io_of(stream->base.io)->sim, SIM_EVENT_CONNECTED, delay_us);
    stream->connected_event->io = sim_io_of(stream->base.io);
    stream->connected_event->stream = stream;
    stream->connected_event->status = status;
}

static bool is_cut(const struct sim *sim, uint32_t a, uint32_t b)
{
    return sim->links[a][b] == SIM_LINK_CUT || sim->links[b][a] == SIM_LINK_CUT;
}

struct io_stream *sim__connect(struct io *base, const char *address, io_connect_cb connected,
                               void *data)
{
    struct sim_io *io = sim_io_of(base);
    struct sim *sim = io->sim;
    struct sim_stream *stream = sim__stream_create(io, SIM_STREAM_CONNECTING);
    stream->base.data = data;
    stream->connected = connected;
    if (io->is_dead) return &stream->base;
    assert(!io->is_in_job);
    uint32_t node;
    uint16_t port;
    int status = parse_address(address, io->node, sim->options.nodes_count, &node, &port);
    if (status == 0 && port == 0) status = -EINVAL;
    if (status < 0) {
        tell_connected(stream, status, sim_draw(sim, 1000));
        return &stream->base;
    }
    struct sim_connection *connection = connection_create(sim);
    connection->ends[0] = stream;
    connection->nodes[0] = io->node;
    connection->nodes[1] = node;
    connection->ports[0] = take_port(io);
    connection->ports[1] = port;
    stream->connection = connection;
    if (is_cut(sim, io->node, node)) {
        tell_connected(stream, -EHOSTUNREACH, sim_draw(sim, UNREACHABLE_US_MAX));
    } else {
        add_event(sim, SIM_EVENT_SYN, delay_in_order(sim, connection, 1), connection, 1);
    }
    return &stream->base;
}

static void on_syn(struct sim *sim, struct sim_connection *connection)
{
    if (!connection->ends[0]) return; /* closed meanwhile */
    struct sim_io *io = sim->nodes[connection->nodes[1]].io;
    struct sim_listener *listener = io ? find_listener(io, connection->ports[1]) : NULL;
    struct sim_event *answer =
        add_event(sim, SIM_EVENT_SYN_ANSWER, delay_in_order(sim, connection, 0), connection, 0);
    answer->status = listener ? 0 : -ECONNREFUSED;
    if (!listener) return;
    struct sim_stream *stream = sim__stream_create(io, SIM_STREAM_OPEN);
    connection->references++;
    stream->connection = connection;
    stream->side = 1;
    connection->ends[1] = stream;
    sim->running = io;
    listener->accept(&listener->base, &stream->base);
    sim->running = NULL;
}

void sim__stream_peer_address(const struct io_stream *base, char *buffer, size_t bytes)
{
    const struct sim_stream *stream = (const struct sim_stream *)base;
    const struct sim_connection *connection = stream->connection;
    if (!connection || stream->state == SIM_STREAM_CONNECTING) {
        snprintf(buffer, bytes, "unknown");
        return;
    }
    unsigned other = 1u - stream->side;
    snprintf(buffer, bytes, "%s:%u", sim_host(connection->nodes[other]), connection->ports[other]);
}

/* ---- links ------------------------------------------------------------------------------------------------------------- */

uint64_t sim__link_delay_us(struct sim *sim, uint32_t from, uint32_t to)
{
    if (from == to) return sim__draw_between(sim, 5, 50);
    return sim__draw_between(sim, sim->options.link_us_min, sim->options.link_us_max);
}

static void cut_connection(struct sim *sim, struct sim_connection *connection)
{
    connection->is_broken = true;
    for (unsigned side = 0; side < 2; side++) {
        struct sim_stream *stream = connection->ends[side];
        if (!stream) continue;
        if (stream->state == SIM_STREAM_CONNECTING) {
            tell_connected(stream, -EHOSTUNREACH, sim_draw(sim, UNREACHABLE_US_MAX));
        } else {
            struct sim_event *event =
                add_event(sim, SIM_EVENT_RESET, delay_to(sim, connection, side), connection, side);
            event->status = -EHOSTUNREACH; /* of this kernel's own making: needs no link */
        }
    }
}

static void release_held(struct sim *sim, uint32_t from, uint32_t to)
{
    struct sim_event_list held = sim->held[from][to];
    sim->held[from][to] = (struct sim_event_list){0};
    for (size_t i = 0; i < held.items_count; i++) {
        struct sim_event *event = held.items[i];
        event->connection->pipes[1u - event->side].is_stalled = false;
        event->time_us = sim->now_us + sim__link_delay_us(sim, from, to);
        sim__event_push(sim, event);
    }
    free(held.items);
}

void sim_set_link_us(struct sim *sim, uint64_t min_us, uint64_t max_us)
{
    assert(min_us <= max_us);
    sim__trace(sim, "link-us", SIM_NODES_MAX, min_us, max_us, 0);
    sim->options.link_us_min = min_us;
    sim->options.link_us_max = max_us;
}

void sim_set_link(struct sim *sim, uint32_t from, uint32_t to, enum sim_link link)
{
    assert(from < sim->options.nodes_count && to < sim->options.nodes_count && from != to);
    if (sim->links[from][to] == link) return;
    sim__trace(sim, "link", from, to, (uint64_t)link, 0);
    sim->links[from][to] = link;
    if (link != SIM_LINK_STALLED) release_held(sim, from, to);
    for (size_t i = 0; i < sim->connections_live_count; i++) {
        struct sim_connection *connection = sim->connections[i];
        const bool forward = connection->nodes[0] == from && connection->nodes[1] == to;
        const bool back = connection->nodes[0] == to && connection->nodes[1] == from;
        if ((!forward && !back) || connection->is_broken) continue;
        if (link == SIM_LINK_CUT) cut_connection(sim, connection);
        if (link == SIM_LINK_UP) acknowledge(sim, connection, forward ? 0 : 1);
    }
}

void sim_isolate(struct sim *sim, uint32_t node, enum sim_link link)
{
    for (uint32_t other = 0; other < sim->options.nodes_count; other++) {
        if (other == node) continue;
        sim_set_link(sim, node, other, link);
        sim_set_link(sim, other, node, link);
    }
}

void sim_heal(struct sim *sim)
{
    for (uint32_t node = 0; node < sim->options.nodes_count; node++) {
        sim_isolate(sim, node, SIM_LINK_UP);
    }
}

/* ---- stalls ------------------------------------------------------------------------------------------------------------ */

/* The link holds this back. Both ends give up after a while: the one that sends, and the one whose probes are not
 * answered. */
static void hold(struct sim *sim, struct sim_event *event)
{
    struct sim_connection *connection = event->connection;
    unsigned sender = 1u - event->side;
    struct sim_pipe *pipe = &connection->pipes[sender];
    sim__events_append(&sim->held[connection->nodes[sender]][connection->nodes[event->side]],
                       event);
    if (pipe->is_stalled || connection->is_broken) return;
    pipe->is_stalled = true;
    pipe->stalled_count++;
    struct sim_event *timeout =
        add_event(sim, SIM_EVENT_TIMEOUT, UNANSWERED_US, connection, sender);
    timeout->bytes = pipe->stalled_count;
}

static void on_timeout(struct sim *sim, struct sim_connection *connection, unsigned sender,
                       uint64_t stall)
{
    struct sim_pipe *pipe = &connection->pipes[sender];
    if (!pipe->is_stalled || pipe->stalled_count != stall || connection->is_broken) return;
    connection->is_broken = true;
    for (unsigned side = 0; side < 2; side++) {
        struct sim_stream *stream = connection->ends[side];
        if (!stream) continue;
        if (stream->state == SIM_STREAM_CONNECTING) {
            tell_connected(stream, -ETIMEDOUT, 0);
            continue;
        }
        struct sim_event *event =
            add_event(sim, SIM_EVENT_RESET, sim_draw(sim, UNREACHABLE_US_MAX), connection, side);
        event->status = -ETIMEDOUT; /* of this kernel's own making: needs no link */
    }
}

/* ---- events ---------------------------------------------------------------------------------------------------------- */

static void on_reset(struct sim_connection *connection, unsigned side)
{
    struct sim_stream *stream = connection->ends[side];
    connection->is_reset[side] = true;
    if (!stream) return;
    if (stream->state == SIM_STREAM_CONNECTING) {
        tell_connected(stream, -ECONNRESET, 0);
    } else if (stream->state == SIM_STREAM_FLUSHING) {
        sim__stream_wake_writer(stream, 0); /* which gives up */
    } else {
        sim__stream_wake_reader(stream, 0);
    }
}

/* Consumes the event, unless it waits for a link or a process. */
void sim__network_event(struct sim *sim, struct sim_event *event)
{
    struct sim_connection *connection = event->connection;
    unsigned side = event->side;
    uint32_t from = connection->nodes[1u - side];
    uint32_t to = connection->nodes[side];
    if (event->kind == SIM_EVENT_TIMEOUT) {
        sim__trace(sim, sim__event_name(event->kind), from, connection->id, event->bytes, 0);
        on_timeout(sim, connection, side, event->bytes);
        sim__event_free(sim, event);
        return;
    }
    bool is_local = event->kind == SIM_EVENT_RESET && event->status < 0;
    /* A reset that a cut swallows comes again: the other kernel repeats its bytes until somebody answers. */
    bool is_waiting = sim->links[from][to] == SIM_LINK_STALLED ||
                      (sim->links[from][to] == SIM_LINK_CUT && event->kind == SIM_EVENT_RESET);
    if (!is_local && is_waiting) {
        hold(sim, event);
        return;
    }
    if (event->kind == SIM_EVENT_SYN && sim->nodes[to].io && sim->nodes[to].is_paused) {
        sim__events_append(&sim->nodes[to].parked, event);
        return;
    }
    sim__trace(sim, sim__event_name(event->kind), to, connection->id,
               event->bytes + (uint64_t)-event->status, 0);
    bool is_lost = !is_local && (sim->links[from][to] == SIM_LINK_CUT ||
                                 (connection->is_broken && event->kind != SIM_EVENT_RESET));
    if (!is_lost) {
        switch (event->kind) {
        case SIM_EVENT_SYN:
            on_syn(sim, connection);
            break;
        case SIM_EVENT_SYN_ANSWER:
            if (connection->ends[0]) tell_connected(connection->ends[0], event->status, 0);
            break;
        case SIM_EVENT_ARRIVE:
            on_arrive(sim, connection, side, event->bytes);
            break;
        case SIM_EVENT_FIN:
            connection->pipes[1u - side].has_fin = true;
            if (connection->ends[side]) sim__stream_wake_reader(connection->ends[side], 0);
            break;
        case SIM_EVENT_RESET:
            on_reset(connection, side);
            break;
        case SIM_EVENT_NONE:
        case SIM_EVENT_TIMER:
        case SIM_EVENT_POSTS:
        case SIM_EVENT_JOB_RUN:
        case SIM_EVENT_JOB_DONE:
        case SIM_EVENT_CONNECTED:
        case SIM_EVENT_READ:
        case SIM_EVENT_PUMP:
        case SIM_EVENT_FAILURE:
        case SIM_EVENT_LINGER:
        case SIM_EVENT_CLOSED:
        case SIM_EVENT_CALL:
        case SIM_EVENT_TIMEOUT:
            assert(false);
            break;
        }
    }
    sim__event_free(sim, event);
}
