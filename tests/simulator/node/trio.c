#include "trio.h"

#include "rot.h"
#include "sim_invariants.h"

#include <criterion/criterion.h>
#include <inttypes.h>
#include <stdlib.h>

#define NEVER 1000000u /* checkpoint_entries */

struct trio trio_make_with(uint64_t seed, uint64_t checkpoint_entries)
{
    struct trio trio = {.cluster = rot_cluster(seed, 3, 3, TRIO_MESSAGES, checkpoint_entries)};
    trio.group = cluster_group(trio.cluster, 0, ROT_TOPIC);
    const int leader = cluster_leader(trio.cluster, trio.group);
    cr_assert_geq(leader, 0);
    trio.leader = (uint32_t)leader;
    trio.follower = (trio.leader + 1u) % 3u;
    trio.third = (trio.leader + 2u) % 3u;
    return trio;
}

struct trio trio_make(uint64_t seed)
{
    return trio_make_with(seed, NEVER);
}

struct peek_group trio_peek(const struct trio *trio, uint32_t node)
{
    struct peek_group peek;
    cr_assert_not_null(trio->cluster->nodes[node].node);
    cr_assert(peek_group(trio->cluster->nodes[node].node, trio->group, &peek));
    return peek;
}

uint32_t trio_holes(const struct trio *trio, uint32_t node)
{
    static struct node_scrub_status logs[64];
    const uint32_t count = node_scrub_status(trio->cluster->nodes[node].node, logs, 64);
    for (uint32_t i = 0; i < count; i++) {
        if (logs[i].group == trio->group) return logs[i].holes;
    }
    return 0;
}

struct cluster_call *trio_send(const struct trio *trio, uint64_t value)
{
    struct cluster_call *call = calloc(1, sizeof(*call));
    cr_assert_not_null(call);
    cluster_fill_produce(call, ROT_TOPIC, value, -1, -1);
    cluster_submit(trio->cluster, trio->leader, call);
    return call;
}

void trio_forget(struct cluster_call *call)
{
    if (!call->is_done) cluster_cancel(call);
    cluster_call_close(call);
    free(call);
}

void trio_run_until_durable(const struct trio *trio, uint32_t node, uint64_t index)
{
    for (uint32_t i = 0; trio_peek(trio, node).durable_index < index; i++) {
        cr_assert_lt(i, 5000u, "n%u has not got entry %" PRIu64, node + 1u, index);
        sim_run_for(trio->cluster->sim, 100);
    }
}

void trio_rot_entry(const struct trio *trio, uint32_t node, uint64_t index)
{
    char path[160];
    const uint64_t pos = rot_find(trio->cluster, node, index, path, sizeof(path));
    rot_flip(trio->cluster, node, path, pos + 3u);
    invariants_note_damage(trio->cluster->invariants, node);
}

bool trio_follower_leads(void *data)
{
    const struct trio *trio = data;
    return trio_peek(trio, trio->follower).role == RAFT_LEADER;
}
