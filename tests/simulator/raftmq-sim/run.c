#include "run.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "clients.h"
#include "election.h"
#include "failure.h"
#include "members.h"
#include "nemesis.h"
#include "op.h"
#include "operator.h"
#include "peek.h"
#include "sim_invariants.h"

#define EXIT_US_MAX 100000u  /* PROTOCOL L11: from a failed sync to the end of the process */
#define SLACK_US    2000000u /* redialing, opening files, a first no-op */
#define DRAIN_US_MAX \
    60000000u /* a request waits up to 10 s for its answer, and is then sent again */
#define SETTLE_US_MAX 60000000u /* nodes come back with empty disks */
/* As often again while so many entries came to one of the disks meanwhile. */
#define SETTLE_ROUNDS_MAX  5u
#define SETTLE_ENTRIES_MIN 500u
#define READ_US_MAX        15000000u
#define WRITE_US_MAX \
    15000000u /* behind the election: the old leader's requests run into their limit first */

/* ---- telling ------------------------------------------------------------------------------------------------- */

void run_tell(const struct run *run, const char *format, ...)
{
    FILE *story = run->options.story;
    if (!story) return;
    va_list arguments;
    fprintf(story, "%10" PRIu64 " -- ", sim_now_us(run->sim));
    va_start(arguments, format);
    vfprintf(story, format, arguments);
    va_end(arguments);
    fputc('\n', story);
}

uint64_t run_tick(const struct run *run)
{
    return sim_events_count(run->sim);
}

static void fail_with_history(const struct run *run)
{
    fflush(stdout);
    history_print(run->history, stderr);
    for (uint32_t i = 0; i < HISTORY_ANOMALIES_COUNT; i++) {
        const enum history_anomaly anomaly = (enum history_anomaly)i;
        if (history_anomaly_count(run->history, anomaly) == 0) continue;
        failure(history_anomaly_name(anomaly), "%s: %s", history_anomaly_meaning(anomaly),
                history_witness(run->history, anomaly, 0));
    }
}

void run_record(struct run *run, const struct history_op *op)
{
    const enum history_status status = history_add(run->history, op);
    if (status != HISTORY_OK) {
        failure("history", "the simulator breaks the rules of its history: %s",
                history_status_text(status));
    }
    if (history_anomalies(run->history) > 0) fail_with_history(run);
}

/* ---- after every event ------------------------------------------------------------------------------------------ */

/* PROTOCOL L11: a process that knows of a failed sync is not there for long. */
static void check_failed_sync(struct run *run, uint32_t number)
{
    if (sim_failed_syncs(run->sim, number) == 0) {
        run->failed_sync_us[number] = 0;
        return;
    }
    const uint64_t now_us = sim_now_us(run->sim);
    if (run->failed_sync_us[number] == 0) run->failed_sync_us[number] = now_us;
    if (now_us - run->failed_sync_us[number] <= EXIT_US_MAX) return;
    failure("lives-on", "n%u goes on %" PRIu64 " us after a sync of its disk has failed",
            number + 1u, now_us - run->failed_sync_us[number]);
}

/* Would it survive a power cut right now? */
static void look_at_image(struct run *run)
{
    const uint64_t now_us = sim_now_us(run->sim);
    if (now_us < run->next_image_us) return;
    run->next_image_us = now_us + draw_interval(&run->images, run->plan.image_every_us) + 1u;
    const uint32_t number = (uint32_t)draw_below(&run->images, run->plan.nodes_count);
    const struct node *node = run->cluster->nodes[number].node;
    if (!node || !sim_is_running(run->sim, number)) return;
    if (damage_hides_image(run, number)) return;
    run->totals.images++;
    invariants_check_image(run->cluster->invariants, run->sim, number, node,
                           draw_next(&run->images));
}

static void after_event(void *data)
{
    struct run *run = data;
    const uint32_t number = sim_event_node(run->sim);
    if (number < run->plan.nodes_count && sim_is_running(run->sim, number)) {
        check_failed_sync(run, number);
    }
    if (number < run->plan.nodes_count) members_look(run, number);
    look_at_image(run);
}

static void on_fatal(void *data, uint32_t node, enum node_fatal code, const char *reason)
{
    nemesis_node_fatal(data, node, code, reason);
}

static void on_gone(void *data, uint32_t node)
{
    struct run *run = data;
    run->failed_sync_us[node] = 0;
    op_node_gone(run, node);
    nemesis_node_gone(run, node);
}

