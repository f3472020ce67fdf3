/* Where replicas go: the nodes that can hold them, how many they hold, and the choice for a new topic or in the stead of a
 * node that leaves. Runs on the leader of meta; what it chose travels in the command. */
#include "placement.h"

#include "group.h"
#include "internal.h"
#include "limits.h"
#include "list.h"
#include "request.h"

#include <assert.h>
#include <string.h>

bool placement__is_reached(struct node *node, uint64_t node_id)
{
    return node_id == node->identity.node_id ||
           (peer_is_up(node->hub, node_id, PEER_CONTROL) && node__peer_is_usable(node, node_id));
}

static bool is_leaving(const struct node *node, uint64_t node_id)
{
    struct meta_node known;
    return meta_node_get(&node->meta, node_id, &known) && known.leaving;
}

static bool holds(const uint64_t *ids, uint32_t count, uint64_t id)
{
    for (uint32_t i = 0; i < count; i++) {
        if (ids[i] == id) return true;
    }
    return false;
}

/* Every node is a member of group 0, or it could not know what it is to hold. */
uint32_t placement__nodes(struct node *node, uint64_t ret_ids[RAFT_MEMBERS_MAX])
{
    const struct raft_configuration *configuration = raft_configuration_of(node->meta_group->raft);
    uint32_t count = 0;
    for (uint32_t i = 0; i < configuration->members_count; i++) {
        const uint64_t id = configuration->members[i].id.node;
        if (holds(ret_ids, count, id) || is_leaving(node, id)) continue;
        ret_ids[count++] = id;
    }
    return count;
}

/* Those that are reached first; returns the count of these. */
static uint32_t reached_first(struct node *node, uint64_t *ids, uint32_t count)
{
    uint64_t ordered[RAFT_MEMBERS_MAX];
    uint32_t at = 0;
    uint32_t here = 0;
    for (int pass = 0; pass < 2; pass++) {
        for (uint32_t i = 0; i < count; i++) {
            if (placement__is_reached(node, ids[i]) == (pass == 0)) ordered[at++] = ids[i];
        }
        if (pass == 0) here = at;
    }
    memcpy(ids, ordered, count * sizeof(*ids));
    return here;
}

/* Leaders go round over the nodes that are connected, and so do the other replicas before any goes to a node that is not:
 * a majority should be there to elect. */
void placement__place(struct node *node, struct meta_command *command)
{
    uint64_t ids[RAFT_MEMBERS_MAX];
    const uint32_t count = placement__nodes(node, ids);
    uint32_t here = reached_first(node, ids, count);
    if (here == 0) here = count; /* this node leaves, and reaches nobody */
    const uint64_t spread =
        checksum64(command->create.name, strlen(command->create.name)) % RAFT_MEMBERS_MAX;
    assert(command->create.replicas_count <= count);
    for (uint32_t p = 0; p < command->create.partitions_count; p++) {
        for (uint32_t i = 0; i < command->create.replicas_count; i++) {
            command->create.replicas[p][i] = i < here ? ids[(spread + p + i) % here] : ids[i];
        }
    }
}

/* ---- load ---------------------------------------------------------------------------------------------------------------- */

struct load {
    const uint64_t *ids;
    uint32_t count;
    uint32_t replicas[RAFT_MEMBERS_MAX]; /* of ids[i] */
};

static bool add_load(void *data, const char *name, const struct meta_partition *partition)
{
    struct load *load = data;
    (void)name;
    for (uint32_t r = 0; r < partition->replicas_count; r++) {
        for (uint32_t i = 0; i < load->count; i++) {
            if (load->ids[i] == partition->replicas[r].node_id) load->replicas[i]++;
        }
    }
    return true;
}

static struct load load_of(struct node *node, const uint64_t *ids, uint32_t count)
{
    struct load load = {.ids = ids, .count = count};
    meta_partitions_visit(&node->meta, add_load, &load);
    return load;
}

/* Partitions of creates that are proposed and not applied. */
static uint32_t partitions_under_way(const struct list_link *list)
{
    uint32_t count = 0;
    for (const struct list_link *link = list->next; link != list; link = link->next) {
        struct request_state *state = list_entry(link, struct request_state, stage_link);
        const struct node_request *request = request_of_state(state);
        if (request->type == NODE_REQUEST_TOPIC_CREATE) count += request->create.partitions_count;
    }
    return count;
}

/* A node's store holds NODE_STORE_GROUPS_MAX replicas; half of it is left for those that are deleted and not yet
 * forgotten. */
bool placement__has_room(struct node *node, uint32_t partitions_count)
{
    uint64_t ids[RAFT_MEMBERS_MAX];
    const uint32_t count = placement__nodes(node, ids);
    const struct load load = load_of(node, ids, count);
    uint32_t highest = 0;
    for (uint32_t i = 0; i < count; i++) {
        if (load.replicas[i] > highest) highest = load.replicas[i];
    }
    return highest + partitions_count + partitions_under_way(&node->meta_group->queued) +
               partitions_under_way(&node->meta_group->waiting) <=
           NODE_REPLICAS_MAX;
}

/* Insertion sort of at most RAFT_MEMBERS_MAX. */
uint32_t placement__spares(struct node *node, uint64_t except, uint64_t ret_ids[RAFT_MEMBERS_MAX])
{
    uint64_t ids[RAFT_MEMBERS_MAX];
    uint32_t loads[RAFT_MEMBERS_MAX];
    const uint32_t count = reached_first(node, ids, placement__nodes(node, ids));
    const struct load load = load_of(node, ids, count);
    uint32_t spares = 0;
    for (uint32_t i = 0; i < count; i++) {
        if (ids[i] == except) continue;
        uint32_t at = spares++;
        for (; at > 0 && loads[at - 1u] > load.replicas[i]; at--) {
            ret_ids[at] = ret_ids[at - 1u];
            loads[at] = loads[at - 1u];
        }
        ret_ids[at] = ids[i];
        loads[at] = load.replicas[i];
    }
    return spares;
}
