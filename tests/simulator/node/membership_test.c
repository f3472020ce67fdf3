/* Goal: nodes are replaced, removed and partitions moved while producers work; nothing acked is lost, and a replica goes
 * only when its group's configuration without it is recorded (PROTOCOL M3, M4, M9, C1). Method: real nodes in the simulated
 * world, changes by request, the history of the producers read back through the nodes that stay. */
#include "founded.h"
#include "members.h"

#include <criterion/criterion.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SECOND_US 1000000u
#define SETTLE_US (60u * SECOND_US)
#define TOPIC     "orders"

/* The only node without a replica. */
static uint32_t outsider(struct cluster *cluster, uint64_t group)
{
    uint32_t node = 0;
    while (node < cluster->options.nodes_count && members_has_replica(cluster, node, group))
        node++;
    cr_assert_lt(node, cluster->options.nodes_count, "every node has a replica");
    return node;
}

static uint32_t other_than(const struct cluster *cluster, uint32_t a, uint32_t b)
{
    uint32_t node = 0;
    while (node == a || node == b)
        node++;
    cr_assert_lt(node, cluster->options.nodes_count);
    return node;
}

/* ---- replacing -------------------------------------------------------------------------------------------------------------- */

/* The replica of `old` moves to the fourth node, which then takes its place in group 0, too. */
static void replace_one(uint64_t seed, bool is_leader, bool is_dead)
{
    uint64_t group = 0;
    struct cluster *cluster = founded_with_topic(seed, 4, TOPIC, 3, &group);
    struct load *load = calloc(1, sizeof(*load));
    const uint32_t new = outsider(cluster, group);
    const uint32_t leader = founded_leader(cluster, group);
    const uint32_t old = is_leader ? leader : other_than(cluster, leader, new);
    const uint32_t witness = other_than(cluster, old, new);
    load_start(load, cluster, TOPIC, founded_mask(cluster)); /* through the one that leaves, too */
    load->acks_per_look = 64;
    load_run(load, SECOND_US);
    if (is_dead) cluster_crash(cluster, old, SIM_CRASH_KILL);
    cr_assert_eq(members_change_surely(cluster, witness, NODE_REQUEST_NODE_REPLACE, old, new),
                 NODE_OK);
    load_expect_settled(load, SETTLE_US, witness);

    const uint32_t rest = founded_mask(cluster) & ~(1u << old);
    cr_assert_eq(members_voters(cluster, witness, group), rest);
    cr_assert_eq(members_voters(cluster, witness, 0), rest);
    cr_assert_eq(members_all(cluster, witness, 0), rest, "it left group 0, too");
    cr_assert(is_dead || !members_has_replica(cluster, old, group));
    if (!is_dead) cr_assert_lt(load->silence_us_max, SECOND_US / 2u, "producers stood still");
    load_check(load, rest);
    if (!is_dead) cr_assert_not(members_has_files(cluster, old, group), "seed %" PRIu64, seed);
    cr_assert_eq(members_change_surely(cluster, witness, NODE_REQUEST_NODE_REMOVE, old, 0),
                 NODE_UNKNOWN_NODE);
    free(load);
    cluster_destroy(cluster);
}

Test(simulated_membership, a_live_voter_is_replaced_under_load)
{
    for (uint64_t seed = 1; seed <= 5; seed++) {
        replace_one(seed, /* is_leader= */ false, /* is_dead= */ false);
    }
}

Test(simulated_membership, the_leader_of_the_group_is_replaced_under_load)
{
    for (uint64_t seed = 11; seed <= 15; seed++) {
        replace_one(seed, /* is_leader= */ true, /* is_dead= */ false);
    }
}

Test(simulated_membership, a_dead_voter_is_replaced_under_load)
{
    for (uint64_t seed = 21; seed <= 25; seed++) {
        replace_one(seed, /* is_leader= */ seed % 2 == 0, /* is_dead= */ true);
    }
}

