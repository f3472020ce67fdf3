/* Goal: two nodes that hold different entries at the same index and term notice it; the one outside the majority is quarantined
 * and made again, whoever leads, and without a majority either way the group stands still (PROTOCOL C3, D6); repair gets by beside it
 * (D4). Method: between two lives of a follower, another history is written into its log: whole records under a right mark, so
 * nothing but the leader's chain can tell. */
#include "founded.h"
#include "members.h"
#include "poke.h"
#include "rot.h"
#include "sim_invariants.h"

#include <criterion/criterion.h>
#include <inttypes.h>
#include <segment_log/segment_log.h>
#include <stdlib.h>
#include <string.h>

#define SECOND_US 1000000u
#define VALUES    20u
#define LAST      UINT64_MAX
/* So many entries push others out of the smallest memory for them. */
#define CACHE_BYTES  4096u
#define BEYOND_CACHE 200u

static void finish_jobs(struct segment_log *log)
{
    struct segment_log_job *job;
    while ((job = segment_log_next_job(log, /* idle= */ true))) {
        struct segment_log_job_result result;
        segment_log_job_run(job);
        segment_log_job_finish(log, job, &result);
        cr_assert_eq(result.status, SEGMENT_LOG_OK, "%s", result.problem.reason);
    }
}

/* The group's log on a node that is down. */
static struct segment_log *open_log(struct cluster *cluster, uint32_t node, uint64_t group,
                                    const struct cluster_id *id)
{
    char directory[DISK_PATH_MAX];
    snprintf(directory, sizeof(directory), "/data/groups/%020" PRIu64, group);
    const struct segment_log_options options = {
        .disk = sim_memory_disk(cluster->sim, node),
        .directory = directory,
        .cluster = *id,
        .group = group,
        .segment_bytes_max = 1u << 20,
        .cache_bytes_max = 1u << 20,
        .sector_bytes = 512,
    };
    struct segment_log *log = NULL;
    struct segment_log_problem problem = {0};
    cr_assert_eq(segment_log_open(&options, &log, &problem), SEGMENT_LOG_OK, "%s", problem.reason);
    return log;
}

/* Entries of the log's last term through that index. */
static void append_through(struct segment_log *log, uint64_t index)
{
    struct segment_log_info info;
    segment_log_info(log, &info);
    const struct segment_log_entry other = {.type = ENTRY_NOOP,
                                            .timestamp_ms = info.last_timestamp_ms};
    uint64_t last_index = info.last_index;
    while (last_index < index) {
        cr_assert_eq(segment_log_append(log, info.last_term, &other, 1, &last_index),
                     SEGMENT_LOG_OK);
    }
    finish_jobs(log);
}

/* Replace the entries of the group's log from one on, on a node that is down, by others of the same term. */
static void replace_from(struct cluster *cluster, uint32_t node, uint64_t group,
                         const struct cluster_id *id, uint64_t first_index)
{
    struct segment_log *log = open_log(cluster, node, group, id);
    struct segment_log_info before, after;
    segment_log_info(log, &before);
    if (first_index == LAST) first_index = before.last_index;
    segment_log_truncate(log, first_index);
    append_through(log, before.last_index);
    segment_log_info(log, &after);
    cr_assert_eq(after.last_term, before.last_term);
    cr_assert_neq(after.last_chain, before.last_chain);
    invariants_expect_forged(cluster->invariants, node);
    segment_log_close(log);
}

/* More entries, of the last one's term, as a leader appends them that dies before anybody has them. */
static void append_more(struct cluster *cluster, uint32_t node, uint64_t group,
                        const struct cluster_id *id, uint64_t count)
{
    struct segment_log *log = open_log(cluster, node, group, id);
    struct segment_log_info info;
    segment_log_info(log, &info);
    append_through(log, info.last_index + count);
    invariants_expect_forged(cluster->invariants, node);
    segment_log_close(log);
}

static void replace_last(struct cluster *cluster, uint32_t node, uint64_t group,
                         const struct cluster_id *id)
{
    replace_from(cluster, node, group, id, LAST);
}

