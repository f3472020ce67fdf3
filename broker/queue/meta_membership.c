/* apply() of what changes the members of the cluster (PROTOCOL M4, M5, M9): nodes come, go and are replaced, partitions are
 * wished elsewhere.
 *
 *   wished ── PLACE, REMOVE, REPLACE ──> lingering ── CONFIG_RECORD ──> gone: the node may drop it
 *     ^                                     │
 *     └──────── wished again, same epoch ───┘
 *
 * A group follows its wish by changes that meta does not see, so what was wished since the last CONFIG_RECORD may be a
 * member still. It lingers, and lingering replicas are kept. A replica of an incarnation that was replaced is dead and does
 * not linger; nor does one on a node that never joined, for no group takes such a member. */
#include "meta_state.h"

#include <planted/planted.h>

#include <assert.h>
#include <stdlib.h>
#include <string.h>

/* ---- replicas of one partition ---------------------------------------------------------------------------------------- */

static uint32_t find_replica(const struct meta_replica *replicas, uint32_t count, uint64_t node_id)
{
    uint32_t at = 0;
    while (at < count && replicas[at].node_id != node_id)
        at++;
    return at;
}

static bool is_wished(const struct meta_partition *partition, uint64_t node_id)
{
    return find_replica(partition->replicas, partition->replicas_count, node_id) <
           partition->replicas_count;
}

static bool forget_lingering(struct meta_partition *partition, uint64_t node_id,
                             uint64_t *ret_epoch)
{
    const uint32_t at = find_replica(partition->lingering, partition->lingering_count, node_id);
    if (at == partition->lingering_count) return false;
    if (ret_epoch) *ret_epoch = partition->lingering[at].epoch;
    partition->lingering[at] = partition->lingering[--partition->lingering_count];
    return true;
}

/* Its replica on that node exists still when it lingers: another one beside it cannot be. */
static struct meta_replica new_replica(struct meta_partition *partition, uint64_t node_id,
                                       uint64_t index)
{
    struct meta_replica replica = {.node_id = node_id, .epoch = index};
    (void)forget_lingering(partition, node_id, &replica.epoch);
    return replica;
}

static void linger(const struct meta_state *meta, struct meta_partition *partition,
                   struct meta_replica replica)
{
    struct meta_node node;
    if (meta__load_node(meta->state, replica.node_id, &node) && node.incarnation == 0) return;
    if (PLANTED(M4_LET_GO_WITHOUT_RECORD)) return;
    assert(partition->lingering_count < META_NODES_MAX);
    partition->lingering[partition->lingering_count++] = replica;
}

static void remove_replica(struct meta_partition *partition, uint32_t at)
{
    partition->replicas_count--;
    for (uint32_t i = at; i < partition->replicas_count; i++)
        partition->replicas[i] = partition->replicas[i + 1u];
}

static void store_wish(struct meta_state *meta, const char *name, struct meta_partition *partition,
                       uint64_t index)
{
    partition->wish_index = index;
    partition->settled = false;
    meta__store_group(&meta->state, name, partition);
}

/* ---- nodes -------------------------------------------------------------------------------------------------------------- */

static uint32_t load_nodes(const struct meta_state *meta, struct meta_node nodes[META_NODES_MAX])
{
    return meta_nodes(meta, nodes, META_NODES_MAX);
}

static uint32_t voters_count(const struct meta_state *meta)
{
    struct meta_node nodes[META_NODES_MAX];
    const uint32_t count = load_nodes(meta, nodes);
    uint32_t voters = 0;
    for (uint32_t i = 0; i < count; i++) {
        if (nodes[i].voter && !nodes[i].leaving) voters++;
    }
    return voters;
}

static void copy_addresses(struct meta_node *target, const struct meta_node *source)
{
    memcpy(target->http_address, source->http_address, sizeof target->http_address);
    memcpy(target->kafka_address, source->kafka_address, sizeof target->kafka_address);
    if (source->peer_address[0] == '\0') return; /* it does not know how others reach it */
    memcpy(target->peer_address, source->peer_address, sizeof target->peer_address);
}