/* Both are asked for before either is done: the group goes to two new voters in one joint step, or in two. */
Test(simulated_membership, two_of_three_are_replaced_at_once)
{
    for (uint64_t seed = 31; seed <= 36; seed++) {
        uint64_t group = 0;
        struct cluster *cluster = founded_with_topic(seed, 5, TOPIC, 3, &group);
        struct load *load = calloc(1, sizeof(*load));
        const uint32_t before = members_voters(cluster, founded_leader(cluster, group), group);
        uint32_t old[3];
        uint32_t new[3];
        uint32_t olds = 0;
        uint32_t news = 0;
        for (uint32_t i = 0; i < 5; i++) {
            if (before & 1u << i) {
                old[olds++] = i;
            } else {
                new[news++] = i;
            }
        }
        const uint32_t gone = 1u << old[0] | 1u << old[1];
        load_start(load, cluster, TOPIC, founded_mask(cluster) & ~gone);
        load->acks_per_look = 8;
        load_run(load, SECOND_US / 2u);
        for (uint32_t i = 0; i < 2; i++) {
            cr_assert_eq(
                members_change_surely(cluster, old[2], NODE_REQUEST_NODE_REPLACE, old[i], new[i]),
                NODE_OK, "seed %" PRIu64, seed);
        }
        load_expect_settled(load, SETTLE_US, old[2]);
        const uint32_t rest = founded_mask(cluster) & ~gone;
        cr_assert_eq(members_voters(cluster, old[2], group), rest);
        cr_assert_eq(members_all(cluster, old[2], 0), rest);
        load_check(load, rest);
        free(load);
        cluster_destroy(cluster);
    }
}

/* ---- removing --------------------------------------------------------------------------------------------------------------- */

Test(simulated_membership, a_removed_node_leaves_a_smaller_cluster)
{
    for (uint64_t seed = 41; seed <= 46; seed++) {
        uint64_t group = 0;
        struct cluster *cluster = founded_with_topic(seed, 3, TOPIC, 3, &group);
        struct load *load = calloc(1, sizeof(*load));
        const uint32_t old = seed % 2 ? founded_leader(cluster, group) : founded_leader(cluster, 0);
        const uint32_t witness = (old + 1u) % 3u;
        const uint32_t rest = founded_mask(cluster) & ~(1u << old);
        load_start(load, cluster, TOPIC, rest);
        load_run(load, SECOND_US / 2u);
        cr_assert_eq(members_change_surely(cluster, witness, NODE_REQUEST_NODE_REMOVE, old, 0),
                     NODE_OK);
        load_expect_settled(load, SETTLE_US, witness);
        cr_assert_eq(members_voters(cluster, witness, group), rest);
        cr_assert_eq(members_all(cluster, witness, 0), rest);
        load_run(load, SECOND_US);
        cr_assert_not(members_has_files(cluster, old, group));
        cluster_crash(cluster, old, SIM_CRASH_KILL); /* and is not missed */
        load_check(load, rest);
        free(load);
        cluster_destroy(cluster);
    }
}

Test(simulated_membership, a_removed_replica_goes_to_a_node_that_has_none)
{
    uint64_t group = 0;
    struct cluster *cluster = founded_with_topic(51, 5, TOPIC, 3, &group);
    struct load *load = calloc(1, sizeof(*load));
    const uint32_t old = founded_leader(cluster, group);
    const uint32_t witness = (old + 1u) % 5u;
    load_start(load, cluster, TOPIC, founded_mask(cluster) & ~(1u << old));
    cr_assert_eq(members_change_surely(cluster, witness, NODE_REQUEST_NODE_REMOVE, old, 0),
                 NODE_OK);
    load_expect_settled(load, SETTLE_US, witness);
    const uint32_t voters = members_voters(cluster, founded_leader(cluster, group), group);
    cr_assert_eq(__builtin_popcount(voters), 3, "still three replicas");
    cr_assert_eq(voters & 1u << old, 0);
    load_check(load, founded_mask(cluster) & ~(1u << old));
    free(load);
    cluster_destroy(cluster);
}

/* ---- what is refused ----------------------------------------------------------------------------------------------------------- */

Test(simulated_membership, a_change_that_would_lose_a_quorum_is_refused_in_words)
{
    uint64_t group = 0;
    char detail[256];
    struct cluster *cluster = founded_with_topic(61, 3, TOPIC, 3, &group);
    const uint32_t dead =
        other_than(cluster, founded_leader(cluster, 0), founded_leader(cluster, group));
    const uint32_t alive = founded_leader(cluster, 0);
    const uint32_t third = other_than(cluster, alive, dead);
    cluster_crash(cluster, dead, SIM_CRASH_KILL);
    sim_run_for(cluster->sim, 2 * SECOND_US);
    cr_assert_eq(members_change(cluster, alive, NODE_REQUEST_NODE_REMOVE, third, 0, detail),
                 NODE_QUORUM_AT_RISK);
    char wanted[160];
    snprintf(
        wanted, sizeof(wanted),
        "2 replicas of which 1 is reached; start n%u first, or replace n%u first: raftmq cluster "
        "replace n%u NEW=HOST:PORT",
        dead + 1u, dead + 1u, dead + 1u);
    cr_assert(strstr(detail, wanted), "%s", detail);
    cr_assert(strstr(detail, "orders/0"), "%s", detail);
    cr_assert_eq(members_changes(cluster, alive, NULL), 0, "nothing was changed");
    /* The dead one may go: the two that stay are a majority of two. */
    cr_assert_eq(members_change(cluster, alive, NODE_REQUEST_NODE_REMOVE, dead, 0, detail), NODE_OK,
                 "%s", detail);
    cluster_destroy(cluster);
}

