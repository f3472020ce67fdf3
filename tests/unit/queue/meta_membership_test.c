/* Members of the cluster in the state of group 0: who is known, what is wished, what may be dropped (PROTOCOL M4, M5, M9). */
#include "queue_support.h"

#include <stdio.h>

static struct meta_state meta;

static struct meta_result apply(const struct meta_command *command)
{
    static uint8_t payload[32768];
    struct meta_result result;
    const size_t bytes = meta_command_encode(command, payload, sizeof payload);
    cr_assert_gt(bytes, 0);
    const struct entry_header header = {.type = ENTRY_META,
                                        .payload_bytes = (uint32_t)bytes,
                                        .index = meta.applied_index + 1,
                                        .term = 1};
    cr_assert(meta_apply(&meta, &header, payload, &result));
    cr_assert_eq(result.type, command->type);
    return result;
}

static struct meta_result set_node(uint64_t id, uint64_t incarnation, bool founder, bool voter)
{
    struct meta_command *command = calloc(1, sizeof *command);
    command->type = META_NODE_SET;
    command->node.node_id = id;
    command->node.incarnation = incarnation;
    command->node.voter = voter;
    command->founder = founder;
    struct meta_node known;
    if (meta_node_get(&meta, id, &known) && known.incarnation != incarnation) {
        command->replaces = known.incarnation;
    }
    snprintf(command->node.http_address, META_ADDRESS_BYTES_MAX, "http-%u", (unsigned)incarnation);
    const struct meta_result result = apply(command);
    free(command);
    return result;
}

static struct meta_result change(enum meta_command_type type, uint64_t id, uint64_t with)
{
    struct meta_command *command = calloc(1, sizeof *command);
    command->type = type;
    command->change.node_id = id;
    command->change.with = with;
    command->change.shrinks = type == META_NODE_REMOVE;
    if (type == META_NODE_ADD) snprintf(command->change.peer_address, 32, "peer-%u", (unsigned)id);
    const struct meta_result result = apply(command);
    free(command);
    return result;
}

static struct meta_result remove_and_keep(uint64_t id, const uint64_t *spares, uint32_t count,
                                          bool shrinks)
{
    struct meta_command *command = calloc(1, sizeof *command);
    command->type = META_NODE_REMOVE;
    command->change.shrinks = shrinks;
    command->change.node_id = id;
    if (count > 0) memcpy(command->change.spares, spares, count * sizeof *spares);
    command->change.spares_count = count;
    const struct meta_result result = apply(command);
    free(command);
    return result;
}

static struct meta_result remove_with(uint64_t id, const uint64_t *spares, uint32_t count)
{
    return remove_and_keep(id, spares, count, /* shrinks= */ true);
}

static struct meta_result place(uint64_t group, const uint64_t *nodes, uint32_t count)
{
    struct meta_command *command = calloc(1, sizeof *command);
    command->type = META_PLACE;
    command->place.group = group;
    memcpy(command->place.nodes, nodes, count * sizeof *nodes);
    command->place.nodes_count = count;
    const struct meta_result result = apply(command);
    free(command);
    return result;
}

static struct meta_partition partition_of(uint64_t group)
{
    struct meta_partition partition;
    cr_assert(meta_group_find(&meta, group, NULL, &partition, NULL));
    return partition;
}

/* What the leader of a group whose configuration is the wish would tell. */
static struct meta_command *record_of(uint64_t group, uint64_t configuration_index)
{
    const struct meta_partition partition = partition_of(group);
    struct meta_command *command = calloc(1, sizeof *command);
    command->type = META_CONFIG_RECORD;
    command->record.group = group;
    command->record.configuration_index = configuration_index;
    command->record.wish_index = partition.wish_index;
    command->record.members_count = partition.replicas_count;
    for (uint32_t i = 0; i < partition.replicas_count; i++) {
        command->record.members[i] = (struct meta_member){.node_id = partition.replicas[i].node_id,
                                                          .epoch = partition.replicas[i].epoch,
                                                          .voter = true};
    }
    return command;
}

static struct meta_result settle(uint64_t group, uint64_t configuration_index)
{
    struct meta_command *command = record_of(group, configuration_index);
    const struct meta_result result = apply(command);
    free(command);
    return result;
}

