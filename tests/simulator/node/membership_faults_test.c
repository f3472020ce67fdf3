/* Goal: a change of members goes on, and loses nothing, whoever dies, loses power, or stops leading in the midst of it; a node
 * that was taken out counts for nothing when it comes back (PROTOCOL M3, M4, C1). Method: the same replacement again and
 * again, with one fault at an instant that moves through all of it. */
#include "founded.h"
#include "members.h"
#include "thinned.h"

#include <criterion/criterion.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#define SECOND_US 1000000u
#define SETTLE_US (90u * SECOND_US)
#define TOPIC     "orders"
#define NODES     4u

struct course {
    struct cluster *cluster;
    struct load *load;
    uint64_t group;
    uint32_t old, new; /* REPLACE old by new */
    char what[96];     /* the fault, for messages */
};

/* The fourth node takes the place of one of three; of the group's leader when asked for. */
static void begin(struct course *course, uint64_t seed, bool is_leader)
{
    uint64_t group;
    struct cluster *cluster = founded_with_topic(seed, NODES, TOPIC, 3, &group);
    *course = (struct course){.cluster = cluster, .group = group};
    while (members_has_replica(cluster, course->new, course->group))
        course->new ++;
    const uint32_t leader = founded_leader(cluster, course->group);
    course->old = leader;
    while (!is_leader && (course->old == leader || course->old == course->new))
        course->old = (course->old + 1u) % NODES;
    course->load = calloc(1, sizeof(*course->load));
    load_start(course->load, cluster, TOPIC, (1u << NODES) - 1u);
    course->load->acks_per_look = 64;
    load_run(course->load, SECOND_US / 5u);
}

static void replace(struct course *course)
{
    cr_assert_eq(members_change_surely(course->cluster, course->new, NODE_REQUEST_NODE_REPLACE,
                                       course->old, course->new),
                 NODE_OK, "%s", course->what);
}

static bool everybody_knows(void *data)
{
    const struct course *course = data;
    const uint32_t rest = ((1u << NODES) - 1u) & ~(1u << course->old);
    for (uint32_t i = 0; i < NODES; i++) {
        if (i == course->old) continue;
        if (members_voters(course->cluster, i, course->group) != rest) return false;
        if (members_all(course->cluster, i, 0) != rest) return false;
    }
    return true;
}

/* Everything that runs has become what was asked for, and the history is whole. */
static void end(struct course *course)
{
    struct cluster *cluster = course->cluster;
    const uint32_t rest = ((1u << NODES) - 1u) & ~(1u << course->old);
    course->load->through = rest;
    if (!load_run_until_settled(course->load, SETTLE_US, course->new)) {
        struct node_change change = {0};
        (void)members_changes(cluster, course->new, &change);
        cr_assert_fail("seed %" PRIu64 ", %s: group %" PRIu64 " is still %s: %s",
                       cluster->options.seed, course->what, change.group,
                       node_change_state_text(change.state), change.blocked);
    }
    cr_assert(load_run_until(course->load, SETTLE_US, everybody_knows, course),
              "seed %" PRIu64 ", %s: a node never hears of it", cluster->options.seed,
              course->what);
    load_check(course->load, rest);
    free(course->load);
    cluster_destroy(cluster);
}

/* ---- somebody dies ------------------------------------------------------------------------------------------------------------ */

static void die_at(uint64_t seed, uint32_t victim, uint64_t after_us, enum sim_crash mode)
{
    struct course course;
    begin(&course, seed, /* is_leader= */ seed % 3 == 0);
    snprintf(course.what, sizeof(course.what), "n%u dies %" PRIu64 " ms after the request",
             victim + 1u, after_us / 1000u);
    replace(&course);
    load_run(course.load, after_us);
    cluster_crash(course.cluster, victim, mode);
    load_run(course.load, SECOND_US);
    cluster_start(course.cluster, victim);
    end(&course);
}

Test(simulated_membership_faults, any_node_may_be_killed_at_any_time_of_a_replacement)
{
    uint64_t seed = 99;
    for (uint32_t victim = 0; victim < NODES; victim++) {
        for (uint64_t after_us = 0; after_us <= 700000; after_us += 50000) {
            if (thinned_takes(0, ++seed)) die_at(seed, victim, after_us, SIM_CRASH_KILL);
        }
    }
}

Test(simulated_membership_faults, any_node_may_lose_power_at_any_time_of_a_replacement)
{
    uint64_t seed = 299;
    for (uint32_t victim = 0; victim < NODES; victim++) {
        for (uint64_t after_us = 10000; after_us <= 700000; after_us += 70000) {
            if (thinned_takes(0, ++seed)) die_at(seed, victim, after_us, SIM_CRASH_POWER);
        }
    }
}