Test(simulated_membership, nonsense_is_refused_and_changes_nothing)
{
    uint64_t group = 0;
    struct cluster *cluster = founded_with_topic(62, 3, TOPIC, 3, &group);
    const enum node_request_type remove = NODE_REQUEST_NODE_REMOVE;
    const enum node_request_type replace = NODE_REQUEST_NODE_REPLACE;
    cr_assert_eq(members_change(cluster, 0, remove, 8, 0, NULL), NODE_UNKNOWN_NODE);
    cr_assert_eq(members_change(cluster, 1, replace, 0, 8, NULL), NODE_UNKNOWN_NODE);
    cr_assert_eq(members_change(cluster, 1, replace, 1, 1, NULL), NODE_INVALID_ARGUMENT);
    cr_assert_eq(members_place(cluster, 1, TOPIC, (const uint32_t[]){0, 8}, 2), NODE_UNKNOWN_NODE);
    cr_assert_eq(members_place(cluster, 2, TOPIC, (const uint32_t[]){0, 0}, 2),
                 NODE_INVALID_ARGUMENT);
    cr_assert_eq(members_place(cluster, 2, "none", (const uint32_t[]){0, 1}, 2),
                 NODE_TOPIC_NOT_FOUND);
    cr_assert_eq(members_changes(cluster, 0, NULL), 0);
    cr_assert_eq(members_change(cluster, 0, NODE_REQUEST_NODE_ADD, 3, 0, NULL), NODE_OK);
    cr_assert_eq(members_change(cluster, 0, NODE_REQUEST_NODE_ADD, 3, 0, NULL), NODE_OK);
    struct node_change change;
    cr_assert_eq(members_changes(cluster, 2, &change), 1);
    cr_assert(change.meta);
    cr_assert_eq(change.state, NODE_CHANGE_WAITING);
    cr_assert(strstr(change.blocked, "n4"), "%s", change.blocked);
    cr_assert_eq(members_change(cluster, 1, remove, 3, 0, NULL), NODE_OK);
    cr_assert_eq(members_changes(cluster, 2, NULL), 0, "it never was anywhere");
    cluster_destroy(cluster);
}

Test(simulated_membership, a_member_is_not_moved_by_adding_it_and_its_address_is_told)
{
    uint64_t group = 0;
    struct cluster *cluster = founded_with_topic(64, 3, TOPIC, 3, &group);
    struct cluster_call *call = calloc(1, sizeof(*call));
    call->request.type = NODE_REQUEST_NODE_ADD;
    call->request.node.id = 2;
    call->request.node.peer_address = "elsewhere:7071";
    cluster_submit(cluster, 0, call);
    cr_assert(cluster_wait(call, 10 * SECOND_US));
    cr_assert_eq(call->request.status, NODE_NODE_EXISTS, "%s", call->request.detail);
    cr_assert_str_eq(call->request.detail,
                     "n2 is a member already, at n2:7071; to move it, restart it with "
                     "--advertise-peer HOST:PORT");
    cluster_call_close(call);
    free(call);
    cluster_destroy(cluster);
}

/* The replacement is down: the old voters stay, and who is waited for is said. */
Test(simulated_membership, a_change_that_cannot_go_on_says_what_it_waits_for)
{
    uint64_t group = 0;
    struct node_change change;
    struct cluster *cluster = founded_with_topic(63, 4, TOPIC, 3, &group);
    struct load *load = calloc(1, sizeof(*load));
    const uint32_t new = outsider(cluster, group);
    const uint32_t old = other_than(cluster, founded_leader(cluster, group), new);
    const uint32_t witness = other_than(cluster, old, new);
    const uint32_t before = members_voters(cluster, witness, group);
    cluster_crash(cluster, new, SIM_CRASH_KILL);
    sim_run_for(cluster->sim, 2 * SECOND_US);
    load_start(load, cluster, TOPIC, founded_mask(cluster));
    cr_assert_eq(members_change_surely(cluster, witness, NODE_REQUEST_NODE_REPLACE, old, new),
                 NODE_OK);
    load_run(load, 5 * SECOND_US);
    cr_assert(members_change_of(cluster, witness, group, &change));
    cr_assert_str_eq(change.topic, TOPIC);
    cr_assert_eq(change.leader, founded_leader(cluster, group) + 1u);
    cr_assert_eq(change.state, NODE_CHANGE_COPYING);
    char name[32];
    snprintf(name, sizeof(name), "n%u is not reached", new + 1u);
    cr_assert(strstr(change.blocked, name), "%s", change.blocked);
    cr_assert_eq(members_voters(cluster, founded_leader(cluster, group), group), before);
    cr_assert(members_change_of(cluster, witness, 0, &change));
    snprintf(name, sizeof(name), "n%u stays until", old + 1u);
    cr_assert(strstr(change.blocked, name), "%s", change.blocked);
    cluster_start(cluster, new);
    load_expect_settled(load, SETTLE_US, witness);
    load_check(load, founded_mask(cluster) & ~(1u << old));
    free(load);
    cluster_destroy(cluster);
}