/* M5: another incarnation of the node: its replicas are made anew, under new epochs; the old ones are dead. */
static void renew_replicas(struct meta_state *meta, uint64_t node_id, uint64_t index)
{
    uint32_t count;
    uint64_t *groups = meta__groups(meta->state, &count);
    for (uint32_t i = 0; i < count; i++) {
        char name[META_TOPIC_NAME_BYTES_MAX + 1];
        struct meta_partition partition;
        (void)meta__load_group(meta->state, groups[i], name, &partition);
        if (forget_lingering(&partition, node_id, NULL)) {
            meta__store_group(&meta->state, name, &partition);
        }
        const uint32_t at = find_replica(partition.replicas, partition.replicas_count, node_id);
        if (at == partition.replicas_count) continue;
        if (!PLANTED(M5_NEW_INCARNATION_KEEPS_EPOCHS)) partition.replicas[at].epoch = index;
        store_wish(meta, name, &partition, index);
    }
    free(groups);
}

static void set_unknown(struct meta_state *meta, const struct meta_command *command,
                        struct meta_result *result)
{
    if (!command->founder) {
        result->status = META_UNKNOWN_NODE;
        return;
    }
    struct meta_node node = command->node;
    node.incarnation_index = 0;
    node.renewed_index = 0;
    node.leaving = false;
    node.replaced_by = 0;
    result->changed = true;
    meta__store_node(&meta->state, &node);
}

/* M9: of a vote that nobody took when its node left. The leader of meta asks for it, and may have asked twice. */
static bool takes_vote(const struct meta_state *meta, const struct meta_command *command,
                       const struct meta_node *node)
{
    return command->node.voter && !command->founder && !node->voter && !node->leaving &&
           voters_count(meta) < META_VOTERS_MAX;
}

void meta__apply_node_set(struct meta_state *meta, uint64_t index,
                          const struct meta_command *command, struct meta_result *result)
{
    struct meta_node node;
    if (!meta__load_node(meta->state, command->node.node_id, &node)) {
        set_unknown(meta, command, result);
        return;
    }
    const bool is_new = node.incarnation != command->node.incarnation;
    if (is_new && node.leaving) {
        result->status = META_NODE_LEAVING;
        return;
    }
    if (is_new && command->founder && node.incarnation != 0) {
        result->status = META_STALE; /* it was listed before the directory was replaced */
        return;
    }
    if (is_new && command->replaces != node.incarnation) {
        result->status = META_STALE; /* told before the one that is here now joined */
        return;
    }
    copy_addresses(&node, &command->node);
    result->changed = is_new;
    if (!is_new && takes_vote(meta, command, &node)) {
        node.voter = true;
        result->changed = true;
    }
    if (is_new) {
        /* M9: the first five vote. */
        if (node.incarnation == 0 && voters_count(meta) < META_VOTERS_MAX) node.voter = true;
        node.incarnation = command->node.incarnation;
        node.incarnation_index = index;
    }
    meta__store_node(&meta->state, &node);
    if (is_new) renew_replicas(meta, node.node_id, index);
}

void meta__apply_node_add(struct meta_state *meta, const struct meta_command *command,
                          struct meta_result *result)
{
    struct meta_node nodes[META_NODES_MAX];
    struct meta_node node;
    if (!meta__load_node(meta->state, command->change.node_id, &node)) {
        if (load_nodes(meta, nodes) == META_NODES_MAX) {
            result->status = META_TOO_MANY_NODES;
            return;
        }
        node = (struct meta_node){.node_id = command->change.node_id};
        result->changed = true;
    } else if (node.leaving) {
        result->status = META_NODE_LEAVING;
        return;
    } else if (node.incarnation != 0) {
        const bool is_same = strcmp(node.peer_address, command->change.peer_address) == 0;
        result->status = is_same ? META_OK : META_NODE_EXISTS;
        return;
    }
    memcpy(node.peer_address, command->change.peer_address, sizeof node.peer_address);
    meta__store_node(&meta->state, &node);
}

/* ---- who takes the place of a node that leaves ---------------------------------------------------------------------------- */

struct leaving {
    uint64_t node_id;
    uint64_t with; /* 0 = none in particular */
    uint64_t spares[META_NODES_MAX];
    uint32_t spares_count;
    uint64_t index;
    bool shrinks;
};

/* Those of the command that are here and stay. */
static void choose_spares(const struct meta_state *meta, const struct meta_command *command,
                          struct leaving *leaving)
{
    for (uint32_t i = 0; i < command->change.spares_count; i++) {
        const uint64_t id = command->change.spares[i];
        struct meta_node node;
        if (id == leaving->node_id || !meta__load_node(meta->state, id, &node)) continue;
        if (node.incarnation == 0 || node.leaving) continue;
        leaving->spares[leaving->spares_count++] = id;
    }
}