struct world {
    struct cluster *cluster;
    uint64_t group;
    struct cluster_id id;
    uint64_t epochs[5];
    uint32_t renewed; /* bit per node that is to be under another one */
    uint64_t values;  /* produced: 0 .. values - 1 */
};

static uint64_t epoch_of(const struct world *world, uint32_t node)
{
    struct peek_group found;
    const bool is_there = peek_group(world->cluster->nodes[node].node, world->group, &found);
    return is_there ? found.epoch : UINT64_MAX;
}

static void produce_through(struct world *world, uint32_t node, uint64_t end)
{
    for (; world->values < end; world->values++) {
        cr_assert_eq(cluster_produce(world->cluster, node, "orders", world->values, -1, 0, NULL),
                     NODE_OK);
    }
}

/* cache_bytes: of each log; 0: all entries stay in memory. */
static struct world make_with(uint64_t seed, uint32_t nodes, uint64_t cache_bytes)
{
    struct cluster_options options;
    cluster_options_init(&options, seed, nodes);
    if (cache_bytes) options.cache_bytes_max = cache_bytes;
    options.checkpoint_entries = 1000000; /* none covers the entry that is replaced */
    struct world world = {.cluster = founded_with(&options)};
    struct cluster *cluster = world.cluster;
    cr_assert_eq(cluster_create_topic(cluster, 0, "orders", nodes), NODE_OK);
    sim_run_for(cluster->sim, SECOND_US);
    world.group = cluster_group(cluster, 0, "orders");
    cr_assert_neq(world.group, 0);
    cr_assert_geq(cluster_wait_leader(cluster, world.group, 5 * SECOND_US), 0);
    produce_through(&world, 0, VALUES);
    sim_run_for(cluster->sim, SECOND_US);
    struct node_cluster_status status;
    node_cluster_status(cluster->nodes[0].node, &status);
    world.id = status.cluster;
    for (uint32_t node = 0; node < nodes; node++) {
        world.epochs[node] = epoch_of(&world, node);
    }
    return world;
}

static struct world make(uint64_t seed, uint32_t nodes)
{
    return make_with(seed, nodes, 0);
}

static uint32_t all_of(const struct world *world)
{
    return (1u << world->cluster->options.nodes_count) - 1u;
}

static uint64_t counter_of(struct cluster *cluster, uint32_t node, const char *name)
{
    size_t bytes = 0;
    char *text = node_metrics_text(cluster->nodes[node].node, &bytes);
    char line[128];
    snprintf(line, sizeof(line), "\nraftmq_%s ", name);
    const char *at = strstr(text, line);
    cr_assert_not_null(at, "%s", name);
    const uint64_t value = strtoull(at + strlen(line), NULL, 10);
    free(text);
    return value;
}

/* All vote again, and those of the mask under new epochs. */
static bool is_mended(void *data)
{
    const struct world *world = data;
    for (uint32_t node = 0; node < world->cluster->options.nodes_count; node++) {
        struct node_group_status status;
        if (!cluster_group_status(world->cluster, node, world->group, &status)) return false;
        const uint64_t epoch = epoch_of(world, node);
        if (status.leader == 0 || epoch == UINT64_MAX) return false;
        if ((world->renewed & 1u << node) && epoch == world->epochs[node]) return false;
        if (members_voters(world->cluster, node, world->group) != all_of(world)) return false;
    }
    return true;
}

static void expect_mended(struct world *world, uint32_t renewed)
{
    struct cluster *cluster = world->cluster;
    world->renewed = renewed;
    cr_assert(sim_run_until_true(cluster->sim, 60 * SECOND_US, is_mended, world));
    for (uint32_t node = 0; node < cluster->options.nodes_count; node++) {
        if (renewed & 1u << node) {
            cr_assert_gt(epoch_of(world, node), world->epochs[node], "n%u", node + 1u);
        } else {
            cr_assert_eq(epoch_of(world, node), world->epochs[node], "n%u", node + 1u);
        }
        struct cluster_ack records[VALUES + BEYOND_CACHE + 2u];
        cr_assert_eq(cluster_read_all(cluster, node, "orders", records, VALUES + BEYOND_CACHE + 2u),
                     (int)world->values, "n%u", node + 1u);
    }
    cr_assert_eq(cluster->fatals_count, 0, "%s", cluster->last_fatal_reason);
}

