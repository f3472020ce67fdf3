#include "plan.h"

#include <inttypes.h>
#include <string.h>

#include "draw.h"

/* Of draw_stream(). */
#define PART_PLAN      1u
#define PART_FAULTS    2u
#define PART_RETENTION 90u

#define FAULTS_PER_MINUTE_MIN 16u

const char *fault_name(enum fault fault)
{
    static const char *const names[] = {
#define X(name, text, meaning) text,
        FAULTS(X)
#undef X
    };
    return names[fault];
}

const char *fault_meaning(enum fault fault)
{
    static const char *const meanings[] = {
#define X(name, text, meaning) meaning,
        FAULTS(X)
#undef X
    };
    return meanings[fault];
}

bool fault_find(const char *name, enum fault *ret_fault)
{
    for (int i = 0; i < FAULTS_COUNT; i++) {
        if (strcmp(name, fault_name((enum fault)i)) != 0) continue;
        *ret_fault = (enum fault)i;
        return true;
    }
    return false;
}

/* Takes from a node for good what it has told of; the plan sees to it that a majority of every group outlives it. */
static bool is_loss(enum fault fault)
{
    return fault >= FAULT_WIPE;
}

/* No node can stand it, and the documentation says so: drawn only when it is asked for. */
static bool is_beyond(enum fault fault)
{
    return fault == FAULT_OLD_BACKUP;
}

const char *client_name(enum client client)
{
    static const char *const names[] = {
#define X(name, text, meaning) text,
        CLIENTS(X)
#undef X
    };
    return names[client];
}

const char *client_meaning(enum client client)
{
    static const char *const meanings[] = {
#define X(name, text, meaning) meaning,
        CLIENTS(X)
#undef X
    };
    return meanings[client];
}

bool client_find(const char *name, enum client *ret_client)
{
    for (int i = 0; i < CLIENTS_COUNT; i++) {
        if (strcmp(name, client_name((enum client)i)) != 0) continue;
        *ret_client = (enum client)i;
        return true;
    }
    return false;
}

/* ---- drawing ------------------------------------------------------------------------------------------------- */

static uint32_t draw_nodes(struct draw *draw)
{
    static const uint32_t nodes[] = {1, 2, 2, 3, 3, 3, 3, 3, 3, 3, 3, 3, 4, 5, 5, 5, 5, 5};
    return DRAW_FROM(draw, nodes);
}

static void draw_timing(struct plan *plan, struct draw *draw)
{
    static const uint64_t links_us[][2] = {{20, 100},   {50, 500},    {50, 500},
                                           {300, 3000}, {100, 10000}, {2000, 5000}};
    const uint64_t *link_us = DRAW_FROM(draw, links_us);
    plan->link_us_min = link_us[0];
    plan->link_us_max = link_us[1];
    static const uint64_t jobs_us[][2] = {
        {20, 200}, {100, 2000}, {100, 2000}, {500, 8000}, {10, 20000}};
    const uint64_t *job_us = DRAW_FROM(draw, jobs_us);
    plan->job_us_min = job_us[0];
    plan->job_us_max = job_us[1];
    static const uint64_t windows[] = {4096, 16384, 65536, 65536, 262144};
    plan->window_bytes = DRAW_FROM(draw, windows);
    static const uint64_t heartbeats[] = {20, 50, 50, 50, 100, 150};
    plan->heartbeat_ms = DRAW_FROM(draw, heartbeats);
    plan->election_timeout_ms_min = plan->heartbeat_ms * draw_between(draw, 6, 10);
    plan->election_timeout_ms_max = plan->election_timeout_ms_min +
                                    plan->election_timeout_ms_min * draw_between(draw, 3, 10) / 10u;
}

