/* The nodes that a hub knows: those of the configured list, those that the owner names, and guests.
 *
 *   free ──set_node, or a guest's link came up──► known ──remove_node, or the guest's last link closed──► going
 *     ▲                                                                                                     │
 *     └─────────────────────────────── the owner was told that it is down, then that it is forgotten ◄──────┘
 *
 * A slot never moves: timers and links lead back to it. */
#include "hub.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

void hub__init_node(struct peer_hub *hub, struct peer_node *node, uint64_t node_id)
{
    *node = (struct peer_node){.hub = hub, .config = {.node_id = node_id}};
    for (uint32_t kind = 0; kind < CONNECTION_KINDS; kind++) {
        struct peer_slot *slot = &node->slots[kind];
        slot->node = node;
        slot->kind = (enum peer_connection)kind;
        slot->redial = (struct io_timer){.fire = hub__redial_due, .data = slot};
    }
}

bool hub__has_room(const struct peer_hub *hub)
{
    for (uint32_t i = 0; i < PEER_KNOWN_MAX; i++) {
        if (hub->nodes[i].config.node_id == 0) return true;
    }
    return false;
}

struct peer_node *hub__add_node(struct peer_hub *hub, uint64_t node_id)
{
    assert(node_id != 0);
    for (uint32_t i = 0; i < PEER_KNOWN_MAX; i++) {
        struct peer_node *node = &hub->nodes[i];
        if (node->config.node_id != 0) continue;
        hub__init_node(hub, node, node_id);
        if (i >= hub->nodes_end) hub->nodes_end = i + 1u;
        return node;
    }
    return NULL;
}

/* Both in turn: either may be the older one, and whoever moved is found by the other. */
const char *hub__next_address(struct peer_node *node)
{
    const bool both = node->learned[0] && node->config.address[0];
    const bool learned = node->learned[0] && (!both || node->dials_count % 4u < 2u);
    node->dials_count++; /* both connections go to the same one */
    if (learned) return node->learned;
    return node->config.address[0] ? node->config.address : NULL;
}

bool hub__forget(struct peer_hub *hub, struct peer_node *node)
{
    const bool is_alone = !node->slots[PEER_CONTROL].up && !node->slots[PEER_BULK].up;
    if (!node->is_removed && !(node->is_guest && is_alone)) return false;
    assert(is_alone);
    assert(node->told_control == 0 && node->told_bulk == 0);
    const uint64_t node_id = node->config.node_id;
    for (uint32_t kind = 0; kind < CONNECTION_KINDS; kind++) {
        if (node->slots[kind].dialing) link__close(node->slots[kind].dialing, false);
        io_timer_stop(hub->io, &node->slots[kind].redial);
    }
    *node = (struct peer_node){0};
    if (hub->callbacks->forgotten) hub->callbacks->forgotten(hub->data, node_id);
    return true;
}

/* Also while links of it are being made. */
static void close_node(struct peer_hub *hub, struct peer_node *node, const char *reason)
{
    const uint64_t node_id = node->config.node_id;
    struct peer_link *link = hub->links;
    while (link) {
        struct peer_link *next = link->next;
        if (link->node_id != node_id) {
        } else if (link->state == LINK_UP && reason) {
            link__refuse(link, reason);
        } else {
            link__close(link, false);
        }
        link = next;
    }
}

/* ---- public ------------------------------------------------------------------------------------------------------- */

bool peer_hub_set_node(struct peer_hub *hub, uint64_t node_id, const char *address)
{
    if (node_id == 0 || node_id == hub->hello.node_id) return false;
    if (strlen(address) >= PEER_ADDRESS_BYTES_MAX) return false;
    struct peer_node *node = hub__node(hub, node_id);
    const bool is_new = !node;
    if (!node) node = hub__add_node(hub, node_id);
    if (!node) return false;
    const bool was_idle = is_new || node->is_guest || node->is_removed;
    node->is_guest = false;
    node->is_removed = false;
    const bool is_moved = strcmp(node->learned, address) != 0;
    if (is_moved) {
        snprintf(node->learned, sizeof(node->learned), "%s", address);
        node->dials_count = 0;
    }
    if (!was_idle && !is_moved) return true;
    for (uint32_t kind = 0; kind < CONNECTION_KINDS; kind++) {
        struct peer_slot *slot = &node->slots[kind];
        if (!slot->up && !slot->dialing) hub__schedule_dial(slot, true);
    }
    return true;
}

void peer_hub_remove_node(struct peer_hub *hub, uint64_t node_id, const char *reason)
{
    struct peer_node *node = hub__node(hub, node_id);
    if (!node) return;
    node->is_removed = true;
    node->is_guest = false;
    close_node(hub, node, reason);
    io_post(hub->io, &hub->turn);
}

void peer_hub_dismiss(struct peer_hub *hub, uint64_t node_id, const char *reason)
{
    struct peer_node *node = hub__node(hub, node_id);
    if (!node) return;
    close_node(hub, node, reason);
    io_post(hub->io, &hub->turn);
}
