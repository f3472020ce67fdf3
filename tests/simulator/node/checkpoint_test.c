/* Goal: replicas take checkpoints at a steady distance and not all at once (PROTOCOL S1, S2). Method: simulated nodes and
 * one partition that grows entry by entry; what each node calls its newest checkpoint is noted. */
#include "founded.h"
#include "peek.h"
#include "sim_cluster.h"

#include <criterion/criterion.h>
#include <inttypes.h>

#define SECOND_US 1000000u
#define NODES     3u
#define DISTANCE  30u
#define VALUES    150u
#define TAKEN_MAX 32u

struct taken {
    uint64_t indexes[TAKEN_MAX];
    uint32_t count;
};

static void look(struct cluster *cluster, uint64_t group, struct taken *taken)
{
    for (uint32_t i = 0; i < NODES; i++) {
        struct peek_group peek;
        cr_assert(peek_group(cluster->nodes[i].node, group, &peek));
        const uint64_t last = taken[i].count > 0 ? taken[i].indexes[taken[i].count - 1] : 0;
        if (peek.checkpoint_index == last) continue;
        cr_assert_lt(taken[i].count, TAKEN_MAX);
        taken[i].indexes[taken[i].count++] = peek.checkpoint_index;
    }
}

static void expect_spread(const struct taken *taken)
{
    for (uint32_t i = 0; i < NODES; i++) {
        cr_assert_geq(taken[i].count, VALUES / DISTANCE - 1, "n%u took %u", i + 1, taken[i].count);
        for (uint32_t at = 2; at < taken[i].count; at++) {
            cr_assert_eq(taken[i].indexes[at] - taken[i].indexes[at - 1], DISTANCE);
        }
        for (uint32_t k = 0; k < i; k++) {
            const uint64_t mine = taken[i].indexes[2] % DISTANCE;
            const uint64_t others = taken[k].indexes[2] % DISTANCE;
            cr_assert_neq(mine, others, "n%u and n%u at %" PRIu64, i + 1, k + 1, mine);
        }
    }
}

Test(simulated_checkpoint, replicas_take_turns)
{
    struct cluster_options options;
    cluster_options_init(&options, 1, NODES);
    options.checkpoint_entries = DISTANCE;
    struct cluster *cluster = founded_with(&options);
    cr_assert_eq(cluster_create_topic(cluster, 0, "orders", NODES), NODE_OK);
    const uint64_t group = cluster_group(cluster, 0, "orders");
    const int leader = cluster_wait_leader(cluster, group, 5 * SECOND_US);
    cr_assert_geq(leader, 0);
    sim_run_for(cluster->sim, SECOND_US);
    struct taken taken[NODES] = {0};
    for (uint64_t value = 0; value < VALUES; value++) {
        cr_assert_eq(cluster_produce(cluster, (uint32_t)leader, "orders", value, -1, 0, NULL),
                     NODE_OK);
        sim_run_for(cluster->sim, SECOND_US / 4u); /* several looks of the node at what is due */
        look(cluster, group, taken);
    }
    expect_spread(taken);
    cluster_destroy(cluster);
}
