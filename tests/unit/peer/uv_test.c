/* Two hubs over real sockets on loopback: what the fake world promised holds with the real io. */
#include <broker/io_uv.h>
#include <broker/peer.h>

#include <arpa/inet.h>
#include <criterion/criterion.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define FRAMES_COUNT   600u
#define BODY_BYTES_MAX 300000u
#define DEADLINE_US    20000000u
#define PORT_TRIES     50

struct node {
    struct peer_hub *hub;
    uint64_t other;
    uint32_t sent[2];
    uint32_t received[2];
    bool is_up;
    bool is_bulk_up;
};

static struct io *io;
static struct node nodes[2];
static struct io_timer pump;
static struct io_timer deadline;
static uint8_t pattern[BODY_BYTES_MAX + 256];

static size_t body_bytes(uint32_t number)
{
    return number % 10 == 9 ? (number * 7919u) % BODY_BYTES_MAX : (number * 31u) % 2000u;
}

static void on_up(void *data, const struct peer_hello *hello)
{
    struct node *node = data;
    cr_assert_eq(hello->node_id, node->other);
    node->is_up = true;
}

static void on_down(void *data, uint64_t node_id, uint64_t process)
{
    (void)data;
    (void)node_id;
    (void)process;
    cr_assert_fail("nothing closes in this test");
}

static void on_bulk(void *data, uint64_t node_id, bool up)
{
    (void)node_id;
    ((struct node *)data)->is_bulk_up = up;
}

static void on_frame(void *data, const struct peer_frame *frame)
{
    struct node *node = data;
    uint32_t number = node->received[frame->connection]++;
    cr_assert_eq(frame->group, number, "order is kept within a connection");
    cr_assert_eq(frame->bytes, body_bytes(number));
    cr_assert_eq((uintptr_t)frame->body % 8, 0);
    cr_assert_eq(memcmp(frame->body, pattern + number % 251, frame->bytes), 0);
    if (nodes[0].received[0] == FRAMES_COUNT && nodes[0].received[1] == FRAMES_COUNT &&
        nodes[1].received[0] == FRAMES_COUNT && nodes[1].received[1] == FRAMES_COUNT) {
        io_uv_stop(io);
    }
}

static void on_bulk_moved(void *data, uint64_t node_id, bool drained)
{
    (void)data;
    (void)node_id;
    (void)drained;
}

static void on_trouble(void *data, uint64_t node_id, const char *reason)
{
    (void)data;
    (void)node_id;
    fprintf(stderr, "trouble: %s\n", reason);
}

static const struct peer_callbacks callbacks = {
    .up = on_up,
    .down = on_down,
    .bulk = on_bulk,
    .frame = on_frame,
    .bulk_moved = on_bulk_moved,
    .trouble = on_trouble,
};

static void send_some(struct node *node, enum peer_connection connection)
{
    for (int i = 0; i < 20 && node->sent[connection] < FRAMES_COUNT; i++) {
        uint32_t number = node->sent[connection];
        struct io_buffer part = {.data = pattern + number % 251, .bytes = body_bytes(number)};
        if (!peer_send(node->hub, node->other, connection, PEER_FRAME_RAFT, number, &part, 1)) {
            return; /* not up yet, or full: the next round tries again */
        }
        node->sent[connection]++;
    }
}

static void pump_due(struct io_timer *timer)
{
    for (int i = 0; i < 2; i++) {
        send_some(&nodes[i], PEER_CONTROL);
        send_some(&nodes[i], PEER_BULK);
    }
    io_timer_start(io, timer, 500);
}

static void too_late(struct io_timer *timer)
{
    (void)timer;
    io_uv_stop(io);
}

/* A port that was free a moment ago. Somebody may take it before we do: the caller tries again. */
static uint16_t free_port(void)
{
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t bytes = sizeof(address);
    cr_assert_eq(bind(fd, (struct sockaddr *)&address, bytes), 0);
    cr_assert_eq(getsockname(fd, (struct sockaddr *)&address, &bytes), 0);
    close(fd);
    return ntohs(address.sin_port);
}

static bool open_hubs(void)
{
    struct peer_config peers[2] = {{.node_id = 1}, {.node_id = 2}};
    for (int i = 0; i < 2; i++) {
        snprintf(peers[i].address, sizeof(peers[i].address), "127.0.0.1:%u", free_port());
    }
    for (uint64_t i = 0; i < 2; i++) {
        struct peer_hub_options options = {.io = io,
                                           .node_id = i + 1,
                                           .incarnation = 10 + i,
                                           .process = 20 + i,
                                           .cluster = {.bytes = {1}},
                                           .listen_address = peers[i].address,
                                           .peers = peers,
                                           .peers_count = 2,
                                           .peer_address = "",
                                           .http_address = "",
                                           .kafka_address = "",
                                           .version = "test",
                                           .callbacks = &callbacks,
                                           .data = &nodes[i]};
        nodes[i] = (struct node){.other = 2 - i};
        if (peer_hub_create(&options, &nodes[i].hub) != 0) {
            if (i == 1) peer_hub_destroy(nodes[0].hub);
            return false;
        }
    }
    return true;
}

Test(peer_uv, frames_of_every_size_cross_real_sockets_in_order)
{
    for (size_t i = 0; i < sizeof(pattern); i++) {
        pattern[i] = (uint8_t)(i * 2654435761u >> 11);
    }
    io = io_uv_create(1);
    cr_assert_not_null(io);
    bool is_open = false;
    for (int i = 0; i < PORT_TRIES && !is_open; i++) {
        is_open = open_hubs();
    }
    cr_assert(is_open);
    pump = (struct io_timer){.fire = pump_due};
    deadline = (struct io_timer){.fire = too_late};
    io_timer_start(io, &pump, 0);
    io_timer_start(io, &deadline, DEADLINE_US);
    io_uv_run(io);

    for (int i = 0; i < 2; i++) {
        cr_assert(nodes[i].is_up);
        cr_assert(nodes[i].is_bulk_up);
        cr_assert_eq(nodes[i].received[PEER_CONTROL], FRAMES_COUNT);
        cr_assert_eq(nodes[i].received[PEER_BULK], FRAMES_COUNT);
        struct peer_counters counters;
        peer_hub_counters(nodes[i].hub, &counters);
        cr_assert_eq(counters.bad_frames, 0);
        cr_assert_eq(counters.connects, 2);
        cr_assert_eq(counters.disconnects, 0);
    }
    io_timer_stop(io, &pump);
    io_timer_stop(io, &deadline);
    peer_hub_destroy(nodes[0].hub);
    peer_hub_destroy(nodes[1].hub);
    io_uv_destroy(io);
}