/* Group 0 has these members and no others. */
static struct meta_result record_meta(const uint64_t *nodes, uint32_t count)
{
    struct meta_command *command = calloc(1, sizeof *command);
    command->type = META_CONFIG_RECORD;
    command->record.configuration_index = 1;
    command->record.members_count = count;
    for (uint32_t i = 0; i < count; i++) {
        command->record.members[i] = (struct meta_member){.node_id = nodes[i], .voter = true};
    }
    const struct meta_result result = apply(command);
    free(command);
    return result;
}

static void create(const char *name, uint32_t partitions, uint32_t replicas)
{
    struct meta_command *command = calloc(1, sizeof *command);
    command->type = META_TOPIC_CREATE;
    snprintf(command->create.name, sizeof command->create.name, "%s", name);
    command->create.settings = (struct meta_settings){
        .message_bytes_max = 1048576, .retention_ms = -1, .retention_bytes = -1};
    command->create.partitions_count = partitions;
    command->create.replicas_count = replicas;
    for (uint32_t i = 0; i < partitions; i++) {
        for (uint32_t j = 0; j < replicas; j++)
            command->create.replicas[i][j] = 1 + j;
    }
    free(apply(command).topic);
    free(command);
}

/* Three founders, and groups 1 and 2 on all of them, placed at index 4. */
static void found(void)
{
    meta_init(&meta);
    for (uint64_t id = 1; id <= 3; id++) {
        cr_assert(set_node(id, id * 10, true, true).changed);
    }
    create("orders", 2, 3);
}

static struct meta_node node_of(uint64_t id)
{
    struct meta_node node;
    cr_assert(meta_node_get(&meta, id, &node), "n%u is unknown", (unsigned)id);
    return node;
}

static bool is_known(uint64_t id)
{
    struct meta_node node;
    return meta_node_get(&meta, id, &node);
}

static void expect_replicas(const struct meta_replica *replicas, uint32_t count,
                            const uint64_t *expected, uint32_t expected_count)
{
    cr_assert_eq(count, expected_count);
    for (uint32_t i = 0; i < count; i++) {
        cr_assert_eq(replicas[i].node_id, expected[2 * i], "replica %u", i);
        cr_assert_eq(replicas[i].epoch, expected[2 * i + 1], "epoch of replica %u", i);
    }
}

#define expect_wish(group, ...)                                                    \
    do {                                                                           \
        const uint64_t expected_[] = {__VA_ARGS__};                                \
        const struct meta_partition partition_ = partition_of(group);              \
        expect_replicas(partition_.replicas, partition_.replicas_count, expected_, \
                        sizeof expected_ / 16u);                                   \
    } while (0)

#define expect_lingering(group, ...)                                                 \
    do {                                                                             \
        const uint64_t expected_[] = {__VA_ARGS__};                                  \
        const struct meta_partition partition_ = partition_of(group);                \
        expect_replicas(partition_.lingering, partition_.lingering_count, expected_, \
                        sizeof expected_ / 16u);                                     \
    } while (0)

/* ---- nodes ------------------------------------------------------------------------------------------------------------ */

Test(meta_membership, founders_register_with_incarnation_index_0_and_the_votes_of_the_founding)
{
    meta_init(&meta);
    for (uint64_t id = 1; id <= 7; id++) {
        cr_assert_eq(set_node(id, id * 10, true, id <= 5).status, META_OK);
    }
    for (uint64_t id = 1; id <= 7; id++) {
        cr_assert_eq(node_of(id).incarnation_index, 0);
        cr_assert_eq(node_of(id).voter, id <= 5);
    }
    cr_assert_not(set_node(7, 70, true, false).changed, "a second time");
    meta_close(&meta);
}

Test(meta_membership, a_node_that_nobody_admitted_is_not_let_in)
{
    found();
    cr_assert_eq(set_node(4, 40, false, false).status, META_UNKNOWN_NODE);
    cr_assert_not(is_known(4));
    cr_assert(change(META_NODE_ADD, 4, 0).changed);
    cr_assert_eq(node_of(4).incarnation, 0);
    cr_assert_str_eq(node_of(4).peer_address, "peer-4");
    cr_assert_not(change(META_NODE_ADD, 4, 0).changed, "asked again");
    const struct meta_result result = set_node(4, 40, false, false);
    cr_assert_eq(result.status, META_OK);
    cr_assert_eq(node_of(4).incarnation, 40);
    cr_assert_eq(node_of(4).incarnation_index, meta.applied_index);
    cr_assert(node_of(4).voter, "of group 0, which has fewer than five");
    cr_assert_str_eq(node_of(4).peer_address, "peer-4", "it told none");
    cr_assert_eq(change(META_NODE_ADD, 4, 0).status, META_OK);
    meta_close(&meta);
}