/* ---- begin and end ------------------------------------------------------------------------------------------------ */

static void create_cluster(struct run *run)
{
    const struct plan *plan = &run->plan;
    struct cluster_options options;
    cluster_options_init(&options, plan->seed, plan->nodes_count);
    options.world.link_us_min = plan->link_us_min;
    options.world.link_us_max = plan->link_us_max;
    options.world.job_us_min = plan->job_us_min;
    options.world.job_us_max = plan->job_us_max;
    options.world.window_bytes = plan->window_bytes;
    options.world.trace = run->options.trace;
    options.heartbeat_ms = plan->heartbeat_ms;
    options.election_timeout_ms_min = plan->election_timeout_ms_min;
    options.election_timeout_ms_max = plan->election_timeout_ms_max;
    options.segment_bytes_max = plan->segment_bytes_max;
    options.cache_bytes_max = plan->cache_bytes_max;
    options.inflight_bytes_max = plan->inflight_bytes_max;
    options.checkpoint_entries = plan->checkpoint_entries;
    options.meta_log_entries = plan->meta_log_entries;
    options.retention_check_ms = plan->retention_check_ms;
    options.base_chunk_bytes = plan->base_chunk_bytes;
    options.reserve_bytes = plan->reserve_bytes;
    options.replay = run->options.replay;
    options.log = run->options.story;
    options.after_event = after_event;
    options.fatal = on_fatal;
    options.gone = on_gone;
    options.data = run;
    run->cluster = cluster_create(&options);
    run->sim = run->cluster->sim;
}

static void on_rare(void *data, enum rare_point point)
{
    run_tell(data, "rarely: %s", rare_name(point));
}

static struct run *run_create(const struct run_options *options)
{
    struct run *run = calloc(1, sizeof(*run));
    if (!run) abort();
    run->options = *options;
    plan_draw(&run->plan, options->seed, &options->wishes);
    run->draw = draw_stream(options->seed, PART_RUN);
    for (uint32_t i = 0; i < run->plan.founders_count; i++) {
        run->founders |= 1u << i;
    }
    run->images = draw_stream(options->seed, PART_IMAGES);
    run->next_image_us = run->plan.image_every_us;
    run->history = history_create(&(struct history_options){0});
    create_cluster(run);
    if (options->wishes.rare.is_on) {
        (void)rare_paths_begin(&run->rare, &run->plan.rare, options->seed, on_rare, run);
    }
    for (uint32_t i = 0; i < run->plan.nodes_count; i++) {
        run->cluster->starts[i].peers = run->founders;
    }
    return run;
}

static void run_destroy(struct run *run)
{
    if (run->options.wishes.rare.is_on) rare_paths_end(&run->rare);
    nemesis_free(run);
    damage_close(&run->damage);
    cluster_destroy(run->cluster);
    clients_free(run);
    operator_free(run);
    op_free_all(run);
    history_destroy(run->history);
    free(run);
}

/* ---- phases -------------------------------------------------------------------------------------------------------- */

/* A majority of the members, sometimes more than that. Drawn as often as it takes, with one node or with seven. */
static uint32_t draw_core(struct run *run)
{
    const uint32_t all = members_all_nodes(run);
    const uint32_t members = members_wished(run);
    const uint32_t whole = members_whole(run, all);
    if (members_count(whole) * 2u <= members_count(members)) return 0;
    uint32_t core;
    do {
        core = ((uint32_t)draw_below(&run->draw, all) + 1u) & whole;
    } while (members_count(core) * 2u <= members_count(members));
    return core;
}

static uint32_t writable_partitions(const struct run *run, uint32_t core)
{
    uint32_t partitions = 0;
    for (uint32_t i = 0; i < run->partitions_count; i++) {
        const struct partition_facts *facts = &run->partitions[i];
        if (!facts->is_created) continue;
        for (uint32_t node = 0; node < run->plan.nodes_count; node++) {
            if (!(core & 1u << node) || !run->cluster->nodes[node].node) continue;
            const uint64_t group =
                peek_partition_group(run->cluster->nodes[node].node, facts->topic, facts->number);
            if (group != 0 && members_have_majority(run, core, group)) partitions |= 1u << i;
        }
    }
    return partitions;
}