/* Partitions take the spares in turn. 0: none is left for this one. */
static uint64_t successor(const struct leaving *leaving, const struct meta_partition *partition)
{
    if (leaving->with != 0 && !is_wished(partition, leaving->with)) return leaving->with;
    for (uint32_t i = 0; i < leaving->spares_count; i++) {
        const uint64_t id = leaving->spares[(partition->group + i) % leaving->spares_count];
        if (!is_wished(partition, id)) return id;
    }
    return 0;
}

/* False: it would be left without any replica, or with fewer than are wanted, which nobody has agreed to. */
static bool leave_partition(struct meta_state *meta, const struct leaving *leaving,
                            const char *name, struct meta_partition *partition, bool dry)
{
    const uint32_t at =
        find_replica(partition->replicas, partition->replicas_count, leaving->node_id);
    if (at == partition->replicas_count) return true;
    const uint64_t next = successor(leaving, partition);
    if (next == 0 && partition->replicas_count == 1) return false;
    if (next == 0 && !leaving->shrinks && partition->replicas_count <= partition->replicas_wanted) {
        return false;
    }
    if (dry) return true;
    const struct meta_replica old = partition->replicas[at];
    if (next != 0) {
        partition->replicas[at] = new_replica(partition, next, leaving->index);
    } else {
        remove_replica(partition, at);
    }
    linger(meta, partition, old);
    store_wish(meta, name, partition, leaving->index);
    return true;
}

static bool leave_partitions(struct meta_state *meta, const struct leaving *leaving, bool dry)
{
    uint32_t count;
    uint64_t *groups = meta__groups(meta->state, &count);
    bool can = true;
    for (uint32_t i = 0; i < count && can; i++) {
        char name[META_TOPIC_NAME_BYTES_MAX + 1];
        struct meta_partition partition;
        (void)meta__load_group(meta->state, groups[i], name, &partition);
        can = leave_partition(meta, leaving, name, &partition, dry);
    }
    free(groups);
    return can;
}

/* Its vote in group 0 goes to `with`, or to a spare that has none (M9); else the leader of meta gives it to a node that
 * comes back (NODE_SET). */
static void pass_vote(struct meta_state *meta, const struct leaving *leaving)
{
    struct meta_node node;
    if (leaving->with != 0 && meta__load_node(meta->state, leaving->with, &node) && !node.voter) {
        node.voter = true;
        meta__store_node(&meta->state, &node);
        return;
    }
    for (uint32_t i = 0; i < leaving->spares_count; i++) {
        (void)meta__load_node(meta->state, leaving->spares[i], &node);
        if (node.voter) continue;
        node.voter = true;
        meta__store_node(&meta->state, &node);
        return;
    }
}

/* Nodes that wait for this one to take their place wait for the next one. */
static void pass_place(struct meta_state *meta, uint64_t node_id, uint64_t with)
{
    struct meta_node nodes[META_NODES_MAX];
    const uint32_t count = load_nodes(meta, nodes);
    for (uint32_t i = 0; i < count; i++) {
        if (!nodes[i].leaving || nodes[i].replaced_by != node_id) continue;
        nodes[i].replaced_by = with;
        meta__store_node(&meta->state, &nodes[i]);
    }
}

static void leave(struct meta_state *meta, const struct meta_command *command, uint64_t index,
                  struct meta_node *node, struct meta_result *result)
{
    struct leaving leaving = {
        .node_id = node->node_id, .with = command->change.with, .index = index};
    leaving.shrinks = command->change.shrinks;
    choose_spares(meta, command, &leaving);
    const bool last_voter = node->voter && voters_count(meta) == 1;
    if (!leave_partitions(meta, &leaving, /* dry= */ true) ||
        (last_voter && leaving.with == 0 && leaving.spares_count == 0)) {
        result->status = META_NOT_ENOUGH_NODES;
        return;
    }
    result->changed = true;
    (void)leave_partitions(meta, &leaving, /* dry= */ false);
    if (node->voter) pass_vote(meta, &leaving);
    pass_place(meta, node->node_id, leaving.with);
    node->leaving = true;
    node->replaced_by = leaving.with;
    if (node->incarnation == 0) {
        meta__remove_node(&meta->state, node->node_id); /* it never was anywhere */
    } else {
        meta__store_node(&meta->state, node);
    }
}

static bool is_in(const uint64_t *ids, uint32_t count, uint64_t id)
{
    for (uint32_t i = 0; i < count; i++) {
        if (ids[i] == id) return true;
    }
    return false;
}

