/* The cluster command: which nodes, which logs, who leads. */
#include "runner.h"

#include <string.h>

#define TERMS_MAX 64u

struct plan {
    struct raft_configuration configuration;
    uint64_t terms[CLUSTER_NODES_MAX][TERMS_MAX];
    uint32_t terms_count[CLUSTER_NODES_MAX];
    uint64_t term[CLUSTER_NODES_MAX];
    bool no_vote[CLUSTER_NODES_MAX];
    bool spare[CLUSTER_NODES_MAX];
    raft_index log_index;
    raft_term log_term;
    raft_node_id leader;
    uint32_t append_entries;
};

static void plan_members(const struct runner *runner, struct plan *plan, char *list, bool voter)
{
    uint64_t ids[CLUSTER_NODES_MAX];
    uint32_t count = scenario__to_list(runner, list, ids, CLUSTER_NODES_MAX);
    for (uint32_t i = 0; i < count; i++) {
        if (ids[i] == 0 || ids[i] >= CLUSTER_NODES_MAX)
            scenario__bad_command(runner, "nodes are 1 to 7");
        plan->configuration.members[plan->configuration.members_count++] =
            (struct raft_member){.id = {.node = ids[i]}, .voter = voter};
    }
}

static void plan_spares(const struct runner *runner, struct plan *plan, char *list)
{
    uint64_t ids[CLUSTER_NODES_MAX];
    uint32_t count = scenario__to_list(runner, list, ids, CLUSTER_NODES_MAX);
    for (uint32_t i = 0; i < count; i++) {
        if (ids[i] == 0 || ids[i] >= CLUSTER_NODES_MAX)
            scenario__bad_command(runner, "nodes are 1 to 7");
        plan->spare[ids[i]] = true;
    }
}

static uint64_t plan_node(const struct runner *runner, const char *text)
{
    uint64_t id = scenario__to_number(runner, text);
    if (id == 0 || id >= CLUSTER_NODES_MAX) scenario__bad_command(runner, "nodes are 1 to 7");
    return id;
}

static void plan_word(const struct runner *runner, struct plan *plan, char *word)
{
    char *value = strchr(word, '=');
    if (value == NULL) scenario__bad_command(runner, "expected name=value");
    *value++ = '\0';
    if (strcmp(word, "voters") == 0) {
        plan_members(runner, plan, value, true);
    } else if (strcmp(word, "learners") == 0) {
        plan_members(runner, plan, value, false);
    } else if (strcmp(word, "spares") == 0) {
        plan_spares(runner, plan, value);
    } else if (strcmp(word, "leader") == 0) {
        plan->leader = plan_node(runner, value);
    } else if (strcmp(word, "no-vote") == 0) {
        plan->no_vote[plan_node(runner, value)] = true;
    } else if (strcmp(word, "log") == 0) {
        char *at = strchr(value, '@');
        if (at == NULL) scenario__bad_command(runner, "log=INDEX@TERM");
        *at++ = '\0';
        plan->log_index = scenario__to_number(runner, value);
        plan->log_term = scenario__to_number(runner, at);
    } else if (strcmp(word, "append-entries") == 0) {
        plan->append_entries = (uint32_t)scenario__to_number(runner, value);
    } else if (strncmp(word, "log.", 4) == 0) {
        uint64_t id = plan_node(runner, word + 4);
        plan->terms_count[id] = scenario__to_list(runner, value, plan->terms[id], TERMS_MAX);
    } else if (strncmp(word, "term.", 5) == 0) {
        plan->term[plan_node(runner, word + 5)] = scenario__to_number(runner, value);
    } else {
        scenario__bad_command(runner, "no such setting of a cluster");
    }
}

/* All nodes get log_index entries of log_term, unless log.N says otherwise. */
static void plan_common_log(const struct runner *runner, struct plan *plan)
{
    if (plan->log_index > TERMS_MAX) scenario__bad_command(runner, "the log is too long");
    for (uint32_t id = 1; id < CLUSTER_NODES_MAX; id++) {
        if (plan->terms_count[id] > 0) continue;
        plan->terms_count[id] = (uint32_t)plan->log_index;
        for (uint32_t i = 0; i < plan->log_index; i++) {
            plan->terms[id][i] = plan->log_term;
        }
    }
}

static void elect_quietly(struct runner *runner, const struct plan *plan)
{
    struct cluster *cluster = runner->cluster;
    (void)cluster_event(cluster, plan->leader, RAFT_EVENT_CAMPAIGN);
    scenario__settle(runner);
    if (cluster_leader(cluster) != plan->leader)
        scenario__bad_command(runner, "that node cannot win");
    struct cluster_node *leader = &cluster->nodes[plan->leader];
    while (leader->log.count < plan->log_index) {
        (void)cluster_propose(cluster, plan->leader, 1);
        scenario__settle(runner);
    }
    scenario__advance(runner, 50); /* all know what is committed */
}

void scenario__open_cluster(struct runner *runner, struct words *words)
{
    struct plan plan;
    memset(&plan, 0, sizeof plan);
    plan.append_entries = 16;
    if (runner->cluster->founding.members_count > 0)
        scenario__bad_command(runner, "one cluster a file");
    while (words->next < words->count) {
        plan_word(runner, &plan, words->items[words->next++]);
    }
    if (plan.configuration.members_count == 0)
        scenario__bad_command(runner, "a cluster has voters");
    if (plan.leader == 0) plan_common_log(runner, &plan);
    struct cluster_options options = {.seed = 1,
                                      .trail_runs_max = 1024,
                                      .append_entries_max = plan.append_entries,
                                      .append_inflight_max = 8,
                                      .append_runs_max = RAFT_MESSAGE_RUNS_MAX};
    cluster_open(runner->cluster, &options, &plan.configuration);
    runner->cluster->hook_data = runner;
    runner->cluster->on_trace = scenario__on_trace;
    for (uint32_t i = 0; i < plan.configuration.members_count; i++) {
        raft_node_id id = plan.configuration.members[i].id.node;
        uint32_t count = plan.terms_count[id];
        struct raft_hard_state hard = {.term = plan.term[id]};
        if (count > 0 && hard.term < plan.terms[id][count - 1]) {
            hard.term = plan.terms[id][count - 1];
        }
        cluster_set_disk(runner->cluster, id, plan.terms[id], count, hard);
        runner->cluster->nodes[id].has_vote = !plan.no_vote[id];
        cluster_start(runner->cluster, id);
    }
    for (uint32_t id = 1; id < CLUSTER_NODES_MAX; id++) {
        if (!plan.spare[id]) continue;
        cluster_add_node(runner->cluster, id);
        cluster_start(runner->cluster, id);
    }
    if (plan.leader != 0) {
        runner->quiet = true;
        elect_quietly(runner, &plan);
        runner->quiet = false;
    }
}