static void core_phase(struct run *run)
{
    nemesis_heal_disks(run);
    const uint32_t core = draw_core(run);
    if (core == 0) return; /* nothing was founded, which needs every node once */
    run_tell(run, "nodes 0x%x are healed", core);
    nemesis_heal(run, core);
    /* As broken as it was, the rest may still reach some of the core and lead it, so that others of the core reach no
     * leader: that is no fault. Cut off it cannot, and whoever of the core is asked must take a write. */
    const bool is_alone = draw_chance(&run->draw, 2, 3);
    const enum sim_link link = draw_chance(&run->draw, 1, 2) ? SIM_LINK_CUT : SIM_LINK_STALLED;
    if (is_alone) nemesis_cut_off(run, core, link);
    sim_run_for(run->sim, SLACK_US);
    election_demand(run, core);
    if (is_alone) {
        clients_demand_writes(run, core, writable_partitions(run, core), WRITE_US_MAX);
    }
}

static bool is_drained(void *data)
{
    const struct run *run = data;
    return clients_are_idle(run) && run->topics_created_count == run->plan.topics_count;
}

/* Each partition has as many replicas as were asked for. */
static bool all_replicas_are_made(const struct run *run, char *why, size_t why_bytes)
{
    const struct meta_state *meta = members_meta(run);
    const bool may_shrink =
        run->plan.fault_is_on[FAULT_REMOVE] || run->plan.fault_is_on[FAULT_REPLACE];
    for (uint32_t i = 0; i < run->partitions_count; i++) {
        const struct partition_facts *facts = &run->partitions[i];
        struct meta_partition partition = {0};
        struct meta_settings settings;
        uint32_t count = 0;
        const bool is_there =
            meta_partition_get(meta, facts->topic, facts->number, &partition, &settings, &count);
        /* A node that is removed while no other one is there to take its place leaves fewer behind. */
        const uint32_t least = may_shrink ? 1u : facts->replicas_count;
        if (is_there && partition.replicas_count >= least) continue;
        snprintf(why, why_bytes, "%s/%u has %u of %u replicas", facts->topic, facts->number,
                 partition.replicas_count, facts->replicas_count);
        return false;
    }
    return true;
}

struct rest {
    struct run *run;
    char why[200];
};

static bool is_settled(void *data)
{
    struct rest *rest = data;
    const struct run *run = rest->run;
    const struct node *nodes[PLAN_NODES_MAX] = {0};
    const uint32_t members = members_wished(run);
    for (uint32_t i = 0; i < run->plan.nodes_count; i++) {
        if (!(members & 1u << i)) continue;
        nodes[i] = run->cluster->nodes[i].node;
        if (nodes[i]) continue;
        snprintf(rest->why, sizeof(rest->why), "n%u is down", i + 1u);
        return false;
    }
    return members_are_settled(run, rest->why, sizeof(rest->why)) &&
           all_replicas_are_made(run, rest->why, sizeof(rest->why)) &&
           invariants_is_settled(run->cluster->invariants, nodes, run->plan.nodes_count, rest->why,
                                 sizeof(rest->why));
}

/* ---- damage ------------------------------------------------------------------------------------------------------- */

#define LOGS_MAX      512u
#define REPAIR_US_MAX 60000000u

static bool is_whole(struct rest *rest, uint32_t number, bool asked)
{
    static struct node_scrub_status logs[LOGS_MAX];
    struct node *node = rest->run->cluster->nodes[number].node;
    if (!node) {
        snprintf(rest->why, sizeof(rest->why), "n%u is down", number + 1u);
        return false;
    }
    const uint32_t count = node_scrub_status(node, logs, LOGS_MAX);
    for (uint32_t i = 0; i < count; i++) {
        if (logs[i].holes == 0 && !(asked && logs[i].is_asked)) continue;
        snprintf(rest->why, sizeof(rest->why), "n%u, group %llu: %u damaged ranges; %.120s",
                 number + 1u, (unsigned long long)logs[i].group, logs[i].holes, logs[i].problem);
        return false;
    }
    return true;
}

static bool all_are_whole(void *data)
{
    struct rest *rest = data;
    const uint32_t members = members_wished(rest->run);
    for (uint32_t i = 0; i < rest->run->plan.nodes_count; i++) {
        if (members & 1u << i && !is_whole(rest, i, /* asked= */ true)) return false;
    }
    return true;
}

