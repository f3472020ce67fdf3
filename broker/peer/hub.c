/* The hub: nodes, dialing, what the owner is told, and the public functions. */
#include "hub.h"

#include <rare/rare.h>

#include <assert.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static struct peer_node *find_node(const struct peer_hub *hub, uint64_t node_id)
{
    if (node_id == 0 || node_id == hub->hello.node_id) return NULL;
    for (uint32_t i = 0; i < hub->nodes_end; i++) {
        const struct peer_node *node = &hub->nodes[i];
        if (node->config.node_id == node_id) return (struct peer_node *)(uintptr_t)node;
    }
    return NULL;
}

struct peer_node *hub__node(struct peer_hub *hub, uint64_t node_id)
{
    return find_node(hub, node_id);
}

static struct peer_link *up_link(const struct peer_hub *hub, uint64_t node_id,
                                 enum peer_connection connection)
{
    const struct peer_node *node = find_node(hub, node_id);
    return node ? node->slots[connection].up : NULL;
}

/* ---- dialing -------------------------------------------------------------------------------------------------- */

static bool is_dialer(const struct peer_hub *hub, const struct peer_node *node)
{
    return hub->hello.node_id < node->config.node_id;
}

/* The delays of nodes that lost the same peer must not stay in step. */
static uint64_t jittered_us(struct peer_hub *hub, uint32_t delay_ms)
{
    uint32_t random;
    io_random(hub->io, &random, sizeof(random));
    uint64_t delay_us = delay_ms * 1000u;
    return delay_us - random % (delay_us / 4u + 1u);
}

void hub__schedule_dial(struct peer_slot *slot, bool was_good)
{
    struct peer_hub *hub = slot->node->hub;
    if (slot->node->is_removed || slot->node->config.node_id == hub->hello.node_id) return;
    if (!is_dialer(hub, slot->node)) {
        io_timer_start(hub->io, &slot->redial, jittered_us(hub, PATIENCE_US / 1000u));
        return;
    }
    if (was_good) {
        slot->backoff_ms = 0;
        io_timer_start(hub->io, &slot->redial, 0);
        return;
    }
    uint32_t doubled = slot->backoff_ms * 2u;
    if (doubled < BACKOFF_MS_MIN) doubled = BACKOFF_MS_MIN;
    slot->backoff_ms = doubled > BACKOFF_MS_MAX ? BACKOFF_MS_MAX : doubled;
    io_timer_start(hub->io, &slot->redial, jittered_us(hub, slot->backoff_ms));
}

/* Of nodes.c's slots. */
void hub__redial_due(struct io_timer *timer)
{
    struct peer_slot *slot = timer->data;
    struct peer_node *node = slot->node;
    if (slot->up || slot->dialing || node->is_removed) return;
    const char *address = hub__next_address(node);
    if (address) slot->dialing = link__dial(node->hub, node, slot->kind, address);
    if (!slot->dialing) hub__schedule_dial(slot, false);
}

/* ---- what links report ------------------------------------------------------------------------------------------ */

static void close_if_other_process(struct peer_slot *slot, uint64_t process)
{
    if (slot->up && slot->up->hello.process != process) link__close(slot->up, false);
}

/* Both ends dialed. The node with the lower id is the one whose part it is; that both keep the same one they must judge
 * alike. */
static bool is_needless(struct peer_hub *hub, const struct peer_link *link,
                        const struct peer_link *old)
{
    bool by_lower = link->is_dialed == (hub->hello.node_id < link->node_id);
    bool is_alive = io_now_us(hub->io) - old->heard_us < QUIET_US_MAX;
    return !by_lower && is_alive && old->hello.process == link->hello.process;
}

bool hub__link_up(struct peer_hub *hub, struct peer_link *link)
{
    struct peer_node *node = hub__node(hub, link->node_id);
    if (!node) {
        node = hub__add_node(hub, link->node_id);
        if (!node) return false;
        node->is_guest = true;
    }
    struct peer_slot *slot = &node->slots[link->kind];
    struct peer_link *old = slot->up;
    if (slot->dialing == link) slot->dialing = NULL;
    if (old && is_needless(hub, link, old)) {
        link__close(link, false);
        return true;
    }
    slot->up = link;
    if (old) link__close(old, false);
    /* A new process has no use for what the old one's connections still hold. */
    for (uint32_t kind = 0; kind < CONNECTION_KINDS; kind++) {
        close_if_other_process(&node->slots[kind], link->hello.process);
    }
    node->hello = link->hello;
    node->has_hello = true;
    hub->counters.connects++;
    hub__tell(hub);
    return true;
}