/* ---- moving ------------------------------------------------------------------------------------------------------------------- */

/* Wishes come faster than they can be followed; replicas are wished, not wished, and wished again. */
Test(simulated_membership, a_partition_follows_wishes_that_change_on_the_way)
{
    for (uint64_t seed = 71; seed <= 80; seed++) {
        uint64_t group = 0;
        struct cluster *cluster = founded_with_topic(seed, 5, TOPIC, 3, &group);
        struct load *load = calloc(1, sizeof(*load));
        load_start(load, cluster, TOPIC, founded_mask(cluster));
        uint32_t voters = 0;
        for (uint32_t round = 0; round < 12; round++) {
            uint32_t nodes[3];
            const uint32_t count = 1u + (uint32_t)sim_draw(cluster->sim, 3);
            const uint32_t first = (uint32_t)sim_draw(cluster->sim, 5);
            voters = 0;
            for (uint32_t i = 0; i < count; i++) {
                nodes[i] = (first + 2u * i) % 5u;
                voters |= 1u << nodes[i];
            }
            enum node_status status = NODE_NO_LEADER;
            for (uint32_t i = 0; i < 50 && status != NODE_OK; i++) {
                status = members_place(cluster, first, TOPIC, nodes, count);
                if (status != NODE_OK) load_run(load, SECOND_US / 10u);
            }
            cr_assert_eq(status, NODE_OK, "seed %" PRIu64, seed);
            load_run(load, sim_draw(cluster->sim, SECOND_US / 2u));
        }
        load_expect_settled(load, SETTLE_US, 0);
        cr_assert_eq(members_voters(cluster, founded_leader(cluster, group), group), voters);
        load_run(load, SECOND_US);
        for (uint32_t i = 0; i < 5; i++) {
            const bool holds = (voters & 1u << i) != 0;
            cr_assert_eq(members_has_replica(cluster, i, group), holds, "seed %" PRIu64, seed);
            cr_assert_eq(members_has_files(cluster, i, group), holds, "seed %" PRIu64, seed);
        }
        load_check(load, founded_mask(cluster));
        free(load);
        cluster_destroy(cluster);
    }
}

/* One node hears nothing from the leader of meta, and is then made leader of a partition that was moved meanwhile. By what
 * it knows another replica belongs there, one that was let go. */
Test(simulated_membership, a_leader_that_knows_only_an_old_wish_leaves_its_group_as_it_is)
{
    for (uint64_t seed = 101; seed <= 106; seed++) {
        uint64_t group = 0;
        struct cluster *cluster = founded_with_topic(seed, 5, TOPIC, 3, &group);
        struct load *load = calloc(1, sizeof(*load));
        const uint32_t meta = founded_leader(cluster, 0);
        uint32_t nodes[4]; /* the others */
        uint32_t count = 0;
        for (uint32_t i = 0; i < 5; i++) {
            if (i != meta) nodes[count++] = i;
        }
        cr_assert_eq(members_place(cluster, meta, TOPIC, nodes, 3), NODE_OK);
        load_start(load, cluster, TOPIC, founded_mask(cluster) & ~(1u << nodes[1]));
        load_expect_settled(load, SETTLE_US, meta);
        load_run(load, SECOND_US);

        struct cluster_call *call = calloc(1, sizeof(*call));
        cluster_fill_transfer(call, TOPIC, (int)nodes[0]);
        cluster_submit(cluster, meta, call);
        cr_assert(cluster_wait(call, 15 * SECOND_US));
        sim_set_link(cluster->sim, meta, nodes[1], SIM_LINK_CUT);
        sim_set_link(cluster->sim, nodes[1], meta, SIM_LINK_CUT);
        cr_assert_eq(members_place(cluster, meta, TOPIC,
                                   (const uint32_t[]){nodes[0], nodes[1], nodes[3]}, 3),
                     NODE_OK);
        load_expect_settled(load, SETTLE_US, meta);
        cr_assert_eq(cluster_leader(cluster, 0), (int)meta);
        cluster_fill_transfer(call, TOPIC, (int)nodes[1]);
        cluster_submit(cluster, nodes[0], call);
        cr_assert(cluster_wait(call, 15 * SECOND_US));
        cr_assert_eq(call->request.status, NODE_OK, "seed %" PRIu64 ": %s", seed,
                     call->request.detail);
        free(call);
        const uint32_t moved = 1u << nodes[0] | 1u << nodes[1] | 1u << nodes[3];
        for (uint32_t i = 0; i < 20; i++) {
            load_run(load, SECOND_US / 10u);
            cr_assert_eq(members_all(cluster, nodes[1], group), moved, "seed %" PRIu64, seed);
        }
        sim_heal(cluster->sim);
        load_check(load, founded_mask(cluster) & ~(1u << nodes[1]));
        free(load);
        cluster_destroy(cluster);
    }
}

