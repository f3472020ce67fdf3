/* Goal: whichever sync of a node's life fails, the process ends with 74 at once, acknowledges nothing after it, and comes
 * back with all that it had acknowledged (PROTOCOL L11). Method: by count, each sync in turn, from the founding through
 * votes, writes, rolls, footers, checkpoints, bases and trims to a clean stop. Those of a start are for the cluster tests. */
#include "peek.h"
#include "sim_cluster.h"
#include "thinned.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <inttypes.h>
#include <memory_disk.h>
#include <stdlib.h>
#include <string.h>

#define SECOND_US   1000000u
#define TOPIC       "orders"
#define VICTIM      0u
#define NODES       3u
#define VALUES      160u
#define LIMIT_US    100000u /* from the failure to the end of the process */
#define EVERY_UP_TO 60u     /* each sync so far, then one in a few */
#define STEP        7u

struct watch {
    struct cluster *cluster;
    uint64_t failed_us; /* 0: not yet */
    uint64_t ended_us;
    uint64_t durable_index; /* of the victim's partition, when it failed */
    uint64_t late_acks;
    int code;
};

static void after_event(void *data)
{
    struct watch *watch = data;
    if (watch->failed_us || !watch->cluster || !sim_is_running(watch->cluster->sim, VICTIM)) return;
    if (sim_failed_syncs(watch->cluster->sim, VICTIM) == 0) return;
    watch->failed_us = sim_now_us(watch->cluster->sim);
    struct peek_group peek;
    const uint64_t group = cluster_group(watch->cluster, 1, TOPIC);
    const struct node *node = watch->cluster->nodes[VICTIM].node;
    if (node && group != 0 && peek_group(node, group, &peek)) {
        watch->durable_index = peek.durable_index;
    }
}

static void on_fatal(void *data, uint32_t node, enum node_fatal code, const char *reason)
{
    struct watch *watch = data;
    (void)reason;
    if (node != VICTIM) return;
    watch->code = (int)code;
    watch->ended_us = sim_now_us(watch->cluster->sim);
    if (watch->failed_us == 0) watch->failed_us = watch->ended_us; /* while it was starting */
}

static struct cluster *make(struct watch *watch)
{
    struct cluster_options options;
    cluster_options_init(&options, 77, NODES);
    options.segment_bytes_max = 16384;
    options.checkpoint_entries = 20;
    options.retention_check_ms = 100;
    options.after_event = after_event;
    options.fatal = on_fatal;
    options.data = watch;
    *watch = (struct watch){.cluster = NULL};
    struct cluster *cluster = cluster_create(&options);
    watch->cluster = cluster;
    return cluster;
}

/* Whoever operates it starts a node again that ended. */
static void keep_running(struct cluster *cluster)
{
    if (!sim_is_running(cluster->sim, VICTIM)) cluster_start(cluster, VICTIM);
}

static void create(struct cluster *cluster)
{
    struct cluster_call *call = malloc(sizeof(*call));
    enum node_status status = NODE_NOT_READY;
    for (uint32_t i = 0; i < 100 && status != NODE_OK; i++) {
        keep_running(cluster);
        cluster_fill_create(call, TOPIC, 1, NODES);
        call->request.create.settings.retention_bytes = 20000;
        cluster_submit(cluster, 1, call);
        if (cluster_wait(call, 20 * SECOND_US)) status = call->request.status;
        cluster_call_close(call);
        if (status != NODE_OK) sim_run_for(cluster->sim, SECOND_US / 5u);
    }
    cr_assert_eq(status, NODE_OK);
    free(call);
}

static struct peek_group look(struct cluster *cluster, uint32_t node)
{
    struct peek_group peek;
    const uint64_t group = cluster_group(cluster, 1, TOPIC); /* the victim may not know it yet */
    cr_assert(peek_group(cluster->nodes[node].node, group, &peek));
    return peek;
}