void hub__link_gone(struct peer_hub *hub, struct peer_link *link)
{
    struct peer_node *node = hub__node(hub, link->node_id);
    if (link->state == LINK_UP) hub->counters.disconnects++;
    if (!node) return;
    struct peer_slot *slot = &node->slots[link->kind];
    if (slot->up == link) {
        slot->up = NULL;
        /* A peer that closes each connection at once is not dialed in a tight loop. */
        uint64_t lived_us = io_now_us(hub->io) - link->up_at_us;
        hub__schedule_dial(slot, lived_us >= BACKOFF_MS_MAX * 1000u);
    } else if (slot->dialing == link) {
        slot->dialing = NULL;
        hub__schedule_dial(slot, false);
    }
}

/* ---- what the owner hears ----------------------------------------------------------------------------------------- */

/* One difference between what the owner was told about the node and what is so. False: there is none. */
static bool tell_one(struct peer_hub *hub, struct peer_node *node)
{
    const struct peer_callbacks *callbacks = hub->callbacks;
    const struct peer_link *control = node->slots[PEER_CONTROL].up;
    const struct peer_link *bulk = node->slots[PEER_BULK].up;
    uint64_t node_id = node->config.node_id;
    if (node->told_bulk != 0 && (!bulk || bulk->number != node->told_bulk)) {
        node->told_bulk = 0;
        callbacks->bulk(hub->data, node_id, false);
        return true;
    }
    if (node->told_control != 0 && (!control || control->number != node->told_control)) {
        node->told_control = 0;
        callbacks->down(hub->data, node_id, node->told_process);
        return true;
    }
    if (node->told_control == 0 && control) {
        node->told_control = control->number;
        node->told_process = control->hello.process;
        callbacks->up(hub->data, &node->hello);
        return true;
    }
    if (node->told_bulk == 0 && bulk) {
        node->told_bulk = bulk->number;
        callbacks->bulk(hub->data, node_id, true);
        return true;
    }
    return false;
}

/* A callback may change what is so: hence one difference at a time. */
void hub__tell(struct peer_hub *hub)
{
    for (uint32_t i = 0; i < hub->nodes_end; i++) {
        struct peer_node *node = &hub->nodes[i];
        while (node->config.node_id != 0 && (tell_one(hub, node) || hub__forget(hub, node))) {
        }
    }
}

static bool is_trouble_new(struct peer_trouble *troubles, uint32_t count, uint64_t hash,
                           uint64_t now_us)
{
    struct peer_trouble *oldest = &troubles[0];
    for (uint32_t i = 0; i < count; i++) {
        struct peer_trouble *trouble = &troubles[i];
        if (trouble->at_us != 0 && trouble->hash == hash) {
            if (now_us - trouble->at_us < TROUBLE_US_MIN) return false;
            oldest = trouble;
            break;
        }
        if (trouble->at_us < oldest->at_us) oldest = trouble;
    }
    *oldest = (struct peer_trouble){.hash = hash, .at_us = now_us ? now_us : 1};
    return true;
}

void hub__trouble(struct peer_hub *hub, uint64_t node_id, const char *format, ...)
{
    char reason[HELLO_REASON_BYTES_MAX + 64u];
    va_list arguments;
    va_start(arguments, format);
    int written = vsnprintf(reason, sizeof(reason), format, arguments);
    va_end(arguments);
    if (written < 0) return;
    struct peer_node *node = hub__node(hub, node_id);
    uint64_t now_us = io_now_us(hub->io);
    /* Strangers can say anything, so all of them share one sentence in 10 s. */
    bool is_new = node ? is_trouble_new(node->troubles, TROUBLES_KEPT,
                                        checksum64(reason, strlen(reason)), now_us)
                       : is_trouble_new(&hub->strangers, 1, 0, now_us);
    if (is_new) hub->callbacks->trouble(hub->data, node_id, reason);
}

/* ---- the end of a turn ------------------------------------------------------------------------------------------------- */

static void flush_node(struct peer_hub *hub, struct peer_node *node)
{
    for (uint32_t kind = 0; kind < CONNECTION_KINDS; kind++) {
        struct peer_link *link = node->slots[kind].up;
        if (!link || link->output.bytes == 0) continue;
        link__flush(link);
        if (kind == PEER_BULK) hub__start_moved(hub);
    }
}

static void turn_ended(struct io_timer *timer)
{
    struct peer_hub *hub = timer->data;
    hub__tell(hub);
    for (uint32_t i = 0; i < hub->nodes_end; i++) {
        flush_node(hub, &hub->nodes[i]);
    }
}

/* ---- public: life -------------------------------------------------------------------------------------------------------- */

static bool fits(const char *text, size_t capacity)
{
    return text && strlen(text) < capacity;
}