/* ---- one differs ------------------------------------------------------------------------------------------------------------ */

Test(simulated_divergence, a_follower_with_another_history_is_quarantined_and_made_again)
{
    for (uint64_t seed = 3; seed <= 8; seed++) {
        struct world world = make(seed, 3);
        struct cluster *cluster = world.cluster;
        const uint32_t follower = ((uint32_t)cluster_leader(cluster, world.group) + 1u) % 3u;
        cluster_crash(cluster, follower, SIM_CRASH_KILL);
        replace_last(cluster, follower, world.group, &world.id);
        cluster_start(cluster, follower);
        expect_mended(&world, 1u << follower);
        cr_assert_eq(counter_of(cluster, follower, "replicas_quarantined_total"), 1);
        cr_assert_eq(counter_of(cluster, follower, "replicas_lost_total"), 1);
        cluster_destroy(cluster);
    }
}

/* The others have the entry no more in memory: they name no chain behind which their entries stand. */
Test(simulated_divergence, a_follower_that_lags_far_is_quarantined_and_does_not_end_its_node)
{
    for (uint64_t seed = 71; seed <= 74; seed++) {
        struct world world = make_with(seed, 3, CACHE_BYTES);
        struct cluster *cluster = world.cluster;
        const uint32_t follower = ((uint32_t)cluster_leader(cluster, world.group) + 1u) % 3u;
        cluster_crash(cluster, follower, SIM_CRASH_KILL);
        replace_last(cluster, follower, world.group, &world.id);
        produce_through(&world, (follower + 1u) % 3u, VALUES + BEYOND_CACHE);
        cluster_start(cluster, follower);
        expect_mended(&world, 1u << follower);
        cluster_destroy(cluster);
    }
}

/* All three are down, and the last entry of this one is another one. */
static void stop_all_with_another_end(struct world *world, uint32_t odd)
{
    for (uint32_t node = 0; node < 3u; node++) {
        cluster_crash(world->cluster, node, SIM_CRASH_KILL);
    }
    replace_last(world->cluster, odd, world->group, &world->id);
}

static void expect_told_that_it_differs(struct world *world, uint32_t node)
{
    struct node_group_status status;
    cr_assert(cluster_group_status(world->cluster, node, world->group, &status));
    cr_assert_not_null(strstr(status.problem, "differs from"), "%s", status.problem);
}

/* It has more than the others at the end, of the old term, which is cut: what then is its end is no longer in its memory. */
Test(simulated_divergence, a_follower_whose_cut_leaves_another_history_is_quarantined)
{
    for (uint64_t seed = 81; seed <= 84; seed++) {
        struct world world = make_with(seed, 3, CACHE_BYTES);
        struct cluster *cluster = world.cluster;
        const uint32_t odd = (uint32_t)seed % 3u;
        stop_all_with_another_end(&world, odd);
        append_more(cluster, odd, world.group, &world.id, BEYOND_CACHE);
        cluster_start(cluster, (odd + 1u) % 3u);
        cluster_start(cluster, (odd + 2u) % 3u);
        cr_assert_geq(cluster_wait_leader(cluster, world.group, 10 * SECOND_US), 0);
        produce_through(&world, (odd + 1u) % 3u, VALUES + 1u);
        cluster_start(cluster, odd);
        expect_mended(&world, 1u << odd);
        cluster_destroy(cluster);
    }
}

/* It leads, by the longest log, and has where it differs in no memory: it hears of it from who is to append behind that. */
Test(simulated_divergence, a_leader_that_differs_where_it_read_from_files_is_quarantined)
{
    for (uint64_t seed = 91; seed <= 94; seed++) {
        struct world world = make_with(seed, 3, CACHE_BYTES);
        struct cluster *cluster = world.cluster;
        const uint32_t odd = (uint32_t)seed % 3u, second = (odd + 1u) % 3u, third = (odd + 2u) % 3u;
        stop_all_with_another_end(&world, odd);
        append_more(cluster, odd, world.group, &world.id, BEYOND_CACHE);
        cluster_start(cluster, odd);
        cluster_start(cluster, second);
        sim_run_for(cluster->sim, 5 * SECOND_US);
        expect_told_that_it_differs(&world, odd);
        cr_assert_eq(epoch_of(&world, odd), world.epochs[odd], "not judged");
        cluster_start(cluster, third);
        expect_mended(&world, 1u << odd);
        cluster_destroy(cluster);
    }
}

