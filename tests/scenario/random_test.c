/* Random histories of 1, 2, 3 and 5 cores with everything that may go wrong around them.
 *
 *     raft_random [--seeds N] [--first SEED] [--steps N] [--verbose]
 *
 * Each seed draws its own faults (swarm), prints them with --verbose, and runs two phases. Safety: messages are lost,
 * doubled, reordered and delayed; nodes crash, lose what was not synced, restart, pause, lose their disk and come
 * back under another epoch; links break one way or both; disks lag, stand still and report late; the group changes,
 * one at a time and jointly; logs are compacted and bases sent; cluster.c checks every promise after every step.
 * Liveness: faults end, and within a bound of virtual time one leader must lead, make everybody a voter (on half
 * of the seeds), commit a new entry on all members and answer a read on each of them. A failure names the seed on stderr. */
#include "swarm.h"

#include <raft_trace/trace.h>

#include <assert.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static uint64_t current_seed;

static void on_abort(int signal_number)
{
    (void)signal_number;
    char line[128];
    int length = snprintf(line, sizeof line,
                          "FAILED seed=%" PRIu64 "  replay: raft_random --seeds 1 --first %" PRIu64
                          " --verbose\n",
                          current_seed, current_seed);
    if (length > 0) (void)!write(STDERR_FILENO, line, (size_t)length);
    _exit(1);
}

uint64_t swarm_draw(struct swarm *swarm, uint64_t below)
{
    assert(below > 0);
    uint64_t x = swarm->random += 0x9e3779b97f4a7c15u;
    x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9u;
    x = (x ^ (x >> 27)) * 0x94d049bb133111ebu;
    return (x ^ (x >> 31)) % below;
}

bool swarm_chance(struct swarm *swarm, uint64_t of_thousand)
{
    return swarm_draw(swarm, 1000) < of_thousand;
}

/* Often zero: a run without one fault shows what the others do alone. */
static uint64_t draw_rate(struct swarm *swarm, uint64_t max)
{
    return swarm_chance(swarm, 400) ? 0 : swarm_draw(swarm, max + 1);
}

/* ---- hooks ---------------------------------------------------------------------------------------- */

static uint64_t on_send(struct cluster *cluster, const struct raft_message *message)
{
    struct swarm *swarm = cluster->hook_data;
    if (cluster->blocked[message->from.node][message->to.node]) return UINT64_MAX;
    if (swarm->quiet) return cluster->now_ms + swarm_draw(swarm, 3);
    if (swarm_draw(swarm, 100) < swarm->loss_percent) return UINT64_MAX;
    uint64_t delay_ms = swarm_draw(swarm, swarm->delay_ms_max + 1);
    if (swarm_chance(swarm, 10)) delay_ms *= 50; /* a straggler from long ago */
    return cluster->now_ms + delay_ms;
}

static raft_index on_send_append(struct cluster *cluster, const struct raft_message *message)
{
    struct swarm *swarm = cluster->hook_data;
    if (swarm->quiet) return message->append.last;
    if (swarm_draw(swarm, 100) >= swarm->cut_percent) return message->append.last;
    uint64_t count = message->append.last - message->append.previous_index;
    return message->append.previous_index + swarm_draw(swarm, count + 1);
}

static void on_read(struct cluster *cluster, raft_node_id node, const struct raft_read *read)
{
    struct swarm *swarm = cluster->hook_data;
    if (read->refusal == RAFT_REFUSED_NOT) swarm->answered[node]++;
}

/* ---- faults --------------------------------------------------------------------------------------- */

raft_node_id swarm_any_node(struct swarm *swarm)
{
    return 1 + swarm_draw(swarm, swarm->nodes_count);
}

bool swarm_can_step(const struct cluster *cluster, raft_node_id id)
{
    const struct swarm *swarm = cluster->hook_data;
    return cluster->nodes[id].up && swarm->paused_until_ms[id] <= cluster->now_ms;
}

void swarm_crash(struct cluster *cluster, struct swarm *swarm, raft_node_id id)
{
    uint32_t jobs = cluster->nodes[id].jobs_count;
    uint32_t hard = cluster->nodes[id].hard_queue_count;
    cluster_crash(cluster, id, (uint32_t)swarm_draw(swarm, jobs + 1),
                  (uint32_t)swarm_draw(swarm, hard + 1));
    swarm->restart_at_ms[id] = cluster->now_ms + swarm_draw(swarm, 2000);
    swarm->paused_until_ms[id] = 0;
    swarm->was_paused[id] = false;
}