/* Who takes a place on a new partition that was chosen for a node that leaves. 0: nobody is left. */
static uint64_t stand_in(const struct meta_state *meta, const uint64_t *ids, uint32_t count)
{
    struct meta_node nodes[META_NODES_MAX];
    const uint32_t nodes_count = load_nodes(meta, nodes);
    for (uint32_t i = 0; i < nodes_count; i++) {
        if (nodes[i].leaving || nodes[i].incarnation == 0) continue;
        if (!is_in(ids, count, nodes[i].node_id)) return nodes[i].node_id;
    }
    return 0;
}

uint32_t meta__avoid_leaving(const struct meta_state *meta, uint64_t *ids, uint32_t count)
{
    for (uint32_t i = 0; i < count;) {
        struct meta_node node;
        if (!meta__load_node(meta->state, ids[i], &node) || !node.leaving) {
            i++;
            continue;
        }
        const uint64_t next = stand_in(meta, ids, count);
        if (next != 0) {
            ids[i++] = next;
        } else if (count == 1) {
            i++; /* better there than nowhere */
        } else {
            memmove(&ids[i], &ids[i + 1], (count - i - 1u) * sizeof(*ids));
            count--;
        }
    }
    return count;
}

void meta__apply_node_remove(struct meta_state *meta, uint64_t index,
                             const struct meta_command *command, struct meta_result *result)
{
    struct meta_node node;
    if (!meta__load_node(meta->state, command->change.node_id, &node)) {
        result->status = META_UNKNOWN_NODE;
    } else if (node.leaving) {
        result->status = node.replaced_by == 0 ? META_OK : META_CHANGE_RUNNING;
    } else {
        leave(meta, command, index, &node, result);
    }
}

void meta__apply_node_replace(struct meta_state *meta, uint64_t index,
                              const struct meta_command *command, struct meta_result *result)
{
    struct meta_node node, with;
    if (!meta__load_node(meta->state, command->change.node_id, &node) ||
        !meta__load_node(meta->state, command->change.with, &with)) {
        result->status = META_UNKNOWN_NODE;
    } else if (node.leaving) {
        result->status = node.replaced_by == command->change.with ? META_OK : META_CHANGE_RUNNING;
    } else if (with.leaving) {
        result->status = META_NODE_LEAVING;
    } else {
        leave(meta, command, index, &node, result);
    }
}

/* ---- one partition -------------------------------------------------------------------------------------------------------- */

static bool is_same_wish(const struct meta_partition *partition, const uint64_t *nodes,
                         uint32_t nodes_count)
{
    if (partition->replicas_count != nodes_count) return false;
    for (uint32_t i = 0; i < nodes_count; i++) {
        if (!is_wished(partition, nodes[i])) return false;
    }
    return true;
}

static enum meta_result_status judge_nodes(const struct meta_state *meta, const uint64_t *nodes,
                                           uint32_t nodes_count)
{
    for (uint32_t i = 0; i < nodes_count; i++) {
        struct meta_node node;
        if (!meta__load_node(meta->state, nodes[i], &node)) return META_UNKNOWN_NODE;
        if (node.leaving) return META_NODE_LEAVING;
    }
    return META_OK;
}

void meta__apply_place(struct meta_state *meta, uint64_t index, const struct meta_command *command,
                       struct meta_result *result)
{
    char name[META_TOPIC_NAME_BYTES_MAX + 1];
    struct meta_partition partition;
    if (!meta__load_group(meta->state, command->place.group, name, &partition)) {
        result->status = META_PARTITION_NOT_FOUND;
        return;
    }
    result->status = judge_nodes(meta, command->place.nodes, command->place.nodes_count);
    if (result->status != META_OK) return;
    const bool grows = command->place.grows_wish != 0;
    if (grows && (partition.wish_index != command->place.grows_wish || !partition.settled)) {
        result->status = META_STALE; /* the operator was faster */
        return;
    }
    if (is_same_wish(&partition, command->place.nodes, command->place.nodes_count)) {
        if (grows || partition.replicas_wanted == command->place.nodes_count) return;
        partition.replicas_wanted = command->place.nodes_count;
        meta__store_group(&meta->state, name, &partition);
        result->changed = true;
        return;
    }
    if (!grows) partition.replicas_wanted = command->place.nodes_count;

    const struct meta_partition before = partition;
    partition.replicas_count = 0;
    for (uint32_t i = 0; i < command->place.nodes_count; i++) {
        const uint64_t id = command->place.nodes[i];
        const uint32_t at = find_replica(before.replicas, before.replicas_count, id);
        partition.replicas[partition.replicas_count++] =
            at < before.replicas_count ? before.replicas[at] : new_replica(&partition, id, index);
    }
    for (uint32_t i = 0; i < before.replicas_count; i++) {
        if (!is_wished(&partition, before.replicas[i].node_id)) {
            linger(meta, &partition, before.replicas[i]);
        }
    }
    store_wish(meta, name, &partition, index);
    result->changed = true;
}