Test(meta_membership, a_registered_node_is_not_admitted_by_another_address)
{
    found();
    cr_assert_eq(change(META_NODE_ADD, 3, 0).status, META_NODE_EXISTS);
    cr_assert_eq(node_of(3).incarnation, 30);
    meta_close(&meta);
}

Test(meta_membership, the_number_of_nodes_and_of_votes_is_bounded)
{
    found();
    for (uint64_t id = 4; id <= META_NODES_MAX; id++) {
        cr_assert(change(META_NODE_ADD, id, 0).changed);
        set_node(id, id * 10, false, true);
    }
    cr_assert_eq(change(META_NODE_ADD, META_NODES_MAX + 1u, 0).status, META_TOO_MANY_NODES);
    uint32_t voters = 0;
    for (uint64_t id = 1; id <= META_NODES_MAX; id++) {
        if (node_of(id).voter) voters++;
    }
    cr_assert_eq(voters, META_VOTERS_MAX);
    meta_close(&meta);
}

Test(meta_membership, a_new_incarnation_gets_new_epochs_everywhere)
{
    found();
    expect_wish(1, 1, 4, 2, 4, 3, 4);
    cr_assert(set_node(2, 21, false, false).changed);
    const uint64_t index = meta.applied_index;
    cr_assert_eq(node_of(2).incarnation, 21);
    cr_assert_eq(node_of(2).incarnation_index, index);
    cr_assert(node_of(2).voter, "as before");
    for (uint64_t group = 1; group <= 2; group++) {
        expect_wish(group, 1, 4, 2, index, 3, 4);
        cr_assert_eq(partition_of(group).lingering_count, 0, "the old replica is dead");
        cr_assert_not(partition_of(group).settled);
        cr_assert_not(meta_replica_is_held(&meta, group, 2, 4));
        cr_assert(meta_replica_is_held(&meta, group, 2, index));
    }
    meta_close(&meta);
}

Test(meta_membership, what_the_founding_says_of_an_emptied_node_is_stale)
{
    found();
    set_node(2, 21, false, false);
    const uint64_t digest = tree_digest(meta.state);
    cr_assert_eq(set_node(2, 20, true, true).status, META_STALE);
    cr_assert_eq(tree_digest(meta.state), digest);
    meta_close(&meta);
}

/* The request of an incarnation that was replaced before it came: passed on by somebody who slept meanwhile (M2). */
Test(meta_membership, an_incarnation_joins_only_in_the_place_of_the_one_that_it_was_told_of)
{
    found();
    struct meta_command *late = calloc(1, sizeof *late);
    late->type = META_NODE_SET;
    late->node.node_id = 2;
    late->node.incarnation = 21;
    late->replaces = 20;
    cr_assert(set_node(2, 22, false, false).changed, "it was emptied once more");
    const uint64_t digest = tree_digest(meta.state);
    cr_assert_eq(apply(late).status, META_STALE);
    cr_assert_eq(tree_digest(meta.state), digest);
    late->replaces = 22;
    cr_assert(apply(late).changed);
    free(late);
    meta_close(&meta);
}

/* ---- as many replicas as are wanted -------------------------------------------------------------------------------------- */

static struct meta_result grow(uint64_t group, const uint64_t *nodes, uint32_t count, uint64_t wish)
{
    struct meta_command *command = calloc(1, sizeof *command);
    command->type = META_PLACE;
    command->place.group = group;
    memcpy(command->place.nodes, nodes, count * sizeof *nodes);
    command->place.nodes_count = count;
    command->place.grows_wish = wish;
    const struct meta_result result = apply(command);
    free(command);
    return result;
}