/* It leads by a log that is as long as that of the others, and nobody follows it: neither side is a majority until the third
 * node is there. */
Test(simulated_divergence, a_leader_outside_the_majority_is_quarantined_when_a_third_voter_answers)
{
    for (uint64_t seed = 11; seed <= 16; seed++) {
        struct world world = make(seed, 3);
        struct cluster *cluster = world.cluster;
        const uint32_t odd = (uint32_t)seed % 3u, second = (odd + 1u) % 3u, third = (odd + 2u) % 3u;
        stop_all_with_another_end(&world, odd);
        cluster_start(cluster, odd);
        cluster_start(cluster, second);
        sim_run_for(cluster->sim, 10 * SECOND_US);
        cr_assert_neq(cluster_produce(cluster, odd, "orders", 99, -1, 0, NULL), NODE_OK, "a halt");
        cr_assert_eq(epoch_of(&world, odd), world.epochs[odd], "not judged");
        cr_assert_eq(epoch_of(&world, second), world.epochs[second]);
        expect_told_that_it_differs(&world, odd);
        cluster_start(cluster, third);
        world.renewed = 1u << odd;
        cr_assert(sim_run_until_true(cluster->sim, 60 * SECOND_US, is_mended, &world));
        cr_assert_gt(epoch_of(&world, odd), world.epochs[odd]);
        cr_assert_eq(epoch_of(&world, second), world.epochs[second]);
        cr_assert_eq(epoch_of(&world, third), world.epochs[third]);
        struct cluster_ack records[VALUES + 2u];
        const int count = cluster_read_all(cluster, odd, "orders", records, VALUES + 2u);
        cr_assert_geq(count, (int)VALUES);
        for (uint32_t i = 0; i < VALUES; i++) {
            cr_assert_eq(records[i].value, i);
        }
        cr_assert_eq(cluster->fatals_count, 0, "%s", cluster->last_fatal_reason);
        cluster_destroy(cluster);
    }
}

/* What the third one has there is not among its newest entries, so it is in no memory. */
Test(simulated_divergence, a_voter_tells_what_its_files_hold)
{
    for (uint64_t seed = 61; seed <= 66; seed++) {
        struct world world = make_with(seed, 3, CACHE_BYTES);
        struct cluster *cluster = world.cluster;
        const uint32_t odd = (uint32_t)seed % 3u, second = (odd + 1u) % 3u, third = (odd + 2u) % 3u;
        stop_all_with_another_end(&world, odd);
        append_more(cluster, third, world.group, &world.id, BEYOND_CACHE);
        cluster_start(cluster, odd);
        cluster_start(cluster, second);
        sim_run_for(cluster->sim, 5 * SECOND_US);
        expect_told_that_it_differs(&world, second);
        cluster_start(cluster, third);
        expect_mended(&world, 1u << odd);
        cluster_destroy(cluster);
    }
}

Test(simulated_divergence, two_of_five_are_quarantined_whoever_leads)
{
    for (uint64_t seed = 21; seed <= 24; seed++) {
        struct world world = make(seed, 5);
        struct cluster *cluster = world.cluster;
        const uint32_t first = (uint32_t)seed % 5u, second = (first + 2u) % 5u;
        for (uint32_t node = 0; node < 5u; node++) {
            cluster_crash(cluster, node, SIM_CRASH_KILL);
        }
        replace_last(cluster, first, world.group, &world.id);
        replace_last(cluster, second, world.group, &world.id);
        for (uint32_t node = 0; node < 5u; node++) {
            cluster_start(cluster, node);
        }
        expect_mended(&world, 1u << first | 1u << second);
        cluster_destroy(cluster);
    }
}