static void draw_sizes(struct plan *plan, struct draw *draw)
{
    static const uint64_t segments[] = {16384, 32768, 65536, 65536, 262144, 1048576};
    plan->segment_bytes_max = DRAW_FROM(draw, segments);
    static const uint64_t caches[] = {1024, 8192, 65536, 65536, 1048576};
    plan->cache_bytes_max = DRAW_FROM(draw, caches);
    static const uint64_t inflights[] = {16384, 1u << 20, 16u << 20};
    plan->inflight_bytes_max = DRAW_FROM(draw, inflights);
    static const uint64_t checkpoints[] = {5, 20, 100, 1000};
    plan->checkpoint_entries = DRAW_FROM(draw, checkpoints);
    static const uint64_t reserves[] = {0, 32768, 1u << 20};
    plan->reserve_bytes = DRAW_FROM(draw, reserves);
    plan->topics_count = (uint32_t)draw_between(draw, 1, PLAN_TOPICS_MAX);
    for (uint32_t i = 0; i < plan->topics_count; i++) {
        struct plan_topic *topic = &plan->topics[i];
        topic->partitions_count = draw_chance(draw, 1, 2) ? 1u : (uint32_t)draw_between(draw, 1, 2);
        const uint32_t most = plan->founders_count;
        topic->replicas_count = draw_chance(draw, 3, 4) ? (most < 3u ? most : 3u)
                                                        : (uint32_t)draw_between(draw, 1, most);
        topic->local_reads = draw_chance(draw, 1, 10);
    }
    static const uint64_t meta_logs[] = {3, 5, 10, 30, 1000};
    plan->meta_log_entries = DRAW_FROM(draw, meta_logs);
    static const uint32_t chunks[] = {64, 300, 1000, 262144};
    plan->base_chunk_bytes = DRAW_FROM(draw, chunks);
}

/* Small limits: of the half a minute or so that a topic is written to, little is kept. */
static void draw_retention(struct plan *plan, struct draw *draw)
{
    static const uint64_t checks_ms[] = {50, 200, 1000};
    plan->retention_check_ms = DRAW_FROM(draw, checks_ms);
    plan->set_every_us = draw_chance(draw, 1, 3) ? draw_between(draw, 3000000, 20000000) : 0;
    for (uint32_t i = 0; i < PLAN_TOPICS_MAX; i++) {
        struct plan_topic *topic = &plan->topics[i];
        topic->retention_ms = topic->retention_bytes = -1;
        if (draw_chance(draw, 1, 2)) continue;
        if (draw_chance(draw, 1, 2)) topic->retention_ms = (int64_t)draw_between(draw, 500, 20000);
        if (draw_chance(draw, 1, 2)) {
            topic->retention_bytes = (int64_t)draw_between(draw, 4096, 262144);
        }
        topic->until_consumed = draw_chance(draw, 1, 2);
    }
}

static void draw_workload(struct plan *plan, struct draw *draw)
{
    plan->producers_count = (uint32_t)draw_between(draw, 1, 5);
    plan->plain_producers_count = (uint32_t)draw_below(draw, plan->producers_count / 2u + 1u);
    plan->window = draw_chance(draw, 1, 2) ? 1u : (uint32_t)draw_between(draw, 2, 5);
    static const uint32_t batches[] = {1, 1, 4, 20};
    plan->batch_records_max = DRAW_FROM(draw, batches);
    static const uint32_t values[] = {24, 100, 100, 400, 2000};
    plan->value_bytes_max = DRAW_FROM(draw, values);
    const uint64_t largest = 2u * (uint64_t)plan->batch_records_max * (plan->value_bytes_max + 64u);
    if (plan->inflight_bytes_max < largest) plan->inflight_bytes_max = largest;
    plan->produce_every_us = plan->producers_count * draw_between(draw, 5000, 18000);
    plan->consumers_count = (uint32_t)draw_between(draw, 1, 4);
    plan->consume_every_us = plan->consumers_count * draw_between(draw, 8000, 30000);
    plan->committers_count = (uint32_t)draw_below(draw, 3);
    plan->commit_every_us = draw_between(draw, 50000, 300000);
    plan->has_admin = draw_chance(draw, 1, 3);
    static const uint64_t clients[] = {200, 2000, 20000};
    plan->client_us_max = DRAW_FROM(draw, clients);
}