Test(meta_membership, a_removal_leaves_fewer_replicas_than_wanted_only_when_that_is_agreed_to)
{
    found();
    const uint64_t digest = tree_digest(meta.state);
    cr_assert_eq(remove_and_keep(3, NULL, 0, false).status, META_NOT_ENOUGH_NODES);
    cr_assert_eq(tree_digest(meta.state), digest);
    change(META_NODE_ADD, 4, 0);
    set_node(4, 40, false, false);
    cr_assert(remove_and_keep(3, (const uint64_t[]){4}, 1, false).changed, "another one takes it");
    cr_assert_eq(partition_of(1).replicas_count, 3);
    settle(1, 50);
    settle(2, 51);
    cr_assert(remove_and_keep(4, NULL, 0, true).changed);
    cr_assert_eq(partition_of(1).replicas_count, 2);
    cr_assert_eq(partition_of(1).replicas_wanted, 3);
    meta_close(&meta);
}

Test(meta_membership, a_partition_grows_back_only_from_the_wish_that_was_looked_at)
{
    found();
    cr_assert(remove_and_keep(3, NULL, 0, true).changed);
    settle(1, 50);
    const uint64_t wish = partition_of(1).wish_index;
    change(META_NODE_ADD, 4, 0);
    set_node(4, 40, false, false);
    cr_assert_eq(grow(1, (const uint64_t[]){1, 2, 4}, 3, wish + 1u).status, META_STALE);
    cr_assert_eq(grow(2, (const uint64_t[]){1, 2, 4}, 3, partition_of(2).wish_index).status,
                 META_STALE, "not settled");
    cr_assert(grow(1, (const uint64_t[]){1, 2, 4}, 3, wish).changed);
    cr_assert_eq(partition_of(1).replicas_wanted, 3);
    cr_assert(place(1, (const uint64_t[]){1, 2}, 2).changed);
    cr_assert_eq(partition_of(1).replicas_wanted, 2, "the operator wants no more");
    meta_close(&meta);
}

/* ---- single replicas (D2, D6, V3, M5) -------------------------------------------------------------------------------------- */

static struct meta_result renew(uint64_t group, uint64_t node_id, uint64_t epoch)
{
    struct meta_command *command = calloc(1, sizeof *command);
    command->type = META_REPLICA_RENEW;
    command->renew.group = group;
    command->renew.node_id = node_id;
    command->renew.epoch = epoch;
    const struct meta_result result = apply(command);
    free(command);
    return result;
}

Test(meta_membership, one_lost_replica_gets_a_new_epoch_and_no_other_does)
{
    found();
    cr_assert(renew(1, 2, 4).changed);
    const uint64_t index = meta.applied_index;
    expect_wish(1, 1, 4, 2, index, 3, 4);
    expect_wish(2, 1, 4, 2, 4, 3, 4);
    cr_assert_not(partition_of(1).settled);
    cr_assert_eq(partition_of(1).lingering_count, 0, "the lost one is dead");
    cr_assert_not(meta_replica_is_held(&meta, 1, 2, 4));
    cr_assert_eq(node_of(2).incarnation_index, 0);
    cr_assert_eq(meta_node_epoch_min(&(struct meta_node){.incarnation_index = 3}), 3);
    meta_close(&meta);
}

Test(meta_membership, a_replica_is_renewed_once_however_often_it_is_told)
{
    found();
    cr_assert(renew(1, 2, 4).changed);
    const uint64_t index = meta.applied_index;
    const uint64_t digest = tree_digest(meta.state);
    cr_assert_eq(renew(1, 2, 4).status, META_STALE);
    cr_assert_eq(renew(1, 4, 4).status, META_STALE, "it has none there");
    cr_assert_eq(renew(9, 2, 4).status, META_PARTITION_NOT_FOUND);
    cr_assert_eq(tree_digest(meta.state), digest);
    cr_assert(renew(1, 2, index).changed, "that one may be lost, too");
    meta_close(&meta);
}

Test(meta_membership, a_lost_replica_that_leaves_lingers_no_more)
{
    found();
    cr_assert(place(1, (const uint64_t[]){1, 3}, 2).changed);
    expect_lingering(1, 2, 4);
    cr_assert(renew(1, 2, 4).changed);
    cr_assert_eq(partition_of(1).lingering_count, 0);
    expect_wish(1, 1, 4, 3, 4);
    meta_close(&meta);
}