static void crash_one(struct cluster *cluster, struct swarm *swarm)
{
    raft_node_id id = swarm_chance(swarm, 500) ? cluster_leader(cluster) : swarm_any_node(swarm);
    if (id == 0 || !cluster->nodes[id].up) return;
    swarm_crash(cluster, swarm, id);
}

static void heal(struct cluster *cluster)
{
    memset(cluster->blocked, 0, sizeof cluster->blocked);
}

static void partition(struct cluster *cluster, struct swarm *swarm)
{
    heal(cluster);
    uint64_t kind = swarm_draw(swarm, 4);
    if (kind == 0) return;
    raft_node_id alone = swarm_any_node(swarm);
    uint64_t half = swarm_draw(swarm, 1u << swarm->nodes_count);
    for (raft_node_id a = 1; a <= swarm->nodes_count; a++) {
        for (raft_node_id b = 1; b <= swarm->nodes_count; b++) {
            if (kind == 1) cluster->blocked[a][b] = a == alone || b == alone;
            if (kind == 2)
                cluster->blocked[a][b] = ((half >> (a - 1)) & 1) != ((half >> (b - 1)) & 1);
            if (kind == 3) cluster->blocked[a][b] = a == alone && swarm_chance(swarm, 700);
        }
    }
}

static void pause_one(struct cluster *cluster, struct swarm *swarm)
{
    raft_node_id id = swarm_chance(swarm, 500) ? cluster_leader(cluster) : swarm_any_node(swarm);
    if (id == 0) return;
    swarm->paused_until_ms[id] = cluster->now_ms + 100 + swarm_draw(swarm, 2500);
    swarm->was_paused[id] = true;
}

static void lose_leader(struct cluster *cluster, struct swarm *swarm)
{
    raft_node_id id = swarm_any_node(swarm);
    if (!swarm_can_step(cluster, id)) return;
    struct raft_view view;
    raft_view(cluster->nodes[id].core, cluster->now_ms, &view);
    (void)cluster_step(cluster, id,
                       (struct raft_event){.type = RAFT_EVENT_LEADER_LOST, .node = view.leader});
}

static void do_random_things(struct cluster *cluster, struct swarm *swarm)
{
    raft_node_id leader = cluster_leader(cluster);
    if (swarm_chance(swarm, swarm->propose_permille)) {
        raft_node_id id = swarm_chance(swarm, 900) ? leader : swarm_any_node(swarm);
        bool has_room =
            id != 0 && cluster->nodes[id].jobs_count < 500; /* a driver bounds its queue */
        if (has_room && swarm_can_step(cluster, id)) {
            (void)cluster_propose(cluster, id, 1 + (uint32_t)swarm_draw(swarm, swarm->entries_max));
        }
    }
    if (swarm_chance(swarm, swarm->read_permille)) {
        raft_node_id id = swarm_any_node(swarm);
        if (swarm_can_step(cluster, id)) (void)cluster_read(cluster, id);
    }
    if (swarm->quiet) return;
    if (swarm_chance(swarm, swarm->crash_permille)) crash_one(cluster, swarm);
    if (swarm_chance(swarm, swarm->partition_permille)) partition(cluster, swarm);
    if (swarm_chance(swarm, swarm->pause_permille)) pause_one(cluster, swarm);
    if (swarm_chance(swarm, swarm->leader_lost_permille)) lose_leader(cluster, swarm);
    if (swarm_chance(swarm, swarm->configure_permille)) swarm_configure(cluster, swarm);
    if (swarm_chance(swarm, swarm->compact_permille)) swarm_compact(cluster, swarm);
    if (swarm_chance(swarm, swarm->wipe_permille)) swarm_wipe(cluster, swarm);
    if (swarm_chance(swarm, swarm->stall_permille)) swarm_stall(cluster, swarm);
    leader = cluster_leader(cluster); /* it may have gone */
    if (swarm_chance(swarm, swarm->transfer_permille) && leader != 0 &&
        swarm_can_step(cluster, leader)) {
        raft_node_id to = swarm_chance(swarm, 500) ? 0 : swarm_any_node(swarm);
        (void)cluster_step(cluster, leader,
                           (struct raft_event){.type = RAFT_EVENT_TRANSFER, .node = to});
    }
    if (swarm_chance(swarm, swarm->transfer_permille)) {
        raft_node_id id = swarm_any_node(swarm);
        if (swarm_can_step(cluster, id)) (void)cluster_event(cluster, id, RAFT_EVENT_CAMPAIGN);
    }
}

