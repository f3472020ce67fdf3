/* Commands about who is a member, and about bases. */
#include "runner.h"

#include <inttypes.h>
#include <string.h>

/* "1,2,3", each in its present epoch. */
static void add_members(const struct runner *runner, struct raft_configuration *configuration,
                        char *list, bool voter)
{
    uint64_t ids[CLUSTER_NODES_MAX];
    uint32_t count = scenario__to_list(runner, list, ids, CLUSTER_NODES_MAX);
    for (uint32_t i = 0; i < count; i++) {
        if (ids[i] >= CLUSTER_NODES_MAX || !runner->cluster->nodes[ids[i]].exists)
            scenario__bad_command(runner, "no such node");
        configuration->members[configuration->members_count++] = (struct raft_member){
            .id = {.node = ids[i], .epoch = runner->cluster->nodes[ids[i]].epoch}, .voter = voter};
    }
}

void scenario__configure(struct runner *runner, struct words *words)
{
    raft_node_id id = scenario__next_node_up(runner, words);
    struct raft_configuration target = {.members_count = 0};
    bool always_joint = false;
    while (words->next < words->count) {
        char *word = scenario__next_word(runner, words);
        if (strncmp(word, "voters=", 7) == 0) {
            add_members(runner, &target, word + 7, true);
        } else if (strncmp(word, "learners=", 9) == 0) {
            add_members(runner, &target, word + 9, false);
        } else if (strcmp(word, "joint") == 0) {
            always_joint = true;
        } else {
            scenario__bad_command(runner, "voters=, learners= or joint");
        }
    }
    scenario__show_refusal(runner, cluster_configure(runner->cluster, id, &target, always_joint));
}

void scenario__members(struct runner *runner)
{
    for (raft_node_id id = 1; id < CLUSTER_NODES_MAX; id++) {
        const struct cluster_node *node = &runner->cluster->nodes[id];
        if (!node->exists || !node->up) continue;
        struct raft_view view;
        raft_view(node->core, runner->cluster->now_ms, &view);
        struct raft_trace trace = {.type = RAFT_TRACE_CONFIGURATION,
                                   .index = view.configuration_index,
                                   .configuration = raft_configuration_of(node->core)};
        scenario__show_trace(runner, id, &trace);
    }
}

void scenario__caught_up(struct runner *runner, struct words *words)
{
    raft_node_id leader = scenario__next_node_up(runner, words);
    raft_node_id id = scenario__next_node(runner, words);
    struct raft_replica_id replica = {id, runner->cluster->nodes[id].epoch};
    bool caught_up = raft_is_caught_up(runner->cluster->nodes[leader].core, replica);
    fprintf(runner->out, "n%" PRIu64 " is %s for n%" PRIu64 "\n", id,
            caught_up ? "caught up" : "not caught up", leader);
}

void scenario__compact(struct runner *runner, struct words *words)
{
    raft_node_id id = scenario__next_node_up(runner, words);
    uint64_t index = scenario__to_number(runner, scenario__next_word(runner, words));
    if (index == 0 || !cluster_compact(runner->cluster, id, index))
        scenario__bad_command(runner, "only what is committed and durable is compacted");
}

void scenario__wipe(struct runner *runner, struct words *words)
{
    raft_node_id id = scenario__next_node(runner, words);
    if (runner->cluster->nodes[id].up) scenario__bad_command(runner, "crash it first");
    cluster_wipe(runner->cluster, id);
}

static void land_all(struct runner *runner, bool ok)
{
    while (runner->cluster->transfers_count > 0) {
        cluster_land(runner->cluster, 0, ok);
    }
}

static bool install_all(struct runner *runner)
{
    bool moved = false;
    for (raft_node_id id = 1; id < CLUSTER_NODES_MAX; id++) {
        const struct cluster_node *node = &runner->cluster->nodes[id];
        if (!node->up || node->beside.count == 0) continue;
        cluster_install(runner->cluster, id, /* told= */ true);
        moved = true;
    }
    return moved;
}

void scenario__bases(struct runner *runner, struct words *words)
{
    const char *what = scenario__next_word(runner, words);
    if (strcmp(what, "hold") == 0) {
        runner->bases_hold = true;
    } else if (strcmp(what, "free") == 0) {
        runner->bases_hold = false;
    } else if (strcmp(what, "land") == 0) {
        land_all(runner, true);
    } else if (strcmp(what, "fail") == 0) {
        land_all(runner, false);
    } else if (strcmp(what, "install") == 0) {
        (void)install_all(runner);
    } else {
        scenario__bad_command(runner, "hold, free, land, fail or install");
    }
}

bool scenario__run_bases(struct runner *runner)
{
    if (runner->bases_hold) return false;
    bool moved = runner->cluster->transfers_count > 0;
    land_all(runner, true);
    return install_all(runner) || moved;
}

/* A message as a peer with other rules would send it. */
void scenario__inject(struct runner *runner, struct words *words)
{
    enum raft_message_type type = scenario__to_type(runner, scenario__next_word(runner, words));
    bool is_vote = type == RAFT_MESSAGE_VOTE || type == RAFT_MESSAGE_PREVOTE;
    if (!is_vote) scenario__bad_command(runner, "only votes are injected");
    raft_node_id from = scenario__next_node(runner, words);
    raft_node_id to = scenario__next_node_up(runner, words);
    struct cluster_packet packet = {.deliver_at_ms = runner->cluster->now_ms};
    struct raft_message *m = &packet.message;
    m->type = type;
    m->group = CLUSTER_GROUP;
    m->from = (struct raft_replica_id){from, runner->cluster->nodes[from].epoch};
    m->to = (struct raft_replica_id){to, runner->cluster->nodes[to].epoch};
    while (words->next < words->count) {
        char *word = scenario__next_word(runner, words);
        char *at = strchr(word, '@');
        if (strncmp(word, "term=", 5) == 0) {
            m->term = scenario__to_number(runner, word + 5);
        } else if (strncmp(word, "log=", 4) == 0 && at != NULL) {
            *at = '\0';
            m->vote.last_index = scenario__to_number(runner, word + 4);
            m->vote.last_term = scenario__to_number(runner, at + 1);
        } else {
            scenario__bad_command(runner, "term=T or log=INDEX@TERM");
        }
    }
    cluster_duplicate(runner->cluster, &packet, packet.deliver_at_ms);
}