Test(meta_membership, a_lost_replica_of_group_0_is_over_for_its_node_alone)
{
    found();
    cr_assert(renew(0, 2, 0).changed);
    const uint64_t index = meta.applied_index;
    const struct meta_node renewed = node_of(2), other = node_of(1);
    cr_assert_eq(meta_node_epoch_min(&renewed), index);
    cr_assert_eq(meta_node_epoch_min(&other), 0);
    cr_assert(renewed.voter, "as before");
    expect_wish(1, 1, 4, 2, 4, 3, 4);
    const uint64_t digest = tree_digest(meta.state);
    cr_assert_eq(renew(0, 2, 0).status, META_STALE, "a second time");
    cr_assert_eq(renew(0, 9, 0).status, META_UNKNOWN_NODE);
    cr_assert_eq(tree_digest(meta.state), digest);
    cr_assert(renew(0, 2, index + 1u).changed, "the next one was lost, too");
    cr_assert(set_node(2, 21, false, false).changed);
    const struct meta_node emptied = node_of(2);
    cr_assert_eq(meta_node_epoch_min(&emptied), emptied.incarnation_index);
    meta_close(&meta);
}

Test(meta_membership, a_new_address_alone_changes_no_epoch)
{
    found();
    struct meta_command *command = calloc(1, sizeof *command);
    command->type = META_NODE_SET;
    command->node.node_id = 2;
    command->node.incarnation = 20;
    strcpy(command->node.http_address, "elsewhere:7070");
    strcpy(command->node.peer_address, "elsewhere:7071");
    cr_assert_not(apply(command).changed);
    free(command);
    cr_assert_str_eq(node_of(2).http_address, "elsewhere:7070");
    cr_assert_str_eq(node_of(2).peer_address, "elsewhere:7071");
    cr_assert_eq(node_of(2).incarnation_index, 0);
    expect_wish(1, 1, 4, 2, 4, 3, 4);
    meta_close(&meta);
}

/* ---- the wish of a partition --------------------------------------------------------------------------------------------- */

Test(meta_membership, who_stays_keeps_its_epoch_and_who_leaves_lingers)
{
    found();
    change(META_NODE_ADD, 4, 0);
    set_node(4, 40, false, false);
    cr_assert(place(1, (const uint64_t[]){4, 1, 3}, 3).changed);
    const uint64_t index = meta.applied_index;
    expect_wish(1, 4, index, 1, 4, 3, 4);
    expect_lingering(1, 2, 4);
    cr_assert_eq(partition_of(1).wish_index, index);
    cr_assert_eq(partition_of(1).founders_count, 3);
    cr_assert_eq(partition_of(1).founders[1].node_id, 2);
    cr_assert(meta_replica_is_held(&meta, 1, 2, 4), "the group may count on it");
    cr_assert_not(place(1, (const uint64_t[]){1, 3, 4}, 3).changed, "the order says nothing");
    expect_wish(2, 1, 4, 2, 4, 3, 4);
    meta_close(&meta);
}

Test(meta_membership, only_a_record_of_the_present_wish_lets_a_replica_go)
{
    found();
    place(1, (const uint64_t[]){1, 3}, 2);
    struct meta_command *early = record_of(1, 90);
    place(1, (const uint64_t[]){1}, 1);
    place(1, (const uint64_t[]){1, 3}, 2);
    expect_wish(1, 1, 4, 3, 4);
    cr_assert_eq(apply(early).status, META_STALE, "the same wish, and another one in between");
    cr_assert(meta_replica_is_held(&meta, 1, 2, 4));
    struct meta_command *other = record_of(1, 91);
    other->record.members[1].epoch = 5;
    cr_assert_eq(apply(other).status, META_STALE, "another replica of that node");
    free(other);
    other = record_of(1, 91);
    other->record.members[1].voter = false;
    cr_assert_eq(apply(other).status, META_STALE, "a learner");
    free(other);
    other = record_of(1, 91);
    other->record.members_count = 1;
    cr_assert_eq(apply(other).status, META_STALE, "too few");
    cr_assert(meta_replica_is_held(&meta, 1, 2, 4));

    cr_assert(settle(1, 92).changed);
    cr_assert_not(meta_replica_is_held(&meta, 1, 2, 4));
    cr_assert(meta_replica_is_held(&meta, 1, 3, 4));
    cr_assert(partition_of(1).settled);
    cr_assert_eq(partition_of(1).configuration_index, 92);
    cr_assert_not(settle(1, 92).changed);
    free(other);
    free(early);
    meta_close(&meta);
}

