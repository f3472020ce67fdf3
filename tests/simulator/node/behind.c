#include "behind.h"

#include "founded.h"

#include <criterion/criterion.h>
#include <inttypes.h>
#include <stdio.h>

#define SECOND_US 1000000u
#define NODES     BEHIND_NODES

struct cluster *behind_cluster(uint64_t seed)
{
    struct cluster_options options;
    cluster_options_init(&options, seed, NODES);
    options.base_chunk_bytes = BEHIND_CHUNK_BYTES;
    struct cluster *cluster = founded_with(&options);
    return cluster;
}

struct peek_group behind_look(struct cluster *cluster, uint32_t node, uint64_t group)
{
    struct peek_group peek;
    cr_assert(peek_group(cluster->nodes[node].node, group, &peek));
    return peek;
}

uint32_t behind_other_than(struct cluster *cluster, int leader)
{
    (void)cluster;
    return leader == 0 ? 1u : 0u;
}

void behind_change_topics(struct cluster *cluster, uint32_t node, uint32_t from, uint32_t count)
{
    for (uint32_t i = from; i < from + count; i++) {
        char topic[CLUSTER_NAME_MAX];
        snprintf(topic, sizeof(topic), "topic-%u", i);
        cr_assert_eq(cluster_create_topic(cluster, node, topic, NODES), NODE_OK, "%s", topic);
        if (i % 2u == 0) {
            cr_assert_eq(cluster_delete_topic(cluster, node, topic), NODE_OK, "%s", topic);
        }
    }
}

/* Node `sleeper` is down and far behind: the others dropped what it would need. */
uint64_t behind_let_fall(struct cluster *cluster, uint32_t sleeper)
{
    const struct peek_group before = behind_look(cluster, sleeper, 0);
    const uint64_t last_index = before.last_index;
    cluster_crash(cluster, sleeper, SIM_CRASH_KILL);
    const uint32_t awake = sleeper == 0 ? 1u : 0u;
    behind_change_topics(cluster, awake, 0, 24);
    sim_run_for(cluster->sim, SECOND_US);
    for (uint32_t i = 0; i < NODES; i++) {
        if (i == sleeper) continue;
        cr_assert_gt(behind_look(cluster, i, 0).base_index, last_index, "node %u dropped nothing",
                     i);
    }
    return last_index;
}

struct same {
    struct cluster *cluster;
    uint64_t group;
};

static bool are_same(void *data)
{
    const struct same *same = data;
    struct peek_group first;
    for (uint32_t i = 0; i < NODES; i++) {
        struct peek_group peek;
        if (!sim_is_running(same->cluster->sim, i) || !same->cluster->nodes[i].node) return false;
        if (!peek_group(same->cluster->nodes[i].node, same->group, &peek)) return false;
        if (i == 0) first = peek;
        if (peek.applied_index != first.applied_index || peek.applied_index != peek.last_index ||
            peek.leader == 0) {
            return false;
        }
    }
    return true;
}

void behind_expect_same(struct cluster *cluster, uint64_t group)
{
    struct same same = {.cluster = cluster, .group = group};
    cr_assert(sim_run_until_true(cluster->sim, 30 * SECOND_US, are_same, &same),
              "group %" PRIu64 " does not come together", group);
    const struct peek_group first = behind_look(cluster, 0, group);
    const uint64_t digest = peek_state_digest(&first);
    for (uint32_t i = 1; i < NODES; i++) {
        const struct peek_group peek = behind_look(cluster, i, group);
        cr_assert_eq(peek_state_digest(&peek), digest);
    }
}