static int compare_peers(const void *a, const void *b)
{
    const struct peer_config *left = a;
    const struct peer_config *right = b;
    return (left->node_id > right->node_id) - (left->node_id < right->node_id);
}

static bool make_hello(const struct peer_hub_options *options, struct peer_hello *hello)
{
    if (options->peers_count < 1 || options->peers_count > PEER_NODES_MAX) return false;
    if (!fits(options->peer_address, sizeof(hello->peer_address)) ||
        !fits(options->http_address, sizeof(hello->http_address)) ||
        !fits(options->kafka_address, sizeof(hello->kafka_address)) ||
        !fits(options->version, sizeof(hello->version))) {
        return false;
    }
    hello->node_id = options->node_id;
    hello->incarnation = options->incarnation;
    hello->process = options->process;
    hello->cluster = options->cluster;
    hello->incarnation_index = options->incarnation_index;
    hello->cannot_found = options->cannot_found;
    hello->is_joining = options->is_joining;
    strcpy(hello->peer_address, options->peer_address);
    strcpy(hello->http_address, options->http_address);
    strcpy(hello->kafka_address, options->kafka_address);
    strcpy(hello->version, options->version);
    hello->peers_count = options->peers_count;
    memcpy(hello->peers, options->peers, options->peers_count * sizeof(hello->peers[0]));
    qsort(hello->peers, hello->peers_count, sizeof(hello->peers[0]), compare_peers);

    bool has_self = false;
    for (uint32_t i = 0; i < hello->peers_count; i++) {
        const struct peer_config *peer = &hello->peers[i];
        if (peer->node_id == 0) return false;
        if (i > 0 && peer->node_id == hello->peers[i - 1].node_id) return false;
        if (strnlen(peer->address, sizeof(peer->address)) == sizeof(peer->address)) return false;
        has_self = has_self || peer->node_id == options->node_id;
    }
    return has_self;
}

/* What we would send must be what others take, or every handshake would fail far away from the cause. */
static bool is_hello_decodable(const struct peer_hello *hello)
{
    uint8_t body[PEER_HELLO_BYTES_MAX];
    struct hello_message message = {.protocol = PEER_PROTOCOL_VERSION, .hello = *hello};
    size_t bytes = hello__encode(&message, body, sizeof(body));
    struct hello_message decoded;
    return bytes <= sizeof(body) && hello__decode(body, bytes, &decoded) == HELLO_DECODED;
}

static void init_nodes(struct peer_hub *hub)
{
    for (uint32_t i = 0; i < hub->hello.peers_count; i++) {
        struct peer_node *node = &hub->nodes[i];
        hub__init_node(hub, node, hub->hello.peers[i].node_id);
        node->config = hub->hello.peers[i];
        node->is_configured = true;
    }
    hub->nodes_end = hub->hello.peers_count;
}

static void dial_all(struct peer_hub *hub)
{
    for (uint32_t i = 0; i < hub->nodes_end; i++) {
        struct peer_node *node = &hub->nodes[i];
        if (node->config.node_id == 0) continue;
        for (uint32_t kind = 0; kind < CONNECTION_KINDS; kind++) {
            hub__schedule_dial(&node->slots[kind], true);
        }
    }
}

static void accepted(struct io_listener *listener, struct io_stream *stream)
{
    link__accept(listener->data, stream);
}

int peer_hub_create(const struct peer_hub_options *options, struct peer_hub **ret_hub)
{
    assert(options->callbacks);
    struct peer_hub *hub = calloc(1, sizeof(*hub));
    if (!hub) return -ENOMEM;
    int status = -EINVAL;
    if (!make_hello(options, &hub->hello) || !is_hello_decodable(&hub->hello)) goto out;
    hub->io = options->io;
    hub->callbacks = options->callbacks;
    hub->data = options->data;
    hub->turn = (struct io_timer){.fire = turn_ended, .data = hub};
    hub->bulk_stall_us = options->bulk_stall_us;
    init_nodes(hub);
    status = io_listen(hub->io, options->listen_address, accepted, hub, &hub->listener);
    if (status < 0) goto out;
    dial_all(hub);
    hub__init_watch(hub);
    *ret_hub = hub;
    hub = NULL;
out:
    free(hub);
    return status;
}

/* Also stops the redials that closing starts. */
static void close_links(struct peer_hub *hub)
{
    struct peer_link *link = hub->links;
    while (link) {
        struct peer_link *next = link->next;
        link__close(link, false);
        link = next;
    }
    for (uint32_t i = 0; i < hub->nodes_end; i++) {
        if (hub->nodes[i].config.node_id == 0) continue;
        for (uint32_t kind = 0; kind < CONNECTION_KINDS; kind++) {
            io_timer_stop(hub->io, &hub->nodes[i].slots[kind].redial);
        }
    }
}