Test(meta_membership, a_replica_wished_again_before_it_went_gets_its_old_epoch)
{
    found();
    place(1, (const uint64_t[]){1, 3}, 2);
    place(1, (const uint64_t[]){1, 2, 3}, 3);
    expect_wish(1, 1, 4, 2, 4, 3, 4);
    cr_assert_eq(partition_of(1).lingering_count, 0);
    place(1, (const uint64_t[]){1, 3}, 2);
    settle(1, 50);
    place(1, (const uint64_t[]){1, 2, 3}, 3);
    expect_wish(1, 1, 4, 2, meta.applied_index, 3, 4);
    meta_close(&meta);
}

Test(meta_membership, nothing_is_placed_on_unknown_or_leaving_nodes)
{
    found();
    const uint64_t digest = tree_digest(meta.state);
    cr_assert_eq(place(1, (const uint64_t[]){1, 4}, 2).status, META_UNKNOWN_NODE);
    cr_assert_eq(place(9, (const uint64_t[]){1, 2}, 2).status, META_PARTITION_NOT_FOUND);
    cr_assert_eq(tree_digest(meta.state), digest);
    change(META_NODE_REMOVE, 3, 0);
    cr_assert_eq(place(1, (const uint64_t[]){1, 3}, 2).status, META_NODE_LEAVING);
    meta_close(&meta);
}

/* ---- nodes that go ---------------------------------------------------------------------------------------------------------- */

/* The leader chose the nodes before it applied the removal that stands before the creation in the log. */
Test(meta_membership, a_topic_that_is_created_while_a_node_leaves_is_not_put_on_it)
{
    found();
    change(META_NODE_ADD, 4, 0);
    set_node(4, 40, false, false);
    remove_with(2, NULL, 0);
    create("with-spare", 1, 3);
    const struct meta_partition partition = partition_of(3);
    cr_assert_eq(partition.replicas_count, 3);
    cr_assert_eq(partition.replicas[1].node_id, 4, "it stands in for node 2");
    cr_assert_eq(partition.founders[1].node_id, 4);
    remove_with(4, NULL, 0);
    remove_with(1, NULL, 0);
    create("without", 1, 3);
    cr_assert_eq(partition_of(4).replicas_count, 1);
    cr_assert_eq(partition_of(4).replicas[0].node_id, 3);
    cr_assert_eq(partition_of(4).first_leader, 3);
    meta_close(&meta);
}

Test(meta_membership, the_replacement_takes_every_place_and_the_vote)
{
    found();
    change(META_NODE_ADD, 4, 0);
    cr_assert(change(META_NODE_REPLACE, 3, 4).changed);
    const uint64_t index = meta.applied_index;
    for (uint64_t group = 1; group <= 2; group++) {
        expect_wish(group, 1, 4, 2, 4, 4, index);
        expect_lingering(group, 3, 4);
    }
    cr_assert(node_of(4).voter);
    cr_assert(node_of(3).leaving);
    cr_assert_eq(node_of(3).replaced_by, 4);
    cr_assert_eq(change(META_NODE_REPLACE, 3, 4).status, META_OK, "asked again");
    cr_assert_eq(change(META_NODE_REPLACE, 3, 1).status, META_CHANGE_RUNNING);
    cr_assert_eq(change(META_NODE_REMOVE, 3, 0).status, META_CHANGE_RUNNING);
    cr_assert_eq(change(META_NODE_REPLACE, 2, 3).status, META_NODE_LEAVING);
    cr_assert_eq(change(META_NODE_REPLACE, 2, 9).status, META_UNKNOWN_NODE);
    cr_assert_eq(change(META_NODE_REPLACE, 9, 2).status, META_UNKNOWN_NODE);
    cr_assert_eq(change(META_NODE_ADD, 3, 0).status, META_NODE_LEAVING);
    cr_assert_eq(set_node(3, 31, false, false).status, META_NODE_LEAVING, "emptied meanwhile");
    set_node(4, 40, false, false);
    expect_wish(1, 1, 4, 2, 4, 4, meta.applied_index);
    meta_close(&meta);
}

Test(meta_membership, a_replacement_that_never_came_is_replaced_itself)
{
    found();
    change(META_NODE_ADD, 4, 0);
    change(META_NODE_ADD, 5, 0);
    change(META_NODE_REPLACE, 3, 4);
    cr_assert(change(META_NODE_REPLACE, 4, 5).changed);
    expect_wish(1, 1, 4, 2, 4, 5, meta.applied_index);
    expect_lingering(1, 3, 4);
    cr_assert_eq(node_of(3).replaced_by, 5);
    cr_assert(node_of(5).voter);
    cr_assert_not(is_known(4), "it never was anywhere");
    meta_close(&meta);
}

