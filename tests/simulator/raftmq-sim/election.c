#include "election.h"

#include <inttypes.h>

#include "failure.h"
#include "members.h"
#include "peek.h"

#define SLACK_US      2000000u /* redialing, opening files, a first no-op */
#define ELECTIONS_MAX 10u

struct election {
    struct run *run;
    uint32_t core;
    char why[160];
};

/* Somebody takes the group's writes, and a majority of its replicas follows him: of the core, or a node outside of it that
 * still reaches enough of the core. */
static bool has_leader(struct election *election, uint64_t group)
{
    const struct run *run = election->run;
    struct peek_group leader = {0};
    uint64_t leader_id = 0;
    for (uint32_t i = 0; i < run->plan.nodes_count; i++) {
        struct peek_group peek;
        const struct node *node = run->cluster->nodes[i].node;
        if (!node || !peek_group(node, group, &peek)) continue;
        if (!peek.takes_produce || peek.term <= leader.term) continue;
        leader = peek;
        leader_id = i + 1u;
    }
    uint32_t followers = 0;
    for (uint32_t i = 0; i < run->plan.nodes_count; i++) {
        struct peek_group peek;
        const struct node *node = run->cluster->nodes[i].node;
        if (leader_id == 0 || !node || !peek_group(node, group, &peek)) continue;
        if (peek.leader == leader_id && peek.term == leader.term) followers |= 1u << i;
    }
    if (leader_id != 0 && members_have_majority(run, followers, group)) return true;
    snprintf(election->why, sizeof(election->why),
             "group %" PRIu64 ": n%" PRIu64 " leads in term %" PRIu64 ", nodes 0x%x follow", group,
             leader_id, leader.term, followers);
    return false;
}

static bool has_elected(void *data)
{
    struct election *election = data;
    const struct run *run = election->run;
    for (uint32_t i = 0; i < run->plan.nodes_count; i++) {
        if (!(election->core & 1u << i)) continue;
        const struct node *node = run->cluster->nodes[i].node;
        struct peek_group groups[64];
        const uint32_t count = node ? peek_groups(node, groups, 64) : 0;
        if (count == 0) {
            snprintf(election->why, sizeof(election->why), "n%u holds no group yet", i + 1u);
            return false;
        }
        for (uint32_t g = 0; g < count; g++) {
            if (!members_have_majority(run, election->core, groups[g].group)) continue;
            if (!has_leader(election, groups[g].group)) return false;
        }
    }
    return true;
}

/* Where every replica stands, when something does not get on. */
void election_print(const struct run *run)
{
    for (uint32_t i = 0; i < run->plan.nodes_count; i++) {
        const struct node *node = run->cluster->nodes[i].node;
        struct peek_group groups[64];
        const uint32_t count = node ? peek_groups(node, groups, 64) : 0;
        fprintf(stderr, "n%u %s, %u groups\n", i + 1u,
                !node                        ? "is down"
                : sim_is_paused(run->sim, i) ? "is paused"
                                             : "runs",
                count);
        for (uint32_t g = 0; g < count; g++) {
            const struct peek_group *group = &groups[g];
            fprintf(stderr,
                    "  group %" PRIu64 " %s term %" PRIu64 " leader %" PRIu64 " vote %" PRIu64
                    "%s last %" PRIu64 " durable %" PRIu64 " commit %" PRIu64 " applied %" PRIu64
                    "\n",
                    group->group, raft_role_name(group->role), group->term, group->leader,
                    group->hard_state.voted_for.node,
                    group->hard_state_is_durable ? "" : " (not durable)", group->last_index,
                    group->durable_index, group->commit_index, group->applied_index);
        }
    }
}

/* Who leads takes writes when it has applied its own first entry, and what comes before it may be read from a slow disk one by
 * one. */
static uint64_t backlog_us(const struct run *run, uint32_t core)
{
    uint64_t entries = 0;
    for (uint32_t i = 0; i < run->plan.nodes_count; i++) {
        const struct node *node = run->cluster->nodes[i].node;
        struct peek_group groups[64];
        const uint32_t count = core & 1u << i && node ? peek_groups(node, groups, 64) : 0;
        for (uint32_t g = 0; g < count; g++) {
            const uint64_t behind = groups[g].last_index - groups[g].applied_index;
            if (behind > entries) entries = behind;
        }
    }
    return entries * 2u * run->plan.job_us_max;
}

static uint64_t longest(const struct run *run, uint64_t group)
{
    uint64_t last_index = 0;
    for (uint32_t i = 0; i < run->plan.nodes_count; i++) {
        struct peek_group peek;
        const struct node *node = run->cluster->nodes[i].node;
        if (!node || !peek_group(node, group, &peek)) continue;
        if (peek.last_index > last_index) last_index = peek.last_index;
    }
    return last_index;
}

/* Whom the leader needs for its own first entry takes what it lacks before: through small buffers, to a slow disk, and what all
 * groups lack through one connection. */
static uint64_t catch_up_us(const struct run *run, uint32_t core)
{
    const struct plan *plan = &run->plan;
    uint64_t entries = 0;
    for (uint32_t i = 0; i < plan->nodes_count; i++) {
        const struct node *node = run->cluster->nodes[i].node;
        struct peek_group groups[64];
        const uint32_t count = core & 1u << i && node ? peek_groups(node, groups, 64) : 0;
        uint64_t lacking = 0;
        for (uint32_t g = 0; g < count; g++) {
            lacking += longest(run, groups[g].group) - groups[g].last_index;
        }
        if (lacking > entries) entries = lacking;
    }
    const uint64_t bytes = (uint64_t)plan->batch_records_max * plan->value_bytes_max;
    const uint64_t trips = bytes / plan->window_bytes + 1u;
    return entries * (2u * plan->job_us_max + 2u * trips * plan->link_us_max);
}

void election_demand(struct run *run, uint32_t core)
{
    struct election election = {.run = run, .core = core};
    const uint64_t us = ELECTIONS_MAX * run->plan.election_timeout_ms_max * 1000u + SLACK_US +
                        backlog_us(run, core) + catch_up_us(run, core);
    const uint64_t from_us = sim_now_us(run->sim);
    if (!sim_run_until_true(run->sim, us, has_elected, &election)) {
        election_print(run);
        failure("no-election", "a majority (nodes 0x%x) is whole for %" PRIu64 " ms: %s", core,
                us / 1000u, election.why);
    }
    run_tell(run, "elected after %" PRIu64 " ms", (sim_now_us(run->sim) - from_us) / 1000u);
}