/* It was away while its replica was let go and wished anew, and hears of both at once: the old one goes, then a new one with
 * another epoch is made. */
Test(simulated_membership, a_replica_let_go_and_wished_again_is_another_one)
{
    for (uint64_t seed = 111; seed <= 114; seed++) {
        uint64_t group = 0;
        struct peek_group before;
        struct peek_group after;
        struct cluster *cluster = founded_with_topic(seed, 3, TOPIC, 3, &group);
        struct load *load = calloc(1, sizeof(*load));
        const uint32_t away =
            other_than(cluster, founded_leader(cluster, 0), founded_leader(cluster, group));
        const uint32_t a = (away + 1u) % 3u;
        const uint32_t b = (away + 2u) % 3u;
        load_start(load, cluster, TOPIC, 1u << a | 1u << b);
        load_run(load, SECOND_US / 2u);
        cr_assert(peek_group(cluster->nodes[away].node, group, &before));
        sim_isolate(cluster->sim, away, SIM_LINK_CUT);
        cr_assert_eq(members_place(cluster, a, TOPIC, (const uint32_t[]){a, b}, 2), NODE_OK);
        load_expect_settled(load, SETTLE_US, a);
        cr_assert_eq(members_place(cluster, a, TOPIC, (const uint32_t[]){a, b, away}, 3), NODE_OK);
        load_run(load, SECOND_US);
        sim_heal(cluster->sim);
        load_expect_settled(load, SETTLE_US, a);
        cr_assert_eq(members_voters(cluster, a, group), founded_mask(cluster));
        cr_assert(peek_group(cluster->nodes[away].node, group, &after));
        cr_assert_gt(after.epoch, before.epoch);
        load_check(load, founded_mask(cluster));
        free(load);
        cluster_destroy(cluster);
    }
}

static void give_meta_to(struct cluster *cluster, uint32_t node)
{
    struct cluster_call *call = calloc(1, sizeof(*call));
    cluster_fill_transfer(call, NULL, (int)node);
    cluster_submit(cluster, node, call);
    cr_assert(cluster_wait(call, 15 * SECOND_US));
    cr_assert_eq(call->request.status, NODE_OK, "%s", call->request.detail);
    free(call);
}

/* It hears of it when the new one lingers: wished no more, and not recorded as gone, for the leader of the group has not heard
 * of that. Then it is wished again, under the same epoch. */