/* ---- heartbeats ------------------------------------------------------------------------------------------------------------- */

/* A leader that says of an acknowledged entry that it is another one: the follower asks around before it believes it, and
 * does nothing for it meanwhile. */
Test(simulated_divergence, a_heartbeat_with_another_chain_is_not_believed_against_the_majority)
{
    struct world world = make(31, 3);
    struct cluster *cluster = world.cluster;
    const uint32_t leader = (uint32_t)cluster_leader(cluster, world.group);
    const uint32_t follower = (leader + 1u) % 3u;
    struct peek_group found;
    cr_assert(peek_group(cluster->nodes[follower].node, world.group, &found));
    struct raft_message heartbeat = {
        .type = RAFT_MESSAGE_HEARTBEAT,
        .group = world.group,
        .from = {.node = leader + 1u, .epoch = world.epochs[leader]},
        .to = {.node = follower + 1u, .epoch = world.epochs[follower]},
        .term = found.term,
        .heartbeat = {.commit_index = found.commit_index, .commit_chain = 4711},
    };
    poke_message(cluster->nodes[follower].node, &heartbeat);
    struct node_group_status status;
    cr_assert(cluster_group_status(cluster, follower, world.group, &status));
    cr_assert_not_null(strstr(status.problem, "differs from"), "%s", status.problem);
    sim_run_for(cluster->sim, SECOND_US);
    cr_assert(cluster_group_status(cluster, follower, world.group, &status));
    cr_assert_str_eq(status.problem, "", "it is with the majority");
    cr_assert_eq(counter_of(cluster, follower, "chain_disputes_total"), 1);
    expect_mended(&world, 0);
    cluster_destroy(cluster);
}

/* A replica in dispute is as if it were cut off: it neither acknowledges nor votes. */
Test(simulated_divergence, a_replica_in_dispute_acknowledges_nothing)
{
    struct world world = make(41, 3);
    struct cluster *cluster = world.cluster;
    const uint32_t leader = (uint32_t)cluster_leader(cluster, world.group);
    const uint32_t odd = (leader + 1u) % 3u, third = (leader + 2u) % 3u;
    cluster_crash(cluster, third, SIM_CRASH_KILL);
    cluster_crash(cluster, odd, SIM_CRASH_KILL);
    replace_last(cluster, odd, world.group, &world.id);
    cluster_start(cluster, odd);
    sim_run_for(cluster->sim, 5 * SECOND_US);
    cr_assert_neq(cluster_produce(cluster, leader, "orders", 99, -1, 0, NULL), NODE_OK);
    struct peek_group first, second;
    cr_assert(peek_group(cluster->nodes[odd].node, world.group, &first));
    cr_assert(peek_group(cluster->nodes[leader].node, world.group, &second));
    cr_assert_neq(first.role, RAFT_LEADER);
    cr_assert_eq(first.last_index, first.durable_index);
    cr_assert_leq(second.commit_index, first.last_index, "what it lacks is not committed");
    cluster_start(cluster, third);
    world.renewed = 1u << odd;
    cr_assert(sim_run_until_true(cluster->sim, 60 * SECOND_US, is_mended, &world));
    cr_assert_gt(epoch_of(&world, odd), world.epochs[odd]);
    cluster_destroy(cluster);
}

/* A leader of five in dispute goes on changing its members, and one of them then stands where another one stood that had told.
 * Two of five, of which one is a voter no more, are no majority of the four that are left. */