/* ---- time ----------------------------------------------------------------------------------------- */

static uint64_t disk_delay_ms(struct swarm *swarm)
{
    if (swarm->quiet) return 1;
    return swarm_chance(swarm, 5) ? 800 + swarm_draw(swarm, 800)
                                  : swarm_draw(swarm, swarm->disk_ms_max + 1);
}

/* Each queue of a node moves on when its oldest item is due; the next one then draws its own delay. */
static void run_disk(struct cluster *cluster, struct swarm *swarm, raft_node_id id)
{
    struct cluster_node *node = &cluster->nodes[id];
    if (node->jobs_count > 0 && swarm->job_at_ms[id] <= cluster->now_ms) {
        cluster_finish_job(cluster, id);
        swarm->job_at_ms[id] = cluster->now_ms + disk_delay_ms(swarm);
        swarm->report_at_ms[id] = cluster->now_ms + disk_delay_ms(swarm) / 2;
    }
    if (node->reports_count > 0 && swarm->report_at_ms[id] <= cluster->now_ms) {
        cluster_report_oldest(cluster, id);
    }
    if (node->hard_queue_count > 0 && swarm->hard_at_ms[id] <= cluster->now_ms) {
        cluster_finish_hard(cluster, id);
        swarm->hard_at_ms[id] = cluster->now_ms + disk_delay_ms(swarm);
    }
}

static void run_node(struct cluster *cluster, struct swarm *swarm, raft_node_id id)
{
    struct cluster_node *node = &cluster->nodes[id];
    if (!node->up) {
        if (swarm->restart_at_ms[id] <= cluster->now_ms) cluster_start(cluster, id);
        return;
    }
    if (!swarm_can_step(cluster, id)) return;
    if (swarm->was_paused[id]) {
        swarm->was_paused[id] = false;
        (void)cluster_event(cluster, id, RAFT_EVENT_TIME_GAP);
    }
    run_disk(cluster, swarm, id);
    for (uint32_t i = 0; node->timer_at_ms <= cluster->now_ms; i++) {
        if (i == 1000) cluster_fail(cluster, "timers settle");
        (void)cluster_event(cluster, id, RAFT_EVENT_TICK);
    }
}

static void run_network(struct cluster *cluster, struct swarm *swarm)
{
    uint32_t i = 0;
    while (i < cluster->network.count) {
        struct cluster_packet *packet = &cluster->network.items[i];
        if (packet->deliver_at_ms > cluster->now_ms) {
            i++;
            continue;
        }
        raft_node_id to = packet->message.to.node;
        if (cluster->nodes[to].up && !swarm_can_step(cluster, to)) { /* waits in its socket */
            packet->deliver_at_ms = swarm->paused_until_ms[to];
            i++;
            continue;
        }
        if (!swarm->quiet && swarm_draw(swarm, 100) < swarm->duplicate_percent) {
            cluster_duplicate(cluster, packet, cluster->now_ms + 1 + swarm_draw(swarm, 1000));
        }
        cluster_deliver(cluster, i);
    }
}

static void run_one_ms(struct cluster *cluster, struct swarm *swarm)
{
    cluster->now_ms++;
    for (raft_node_id id = 1; id <= swarm->nodes_count; id++) {
        run_node(cluster, swarm, id);
    }
    run_network(cluster, swarm);
    swarm_run_bases(cluster, swarm);
    do_random_things(cluster, swarm);
}

/* ---- phases --------------------------------------------------------------------------------------- */