/* Of every group a majority outlives the loss of a node. */
static bool can_lose_node(const struct plan *plan)
{
    for (uint32_t i = 0; i < plan->topics_count; i++) {
        if (plan->topics[i].replicas_count < 3u) return false;
    }
    return plan->founders_count >= 3u;
}

bool plan_loses_disks(const struct plan *plan)
{
    for (int i = 0; i < FAULTS_COUNT; i++) {
        if (plan->fault_is_on[i] && is_loss((enum fault)i)) return true;
    }
    return false;
}

static bool is_on(const struct plan *plan, enum fault fault, bool is_drawn,
                  const struct plan_wishes *wishes)
{
    if (wishes->without[fault]) return false;
    if (is_loss(fault) && !can_lose_node(plan)) return false;
    return wishes->with[fault] || (is_drawn && !is_beyond(fault));
}

/* Swarm testing: every run has some of the faults and not the others, since one fault can hide what another shows. */
static void draw_faults(struct plan *plan, struct draw *draw, const struct plan_wishes *wishes)
{
    const bool is_calm = draw_chance(draw, 1, 25);
    uint64_t per_minute = 0;
    for (int i = 0; i < FAULTS_COUNT; i++) {
        const bool is_drawn = draw_chance(draw, 2, 5) && !is_calm;
        plan->fault_every_us[i] = draw_between(draw, 1500000, 20000000);
        plan->fault_is_on[i] = is_on(plan, (enum fault)i, is_drawn, wishes);
        if (plan->fault_is_on[i]) per_minute += 60000000u / plan->fault_every_us[i];
    }
    for (int i = 0; i < FAULTS_COUNT && per_minute > 0; i++) {
        if (per_minute >= FAULTS_PER_MINUTE_MIN) break;
        plan->fault_every_us[i] = plan->fault_every_us[i] * per_minute / FAULTS_PER_MINUTE_MIN + 1u;
    }
    const uint32_t spares = (uint32_t)draw_between(draw, 1, 3);
    if (plan->fault_is_on[FAULT_ADD]) plan->nodes_count += spares;
    if (plan->nodes_count > PLAN_NODES_MAX) plan->nodes_count = PLAN_NODES_MAX;
    plan->spares_majority = draw_chance(draw, 3, 5);
    plan->faults_from_us = draw_chance(draw, 1, 2) ? 0 : draw_below(draw, 5000000);
}

/* Behind the draws, so that what is left is as it was. */
static void take_clients_away(struct plan *plan, const struct plan_wishes *wishes)
{
    if (wishes->topics_count && wishes->topics_count < plan->topics_count) {
        plan->topics_count = wishes->topics_count;
    }
    if (wishes->producers_count && wishes->producers_count < plan->producers_count) {
        plan->producers_count = wishes->producers_count;
    }
    if (plan->plain_producers_count > plan->producers_count) {
        plan->plain_producers_count = plan->producers_count;
    }
    if (wishes->without_client[CLIENT_CONSUMERS]) plan->consumers_count = 0;
    if (wishes->without_client[CLIENT_COMMITTERS]) plan->committers_count = 0;
    if (wishes->without_client[CLIENT_ADMIN]) plan->has_admin = false;
}

void plan_draw(struct plan *plan, uint64_t seed, const struct plan_wishes *wishes)
{
    *plan = (struct plan){.seed = seed};
    struct draw draw = draw_stream(seed, PART_PLAN);
    plan->founders_count = draw_nodes(&draw);
    if (wishes->nodes_count) plan->founders_count = wishes->nodes_count;
    plan->nodes_count = plan->founders_count;
    draw_timing(plan, &draw);
    draw_sizes(plan, &draw);
    draw_workload(plan, &draw);
    plan->safety_us = draw_between(&draw, 58000000, 68000000);
    if (wishes->until_ms) plan->safety_us = wishes->until_ms * 1000u;
    plan->image_every_us = draw_between(&draw, 1000000, 6000000);
    plan->ack_check_in = draw_between(&draw, 50, 400);
    struct draw retention = draw_stream(seed, PART_RETENTION);
    draw_retention(plan, &retention);
    struct draw faults = draw_stream(seed, PART_FAULTS);
    draw_faults(plan, &faults, wishes);
    take_clients_away(plan, wishes);
    rare_plan_draw(&plan->rare, seed, &wishes->rare);
}