/* Whatever befell a disk, the others hold it: every log is read through on every node, and nothing damaged is left. */
static void demand_repair(struct run *run)
{
    struct rest rest = {.run = run};
    const uint32_t members = members_wished(run);
    if (run->damage.damaged == 0) return;
    for (uint32_t i = 0; i < run->plan.nodes_count; i++) {
        struct node *node = run->cluster->nodes[i].node;
        if (members & 1u << i && node) (void)node_scrub(node, NULL);
    }
    if (sim_run_until_true(run->sim, REPAIR_US_MAX, all_are_whole, &rest)) return;
    failure("not-repaired", "%s", rest.why);
}

static void count_entries(const struct run *run, uint64_t *ret_held)
{
    for (uint32_t i = 0; i < run->plan.nodes_count; i++) {
        const struct node *node = run->cluster->nodes[i].node;
        struct peek_group groups[PEEK_GROUPS_MAX];
        const uint32_t count = node ? peek_groups(node, groups, PEEK_GROUPS_MAX) : 0;
        ret_held[i] = 0;
        for (uint32_t k = 0; k < count; k++) {
            ret_held[i] += groups[k].durable_index;
        }
    }
}

/* A replica that is made anew on a slow disk is waited for while it gets on. */
static bool settles(struct rest *rest)
{
    uint64_t held_before[PLAN_NODES_MAX], held[PLAN_NODES_MAX];
    bool gets_on = true;
    for (uint32_t round = 0; round < SETTLE_ROUNDS_MAX && gets_on; round++) {
        count_entries(rest->run, held_before);
        if (sim_run_until_true(rest->run->sim, SETTLE_US_MAX, is_settled, rest)) return true;
        count_entries(rest->run, held);
        gets_on = false;
        for (uint32_t i = 0; i < rest->run->plan.nodes_count; i++) {
            if (held[i] >= held_before[i] + SETTLE_ENTRIES_MIN) gets_on = true;
        }
    }
    return false;
}

static void rest_phase(struct run *run)
{
    run_tell(run, "all nodes are healed");
    operator_tidies(run);
    /* Also the links of nodes that nobody knows yet: a request to add one may still be on its way. */
    sim_heal(run->sim);
    nemesis_heal(run, members_known(run));
    sim_run_for(run->sim, SLACK_US);
    election_demand(run, members_whole(run, members_all_nodes(run)));
    run->is_draining = true;
    if (!sim_run_until_true(run->sim, DRAIN_US_MAX, is_drained, run)) {
        op_check_answered(run);
        failure("not-drained", "%u requests without an answer, %u of %u topics made",
                run->ops_count, run->topics_created_count, run->plan.topics_count);
    }
    struct rest rest = {.run = run};
    if (!settles(&rest)) {
        election_print(run);
        failure("not-settled", "%s", rest.why);
    }
    demand_repair(run);
    clients_read_everything(run, members_wished(run), READ_US_MAX);
}

/* In steps, so that what should have been answered is looked for. */
static void safety_phase(struct run *run)
{
    while (sim_now_us(run->sim) < run->plan.safety_us) {
        sim_run_for(run->sim, 1000000);
    }
}

void run_seed(const struct run_options *options, struct run_totals *ret_totals)
{
    const clock_t begun = clock();
    struct run *run = run_create(options);
    if (options->story) plan_print(&run->plan, options->story);
    nemesis_start(run);
    operator_starts(run);
    clients_start(run);
    safety_phase(run);
    nemesis_stop(run);
    run->rare.rests = true;
    core_phase(run);
    rest_phase(run);
    history_finish(run->history);
    if (history_anomalies(run->history) > 0) fail_with_history(run);
    run->totals.events = sim_events_count(run->sim);
    run->totals.simulated_us = sim_now_us(run->sim);
    run->totals.leaders = invariants_leaders_count(run->cluster->invariants);
    for (uint32_t i = 0; i < run->partitions_count; i++) {
        run->totals.trimmed_messages += run->partitions[i].trimmed;
    }
    run->totals.bases_installed = invariants_bases_installed(run->cluster->invariants);
    run->totals.changes = invariants_configurations_count(run->cluster->invariants);
    run->totals.rare = run->rare.counts;
    run->totals.trace_hash = sim_trace_hash(run->sim);
    *ret_totals = run->totals;
    run_destroy(run);
    ret_totals->cpu_us = (uint64_t)(clock() - begun) * 1000000u / CLOCKS_PER_SEC;
}