Test(meta_membership, a_removed_node_is_known_until_no_group_holds_it)
{
    found();
    cr_assert(change(META_NODE_REMOVE, 3, 0).changed);
    expect_wish(1, 1, 4, 2, 4);
    cr_assert_eq(change(META_NODE_REMOVE, 3, 0).status, META_OK, "asked again");
    cr_assert_not(record_meta((const uint64_t[]){1, 2}, 2).changed);
    cr_assert(is_known(3));
    settle(1, 10);
    cr_assert_not(record_meta((const uint64_t[]){1, 2}, 2).changed, "group 2 may hold it");
    settle(2, 11);
    cr_assert_not(meta_node_is_held(&meta, 3));
    cr_assert_not(record_meta((const uint64_t[]){1, 2, 3}, 3).changed, "group 0 does");
    cr_assert(is_known(3));
    cr_assert(record_meta((const uint64_t[]){1, 2}, 2).changed);
    cr_assert_not(is_known(3));
    cr_assert(is_known(1), "it does not leave");
    cr_assert_eq(change(META_NODE_REMOVE, 3, 0).status, META_UNKNOWN_NODE);
    meta_close(&meta);
}

Test(meta_membership, spares_take_the_places_in_turn_and_one_takes_the_vote)
{
    found();
    for (uint64_t id = 4; id <= 7; id++) {
        change(META_NODE_ADD, id, 0);
        if (id != 6) set_node(id, id * 10, false, false);
    }
    cr_assert_not(node_of(7).voter, "the sixth to join");
    cr_assert(remove_with(3, (const uint64_t[]){6, 7, 1, 4}, 4).changed);
    const uint64_t index = meta.applied_index;
    /* 6 has not joined and 1 is there already. */
    expect_wish(1, 1, 4, 2, 4, 4, index);
    expect_wish(2, 1, 4, 2, 4, 4, index);
    cr_assert(node_of(7).voter);
    meta_close(&meta);
}

/* M9: nobody was there to take the vote, and somebody comes back. */
Test(meta_membership, a_vote_that_nobody_took_is_given_later_while_fewer_than_five_vote)
{
    found();
    for (uint64_t id = 4; id <= 7; id++) {
        change(META_NODE_ADD, id, 0);
        set_node(id, id * 10, false, false);
    }
    change(META_NODE_ADD, 8, 0);
    cr_assert_not(set_node(6, 60, false, true).changed, "five vote already");
    cr_assert_not(node_of(6).voter);
    cr_assert(remove_with(3, NULL, 0).changed);
    cr_assert_not(node_of(6).voter || node_of(7).voter, "of no use to anybody who is away");
    cr_assert_not(set_node(6, 60, false, false).changed, "its address alone");
    cr_assert_not(set_node(3, 30, false, true).changed, "it leaves");
    cr_assert_not(set_node(6, 60, true, true).changed, "the founding is told again");
    cr_assert_not(node_of(6).voter);
    const struct meta_result result = set_node(6, 60, false, true);
    cr_assert_eq(result.status, META_OK);
    cr_assert(result.changed);
    cr_assert(node_of(6).voter);
    cr_assert_eq(node_of(6).incarnation_index, 10, "it is the same replica");
    cr_assert_not(set_node(6, 60, false, true).changed, "told twice");
    cr_assert_not(set_node(7, 70, false, true).changed, "five vote again");
    cr_assert_not(node_of(7).voter);
    meta_close(&meta);
}

Test(meta_membership, a_replica_that_lingers_there_is_taken_up_again_by_a_spare)
{
    found();
    place(1, (const uint64_t[]){1, 2}, 2);
    cr_assert(remove_with(2, (const uint64_t[]){3}, 1).changed);
    expect_wish(1, 1, 4, 3, 4);
    expect_lingering(1, 2, 4);
    expect_wish(2, 1, 4, 3, 4);
    meta_close(&meta);
}