/* ---- telling -------------------------------------------------------------------------------------------------- */

static void print_topic(const struct plan_topic *topic, FILE *out)
{
    fprintf(out, " %u x %u replicas%s", topic->partitions_count, topic->replicas_count,
            topic->local_reads ? " (local reads)" : "");
    if (topic->retention_ms >= 0) fprintf(out, " keeps %" PRId64 " ms", topic->retention_ms);
    if (topic->retention_bytes >= 0) fprintf(out, " keeps %" PRId64 " B", topic->retention_bytes);
    if (topic->until_consumed) fprintf(out, " until consumed");
}

void plan_print(const struct plan *plan, FILE *out)
{
    fprintf(out,
            "seed 0x%" PRIx64 ": %u nodes of %u, links %" PRIu64 "-%" PRIu64
            " us, disk jobs %" PRIu64 "-%" PRIu64 " us, socket buffers %" PRIu64 " B\n",
            plan->seed, plan->founders_count, plan->nodes_count, plan->link_us_min,
            plan->link_us_max, plan->job_us_min, plan->job_us_max, plan->window_bytes);
    fprintf(out,
            "  heartbeat %" PRIu64 " ms, election %" PRIu64 "-%" PRIu64 " ms, segments %" PRIu64
            " B, cache %" PRIu64 " B, in flight %" PRIu64 " B, checkpoint after %" PRIu64
            " entries, base of meta after %" PRIu64 ", reserve %" PRIu64 " B\n",
            plan->heartbeat_ms, plan->election_timeout_ms_min, plan->election_timeout_ms_max,
            plan->segment_bytes_max, plan->cache_bytes_max, plan->inflight_bytes_max,
            plan->checkpoint_entries, plan->meta_log_entries, plan->reserve_bytes);
    fprintf(out, "  retention looked at every %" PRIu64 " ms, changed every %" PRIu64 " us\n",
            plan->retention_check_ms, plan->set_every_us);
    fprintf(out, "  topics:");
    for (uint32_t i = 0; i < plan->topics_count; i++) {
        print_topic(&plan->topics[i], out);
        fputc(i + 1u < plan->topics_count ? ',' : '\n', out);
    }
    fprintf(out,
            "  %u producers (%u without id), %u in flight, up to %u records of %u B, every %" PRIu64
            " us; %u consumers every %" PRIu64 " us; %u committers every %" PRIu64 " us%s\n",
            plan->producers_count, plan->plain_producers_count, plan->window,
            plan->batch_records_max, plan->value_bytes_max, plan->produce_every_us,
            plan->consumers_count, plan->consume_every_us, plan->committers_count,
            plan->commit_every_us, plan->has_admin ? "; topics come and go" : "");
    fprintf(out, "  faults from %" PRIu64 " ms to %" PRIu64 " ms%s:", plan->faults_from_us / 1000u,
            plan->safety_us / 1000u,
            plan->spares_majority ? ", a majority is spared" : ", anything may be down");
    const char *separator = " ";
    for (int i = 0; i < FAULTS_COUNT; i++) {
        if (!plan->fault_is_on[i]) continue;
        fprintf(out, "%s%s every %" PRIu64 " ms", separator, fault_name((enum fault)i),
                plan->fault_every_us[i] / 1000u);
        separator = ", ";
    }
    fprintf(out, "%s\n", separator[0] == ' ' ? " none" : "");
    rare_plan_print(&plan->rare, out);
}
