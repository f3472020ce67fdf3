/* How many rounds a forced split vote lasts (Raft §5.2, thesis §3.4, §9.3).
 *
 *     raft_election_rounds [--seeds N] [--verbose]
 *
 * Five nodes whose timers fire at the same instant all win the pre-votes of all, stand in one term and vote for themselves.
 * From there on only their random waits tell them apart. A round is a term; a leader must come within five rounds in at
 * least 99 of 100 seeds, and always within LIMIT_MS. With equal waits they would go on for ever. */
#include "cluster.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define NODES        5u
#define TIMEOUT_MS   600u /* the longest wait that cluster.c gives its nodes */
#define LIMIT_MS     60000u
#define ROUNDS_GOOD  5u
#define ROUNDS_SHOWN 16u

struct world {
    struct cluster *cluster;
    uint64_t random;
};

static uint64_t draw(struct world *world, uint64_t below)
{
    uint64_t x = world->random += 0x9e3779b97f4a7c15u;
    x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9u;
    x = (x ^ (x >> 27)) * 0x94d049bb133111ebu;
    return (x ^ (x >> 31)) % below;
}

/* A message takes 1 to 4 ms: longer than the timers of the nodes lie apart at the start. */
static uint64_t on_send(struct cluster *cluster, const struct raft_message *message)
{
    (void)message;
    return cluster->now_ms + 1 + draw(cluster->hook_data, 4);
}

static void run_node(struct cluster *cluster, raft_node_id id)
{
    struct cluster_node *node = &cluster->nodes[id];
    while (node->jobs_count > 0) {
        cluster_finish_job(cluster, id);
    }
    while (node->reports_count > 0) {
        cluster_report_oldest(cluster, id);
    }
    while (node->hard_queue_count > 0) {
        cluster_finish_hard(cluster, id);
    }
    if (node->timer_at_ms <= cluster->now_ms) (void)cluster_event(cluster, id, RAFT_EVENT_TICK);
}

static void run_one_ms(struct cluster *cluster)
{
    cluster->now_ms++;
    for (raft_node_id id = 1; id <= NODES; id++) {
        run_node(cluster, id);
    }
    uint32_t i = 0;
    while (i < cluster->network.count) {
        if (cluster->network.items[i].deliver_at_ms > cluster->now_ms) {
            i++;
        } else {
            cluster_deliver(cluster, i);
        }
    }
}

/* The term of the first leader; 0: none came. */
static raft_term rounds_of(uint64_t seed)
{
    struct world world = {.cluster = calloc(1, sizeof(struct cluster)), .random = seed};
    struct cluster *cluster = world.cluster;
    assert(cluster != NULL);
    struct cluster_options options = {.seed = seed,
                                      .trail_runs_max = 256,
                                      .append_entries_max = 16,
                                      .append_inflight_max = 8,
                                      .append_runs_max = RAFT_MESSAGE_RUNS_MAX};
    struct raft_configuration configuration = {.members_count = NODES};
    for (uint32_t i = 0; i < NODES; i++) {
        configuration.members[i] = (struct raft_member){.id = {.node = i + 1}, .voter = true};
    }
    cluster_open(cluster, &options, &configuration);
    cluster->hook_data = &world;
    cluster->on_send = on_send;
    for (raft_node_id id = 1; id <= NODES; id++) {
        cluster_start(cluster, id);
    }
    cluster->now_ms += TIMEOUT_MS; /* nobody's timer ran meanwhile: all are due now */
    while (cluster->elections == 0 && cluster->now_ms < LIMIT_MS) {
        run_one_ms(cluster);
    }
    raft_term term = 0;
    raft_node_id leader = cluster_leader(cluster);
    if (leader != 0) {
        struct raft_view view;
        raft_view(cluster->nodes[leader].core, cluster->now_ms, &view);
        term = view.term;
    }
    cluster_close(cluster);
    free(cluster);
    return term;
}

int main(int arguments_count, char **arguments)
{
    uint64_t seeds = 2000;
    for (int i = 1; i + 1 < arguments_count; i++) {
        if (strcmp(arguments[i], "--seeds") == 0) seeds = strtoull(arguments[i + 1], NULL, 10);
    }
    uint64_t count[ROUNDS_SHOWN + 1] = {0};
    uint64_t good = 0;
    for (uint64_t seed = 1; seed <= seeds; seed++) {
        raft_term rounds = rounds_of(seed);
        if (rounds == 0) {
            printf("seed %" PRIu64 ": no leader in %u ms\n", seed, LIMIT_MS);
            return 1;
        }
        if (rounds <= ROUNDS_GOOD) good++;
        count[rounds < ROUNDS_SHOWN ? rounds : ROUNDS_SHOWN]++;
    }
    printf("%" PRIu64 " split votes of %u nodes, by rounds to a leader:", seeds, NODES);
    for (uint32_t i = 1; i <= ROUNDS_SHOWN; i++) {
        if (count[i] > 0) printf(" %u: %" PRIu64, i, count[i]);
    }
    printf("\n");
    if (count[1] * 2 > seeds) {
        printf("most were over in the first round: the split was not forced\n");
        return 1;
    }
    return good * 100 >= seeds * 99 ? 0 : 1;
}