/* Everything at once, and everybody comes back. */
Test(simulated_membership_faults, the_whole_cluster_may_lose_power_at_any_time_of_a_replacement)
{
    uint64_t seed = 400;
    for (uint64_t after_us = 0; after_us <= 700000; after_us += 35000) {
        struct course course;
        if (!thinned_takes(0, ++seed)) continue;
        begin(&course, seed, /* is_leader= */ after_us % 3 == 0);
        snprintf(course.what, sizeof(course.what), "all lose power %" PRIu64 " ms after",
                 after_us / 1000u);
        replace(&course);
        load_run(course.load, after_us);
        for (uint32_t i = 0; i < NODES; i++) {
            cluster_crash(course.cluster, i, SIM_CRASH_POWER);
        }
        cluster_start_all(course.cluster);
        end(&course);
    }
}

/* Disk calls of the new replica: files, base, record, the first entries; and of the old one: the record, the removal. */
static void die_at_call(uint64_t seed, bool is_new, uint64_t call, enum sim_crash mode)
{
    struct course course;
    begin(&course, seed, /* is_leader= */ false);
    const uint32_t victim = is_new ? course.new : course.old;
    snprintf(course.what, sizeof(course.what), "n%u dies before disk call %" PRIu64, victim + 1u,
             call);
    replace(&course);
    if (sim_is_running(course.cluster->sim, victim)) {
        sim_crash_at_disk_call(course.cluster->sim, victim, call, mode);
    }
    load_run(course.load, 2 * SECOND_US);
    sim_crash_at_disk_call(course.cluster->sim, victim, UINT64_MAX, mode);
    if (!sim_is_running(course.cluster->sim, victim)) cluster_start(course.cluster, victim);
    end(&course);
}

Test(simulated_membership_faults, the_new_and_the_old_replica_may_die_before_any_disk_call)
{
    uint64_t seed = 500;
    for (uint64_t call = 0; call < 30; call++, seed += 3) {
        if (thinned_takes(0, call)) die_at_call(seed, /* is_new= */ true, call, SIM_CRASH_KILL);
        if (thinned_takes(1, call)) {
            die_at_call(seed + 1, /* is_new= */ true, call, SIM_CRASH_POWER);
        }
        if (thinned_takes(2, call)) {
            die_at_call(seed + 2, /* is_new= */ false, 3 * call, SIM_CRASH_POWER);
        }
    }
}

/* ---- somebody else leads ------------------------------------------------------------------------------------------------------- */

static void depose(struct course *course, uint64_t group)
{
    const int leader = cluster_leader(course->cluster, group);
    if (leader < 0) return;
    sim_isolate(course->cluster->sim, (uint32_t)leader, SIM_LINK_CUT);
    load_run(course->load, SECOND_US);
    sim_heal(course->cluster->sim);
}

Test(simulated_membership_faults, the_leaders_may_change_at_any_time_of_a_replacement)
{
    uint64_t seed = 700;
    for (uint64_t after_us = 0; after_us <= 600000; after_us += 40000) {
        for (int of_meta = 0; of_meta <= 1; of_meta++) {
            struct course course;
            ++seed;
            if (!thinned_takes((uint64_t)of_meta, seed / 2u)) continue;
            begin(&course, seed, /* is_leader= */ after_us % 3 == 0);
            snprintf(course.what, sizeof(course.what), "the leader of %s is cut off %" PRIu64 " ms",
                     of_meta ? "meta" : "the group", after_us / 1000u);
            replace(&course);
            load_run(course.load, after_us);
            depose(&course, of_meta ? 0 : course.group);
            end(&course);
        }
    }
}

/* Leaders change all the time; each goes on where the one before was. */
Test(simulated_membership_faults, a_replacement_ends_though_no_leader_lasts)
{
    for (uint64_t seed = 800; seed < 806; seed++) {
        struct course course;
        begin(&course, seed, /* is_leader= */ false);
        snprintf(course.what, sizeof(course.what), "no leader lasts");
        replace(&course);
        for (uint32_t i = 0; i < 12; i++) {
            struct cluster_call *call = calloc(1, sizeof(*call));
            cluster_fill_transfer(call, i % 2 ? NULL : TOPIC, -1);
            cluster_submit(course.cluster, course.new, call);
            (void)cluster_wait(call, 15 * SECOND_US);
            cluster_call_close(call);
            free(call);
            load_run(course.load, 40000u + sim_draw(course.cluster->sim, 100000));
        }
        end(&course);
    }
}

/* ---- it comes back ------------------------------------------------------------------------------------------------------------ */

struct moved {
    struct cluster *cluster;
    uint64_t group;
    uint32_t voters;
};

static bool has_moved(void *data)
{
    const struct moved *moved = data;
    const int leader = cluster_leader(moved->cluster, moved->group);
    return leader >= 0 &&
           members_voters(moved->cluster, (uint32_t)leader, moved->group) == moved->voters;
}

/* A leader that lost its followers, but not the leader of meta, still has the configuration that is wished again. The group
 * has gone on to another one, whose members must not be let go by what the old leader says. */