/* ---- one replica that is over ----------------------------------------------------------------------------------------------- */

static void renew_meta_replica(struct meta_state *meta, uint64_t index,
                               const struct meta_command *command, struct meta_result *result)
{
    struct meta_node node;
    if (!meta__load_node(meta->state, command->renew.node_id, &node)) {
        result->status = META_UNKNOWN_NODE;
    } else if (command->renew.epoch < meta_node_epoch_min(&node)) {
        result->status = META_STALE;
    } else {
        node.renewed_index = index;
        meta__store_node(&meta->state, &node);
        result->changed = true;
    }
}

void meta__apply_replica_renew(struct meta_state *meta, uint64_t index,
                               const struct meta_command *command, struct meta_result *result)
{
    if (command->renew.group == 0) {
        renew_meta_replica(meta, index, command, result);
        return;
    }
    char name[META_TOPIC_NAME_BYTES_MAX + 1];
    struct meta_partition partition;
    if (!meta__load_group(meta->state, command->renew.group, name, &partition)) {
        result->status = META_PARTITION_NOT_FOUND;
        return;
    }
    const uint64_t node_id = command->renew.node_id;
    const uint64_t epoch = command->renew.epoch;
    uint32_t at = find_replica(partition.replicas, partition.replicas_count, node_id);
    if (at < partition.replicas_count && partition.replicas[at].epoch == epoch) {
        partition.replicas[at].epoch = index;
        result->changed = true;
        store_wish(meta, name, &partition, index);
        return;
    }
    at = find_replica(partition.lingering, partition.lingering_count, node_id);
    if (at < partition.lingering_count && partition.lingering[at].epoch == epoch) {
        (void)forget_lingering(&partition, node_id, NULL); /* dead: the group goes on without it */
        result->changed = true;
        meta__store_group(&meta->state, name, &partition);
        return;
    }
    result->status = META_STALE;
}

/* ---- what a group's leader tells ------------------------------------------------------------------------------------------- */

static bool is_member(const struct meta_command *command, uint64_t node_id)
{
    for (uint32_t i = 0; i < command->record.members_count; i++) {
        if (command->record.members[i].node_id == node_id) return true;
    }
    return false;
}

/* Nodes that left every group. One that leaves is wished nowhere again, so it stays out of all of them. */
static void forget_nodes(struct meta_state *meta, const struct meta_command *command,
                         struct meta_result *result)
{
    struct meta_node nodes[META_NODES_MAX];
    const uint32_t count = load_nodes(meta, nodes);
    for (uint32_t i = 0; i < count; i++) {
        if (!nodes[i].leaving || is_member(command, nodes[i].node_id)) continue;
        if (meta_node_is_held(meta, nodes[i].node_id)) continue;
        meta__remove_node(&meta->state, nodes[i].node_id);
        result->changed = true;
    }
}

/* The members are the wish, to the epoch. */
static bool fulfils(const struct meta_command *command, const struct meta_partition *partition)
{
    if (command->record.members_count != partition->replicas_count) return false;
    for (uint32_t i = 0; i < partition->replicas_count; i++) {
        const struct meta_member *member = &command->record.members[i];
        const uint32_t at =
            find_replica(partition->replicas, partition->replicas_count, member->node_id);
        if (at == partition->replicas_count || !member->voter) return false;
        if (partition->replicas[at].epoch != member->epoch) return false;
    }
    return true;
}

void meta__apply_config_record(struct meta_state *meta, const struct meta_command *command,
                               struct meta_result *result)
{
    char name[META_TOPIC_NAME_BYTES_MAX + 1];
    struct meta_partition partition;
    if (command->record.group == 0) {
        forget_nodes(meta, command, result);
        return;
    }
    if (!meta__load_group(meta->state, command->record.group, name, &partition)) {
        result->status = META_PARTITION_NOT_FOUND;
        return;
    }
    /* An equal wish is not enough: it may have been another one in between, and the group have followed that. */
    if (command->record.wish_index != partition.wish_index || !fulfils(command, &partition)) {
        result->status = META_STALE;
        return;
    }
    result->changed = !partition.settled;
    partition.settled = true;
    partition.lingering_count = 0;
    partition.configuration_index = command->record.configuration_index;
    meta__store_group(&meta->state, name, &partition);
}