Test(simulated_divergence, nobody_is_counted_twice_where_members_change)
{
    struct world world = make(47, 5);
    struct cluster *cluster = world.cluster;
    const uint32_t leader = (uint32_t)cluster_leader(cluster, world.group);
    struct node *node = cluster->nodes[leader].node;
    struct peek_group found;
    cr_assert(peek_group(node, world.group, &found));
    const struct raft_configuration before = *peek_configuration(&found);
    struct raft_configuration after = {.members_count = 5};
    struct raft_replica_id others[4];
    uint32_t count = 0;
    for (uint32_t i = 0; i < 5; i++) {
        if (before.members[i].id.node != leader + 1u) others[count++] = before.members[i].id;
    }
    cr_assert_eq(count, 4);
    /* Two tell; then the two others take their places in front. */
    uint32_t next = 2;
    for (uint32_t i = 0; i < 5; i++) {
        const bool is_leader = before.members[i].id.node == leader + 1u;
        after.members[i] = (struct raft_member){
            .id = is_leader ? before.members[i].id : others[next % 4u], .voter = true};
        if (after.members[i].id.node == others[0].node) after.members[i].voter = false;
        if (!is_leader) next++;
    }
    sim_isolate(cluster->sim, leader, SIM_LINK_CUT);
    const struct raft_message heartbeat = {
        .type = RAFT_MESSAGE_HEARTBEAT,
        .group = world.group,
        .from = others[0],
        .to = {.node = leader + 1u, .epoch = world.epochs[leader]},
        .term = found.term,
        .heartbeat = {.commit_index = found.commit_index, .commit_chain = 4711},
    };
    uint64_t chain, term;
    cr_assert(peek_entry(&found, found.commit_index, &chain, &term));
    poke_message(node, &heartbeat);
    poke_chain(node, world.group, &others[0], found.commit_index, term, 4711);
    poke_chain(node, world.group, &others[1], found.commit_index, term, 4711);
    cr_assert_eq(poke_configure(node, world.group, &after), RAFT_OK);
    poke_chain(node, world.group, &others[1], found.commit_index, term, 4711);
    sim_run_for(cluster->sim, SECOND_US / 10u);
    cr_assert_eq(counter_of(cluster, leader, "chain_disputes_total"), 1);
    cr_assert_eq(counter_of(cluster, leader, "replicas_quarantined_total"), 0);
    sim_heal(cluster->sim);
    sim_run_for(cluster->sim, 5 * SECOND_US);
    expect_mended(&world, 0);
    cluster_destroy(cluster);
}

/* ---- service ---------------------------------------------------------------------------------------------------------------- */

static void allow_local_reads(struct cluster *cluster)
{
    cr_assert_eq(cluster_allow_local_reads(cluster, 0, "orders"), NODE_OK);
    sim_run_for(cluster->sim, SECOND_US); /* on all nodes */
}

static struct cluster_call *fetch_of(struct cluster *cluster, uint32_t node, uint64_t offset,
                                     uint32_t wait_ms)
{
    struct cluster_call *call = calloc(1, sizeof(*call));
    cr_assert_not_null(call);
    cluster_fill_fetch(call, "orders", offset, wait_ms);
    cluster_submit(cluster, node, call);
    return call;
}

static void end_call(struct cluster_call *call)
{
    cluster_call_close(call);
    free(call);
}

static void expect_read(struct cluster_call *call, uint64_t next_offset)
{
    cr_assert(cluster_wait(call, 5 * SECOND_US));
    cr_assert_eq(call->request.status, NODE_OK, "%s", call->request.detail);
    cr_assert_eq(call->request.ret_next_offset, next_offset);
    end_call(call);
}

static void expect_refused(struct cluster_call *call, const char *remedy)
{
    cr_assert(cluster_wait(call, 3 * SECOND_US));
    cr_assert_eq(call->request.status, NODE_NOT_READY, "%d %s", call->request.status,
                 call->request.detail);
    cr_assert_not_null(strstr(call->request.detail, "differs from"), "%s", call->request.detail);
    cr_assert_not_null(strstr(call->request.detail, remedy), "%s", call->request.detail);
    cr_assert_gt(call->request.retry_after_ms, 0);
    end_call(call);
}

static uint64_t local_reads_of(const struct world *world, uint32_t node)
{
    struct node_group_status status;
    cr_assert(cluster_group_status(world->cluster, node, world->group, &status));
    return status.reads_local;
}

/* A leader says of an entry that the follower acknowledged to it that it is another one. */
static void begin_dispute(struct world *world, uint32_t follower, uint32_t leader)
{
    struct cluster *cluster = world->cluster;
    struct peek_group found;
    cr_assert(peek_group(cluster->nodes[follower].node, world->group, &found));
    const struct raft_message heartbeat = {
        .type = RAFT_MESSAGE_HEARTBEAT,
        .group = world->group,
        .from = {.node = leader + 1u, .epoch = world->epochs[leader]},
        .to = {.node = follower + 1u, .epoch = world->epochs[follower]},
        .term = found.term,
        .heartbeat = {.commit_index = found.commit_index, .commit_chain = 4711},
    };
    poke_message(cluster->nodes[follower].node, &heartbeat);
    expect_told_that_it_differs(world, follower);
}

