/* Watching connections: what moves on bulk, and who went silent (PROTOCOL C4). */
#include "hub.h"

#include <rare/rare.h>

#include <assert.h>
#include <inttypes.h>

/* ---- movement on bulk ------------------------------------------------------------------------------------------------ */

/* Bytes that arrived at the peer's kernel: what was handed to the stream without what it still holds, exact also while one
 * large write is half way.
 *
 * Only what the peer's kernel acknowledged has moved: our own takes megabytes into its buffer also when the path lets
 * nothing of them through, and every repeat would look like movement. */
static uint64_t arrived_bytes(const struct peer_link *link)
{
    uint64_t taken = link->written_bytes - io_stream_write_queue_bytes(link->stream);
    uint64_t waiting = io_stream_unacknowledged_bytes(link->stream);
    return taken > waiting ? taken - waiting : 0;
}

static void note_arrived(struct peer_link *link, uint64_t now_us)
{
    uint64_t arrived = arrived_bytes(link);
    if (arrived > link->arrived_bytes) {
        link->arrived_bytes = arrived;
        link->arrived_us = now_us;
    }
}

/* After a stall little proves nothing. */
static bool is_suspect(struct peer_hub *hub, const struct peer_link *link)
{
    struct peer_node *node = hub__node(hub, link->node_id);
    if (!node->is_bulk_suspect) return false;
    if (link->arrived_bytes < link->up_bytes + SUSPECT_BYTES) return true;
    node->is_bulk_suspect = false;
    return false;
}

/* Room in the queue is told without looking at the peer's kernel: it says that more can be written, and with a full buffer
 * it comes by acknowledgements alone. */
void hub__moved(struct peer_hub *hub, struct peer_link *link, bool at_once)
{
    if (link->kind != PEER_BULK) return;
    bool drained = link->was_above_low_water && link__queue_bytes(link) <= IO_WRITE_LOW_WATER_BYTES;
    if (at_once && !drained) return;
    note_arrived(link, io_now_us(hub->io));
    if (drained) link->was_above_low_water = false;
    bool moved = link->arrived_bytes > link->told_bytes && !is_suspect(hub, link);
    if (moved) link->told_bytes = link->arrived_bytes;
    if (moved || drained) hub->callbacks->bulk_moved(hub->data, link->node_id, drained);
}

/* Bytes wait and nothing arrives: the connection is made anew, before the core stops counting this follower. */
static void close_if_stalled(struct peer_hub *hub, struct peer_link *link)
{
    if (hub->bulk_stall_us == 0 || link->written_bytes == link->arrived_bytes) return;
    uint64_t now_us = io_now_us(hub->io);
    uint64_t since_us = link->arrived_us > hub->awake_us ? link->arrived_us : hub->awake_us;
    if (now_us - since_us < hub->bulk_stall_us && !RARELY(BULK_IS_MADE_ANEW)) return;
    uint64_t node_id = link->node_id;
    hub__node(hub, node_id)->is_bulk_suspect = true;
    hub->counters.bulk_stalls++;
    link__close(link, false);
}

void hub__start_moved(struct peer_hub *hub)
{
    if (hub->is_moved_running) return;
    hub->is_moved_running = true;
    io_timer_start(hub->io, &hub->moved, MOVED_PERIOD_US);
}

static void note_time(struct peer_hub *hub);

static void moved_due(struct io_timer *timer)
{
    struct peer_hub *hub = timer->data;
    hub->is_moved_running = false;
    note_time(hub);
    for (uint32_t i = 0; i < hub->nodes_end; i++) {
        struct peer_slot *slot = &hub->nodes[i].slots[PEER_BULK];
        if (slot->up) hub__moved(hub, slot->up, false);
        if (slot->up) close_if_stalled(hub, slot->up); /* the callback may have closed it */
        if (slot->up && slot->up->written_bytes != slot->up->arrived_bytes) hub__start_moved(hub);
    }
    hub__tell(hub);
}

/* ---- silence ---------------------------------------------------------------------------------------------------------- */

/* The loop stood still (a pause, a slow disk under a synchronous call): the silence is ours. */
static void note_time(struct peer_hub *hub)
{
    uint64_t now_us = io_now_us(hub->io);
    if (now_us - hub->watched_us > 2u * WATCH_PERIOD_US) hub->awake_us = now_us;
    hub->watched_us = now_us;
}

static uint64_t alive_us(const struct peer_hub *hub, const struct peer_link *link)
{
    uint64_t us = link->heard_us;
    if (link->up_at_us > us) us = link->up_at_us;
    if (hub->awake_us > us) us = hub->awake_us;
    /* On bulk the answer waits behind all that is on its way: what arrives is a sign of life as well. */
    if (link->kind == PEER_BULK && link->arrived_us > us) us = link->arrived_us;
    return us;
}

static void watch_link(struct peer_hub *hub, struct peer_link *link)
{
    uint64_t now_us = io_now_us(hub->io);
    uint64_t silent_us = now_us - alive_us(hub, link);
    if (silent_us >= SILENCE_US_MAX) {
        uint64_t node_id = link->node_id;
        bool is_control = link->kind == PEER_CONTROL;
        hub->counters.silent++;
        link__close(link, false);
        if (!is_control) return; /* it is known by the other connection whether the node lives */
        hub__trouble(hub, node_id, "n%" PRIu64 " is silent; connecting anew", node_id);
    } else if (silent_us >= QUIET_US_MAX && now_us - link->asked_us >= QUIET_US_MAX) {
        link->asked_us = now_us;
        link__ping(link);
    }
}

static void watch_due(struct io_timer *timer)
{
    struct peer_hub *hub = timer->data;
    io_timer_start(hub->io, &hub->watch, WATCH_PERIOD_US);
    note_time(hub);
    for (uint32_t i = 0; i < hub->nodes_end; i++) {
        for (uint32_t kind = 0; kind < CONNECTION_KINDS; kind++) {
            struct peer_link *link = hub->nodes[i].slots[kind].up;
            if (link) watch_link(hub, link);
        }
    }
    hub__tell(hub);
}

void hub__init_watch(struct peer_hub *hub)
{
    hub->moved = (struct io_timer){.fire = moved_due, .data = hub};
    hub->watch = (struct io_timer){.fire = watch_due, .data = hub};
    hub->watched_us = io_now_us(hub->io);
    io_timer_start(hub->io, &hub->watch, WATCH_PERIOD_US);
}

void hub__stop_watch(struct peer_hub *hub)
{
    io_timer_stop(hub->io, &hub->moved);
    io_timer_stop(hub->io, &hub->watch);
}