static void draw_swarm(struct swarm *swarm, uint64_t seed)
{
    static const uint64_t sizes[] = {3, 3, 3, 3, 5, 5, 5, 2, 1, 4};
    memset(swarm, 0, sizeof *swarm);
    swarm->random = seed * 0x9e3779b97f4a7c15u;
    swarm->voters_count = sizes[swarm_draw(swarm, sizeof sizes / sizeof sizes[0])];
    swarm->nodes_count = swarm->voters_count;
    swarm->loss_percent = draw_rate(swarm, 25);
    swarm->duplicate_percent = draw_rate(swarm, 20);
    swarm->delay_ms_max = 1 + draw_rate(swarm, swarm_chance(swarm, 300) ? 120 : 15);
    swarm->disk_ms_max = 1 + draw_rate(swarm, swarm_chance(swarm, 300) ? 80 : 10);
    swarm->crash_permille = draw_rate(swarm, 4);
    swarm->partition_permille = draw_rate(swarm, 4);
    swarm->pause_permille = draw_rate(swarm, 2);
    swarm->cut_percent = draw_rate(swarm, 20);
    swarm->propose_permille = 20 + swarm_draw(swarm, 400);
    swarm->read_permille = 20 + swarm_draw(swarm, 200);
    swarm->transfer_permille = draw_rate(swarm, 3);
    swarm->leader_lost_permille = draw_rate(swarm, 3);
    swarm->entries_max = 1 + swarm_draw(swarm, 8);
    swarm->configure_permille = draw_rate(swarm, swarm_chance(swarm, 300) ? 50 : 5);
    swarm->compact_permille = draw_rate(swarm, 20);
    swarm->wipe_permille = draw_rate(swarm, 3);
    swarm->stall_permille = draw_rate(swarm, 3);
    if (swarm->configure_permille > 0) {
        uint64_t spares_max = CLUSTER_NODES_MAX - swarm->voters_count;
        swarm->nodes_count += swarm_draw(swarm, spares_max < 4 ? spares_max : 4);
    }
}

static void print_swarm(const struct swarm *swarm, const struct cluster_options *options,
                        uint64_t seed)
{
    printf("seed=%" PRIu64 " voters=%" PRIu64 " nodes=%" PRIu64 " configure=%" PRIu64
           " compact=%" PRIu64 " wipe=%" PRIu64 " stall=%" PRIu64 " loss=%" PRIu64
           "%% duplicate=%" PRIu64 "%% delay_ms=%" PRIu64 " disk_ms=%" PRIu64 " crash=%" PRIu64
           " partition=%" PRIu64 " pause=%" PRIu64 " cut=%" PRIu64 "%% propose=%" PRIu64
           " read=%" PRIu64 " transfer=%" PRIu64 " leader_lost=%" PRIu64
           " append_entries=%u inflight=%u runs=%u trail=%u\n",
           seed, swarm->voters_count, swarm->nodes_count, swarm->configure_permille,
           swarm->compact_permille, swarm->wipe_permille, swarm->stall_permille,
           swarm->loss_percent, swarm->duplicate_percent, swarm->delay_ms_max, swarm->disk_ms_max,
           swarm->crash_permille, swarm->partition_permille, swarm->pause_permille,
           swarm->cut_percent, swarm->propose_permille, swarm->read_permille,
           swarm->transfer_permille, swarm->leader_lost_permille, options->append_entries_max,
           options->append_inflight_max, options->append_runs_max, options->trail_runs_max);
}

/* The group as its leader sees it; the others are strangers. */
static bool is_member(const struct cluster *cluster, raft_node_id id)
{
    raft_node_id leader = cluster_leader(cluster);
    if (leader == 0) return false;
    const struct raft_configuration *configuration =
        raft_configuration_of(cluster->nodes[leader].core);
    for (uint32_t i = 0; i < configuration->members_count; i++) {
        struct raft_replica_id member = configuration->members[i].id;
        if (member.node == id && member.epoch == cluster->nodes[id].epoch) return true;
    }
    return false;
}

static bool all_have_committed(const struct cluster *cluster, raft_index index)
{
    if (cluster_leader(cluster) == 0) return false;
    for (raft_node_id id = 1; id < CLUSTER_NODES_MAX; id++) {
        if (!is_member(cluster, id)) continue;
        if (cluster->nodes[id].commit_index < index) return false;
    }
    return true;
}

/* Some 4 ms bring one entry to a member when an APPEND holds one entry and one APPEND is in flight, and a wiped
 * node lacks the whole log; a change may wait for two of them, one after the other. */
#define LIVENESS_MS_MAX       20000u
#define LIVENESS_ENTRY_MS_MAX 10u

static uint64_t liveness_deadline_ms(const struct cluster *cluster)
{
    raft_index longest = 0;
    for (raft_node_id id = 1; id < CLUSTER_NODES_MAX; id++) {
        raft_index count = cluster->nodes[id].log.count;
        if (count > longest) longest = count;
    }
    return cluster->now_ms + LIVENESS_MS_MAX + LIVENESS_ENTRY_MS_MAX * longest;
}

