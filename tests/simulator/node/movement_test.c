/* Goal: a leader is not given up because one large entry takes longer than CheckQuorum waits, as long as bytes of it arrive
 * (PROTOCOL C4). Method: a pair of simulated nodes far apart, with little room in their connections. */
#include "founded.h"
#include "rot.h"
#include "sim_cluster.h"
#include "sim_invariants.h"

#include <broker/record_batch.h>
#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

#define SECOND_US   1000000u
#define VALUE_BYTES (900u << 10)

static struct cluster *make(uint64_t seed, uint64_t *ret_group)
{
    struct cluster_options options;
    cluster_options_init(&options, seed, 2);
    options.world.window_bytes = 16u << 10;
    struct cluster *cluster = founded_with(&options);
    cr_assert_eq(cluster_create_topic(cluster, 0, "orders", 2), NODE_OK);
    sim_run_for(cluster->sim, 2 * SECOND_US);
    *ret_group = cluster_group(cluster, 0, "orders");
    return cluster;
}

static void fill_large(struct cluster_call *call, struct record_batch_builder *builder)
{
    cluster_fill_produce(call, "orders", 0, -1, 0);
    uint8_t *value = malloc(VALUE_BYTES);
    cr_assert_not_null(value);
    for (uint32_t i = 0; i < VALUE_BYTES; i++) {
        value[i] = (uint8_t)(i * 31u >> 3);
    }
    record_batch_builder_init(builder, 1u << 20);
    record_batch_begin(builder);
    const struct record record = {.timestamp_ms = 1, .value = value, .value_bytes = VALUE_BYTES};
    cr_assert_eq(record_batch_add(builder, &record), RECORD_BATCH_OK);
    record_batch_finish(builder, -1, -1, -1);
    call->request.produce.batch = builder->buffer;
    call->request.produce.bytes = builder->bytes;
    free(value);
}

/* Returns how long it took. */
static uint64_t produce_large(struct cluster *cluster, uint32_t leader)
{
    struct cluster_call call;
    struct record_batch_builder builder;
    fill_large(&call, &builder);
    cluster_submit(cluster, leader, &call);
    cr_assert(cluster_wait(&call, 20 * SECOND_US));
    cr_assert_eq(call.request.status, NODE_OK, "%s", call.request.detail);
    const uint64_t took_us = call.done_us - call.submitted_us;
    cluster_call_close(&call);
    record_batch_builder_close(&builder);
    return took_us;
}

Test(simulated_movement, an_entry_that_takes_longer_than_an_election_costs_no_leader)
{
    uint64_t group;
    struct cluster *cluster = make(1, &group);
    const uint32_t leader = founded_leader(cluster, group);
    struct node_group_status before, after;
    cr_assert(cluster_group_status(cluster, leader, group, &before));
    sim_set_link_us(cluster->sim, 20000, 25000);
    const uint64_t took_us = produce_large(cluster, leader);
    /* CheckQuorum looks back over two election timeouts of up to 600 ms. */
    cr_assert_gt(took_us, 1500000, "%d ms: nothing is shown", (int)(took_us / 1000u));
    cr_assert(cluster_group_status(cluster, leader, group, &after));
    cr_assert_str_eq(after.role, "leader");
    cr_assert_eq(after.term, before.term);
    cluster_destroy(cluster);
}

/* The same entry as damage: the peer's answer takes longer than a request waits at first. */
Test(simulated_movement, what_takes_longer_than_a_request_waits_is_repaired)
{
    uint64_t group;
    struct cluster *cluster = make(2, &group);
    const uint32_t leader = founded_leader(cluster, group);
    const uint32_t follower = 1u - leader;
    (void)produce_large(cluster, leader);
    sim_run_for(cluster->sim, SECOND_US);
    char path[160];
    uint64_t bytes;
    cr_assert(rot_file(cluster, follower, group, NULL, 0, path, sizeof(path), &bytes));
    cluster_crash(cluster, follower, SIM_CRASH_KILL);
    rot_flip(cluster, follower, path, VALUE_BYTES / 2u);
    invariants_note_damage(cluster->invariants, follower);
    sim_set_link_us(cluster->sim, 20000, 25000);
    cluster_start(cluster, follower);
    sim_run_for(cluster->sim, SECOND_US);
    (void)rot_scrub(cluster, follower, 20 * SECOND_US);
    cr_assert_geq(rot_found(cluster, follower), 1);
    cr_assert(rot_is_repaired(cluster, 60 * SECOND_US));
    cluster_destroy(cluster);
}
