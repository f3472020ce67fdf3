/* Partitions with fewer replicas than are wanted get new ones as soon as a node can hold them: on the leader of meta.
 *
 * A removal that nobody could make up for leaves such partitions behind. It acts only on settled ones, a few at a time, and
 * each step names the wish that it goes out from, so that whatever an operator says meanwhile wins. */
#include "growth.h"

#include "group.h"
#include "internal.h"
#include "placement.h"
#include "registry.h"

#include <rare/rare.h>

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#define LOOK_EVERY_US 500000u
#define UNSETTLED_MAX 8u /* partitions that change at once; more wait */

struct growth {
    struct node *node;
    uint64_t spares[RAFT_MEMBERS_MAX];
    uint32_t spares_count;
    uint32_t unsettled;
    bool is_found;
    struct meta_partition partition; /* the first that can grow */
    uint64_t taker;
};

static bool is_in(const struct meta_partition *partition, uint64_t node_id)
{
    for (uint32_t i = 0; i < partition->replicas_count; i++) {
        if (partition->replicas[i].node_id == node_id) return true;
    }
    return false;
}

static bool look_at(void *data, const char *name, const struct meta_partition *partition)
{
    struct growth *growth = data;
    (void)name;
    if (!partition->settled) {
        growth->unsettled++;
        return growth->unsettled < UNSETTLED_MAX;
    }
    if (growth->is_found || partition->replicas_count >= partition->replicas_wanted) return true;
    for (uint32_t i = 0; i < growth->spares_count; i++) {
        struct meta_node known;
        const uint64_t id = growth->spares[i];
        if (is_in(partition, id) || !meta_node_get(&growth->node->meta, id, &known)) continue;
        if (known.incarnation == 0 || known.leaving) continue;
        growth->is_found = true;
        growth->partition = *partition;
        growth->taker = id;
        return true;
    }
    return true;
}

static void ended(struct node_request *request)
{
    struct node *node = request->data;
    node->growing = false;
    if (request->status == NODE_OK) node->grown_us = 0; /* the next one at once */
    free(request);
}

static void grow(struct growth *growth)
{
    struct node *node = growth->node;
    const struct meta_partition *partition = &growth->partition;
    struct meta_command *command = calloc(1, sizeof(*command));
    if (!command) abort();
    command->type = META_PLACE;
    command->request = node__random_number(node);
    command->place.group = partition->group;
    command->place.grows_wish = partition->wish_index;
    for (uint32_t i = 0; i < partition->replicas_count; i++) {
        command->place.nodes[command->place.nodes_count++] = partition->replicas[i].node_id;
    }
    command->place.nodes[command->place.nodes_count++] = growth->taker;
    node__log(node, "info",
              "event=\"partition gets a replica back\" group=%" PRIu64 " node=%" PRIu64
              " replicas=%u wanted=%u",
              partition->group, growth->taker, command->place.nodes_count,
              partition->replicas_wanted);
    node->growing = true;
    registry__propose(node, command, 0, ended);
    free(command);
}

void growth__run(struct node *node)
{
    const struct group *meta = node->meta_group;
    if (node->state != NODE_RUNNING || node->disk_full || node->growing) return;
    if (!meta || meta->role != RAFT_LEADER || !meta->own_noop_applied) return;
    const uint64_t now_us = io_now_us(node->io);
    if (node->grown_us && now_us - node->grown_us < LOOK_EVERY_US) return;
    node->grown_us = now_us;
    if (RARELY(GROWTH_WAITS)) return;
    struct growth *growth = calloc(1, sizeof(*growth));
    if (!growth) abort();
    growth->node = node;
    growth->spares_count = placement__spares(node, 0, growth->spares);
    meta_partitions_visit(&node->meta, look_at, growth);
    if (growth->is_found && growth->unsettled < UNSETTLED_MAX) grow(growth);
    free(growth);
}