/* A leader that was deposed meanwhile may take a proposal that never commits, so more than one is made. */
static void run_until_one_more_is_committed(struct cluster *cluster, struct swarm *swarm)
{
    uint64_t deadline_ms = liveness_deadline_ms(cluster);
    raft_index index = cluster->committed.count + 1;
    while (cluster->committed.count < index) {
        if (cluster->now_ms >= deadline_ms) cluster_fail(cluster, "liveness: a leader commits");
        raft_node_id leader = cluster_leader(cluster);
        if (leader != 0 && cluster->now_ms % 50 == 0) (void)cluster_propose(cluster, leader, 1);
        run_one_ms(cluster, swarm);
    }
}

static void run_until_committed_everywhere(struct cluster *cluster, struct swarm *swarm)
{
    uint64_t deadline_ms = liveness_deadline_ms(cluster);
    raft_index index = cluster->committed.count;
    while (!all_have_committed(cluster, index)) {
        if (cluster->now_ms >= deadline_ms) cluster_fail(cluster, "liveness: all nodes commit");
        run_one_ms(cluster, swarm);
    }
}

static void run_until_read_everywhere(struct cluster *cluster, struct swarm *swarm)
{
    uint64_t deadline_ms = liveness_deadline_ms(cluster);
    memset(swarm->answered, 0, sizeof swarm->answered);
    for (raft_node_id id = 1; id <= swarm->nodes_count; id++) {
        while (is_member(cluster, id) && swarm->answered[id] == 0) {
            if (cluster->now_ms >= deadline_ms) {
                cluster_fail(cluster, "liveness: every node answers reads");
            }
            if (cluster->now_ms % 20 == 0) (void)cluster_read(cluster, id);
            run_one_ms(cluster, swarm);
        }
    }
}

/* Members that were wiped are replaced and strangers come in: a group that can change at all can become this. */
static void run_until_all_are_voters(struct cluster *cluster, struct swarm *swarm)
{
    uint64_t deadline_ms = liveness_deadline_ms(cluster);
    while (!swarm_gather(cluster, swarm)) {
        if (cluster->now_ms >= deadline_ms) cluster_fail(cluster, "liveness: all become voters");
        run_one_ms(cluster, swarm);
    }
}

static void run_liveness(struct cluster *cluster, struct swarm *swarm)
{
    swarm->quiet = true;
    swarm->read_permille = 0;
    swarm->propose_permille = 0;
    heal(cluster);
    memset(swarm->paused_until_ms, 0, sizeof swarm->paused_until_ms);
    memset(swarm->restart_at_ms, 0, sizeof swarm->restart_at_ms);
    run_until_one_more_is_committed(cluster, swarm);
    if (swarm_chance(swarm, 500)) {
        run_until_all_are_voters(cluster, swarm);
        run_until_one_more_is_committed(cluster, swarm);
    }
    run_until_committed_everywhere(cluster, swarm);
    run_until_read_everywhere(cluster, swarm);
}

struct totals {
    uint64_t committed;
    uint64_t elections;
    uint64_t reads;
    uint64_t reads_refused;
    uint64_t changes;
    uint64_t changes_joint;
    uint64_t configurations_cut;
    uint64_t bases_installed;
    uint64_t bases_kept_log;
    uint64_t wipes;
    uint64_t stalls;
};

static bool verbose;

static void on_trace(struct cluster *cluster, raft_node_id node, const struct raft_trace *trace)
{
    char sentence[RAFT_TRACE_SENTENCE_BYTES_MAX];
    (void)raft_trace_format(sentence, sizeof sentence, node, trace);
    printf("%6" PRIu64 " %s\n", cluster->now_ms, sentence);
}