Test(simulated_membership_faults, a_leader_that_was_replaced_lets_no_replica_go)
{
    for (uint64_t seed = 151; seed <= 156; seed++) {
        struct cluster_options options;
        cluster_options_init(&options, seed, 5);
        options.election_timeout_ms_max = 3000; /* so long it believes to lead */
        struct cluster *cluster = founded_with(&options);
        const uint32_t meta = founded_leader(cluster, 0);
        uint32_t nodes[4]; /* the others */
        uint32_t count = 0;
        for (uint32_t i = 0; i < 5; i++) {
            if (i != meta) nodes[count++] = i;
        }
        cr_assert_eq(cluster_create_topic(cluster, meta, TOPIC, 3), NODE_OK);
        const uint64_t group = peek_partition_group(cluster->nodes[meta].node, TOPIC, 0);
        struct load *load = calloc(1, sizeof(*load));
        load_start(load, cluster, TOPIC, 1u << meta);
        load_run(load, 3 * SECOND_US); /* the nodes register */
        cr_assert_eq(members_place(cluster, meta, TOPIC, nodes, 3), NODE_OK);
        cr_assert(load_run_until_settled(load, SETTLE_US, meta), "seed %" PRIu64, seed);
        struct cluster_call *call = calloc(1, sizeof(*call));
        cluster_fill_transfer(call, TOPIC, (int)nodes[0]);
        cluster_submit(cluster, meta, call);
        cr_assert(cluster_wait(call, 15 * SECOND_US));
        cr_assert_eq(founded_leader(cluster, group), nodes[0], "seed %" PRIu64, seed);
        load_run(load, SECOND_US);

        for (uint32_t i = 1; i <= 2; i++) {
            sim_set_link(cluster->sim, nodes[0], nodes[i], SIM_LINK_CUT);
            sim_set_link(cluster->sim, nodes[i], nodes[0], SIM_LINK_CUT);
        }
        struct moved moved = {.cluster = cluster,
                              .group = group,
                              .voters = 1u << nodes[1] | 1u << nodes[2] | 1u << nodes[3]};
        cr_assert_eq(members_place(cluster, meta, TOPIC, nodes + 1, 3), NODE_OK);
        cr_assert(load_run_until(load, 10 * SECOND_US, has_moved, &moved), "seed %" PRIu64, seed);
        cr_assert_eq(members_place(cluster, meta, TOPIC, nodes, 3), NODE_OK);
        for (uint32_t i = 0; i < 40; i++) {
            load_run(load, SECOND_US / 10u);
            const int leader = cluster_leader(cluster, group);
            cr_assert_geq(leader, 0);
            const uint32_t voters = members_voters(cluster, (uint32_t)leader, group);
            cr_assert(!(voters & 1u << nodes[3]) || members_has_replica(cluster, nodes[3], group),
                      "seed %" PRIu64 ": a voter was let go", seed);
        }
        sim_heal(cluster->sim);
        cr_assert(load_run_until_settled(load, SETTLE_US, meta), "seed %" PRIu64, seed);
        load_check(load, (1u << 5) - 1u);
        free(call);
        free(load);
        cluster_destroy(cluster);
    }
}

/* It was dead while it was taken out, so it holds replicas of groups that do not know it any more. */
Test(simulated_membership_faults, a_removed_node_that_comes_back_votes_nowhere)
{
    for (uint64_t seed = 900; seed < 906; seed++) {
        struct course course;
        begin(&course, seed, /* is_leader= */ seed % 2 == 0);
        snprintf(course.what, sizeof(course.what), "the old one comes back");
        cluster_crash(course.cluster, course.old, SIM_CRASH_KILL);
        replace(&course);
        cr_assert(load_run_until_settled(course.load, SETTLE_US, course.new));
        const uint32_t leader = founded_leader(course.cluster, course.group);
        struct peek_group before;
        cr_assert(peek_group(course.cluster->nodes[leader].node, course.group, &before));
        cluster_start(course.cluster, course.old);
        load_run(course.load, 5 * SECOND_US);
        struct peek_group after;
        cr_assert(peek_group(course.cluster->nodes[leader].node, course.group, &after));
        cr_assert_eq(after.term, before.term, "seed %" PRIu64 ": it disturbs the others", seed);
        cr_assert_eq(after.role, RAFT_LEADER);
        struct peek_group stale;
        if (peek_group(course.cluster->nodes[course.old].node, course.group, &stale)) {
            cr_assert_leq(stale.term, before.term);
            cr_assert_neq(stale.role, RAFT_LEADER);
        }
        /* Of three voters one more dies: with the old one there are two, and two are a majority. It must not count. */
        uint32_t last = 0;
        while (last == course.old || last == course.new || last == leader)
            last++;
        cluster_crash(course.cluster, course.new, SIM_CRASH_KILL);
        cluster_crash(course.cluster, last, SIM_CRASH_KILL);
        sim_run_for(course.cluster->sim, 3 * SECOND_US);
        struct cluster_call *call = calloc(1, sizeof(*call));
        cluster_fill_produce(call, TOPIC, 99999999, -1, 0);
        call->request.timeout_ms = 2000;
        cluster_submit(course.cluster, leader, call);
        cr_assert(cluster_wait(call, 20 * SECOND_US));
        cr_assert_neq(call->request.status, NODE_OK, "seed %" PRIu64 ": one of three acked", seed);
        cluster_call_close(call);
        free(call);
        cluster_start_all(course.cluster);
        free(course.load);
        cluster_destroy(course.cluster);
    }
}