/* Two differ and the third one is down: neither knows that it is right, however much of its state was committed once. Who reads
 * where old messages are allowed is told so, and what to do, also who has waited there since before. */
Test(simulated_divergence, a_replica_in_dispute_serves_no_local_reads)
{
    for (uint64_t seed = 111; seed <= 114; seed++) {
        struct world world = make(seed, 3);
        struct cluster *cluster = world.cluster;
        allow_local_reads(cluster);
        const uint32_t leader = (uint32_t)cluster_leader(cluster, world.group);
        const uint32_t odd = (leader + 1u) % 3u, third = (leader + 2u) % 3u;
        const uint64_t before = local_reads_of(&world, leader);
        expect_read(fetch_of(cluster, leader, 0, 0), VALUES);
        cr_assert_eq(local_reads_of(&world, leader), before + 1u, "it is a local one");
        struct cluster_call *waiting = fetch_of(cluster, leader, VALUES, 50000);
        cluster_crash(cluster, third, SIM_CRASH_KILL);
        cluster_crash(cluster, odd, SIM_CRASH_KILL);
        replace_last(cluster, odd, world.group, &world.id);
        cluster_start(cluster, odd);
        char remedy[64];
        snprintf(remedy, sizeof(remedy), "start or reconnect n%u", third + 1u);
        cr_assert(cluster_wait(waiting, 8 * SECOND_US), "it waits on");
        expect_refused(waiting, remedy);
        for (uint32_t i = 0; i < 2; i++) {
            const uint32_t node = i == 0 ? leader : odd;
            expect_told_that_it_differs(&world, node);
            expect_refused(fetch_of(cluster, node, 0, 0), remedy);
            expect_refused(fetch_of(cluster, node, 0, 1000), remedy);
            struct cluster_call *offsets = calloc(1, sizeof(*offsets));
            cr_assert_not_null(offsets);
            cluster_fill_commit(offsets, "orders", "billing", 0);
            offsets->request.type = NODE_REQUEST_GROUP_FETCH;
            cluster_submit(cluster, node, offsets);
            expect_refused(offsets, remedy);
        }
        cr_assert_eq(local_reads_of(&world, leader), before + 1u);
        cr_assert_eq(local_reads_of(&world, odd), 0);
        cluster_start(cluster, third);
        expect_mended(&world, 1u << odd);
        expect_read(fetch_of(cluster, leader, 0, 0), VALUES);
        cluster_destroy(cluster);
    }
}

/* The others answer within a round trip, as a rule: nobody is sent away for that, neither who comes nor who waits. */
Test(simulated_divergence, a_local_read_waits_for_a_dispute_that_is_soon_over)
{
    struct world world = make(121, 3);
    struct cluster *cluster = world.cluster;
    allow_local_reads(cluster);
    const uint32_t leader = (uint32_t)cluster_leader(cluster, world.group);
    const uint32_t follower = (leader + 1u) % 3u;
    const uint64_t before = local_reads_of(&world, follower);
    struct cluster_call *waiting = fetch_of(cluster, follower, VALUES, 50000);
    sim_run_for(cluster->sim, 20 * SECOND_US);
    begin_dispute(&world, follower, leader);
    struct cluster_call *call = fetch_of(cluster, follower, 0, 0);
    cr_assert_not(call->is_done);
    expect_read(call, VALUES);
    cr_assert_eq(local_reads_of(&world, follower), before + 1u, "from here");
    sim_run_for(cluster->sim, 5 * SECOND_US);
    cr_assert_not(waiting->is_done, "%s", waiting->request.detail);
    produce_through(&world, leader, VALUES + 1u);
    expect_read(waiting, VALUES + 1u);
    expect_mended(&world, 0);
    cluster_destroy(cluster);
}