Test(simulated_membership, a_replica_that_lingers_when_an_older_one_goes_may_be_wished_again)
{
    for (uint64_t seed = 151; seed <= 154; seed++) {
        uint64_t group = 0;
        uint32_t with[4], count = 0;
        struct cluster *cluster = founded_with_topic(seed, 5, TOPIC, 4, &group);
        struct load *load = calloc(1, sizeof(*load));
        const uint32_t leader = founded_leader(cluster, group);
        const uint32_t meta = outsider(cluster, group);
        const uint32_t away = other_than(cluster, leader, meta);
        for (uint32_t i = 0; i < 5; i++) {
            if (i != away && i != meta) with[count++] = i;
        }
        with[count] = away;
        if (founded_leader(cluster, 0) != meta) give_meta_to(cluster, meta);
        load_start(load, cluster, TOPIC, founded_mask(cluster) & ~(1u << away));
        sim_isolate(cluster->sim, away, SIM_LINK_CUT);
        cr_assert_eq(members_place(cluster, meta, TOPIC, with, 3), NODE_OK);
        load_expect_settled(load, SETTLE_US, meta);
        cr_assert_eq(members_place(cluster, meta, TOPIC, with, 4), NODE_OK);
        load_run(load, SECOND_US);
        cr_assert_eq(cluster_leader(cluster, group), (int)leader, "seed %" PRIu64, seed);
        cr_assert_eq(cluster_leader(cluster, 0), (int)meta, "seed %" PRIu64, seed);
        sim_set_link(cluster->sim, leader, meta, SIM_LINK_CUT);
        sim_set_link(cluster->sim, meta, leader, SIM_LINK_CUT);
        cr_assert_eq(members_place(cluster, meta, TOPIC, with, 3), NODE_OK);
        for (uint32_t i = 0; i < 5; i++) {
            if (i == away) continue;
            sim_set_link(cluster->sim, away, i, SIM_LINK_UP);
            sim_set_link(cluster->sim, i, away, SIM_LINK_UP);
        }
        load_run(load, 5 * SECOND_US);
        cr_assert_eq(members_place(cluster, meta, TOPIC, with, 4), NODE_OK);
        sim_heal(cluster->sim);
        load_expect_settled(load, SETTLE_US, meta);
        cr_assert(members_has_replica(cluster, away, group), "seed %" PRIu64, seed);
        load_check(load, founded_mask(cluster));
        free(load);
        cluster_destroy(cluster);
    }
}

/* Its disk hangs while the replica is made; meanwhile it is let go, and wished anew. */
Test(simulated_membership, a_replica_wished_again_while_its_files_are_made_is_made)
{
    for (uint64_t seed = 141; seed <= 144; seed++) {
        uint64_t group = 0;
        struct peek_group after;
        struct cluster *cluster = founded_with_topic(seed, 4, TOPIC, 3, &group);
        struct load *load = calloc(1, sizeof(*load));
        const uint32_t late = outsider(cluster, group);
        const uint32_t a = (late + 1u) % 4u;
        const uint32_t b = (late + 2u) % 4u;
        const uint32_t c = (late + 3u) % 4u;
        load_start(load, cluster, TOPIC, founded_mask(cluster) & ~(1u << late));
        if (founded_leader(cluster, 0) == late) {
            struct cluster_call *call = calloc(1, sizeof(*call));
            cluster_fill_transfer(call, NULL, (int)a);
            cluster_submit(cluster, a, call);
            cr_assert(cluster_wait(call, 15 * SECOND_US));
            free(call);
        }
        sim_hang_disk(cluster->sim, late, true);
        cr_assert_eq(members_place(cluster, a, TOPIC, (const uint32_t[]){a, b, c, late}, 4),
                     NODE_OK);
        load_run(load, SECOND_US);
        cr_assert_eq(members_place(cluster, a, TOPIC, (const uint32_t[]){a, b, c}, 3), NODE_OK);
        load_expect_settled(load, SETTLE_US, a);
        load_run(load, SECOND_US);
        cr_assert_eq(members_place(cluster, a, TOPIC, (const uint32_t[]){a, b, c, late}, 4),
                     NODE_OK);
        load_run(load, SECOND_US);
        cr_assert_not(members_has_replica(cluster, late, group),
                      "it was made on a disk that hangs");
        sim_hang_disk(cluster->sim, late, false);
        load_expect_settled(load, SETTLE_US, a);
        cr_assert_eq(members_voters(cluster, a, group), founded_mask(cluster));
        cr_assert(peek_group(cluster->nodes[late].node, group, &after));
        load_check(load, founded_mask(cluster));
        free(load);
        cluster_destroy(cluster);
    }
}