static void run_seed(uint64_t seed, uint64_t steps, struct totals *totals)
{
    struct swarm *swarm = calloc(1, sizeof *swarm);
    struct cluster *cluster = calloc(1, sizeof *cluster);
    assert(swarm != NULL && cluster != NULL);
    draw_swarm(swarm, seed);
    /* A tiny trail forgets committed runs; then a follower far behind needs a base. One that is full of terms none of
     * which is committed ends the group, so it holds more of them than a run ever left behind. */
    bool tiny_trail = swarm_chance(swarm, 100);
    struct cluster_options options = {
        .seed = seed,
        .trail_runs_max = tiny_trail ? 10 + (uint32_t)swarm_draw(swarm, 10) : 4096,
        .append_entries_max = 1 + (uint32_t)swarm_draw(swarm, 20),
        .append_inflight_max = 1 + (uint32_t)swarm_draw(swarm, 16),
        .append_runs_max = 1 + (uint32_t)swarm_draw(swarm, RAFT_MESSAGE_RUNS_MAX),
    };
    struct raft_configuration configuration = {.members_count = (uint32_t)swarm->voters_count};
    for (uint32_t i = 0; i < configuration.members_count; i++) {
        configuration.members[i] = (struct raft_member){.id = {.node = i + 1}, .voter = true};
    }
    if (verbose) print_swarm(swarm, &options, seed);
    cluster_open(cluster, &options, &configuration);
    cluster->hook_data = swarm;
    cluster->on_send = on_send;
    cluster->on_send_append = on_send_append;
    cluster->on_read = on_read;
    if (verbose) cluster->on_trace = on_trace;
    for (raft_node_id id = swarm->voters_count + 1; id <= swarm->nodes_count; id++) {
        cluster_add_node(cluster, id);
    }
    for (raft_node_id id = 1; id <= swarm->nodes_count; id++) {
        if (tiny_trail || swarm_chance(swarm, 900)) cluster_start(cluster, id);
        swarm->restart_at_ms[id] = swarm_draw(swarm, 3000);
    }
    while (cluster->now_ms < steps) {
        run_one_ms(cluster, swarm);
    }
    run_liveness(cluster, swarm);
    totals->committed += cluster->committed.count;
    totals->elections += cluster->elections;
    totals->reads += cluster->reads_answered;
    totals->reads_refused += cluster->reads_refused;
    totals->changes += cluster->changes;
    totals->changes_joint += cluster->changes_joint;
    totals->configurations_cut += cluster->configurations_cut;
    totals->bases_installed += cluster->bases_installed;
    totals->bases_kept_log += cluster->bases_kept_log;
    totals->wipes += cluster->wipes;
    totals->stalls += swarm->stalls;
    cluster_close(cluster);
    free(cluster);
    free(swarm);
}

int main(int arguments_count, char **arguments)
{
    uint64_t seeds = 300;
    uint64_t first = 1;
    uint64_t steps = 6000;
    for (int i = 1; i < arguments_count; i++) {
        if (strcmp(arguments[i], "--verbose") == 0) {
            verbose = true;
        } else if (i + 1 < arguments_count && strcmp(arguments[i], "--seeds") == 0) {
            seeds = strtoull(arguments[++i], NULL, 10);
        } else if (i + 1 < arguments_count && strcmp(arguments[i], "--first") == 0) {
            first = strtoull(arguments[++i], NULL, 10);
        } else if (i + 1 < arguments_count && strcmp(arguments[i], "--steps") == 0) {
            steps = strtoull(arguments[++i], NULL, 10);
        } else {
            fprintf(stderr,
                    "usage: raft_random [--seeds N] [--first SEED] [--steps N] [--verbose]\n");
            return 2;
        }
    }
    setvbuf(stdout, NULL, _IOLBF, 0); /* an abort keeps the trace */
    signal(SIGABRT, on_abort);
    struct totals totals = {0};
    for (uint64_t i = 0; i < seeds; i++) {
        current_seed = first + i;
        run_seed(current_seed, steps, &totals);
    }
    printf("%" PRIu64 " seeds passed: %" PRIu64 " entries committed, %" PRIu64
           " elections won, %" PRIu64 " reads answered, %" PRIu64 " refused\n",
           seeds, totals.committed, totals.elections, totals.reads, totals.reads_refused);
    printf("%" PRIu64 " configurations committed (%" PRIu64 " joint), %" PRIu64 " cut, %" PRIu64
           " bases installed, %" PRIu64 " found the log to have them, %" PRIu64
           " nodes wiped, %" PRIu64 " disks stalled\n",
           totals.changes, totals.changes_joint, totals.configurations_cut, totals.bases_installed,
           totals.bases_kept_log, totals.wipes, totals.stalls);
    /* A run in which nothing happens would pass every check. */
    bool worked = totals.committed > seeds && totals.elections >= seeds && totals.reads >= seeds;
    bool changed = totals.changes_joint > 0 && totals.changes > totals.changes_joint &&
                   totals.bases_installed > 0 && totals.wipes > 0 && totals.stalls > 0;
    if (seeds >= 40) worked = worked && changed;
    return worked ? 0 : 1;
}