/* What a read brings from the disk is judged when it comes, not when it was asked for. */
Test(simulated_divergence, what_is_being_read_when_a_dispute_begins_is_not_served)
{
    for (uint32_t quarantine = 0; quarantine < 2; quarantine++) {
        struct world world = make_with(131, 3, CACHE_BYTES);
        struct cluster *cluster = world.cluster;
        allow_local_reads(cluster);
        const uint32_t leader = (uint32_t)cluster_leader(cluster, world.group);
        const uint32_t follower = (leader + 1u) % 3u;
        produce_through(&world, leader, VALUES + BEYOND_CACHE);
        sim_run_for(cluster->sim, SECOND_US);
        sim_isolate(cluster->sim, follower, SIM_LINK_CUT);
        sim_hang_disk(cluster->sim, follower, true);
        struct cluster_call *call = fetch_of(cluster, follower, 0, 0);
        sim_run_for(cluster->sim, SECOND_US / 10u);
        cr_assert_not(call->is_done, "it is not in memory");
        if (quarantine) {
            poke_quarantine(cluster->nodes[follower].node, world.group);
        } else {
            begin_dispute(&world, follower, leader);
        }
        sim_hang_disk(cluster->sim, follower, false);
        sim_run_for(cluster->sim, SECOND_US / 10u);
        cr_assert_not(call->is_done, "%s", call->request.detail);
        if (quarantine) {
            cr_assert(cluster_wait(call, 20 * SECOND_US));
            cr_assert_eq(call->request.status, NODE_NO_LEADER, "%s", call->request.detail);
            end_call(call);
        } else {
            expect_refused(call, "start or reconnect");
        }
        sim_heal(cluster->sim);
        expect_mended(&world, quarantine << follower);
        cluster_destroy(cluster);
    }
}

/* ---- damage ----------------------------------------------------------------------------------------------------------------- */

static void damage(struct cluster *cluster, uint32_t node, uint64_t index)
{
    char path[160];
    const uint64_t pos = rot_find(cluster, node, index, path, sizeof(path));
    rot_flip(cluster, node, path, pos + 3u);
}

/* By whom lacks entries there, each time the next one. */
#define ASKED_FIRST 0u
#define ASKED_NEXT  2u

static bool has_supplied(void *data)
{
    struct cluster *cluster = data;
    size_t bytes = 0;
    char *text = node_metrics_text(cluster->nodes[ASKED_NEXT].node, &bytes);
    uint64_t served = 0;
    for (char *at = text; (at = strstr(at, "\nraftmq_log_repair_served_bytes_total{")); at++) {
        served += strtoull(strchr(at, '}') + 1, NULL, 10);
    }
    free(text);
    return served > 0;
}

/* Two nodes differ, and the third one, which could tell who is right, is damaged in two places: what it gets for the second
 * comes from the wrong one, which can give all the rest of it, or not even that. */
Test(simulated_divergence, a_damaged_replica_is_repaired_beside_one_that_differs)
{
    const uint32_t right = ASKED_FIRST, damaged = 1, odd = ASKED_NEXT;
    for (uint64_t is_short = 0; is_short < 2; is_short++) {
        struct world world = make(51, 3);
        struct cluster *cluster = world.cluster;
        for (uint32_t node = 0; node < 3u; node++) {
            cluster_crash(cluster, node, SIM_CRASH_KILL);
        }
        damage(cluster, damaged, 5);
        damage(cluster, damaged, 12);
        replace_from(cluster, odd, world.group, &world.id, 12);
        if (is_short) damage(cluster, odd, 15);
        cluster_start(cluster, right);
        cluster_start(cluster, odd);
        sim_run_for(cluster->sim, SECOND_US);
        cluster_start(cluster, damaged);
        if (!is_short) { /* then it is mended itself, and has no counters */
            cr_assert(sim_run_until_true(cluster->sim, 2 * SECOND_US, has_supplied, cluster));
        }
        cr_assert(rot_is_repaired(cluster, 10 * SECOND_US), "%" PRIu64, is_short);
        expect_mended(&world, 1u << odd);
        cluster_destroy(cluster);
    }
}