/* The entries that let its replica go are dropped before it hears of them: what it gets is a state without the replica. */
Test(simulated_membership, a_replica_let_go_in_an_installed_base_is_dropped_and_may_come_back)
{
    for (uint64_t seed = 131; seed <= 134; seed++) {
        uint64_t group = 0;
        struct peek_group before;
        struct peek_group after;
        struct cluster *cluster = founded_with_topic(seed, 3, TOPIC, 3, &group);
        struct load *load = calloc(1, sizeof(*load));
        const uint32_t away =
            other_than(cluster, founded_leader(cluster, 0), founded_leader(cluster, group));
        const uint32_t a = (away + 1u) % 3u;
        const uint32_t b = (away + 2u) % 3u;
        load_start(load, cluster, TOPIC, 1u << a | 1u << b);
        cr_assert(peek_group(cluster->nodes[away].node, 0, &before));
        const uint64_t last_index = before.last_index;
        cr_assert(peek_group(cluster->nodes[away].node, group, &before));
        cluster_crash(cluster, away, SIM_CRASH_KILL);
        cr_assert_eq(members_place(cluster, a, TOPIC, (const uint32_t[]){a, b}, 2), NODE_OK);
        load_expect_settled(load, SETTLE_US, a);
        for (uint32_t i = 0; i < 24; i++) {
            char topic[CLUSTER_NAME_MAX];
            snprintf(topic, sizeof(topic), "topic-%u", i);
            cr_assert_eq(cluster_create_topic(cluster, a, topic, 2), NODE_OK);
            cr_assert_eq(cluster_delete_topic(cluster, a, topic), NODE_OK);
        }
        load_run(load, SECOND_US);
        cr_assert(peek_group(cluster->nodes[a].node, 0, &after));
        cr_assert_gt(after.base_index, last_index, "the entries are still there");

        cluster_start(cluster, away);
        for (uint32_t i = 0; i < 100 && members_has_files(cluster, away, group); i++) {
            load_run(load, SECOND_US / 10u);
        }
        cr_assert_not(members_has_files(cluster, away, group), "seed %" PRIu64, seed);
        cr_assert_eq(members_place(cluster, a, TOPIC, (const uint32_t[]){a, b, away}, 3), NODE_OK);
        load_expect_settled(load, SETTLE_US, a);
        cr_assert(peek_group(cluster->nodes[away].node, group, &after));
        cr_assert_gt(after.epoch, before.epoch);
        load_check(load, founded_mask(cluster));
        free(load);
        cluster_destroy(cluster);
    }
}

/* The reader is not told of the move: the node where it waits asks those that hold the partition now. */
Test(simulated_membership, who_waits_for_messages_where_a_replica_leaves_gets_them)
{
    uint64_t group = 0;
    struct cluster *cluster = founded_with_topic(121, 4, TOPIC, 3, &group);
    const uint32_t new = outsider(cluster, group);
    const uint32_t old = other_than(cluster, founded_leader(cluster, group), new);
    const uint32_t witness = other_than(cluster, old, new);
    struct cluster_call *call = calloc(1, sizeof(*call));
    cluster_fill_fetch(call, TOPIC, 0, 60000);
    call->request.timeout_ms = 90000;
    cluster_submit(cluster, old, call);
    sim_run_for(cluster->sim, SECOND_US);
    cr_assert_eq(members_change_surely(cluster, witness, NODE_REQUEST_NODE_REPLACE, old, new),
                 NODE_OK);
    for (uint32_t i = 0; i < 100 && members_has_files(cluster, old, group); i++) {
        sim_run_for(cluster->sim, SECOND_US / 10u);
    }
    cr_assert_not(members_has_files(cluster, old, group));
    cr_assert_not(call->is_done, "%s", call->request.detail);
    cr_assert_eq(cluster_produce(cluster, witness, TOPIC, 7, -1, 0, NULL), NODE_OK);
    cr_assert(cluster_wait(call, 10 * SECOND_US));
    cr_assert_eq(call->request.status, NODE_OK, "%s", call->request.detail);
    cr_assert_eq(call->request.ret_next_offset, 1);
    cluster_call_close(call);
    free(call);
    cluster_destroy(cluster);
}

/* ---- group 0 -------------------------------------------------------------------------------------------------------------------- */

Test(simulated_membership, of_seven_nodes_five_vote_in_meta_and_others_take_their_place)
{
    for (uint64_t seed = 91; seed <= 93; seed++) {
        uint64_t group = 0;
        struct cluster *cluster = founded_with_topic(seed, 7, TOPIC, 3, &group);
        cr_assert_eq(members_voters(cluster, 6, 0), 0x1fu);
        cr_assert_eq(members_all(cluster, 6, 0), 0x7fu);
        struct load *load = calloc(1, sizeof(*load));
        const uint32_t first = founded_leader(cluster, 0);
        const uint32_t second = (first + 1u) % 5u;
        load_start(load, cluster, TOPIC, 0x7fu & ~(1u << first | 1u << second));
        cr_assert_eq(members_change_surely(cluster, 6, NODE_REQUEST_NODE_REMOVE, first, 0),
                     NODE_OK);
        cr_assert_eq(members_change_surely(cluster, 6, NODE_REQUEST_NODE_REPLACE, second, 6),
                     NODE_OK);
        load_expect_settled(load, SETTLE_US, 6);
        const uint32_t rest = 0x7fu & ~(1u << first | 1u << second);
        cr_assert_eq(members_all(cluster, 6, 0), rest, "seed %" PRIu64, seed);
        cr_assert_eq(members_voters(cluster, 6, 0), rest, "the learners vote now");
        cluster_crash(cluster, first, SIM_CRASH_KILL);
        cluster_crash(cluster, second, SIM_CRASH_KILL);
        load_run(load, SECOND_US);
        cr_assert_eq(cluster_create_topic(cluster, 6, "another", 3), NODE_OK);
        load_check(load, rest);
        free(load);
        cluster_destroy(cluster);
    }
}