void peer_hub_destroy(struct peer_hub *hub)
{
    if (!hub) return;
    for (uint32_t i = 0; i < hub->nodes_end; i++) {
        flush_node(hub, &hub->nodes[i]); /* what was sent in this turn */
    }
    close_links(hub);
    for (struct peer_link *link = hub->links; link; link = link->next) {
        link->hub = NULL; /* their streams' last callbacks come later */
    }
    io_timer_stop(hub->io, &hub->turn);
    hub__stop_watch(hub);
    io_listener_close(hub->listener);
    free(hub);
}

void peer_hub_set_membership(struct peer_hub *hub, const struct cluster_id *cluster,
                             uint64_t incarnation_index, bool is_joining)
{
    struct peer_hello *hello = &hub->hello;
    if (cluster_id_equal(&hello->cluster, cluster) && hello->is_joining == is_joining &&
        hello->incarnation_index == incarnation_index) {
        return;
    }
    hello->cluster = *cluster;
    hello->incarnation_index = incarnation_index;
    hello->is_joining = is_joining;
    close_links(hub);
    dial_all(hub);
    io_post(hub->io, &hub->turn);
}

/* ---- public: sending and asking -------------------------------------------------------------------------------------------- */

static void release_all(const struct io_buffer *parts, int parts_count)
{
    for (int i = 0; i < parts_count; i++) {
        if (parts[i].release) parts[i].release(parts[i].owner);
    }
}

static size_t fill_iovec(const struct io_buffer *parts, int parts_count, struct iovec *ret_parts)
{
    size_t bytes = 0;
    for (int i = 0; i < parts_count; i++) {
        ret_parts[i] =
            (struct iovec){.iov_base = (void *)(uintptr_t)parts[i].data, .iov_len = parts[i].bytes};
        bytes += parts[i].bytes;
    }
    return bytes;
}

bool peer_send(struct peer_hub *hub, uint64_t node_id, enum peer_connection connection,
               enum peer_frame_type type, uint64_t group, const struct io_buffer *parts,
               int parts_count)
{
    assert(parts_count >= 0);
    assert(parts_count <= (int)PEER_PARTS_MAX);
    assert(type >= PEER_FRAME_RAFT);
    struct peer_link *link = up_link(hub, node_id, connection);
    struct iovec body[PEER_PARTS_MAX];
    size_t bytes = fill_iovec(parts, parts_count, body);
    size_t total_bytes = frame_total_bytes(bytes);
    if (!link || bytes > PEER_FRAME_BYTES_MAX ||
        link__queue_bytes(link) + total_bytes > PEER_QUEUE_BYTES_MAX || RARELY(SEND_IS_REFUSED)) {
        release_all(parts, parts_count);
        return false;
    }
    struct frame_header header = {
        .body_bytes = (uint32_t)bytes,
        .type = (uint16_t)type,
        .group = group,
        .cluster = hub->hello.cluster,
        .body_hash = frame__hash_body(body, parts_count),
    };
    if (!output__append(&link->output, &header, parts, parts_count)) {
        release_all(parts, parts_count);
        return false;
    }
    hub->counters.frames_out++;
    hub->counters.bytes_out += total_bytes;
    if (link__queue_bytes(link) > IO_WRITE_LOW_WATER_BYTES) link->was_above_low_water = true;
    io_post(hub->io, &hub->turn);
    return true;
}

bool peer_is_up(const struct peer_hub *hub, uint64_t node_id, enum peer_connection connection)
{
    return up_link(hub, node_id, connection) != NULL;
}

uint64_t peer_heard_us(const struct peer_hub *hub, uint64_t node_id,
                       enum peer_connection connection)
{
    const struct peer_link *link = up_link(hub, node_id, connection);
    return link ? link->heard_us : 0;
}

size_t peer_queue_bytes(const struct peer_hub *hub, uint64_t node_id,
                        enum peer_connection connection)
{
    const struct peer_link *link = up_link(hub, node_id, connection);
    return link ? link__queue_bytes(link) : 0;
}

const struct peer_hello *peer_hello_of(const struct peer_hub *hub, uint64_t node_id)
{
    const struct peer_node *node = find_node(hub, node_id);
    return node && node->has_hello ? &node->hello : NULL;
}

bool peer_bulk_is_suspect(const struct peer_hub *hub, uint64_t node_id)
{
    const struct peer_node *node = find_node(hub, node_id);
    return node && node->is_bulk_suspect;
}

void peer_hub_counters(const struct peer_hub *hub, struct peer_counters *ret_counters)
{
    *ret_counters = hub->counters;
}