Test(meta_membership, nobody_leaves_who_is_the_last_of_a_partition)
{
    found();
    place(1, (const uint64_t[]){3}, 1);
    const uint64_t digest = tree_digest(meta.state);
    cr_assert_eq(change(META_NODE_REMOVE, 3, 0).status, META_NOT_ENOUGH_NODES);
    cr_assert_eq(tree_digest(meta.state), digest, "group 2 keeps it, too");
    cr_assert(remove_with(3, (const uint64_t[]){2}, 1).changed);
    expect_wish(1, 2, 4);
    meta_close(&meta);
}

Test(meta_membership, a_replacement_that_is_a_replica_already_leaves_its_partner_to_a_spare)
{
    found();
    change(META_NODE_ADD, 4, 0);
    set_node(4, 40, false, false);
    struct meta_command *command = calloc(1, sizeof *command);
    command->type = META_NODE_REPLACE;
    command->change.node_id = 3;
    command->change.with = 2;
    command->change.spares[0] = 4;
    command->change.spares_count = 1;
    cr_assert(apply(command).changed);
    free(command);
    expect_wish(1, 1, 4, 2, 4, 4, meta.applied_index);
    meta_close(&meta);
}

/* A slip of the operator's shall not cost a replica: who wants that says --shrink. */
Test(meta_membership, a_replacement_that_is_a_replica_already_shrinks_nothing)
{
    found();
    const uint64_t digest = tree_digest(meta.state);
    cr_assert_eq(change(META_NODE_REPLACE, 3, 2).status, META_NOT_ENOUGH_NODES);
    cr_assert_eq(tree_digest(meta.state), digest);
    meta_close(&meta);
}

/* ---- restore ----------------------------------------------------------------------------------------------------------------- */

Test(meta_membership, a_restored_state_goes_on_alike_in_the_midst_of_a_change)
{
    found();
    change(META_NODE_ADD, 4, 0);
    change(META_NODE_REPLACE, 3, 4);
    place(2, (const uint64_t[]){1, 4}, 2);
    struct meta_state other;
    meta_init(&other);
    cr_assert(meta_restore(&other, tree_ref(meta.state), meta.applied_index, 0));
    set_node(4, 40, false, false);
    settle(1, 70);
    const uint64_t digest = tree_digest(meta.state);
    meta_close(&meta);
    meta = other;
    expect_lingering(2, 3, 4, 2, 4);
    set_node(4, 40, false, false);
    settle(1, 70);
    cr_assert_eq(tree_digest(meta.state), digest);
    meta_close(&meta);
}

/* Goal: what a group's members can be is always among what is wished and what lingers, however wishes and reports
 * interleave. Method: a model of the groups, which follow some wish of the past, with what they might count on. */
Test(meta_membership, no_order_of_changes_lets_go_what_a_group_may_count_on)
{
    for (uint64_t seed = 1; seed <= 40; seed++) {
        uint64_t random = seed * UINT64_C(0x9e3779b97f4a7c15);
        found();
        for (uint64_t id = 4; id <= 6; id++) {
            change(META_NODE_ADD, id, 0);
            set_node(id, id * 10, false, false);
        }
        struct meta_partition followed = partition_of(1); /* the group's configuration */
        struct meta_command *report = NULL;
        for (uint32_t round = 0; round < 200; round++) {
            const uint64_t what = test_draw(&random) % 8;
            if (what < 3) {
                uint64_t nodes[3];
                const uint64_t first = test_draw(&random) % 6;
                const uint32_t count = 1 + (uint32_t)(test_draw(&random) % 3);
                for (uint32_t i = 0; i < count; i++)
                    nodes[i] = 1 + (first + i * (1 + test_draw(&random) % 2)) % 6;
                if (count == 3 && (nodes[1] == nodes[2] || nodes[0] == nodes[2])) continue;
                if (count == 2 && nodes[0] == nodes[1]) continue;
                cr_assert_eq(place(1, nodes, count).status, META_OK);
            } else if (what < 5) {
                followed = partition_of(1); /* the leader sees the wish and the group becomes it */
                free(report);
                report = record_of(1, round);
            } else if (report) {
                (void)apply(report); /* perhaps much later, perhaps twice */
            }
            for (uint32_t i = 0; i < followed.replicas_count; i++) {
                cr_assert(meta_replica_is_held(&meta, 1, followed.replicas[i].node_id,
                                               followed.replicas[i].epoch),
                          "seed %u round %u", (unsigned)seed, round);
            }
        }
        free(report);
        meta_close(&meta);
    }
}