/* What the victim calls committed: its own disk had it before it failed, or that of both others has it. */
static bool is_held(struct cluster *cluster, const struct watch *watch)
{
    const uint64_t commit_index = look(cluster, VICTIM).commit_index;
    if (commit_index <= watch->durable_index) return true;
    return look(cluster, 1).durable_index >= commit_index &&
           look(cluster, 2).durable_index >= commit_index;
}

/* To the victim, and to the others while it is away. An ack of the victim that counts on what it failed to sync is one too many. */
static void produce(struct cluster *cluster, struct watch *watch, uint64_t value)
{
    for (uint32_t i = 0; i < 200; i++) {
        keep_running(cluster);
        const uint32_t node = i % 2u == 0 ? VICTIM : 1u + i % 2u;
        const bool had_failed = watch->failed_us != 0 && watch->ended_us == 0;
        const enum node_status status = cluster_produce(cluster, node, TOPIC, value, -1, 0, NULL);
        const bool has_failed = watch->failed_us != 0 && watch->ended_us == 0;
        if (status == NODE_OK && node == VICTIM && has_failed && !is_held(cluster, watch)) {
            watch->late_acks++;
        }
        if (status == NODE_OK && !had_failed) return;
        sim_run_for(cluster->sim, SECOND_US / 20u);
    }
    cr_assert_fail("value %" PRIu64 " is not taken", value);
}

static bool are_same(void *data)
{
    struct cluster *cluster = data;
    const uint64_t group = cluster_group(cluster, 1, TOPIC);
    struct peek_group first;
    for (uint32_t i = 0; i < NODES; i++) {
        struct peek_group peek;
        if (!sim_is_running(cluster->sim, i) || !cluster->nodes[i].node) return false;
        if (!peek_group(cluster->nodes[i].node, group, &peek)) return false;
        if (i == 0) first = peek;
        if (peek.applied_index != first.applied_index || peek.applied_index != peek.last_index) {
            return false;
        }
    }
    return true;
}

/* Returns whether a sync failed at all. */
static bool run(uint64_t nth, uint32_t *ret_trims)
{
    struct watch watch;
    struct cluster *cluster = make(&watch);
    cluster_start_all(cluster);
    memory_disk_fail_sync(sim_memory_disk(cluster->sim, VICTIM), nth);
    create(cluster);
    for (uint64_t value = 0; value < VALUES; value++) {
        produce(cluster, &watch, value);
    }
    sim_run_for(cluster->sim, SECOND_US);
    keep_running(cluster);
    cr_assert(sim_run_until_true(cluster->sim, 30 * SECOND_US, are_same, cluster), "sync %" PRIu64,
              nth);
    const struct peek_group peek = look(cluster, VICTIM), other = look(cluster, 1);
    cr_assert_eq(peek_state_digest(&peek), peek_state_digest(&other));
    if (peek.log_start_offset > 0) ++*ret_trims;
    (void)cluster_stop(cluster, VICTIM, 1000, 5 * SECOND_US); /* it may be here that one fails */
    if (watch.failed_us != 0) {
        cr_assert_eq(watch.code, NODE_FATAL_DISK, "sync %" PRIu64 " failed and it went on", nth);
        cr_assert_leq(watch.ended_us - watch.failed_us, LIMIT_US, "sync %" PRIu64, nth);
        cr_assert_eq(watch.late_acks, 0, "sync %" PRIu64 " failed and it acked", nth);
    }
    cluster_destroy(cluster);
    return watch.failed_us != 0;
}

Test(simulated_sync_error, whichever_sync_fails_the_node_ends_at_once_and_acks_nothing_more,
     .timeout = 900)
{
    uint32_t failed = 0, trims = 0;
    uint64_t point = 0;
    for (uint64_t nth = 1;; nth += nth < EVERY_UP_TO ? 1u : STEP) {
        if (!thinned_takes(0, point++)) continue;
        if (!run(nth, &trims)) break;
        failed++;
    }
    cr_log_info("%u syncs failed, %u runs trimmed", failed, trims);
    cr_assert_gt(failed, thinned_least(80), "few syncs are made");
    cr_assert_eq(trims, failed + 1u, "all of them trim");
}
