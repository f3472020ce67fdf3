/* The replicas that the applied state of meta puts on this node (PROTOCOL M4, M5, M7).
 *
 *   held by the state (wished, or lingering), and not recorded here ──> made
 *   here, and held no more                                          ──> dropped
 *
 * The state lets go of a replica only by a recorded configuration, by the deletion of its topic, or because its incarnation
 * is over. So the comparison may be made at any applied index, as often as one likes: at the start, after entries that
 * change members, when something stood in the way before. */
#include "replicas.h"

#include "birth.h"
#include "directory.h"
#include "drop.h"
#include "founding.h"
#include "group.h"
#include "internal.h"
#include "list.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

/* M5: a node makes and drops only for the incarnation that it is. False: the state names another one, or none yet. */
static bool own_incarnation_index(const struct node *node, uint64_t *ret_index)
{
    struct meta_node self;
    if (meta_node_get(&node->meta, node->identity.node_id, &self)) {
        *ret_index = self.incarnation_index;
        return self.incarnation == node->identity.incarnation;
    }
    *ret_index = 0; /* the founding names it before meta does */
    return founding__lists_me(node);
}

/* ---- making ---------------------------------------------------------------------------------------------------------------- */

/* M7: whoever makes a replica, whenever, begins with the configuration of the group's birth. */
static void birth_configuration(const struct meta_partition *partition,
                                struct raft_configuration *ret_configuration)
{
    memset(ret_configuration, 0, sizeof(*ret_configuration));
    for (uint32_t i = 0; i < partition->founders_count; i++) {
        ret_configuration->members[i] = (struct raft_member){
            .id = {.node = partition->founders[i].node_id, .epoch = partition->founders[i].epoch},
            .voter = true,
        };
    }
    ret_configuration->members_count = partition->founders_count;
}

static bool is_founder(const struct meta_partition *partition, const struct meta_replica *replica)
{
    for (uint32_t i = 0; i < partition->founders_count; i++) {
        if (partition->founders[i].node_id == replica->node_id) {
            return partition->founders[i].epoch == replica->epoch;
        }
    }
    return false;
}

static void make_one(struct node *node, const char *topic, const struct meta_partition *partition,
                     const struct meta_replica *replica, uint64_t incarnation_index)
{
    if (replica->node_id != node->identity.node_id || replica->epoch < incarnation_index) return;
    struct raft_configuration configuration;
    birth_configuration(partition, &configuration);
    const bool campaign =
        partition->first_leader == replica->node_id && is_founder(partition, replica);
    group__make(node, partition->group, replica->epoch, replica->epoch, &configuration, campaign,
                topic, partition->number);
}

/* A lingering one, too: while it is a member the group may need it. */
static void make_partition(struct node *node, const char *topic,
                           const struct meta_partition *partition)
{
    uint64_t incarnation_index;
    if (!own_incarnation_index(node, &incarnation_index)) return;
    for (uint32_t i = 0; i < partition->replicas_count; i++) {
        make_one(node, topic, partition, &partition->replicas[i], incarnation_index);
    }
    for (uint32_t i = 0; i < partition->lingering_count; i++) {
        make_one(node, topic, partition, &partition->lingering[i], incarnation_index);
    }
}

void replicas__make_topic(struct node *node, const struct meta_topic *topic)
{
    for (uint32_t p = 0; p < topic->partitions_count; p++) {
        make_partition(node, topic->name, &topic->partitions[p]);
    }
}

/* ---- dropping -------------------------------------------------------------------------------------------------------------- */

void replicas__drop_topic(struct node *node, uint64_t index, const struct meta_topic *topic)
{
    for (uint32_t p = 0; p < topic->partitions_count; p++) {
        const uint64_t group_id = topic->partitions[p].group;
        directory__forget(node, group_id);
        struct group *group = node__group(node, group_id);
        if (group) {
            group__drop(group, index, /* is_deleted= */ true);
        } else {
            (void)group__cancel_birth(node, group_id, index);
        }
    }
}

/* The lower of `index` and what lies in front of the first of these replicas that is this node's and newer than `epoch`. */
static uint64_t in_front_of_newer(const struct node *node, const struct meta_replica *replicas,
                                  uint32_t count, uint64_t epoch, uint64_t index)
{
    for (uint32_t i = 0; i < count; i++) {
        if (replicas[i].node_id != node->identity.node_id || replicas[i].epoch <= epoch) continue;
        if (replicas[i].epoch <= index) index = replicas[i].epoch - 1u;
    }
    return index;
}

/* M4: at or below the recorded index nothing is made. A later replica of this node in the same group is, if it is wished
 * already, and if it lingers: that one may be wished again, under the same epoch. */
uint64_t replicas__drop_index(const struct node *node, uint64_t group_id, uint64_t epoch)
{
    struct meta_partition partition;
    uint64_t index = node->meta.applied_index;
    if (!meta_group_find(&node->meta, group_id, NULL, &partition, NULL)) return index;
    index = in_front_of_newer(node, partition.replicas, partition.replicas_count, epoch, index);
    return in_front_of_newer(node, partition.lingering, partition.lingering_count, epoch, index);
}

bool replicas__is_let_go(const struct node *node, uint64_t group_id, uint64_t epoch)
{
    /* Of an entry that is not applied yet the state cannot tell. */
    return epoch <= node->meta.applied_index &&
           !meta_replica_is_held(&node->meta, group_id, node->identity.node_id, epoch);
}

static void drop_let_go(struct node *node)
{
    struct list_link *link;
    struct list_link *after;
    list_for_each_safe(link, after, &node->groups) {
        struct group *group = list_entry(link, struct group, link);
        if (group->is_meta || !replicas__is_let_go(node, group->id, group->epoch)) continue;
        node__log(node, "info",
                  "event=\"replica let go\" group=%" PRIu64 " topic=\"%s\" partition=%u", group->id,
                  group->topic, group->partition_number);
        group__drop(group, replicas__drop_index(node, group->id, group->epoch),
                    /* is_deleted= */ false);
    }
    list_for_each_safe(link, after, &node->births) {
        const struct group_birth *birth = list_entry(link, struct group_birth, link);
        if (birth->group_id == 0 || birth->drop_index) continue;
        if (!replicas__is_let_go(node, birth->group_id, birth->epoch)) continue;
        (void)group__cancel_birth(node, birth->group_id,
                                  replicas__drop_index(node, birth->group_id, birth->epoch));
    }
}

static void name_groups(struct node *node)
{
    struct list_link *link;
    for (link = node->groups.next; link != &node->groups; link = link->next) {
        struct group *group = list_entry(link, struct group, link);
        struct meta_partition partition;
        if (group->is_meta) continue;
        if (!meta_group_find(&node->meta, group->id, group->topic, &partition, NULL)) continue;
        group->partition_number = partition.number;
    }
}

/* ---- both ------------------------------------------------------------------------------------------------------------------ */

static bool make_visited(void *data, const char *name, const struct meta_partition *partition)
{
    make_partition(data, name, partition);
    return true;
}

void replicas__reconcile(struct node *node)
{
    uint64_t incarnation_index;
    node->replicas_stale = false;
    node->members_version++; /* the state may be another one altogether, of an installed base */
    if (!node->meta_group || !own_incarnation_index(node, &incarnation_index)) return;
    name_groups(node);
    drop_let_go(node);
    meta_partitions_visit(&node->meta, make_visited, node);
}