static void expect_voters_soon(struct cluster *cluster, uint32_t as_seen_by, uint32_t voters)
{
    for (uint32_t i = 0; i < 100 && members_voters(cluster, as_seen_by, 0) != voters; i++) {
        sim_run_for(cluster->sim, SECOND_US / 10u);
    }
    cr_assert_eq(members_voters(cluster, as_seen_by, 0), voters, "seed %" PRIu64,
                 cluster->options.seed);
}

/* Nobody is there to take the vote of the one that goes; whoever is back first takes it, and there it ends. */
Test(simulated_membership, a_vote_in_meta_that_nobody_took_goes_to_a_node_that_comes_back)
{
    for (uint64_t seed = 101; seed <= 104; seed++) {
        uint64_t group = 0;
        struct cluster *cluster = founded_with_topic(seed, 7, TOPIC, 3, &group);
        const uint32_t gone = founded_leader(cluster, 0);
        const uint32_t witness = (gone + 1u) % 5u;
        const uint32_t four = 0x1fu & ~(1u << gone);
        cluster_crash(cluster, 5, SIM_CRASH_KILL);
        cluster_crash(cluster, 6, SIM_CRASH_KILL);
        sim_run_for(cluster->sim, SECOND_US);
        cr_assert_eq(members_change_surely(cluster, witness, NODE_REQUEST_NODE_REMOVE, gone, 0),
                     NODE_OK);
        expect_voters_soon(cluster, witness, four);
        cluster_crash(cluster, gone, SIM_CRASH_KILL);
        sim_run_for(cluster->sim, 10 * SECOND_US);
        cr_assert_eq(members_voters(cluster, witness, 0), four, "who is away gets none");
        cluster_start(cluster, 6);
        expect_voters_soon(cluster, witness, four | 1u << 6);
        cluster_start(cluster, 5);
        sim_run_for(cluster->sim, 10 * SECOND_US);
        cr_assert_eq(members_voters(cluster, witness, 0), four | 1u << 6, "five are enough");
        cr_assert_eq(members_all(cluster, witness, 0), four | 3u << 5);

        /* What the vote is for: two more may go, and group 0 goes on. */
        cluster_crash(cluster, (gone + 2u) % 5u, SIM_CRASH_KILL);
        cluster_crash(cluster, (gone + 3u) % 5u, SIM_CRASH_KILL);
        (void)founded_leader(cluster, 0);
        cr_assert_eq(cluster_create_topic(cluster, witness, "another", 3), NODE_OK, "seed %" PRIu64,
                     seed);
        cr_assert_eq(cluster->fatals_count, 0, "%s", cluster->last_fatal_reason);
        cluster_destroy(cluster);
    }
}

/* A founder with a vote that group 0 has not heard of yet is no vote that is missing. */
Test(simulated_membership, a_founder_that_is_slow_to_come_keeps_its_vote_in_meta)
{
    for (uint64_t seed = 111; seed <= 114; seed++) {
        struct cluster_options options;
        cluster_options_init(&options, seed, 7);
        struct cluster *cluster = cluster_create(&options);
        cluster_start_all(cluster);
        for (uint32_t i = 0; i < 10000 && cluster_leader(cluster, 0) < 0; i++) {
            sim_run_for(cluster->sim, 1000);
        }
        const int leader = cluster_leader(cluster, 0);
        cr_assert_geq(leader, 0);
        const uint32_t slow = ((uint32_t)leader + 1u) % 5u;
        cluster_crash(cluster, slow, SIM_CRASH_KILL);
        for (uint32_t i = 0; i < 80; i++) {
            sim_run_for(cluster->sim, SECOND_US / 10u);
            cr_assert_eq(members_voters(cluster, (uint32_t)leader, 0), 0x1fu, "seed %" PRIu64,
                         seed);
        }
        cluster_start(cluster, slow);
        sim_run_for(cluster->sim, 3 * SECOND_US);
        cr_assert_eq(members_voters(cluster, slow, 0), 0x1fu);
        cr_assert_eq(cluster->fatals_count, 0, "%s", cluster->last_fatal_reason);
        cluster_destroy(cluster);
    }
}
