/* raftmq-scenario: scripted histories of a few cores as text files.
 *
 *     raftmq-scenario [--rewrite] FILE...
 *
 * A file is a list of steps. A step is some commands, a line "----", and the trace they must give, up to an empty
 * line. Lines that begin with '#' are comments; the first one says the goal of the file. --rewrite puts the trace
 * as it is into the file; read the diff before you commit it.
 *
 * Time stands still unless a command moves it, messages and disks are immediate, so a step shows cause and effect
 * and nothing else. By default pre-votes, answers to candidates and acks are not shown; `trace all` shows them.
 *
 *     cluster voters=1,2,3 [learners=4] [log=2@1] [log.2=1,1,2] [term.2=3] [no-vote=3] [leader=1] [append-entries=16]
 *                              log=INDEX@TERM: all have INDEX entries of TERM; log.N: the terms of n's entries;
 *                              leader=N: elected before the first step, proposing until log=... is reached
 *     trace all | main         show everything, or the main events
 *     elect N                  leases run out, then N stands, again if its term was old
 *     campaign N               N stands now
 *     propose N ["text"] [count=K]
 *     read N                   begin a read; reads are numbered from 1
 *     transfer N M             leader N hands over to M (0 = the best)
 *     leader-lost N            the control connection of N to its leader is closed
 *     time-gap N               the process of N slept
 *     advance MS               time passes, timers run
 *     sleep MS                 time passes, no timer runs
 *     partition 1 | 2,3        links between the parts are cut; heal: all links work; isolate N
 *     crash N                  what is not on its disk is lost; start N
 *     disk N hold              nothing reaches the disk; hold-log: votes do; late: all does, but is not reported
 *     disk N report            what is on the disk and was not reported is; nothing else changes
 *     disk N release           the disk works again
 *     hold TYPE A B [after=K] [count=C]
 *                              messages of TYPE from A to B, without the first K and at most C of them, stay in a
 *                              pocket; copy: they also arrive
 *     arrive [K]               the K oldest (all) in the pocket arrive and leave it; rules stay
 *     replay                   what is in the pocket arrives, and stays there; rules end
 *     release                  what is in the pocket arrives, the pocket is empty; rules end
 *     status                   role, term, commit and durable index and log of every node */
#include "cluster.h"

#include <raft_trace/trace.h>

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define LINE_BYTES_MAX   512u
#define POCKET_MAX       256u
#define RULES_MAX        8u
#define SETTLE_STEPS_MAX 100000u

struct rule {
    enum raft_message_type type;
    raft_node_id from;
    raft_node_id to;
    bool deliver_too;
    uint64_t after; /* as many pass first */
    uint64_t count; /* as many are kept */
    uint64_t seen;
};

struct runner {
    struct cluster *cluster;
    const char *path;
    uint32_t line;
    FILE *out;  /* the file as it should be */
    bool quiet; /* nothing is shown: the cluster is being set up */
    bool show_all;
    bool disk_hold[CLUSTER_NODES_MAX];
    bool disk_hold_log[CLUSTER_NODES_MAX];
    bool disk_late[CLUSTER_NODES_MAX];
    struct rule rules[RULES_MAX];
    uint32_t rules_count;
    struct cluster_packet pocket[POCKET_MAX];
    uint32_t pocket_count;
};

static void bad_command(const struct runner *runner, const char *why) __attribute__((noreturn));

static void bad_command(const struct runner *runner, const char *why)
{
    fprintf(stderr, "%s:%u: %s\n", runner->path, runner->line, why);
    exit(2);
}

/* ---- trace ---------------------------------------------------------------------------------------- */

static bool is_main_event(const struct raft_trace *trace)
{
    if (trace->type == RAFT_TRACE_VOTED) return false;
    if (trace->type == RAFT_TRACE_ACK) return false;
    bool is_vote = trace->type == RAFT_TRACE_VOTE || trace->type == RAFT_TRACE_ELECTION;
    return !(is_vote && trace->d == 1);
}

static void on_trace(struct cluster *cluster, raft_node_id node, const struct raft_trace *trace)
{
    struct runner *runner = cluster->hook_data;
    if (runner->quiet) return;
    if (!runner->show_all && !is_main_event(trace)) return;
    char sentence[RAFT_TRACE_SENTENCE_BYTES_MAX];
    (void)raft_trace_format(sentence, sizeof sentence, node, trace);
    fprintf(runner->out, "%s\n", sentence);
}

static void show_log(struct runner *runner, const struct cluster_log *log)
{
    for (raft_index i = 1; i <= log->count;) {
        raft_term term = log->entries[i - 1].term;
        raft_index end = i;
        while (end < log->count && log->entries[end].term == term) {
            end++;
        }
        if (end == i) {
            fprintf(runner->out, " %" PRIu64 "@%" PRIu64, i, term);
        } else {
            fprintf(runner->out, " %" PRIu64 "..%" PRIu64 "@%" PRIu64, i, end, term);
        }
        i = end + 1;
    }
}

static void show_status(struct runner *runner)
{
    for (raft_node_id id = 1; id < CLUSTER_NODES_MAX; id++) {
        const struct cluster_node *node = &runner->cluster->nodes[id];
        if (!node->is_member) continue;
        if (!node->up) {
            fprintf(runner->out, "n%" PRIu64 " down, on disk", id);
            show_log(runner, &node->disk);
            fprintf(runner->out, "\n");
            continue;
        }
        struct raft_view view;
        raft_view(node->core, runner->cluster->now_ms, &view);
        fprintf(runner->out,
                "n%" PRIu64 " %s term=%" PRIu64 " commit=%" PRIu64 " durable=%" PRIu64 " log", id,
                raft_role_name(view.role), view.term, view.commit_index, view.durable_index);
        show_log(runner, &node->log);
        fprintf(runner->out, "\n");
    }
}

/* ---- letting things happen ------------------------------------------------------------------------ */

static bool run_disks(struct runner *runner)
{
    bool moved = false;
    for (raft_node_id id = 1; id < CLUSTER_NODES_MAX; id++) {
        struct cluster_node *node = &runner->cluster->nodes[id];
        if (!node->up || runner->disk_hold[id]) continue;
        while (node->jobs_count > 0 && !runner->disk_hold_log[id]) {
            cluster_finish_job(runner->cluster, id);
            moved = true;
        }
        while (node->hard_queue_count > 0) {
            cluster_finish_hard(runner->cluster, id);
            moved = true;
        }
        bool late = runner->disk_late[id] || runner->disk_hold_log[id];
        while (node->reports_count > 0 && !late) {
            cluster_report_oldest(runner->cluster, id);
            moved = true;
        }
    }
    return moved;
}

static const struct rule *find_rule(struct runner *runner, const struct raft_message *m)
{
    const struct rule *found = NULL;
    for (uint32_t i = 0; i < runner->rules_count; i++) {
        struct rule *rule = &runner->rules[i];
        if (rule->type != m->type) continue;
        if (rule->from != m->from.node || rule->to != m->to.node) continue;
        rule->seen++;
        bool applies = rule->seen > rule->after && rule->seen <= rule->after + rule->count;
        if (applies && found == NULL) found = rule;
    }
    return found;
}

static void deliver_first(struct runner *runner)
{
    struct cluster_packet *packet = &runner->cluster->network.items[0];
    const struct rule *rule = find_rule(runner, &packet->message);
    if (rule != NULL) {
        if (runner->pocket_count == POCKET_MAX) bad_command(runner, "the pocket is full");
        runner->pocket[runner->pocket_count++] = cluster_packet_copy(packet);
        if (!rule->deliver_too) {
            cluster_drop(runner->cluster, 0);
            return;
        }
    }
    cluster_deliver(runner->cluster, 0);
}

/* Until nothing is left to do at this instant. */
static void settle(struct runner *runner)
{
    for (uint32_t i = 0; i < SETTLE_STEPS_MAX; i++) {
        if (run_disks(runner)) continue;
        if (runner->cluster->network.count == 0) return;
        deliver_first(runner);
    }
    bad_command(runner, "the cluster does not come to rest");
}

static void advance(struct runner *runner, uint64_t ms)
{
    for (uint64_t i = 0; i < ms; i++) {
        runner->cluster->now_ms++;
        for (raft_node_id id = 1; id < CLUSTER_NODES_MAX; id++) {
            struct cluster_node *node = &runner->cluster->nodes[id];
            if (!node->up || node->timer_at_ms > runner->cluster->now_ms) continue;
            (void)cluster_event(runner->cluster, id, RAFT_EVENT_TICK);
        }
        settle(runner);
    }
}

/* ---- arguments ------------------------------------------------------------------------------------ */

struct words {
    char text[LINE_BYTES_MAX];
    char *items[32];
    uint32_t count;
    uint32_t next;
};

static void split(struct words *words, const char *line)
{
    memset(words, 0, sizeof *words);
    snprintf(words->text, sizeof words->text, "%s", line);
    char *rest = words->text;
    char *word;
    while ((word = strsep(&rest, " ")) != NULL) {
        if (*word == '\0') continue;
        assert(words->count < 32);
        words->items[words->count++] = word;
    }
}

static char *next_word(const struct runner *runner, struct words *words)
{
    if (words->next == words->count) bad_command(runner, "an argument is missing");
    return words->items[words->next++];
}

static uint64_t to_number(const struct runner *runner, const char *text)
{
    char *end = NULL;
    uint64_t number = strtoull(text, &end, 10);
    if (end == text || *end != '\0') bad_command(runner, "this is not a number");
    return number;
}

static raft_node_id to_node(const struct runner *runner, const char *text)
{
    uint64_t id = to_number(runner, text);
    if (id >= CLUSTER_NODES_MAX) bad_command(runner, "no such node");
    if (!runner->cluster->nodes[id].is_member) bad_command(runner, "no such node");
    return id;
}

static raft_node_id next_node(const struct runner *runner, struct words *words)
{
    return to_node(runner, next_word(runner, words));
}

static raft_node_id next_node_up(const struct runner *runner, struct words *words)
{
    raft_node_id id = next_node(runner, words);
    if (!runner->cluster->nodes[id].up) bad_command(runner, "that node is down");
    return id;
}

/* "1,1,2" */
static uint32_t to_list(const struct runner *runner, char *text, uint64_t *list, uint32_t list_max)
{
    uint32_t count = 0;
    char *item;
    while ((item = strsep(&text, ",")) != NULL) {
        if (count == list_max) bad_command(runner, "the list is too long");
        list[count++] = to_number(runner, item);
    }
    return count;
}

static enum raft_message_type to_type(const struct runner *runner, const char *text)
{
    static const char *const names[] = {
        [RAFT_MESSAGE_PREVOTE] = "prevote",
        [RAFT_MESSAGE_PREVOTE_REPLY] = "prevote-reply",
        [RAFT_MESSAGE_VOTE] = "vote",
        [RAFT_MESSAGE_VOTE_REPLY] = "vote-reply",
        [RAFT_MESSAGE_APPEND] = "append",
        [RAFT_MESSAGE_APPEND_REPLY] = "append-reply",
        [RAFT_MESSAGE_HEARTBEAT] = "heartbeat",
        [RAFT_MESSAGE_HEARTBEAT_REPLY] = "heartbeat-reply",
        [RAFT_MESSAGE_READ_INDEX] = "read-index",
        [RAFT_MESSAGE_READ_INDEX_REPLY] = "read-index-reply",
        [RAFT_MESSAGE_TIMEOUT_NOW] = "timeout-now",
    };
    for (uint32_t i = RAFT_MESSAGE_PREVOTE; i <= RAFT_MESSAGE_TIMEOUT_NOW; i++) {
        if (strcmp(names[i], text) == 0) return (enum raft_message_type)i;
    }
    bad_command(runner, "no such message type");
}

/* ---- the cluster command -------------------------------------------------------------------------- */

#define TERMS_MAX 64u

struct plan {
    struct raft_configuration configuration;
    uint64_t terms[CLUSTER_NODES_MAX][TERMS_MAX];
    uint32_t terms_count[CLUSTER_NODES_MAX];
    uint64_t term[CLUSTER_NODES_MAX];
    bool no_vote[CLUSTER_NODES_MAX];
    raft_index log_index;
    raft_term log_term;
    raft_node_id leader;
    uint32_t append_entries;
};

static void plan_members(const struct runner *runner, struct plan *plan, char *list, bool voter)
{
    uint64_t ids[CLUSTER_NODES_MAX];
    uint32_t count = to_list(runner, list, ids, CLUSTER_NODES_MAX);
    for (uint32_t i = 0; i < count; i++) {
        if (ids[i] == 0 || ids[i] >= CLUSTER_NODES_MAX) bad_command(runner, "nodes are 1 to 7");
        plan->configuration.members[plan->configuration.members_count++] =
            (struct raft_member){.id = {.node = ids[i]}, .voter = voter};
    }
}

static uint64_t plan_node(const struct runner *runner, const char *text)
{
    uint64_t id = to_number(runner, text);
    if (id == 0 || id >= CLUSTER_NODES_MAX) bad_command(runner, "nodes are 1 to 7");
    return id;
}

static void plan_word(const struct runner *runner, struct plan *plan, char *word)
{
    char *value = strchr(word, '=');
    if (value == NULL) bad_command(runner, "expected name=value");
    *value++ = '\0';
    if (strcmp(word, "voters") == 0) {
        plan_members(runner, plan, value, true);
    } else if (strcmp(word, "learners") == 0) {
        plan_members(runner, plan, value, false);
    } else if (strcmp(word, "leader") == 0) {
        plan->leader = plan_node(runner, value);
    } else if (strcmp(word, "no-vote") == 0) {
        plan->no_vote[plan_node(runner, value)] = true;
    } else if (strcmp(word, "log") == 0) {
        char *at = strchr(value, '@');
        if (at == NULL) bad_command(runner, "log=INDEX@TERM");
        *at++ = '\0';
        plan->log_index = to_number(runner, value);
        plan->log_term = to_number(runner, at);
    } else if (strcmp(word, "append-entries") == 0) {
        plan->append_entries = (uint32_t)to_number(runner, value);
    } else if (strncmp(word, "log.", 4) == 0) {
        uint64_t id = plan_node(runner, word + 4);
        plan->terms_count[id] = to_list(runner, value, plan->terms[id], TERMS_MAX);
    } else if (strncmp(word, "term.", 5) == 0) {
        plan->term[plan_node(runner, word + 5)] = to_number(runner, value);
    } else {
        bad_command(runner, "no such setting of a cluster");
    }
}

/* All nodes get log_index entries of log_term, unless log.N says otherwise. */
static void plan_common_log(const struct runner *runner, struct plan *plan)
{
    if (plan->log_index > TERMS_MAX) bad_command(runner, "the log is too long");
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
    settle(runner);
    if (cluster_leader(cluster) != plan->leader) bad_command(runner, "that node cannot win");
    struct cluster_node *leader = &cluster->nodes[plan->leader];
    while (leader->log.count < plan->log_index) {
        (void)cluster_propose(cluster, plan->leader, 1);
        settle(runner);
    }
    advance(runner, 50); /* all know what is committed */
}

static void open_cluster(struct runner *runner, struct words *words)
{
    struct plan plan;
    memset(&plan, 0, sizeof plan);
    plan.append_entries = 16;
    if (runner->cluster->configuration.members_count > 0) bad_command(runner, "one cluster a file");
    while (words->next < words->count) {
        plan_word(runner, &plan, words->items[words->next++]);
    }
    if (plan.configuration.members_count == 0) bad_command(runner, "a cluster has voters");
    if (plan.leader == 0) plan_common_log(runner, &plan);
    struct cluster_options options = {.seed = 1,
                                      .trail_runs_max = 1024,
                                      .append_entries_max = plan.append_entries,
                                      .append_inflight_max = 8,
                                      .append_runs_max = RAFT_MESSAGE_RUNS_MAX};
    cluster_open(runner->cluster, &options, &plan.configuration);
    runner->cluster->hook_data = runner;
    runner->cluster->on_trace = on_trace;
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
    if (plan.leader != 0) {
        runner->quiet = true;
        elect_quietly(runner, &plan);
        runner->quiet = false;
    }
}

/* ---- commands ------------------------------------------------------------------------------------- */

static void show_status_of(struct runner *runner, enum raft_status status)
{
    if (status == RAFT_OK) return;
    fprintf(runner->out, "refused: %s\n", raft_status_text(status));
}

static void command_propose(struct runner *runner, struct words *words)
{
    raft_node_id id = next_node_up(runner, words);
    uint64_t count = 1;
    while (words->next < words->count) { /* the text is for the reader */
        const char *word = next_word(runner, words);
        if (strncmp(word, "count=", 6) == 0) count = to_number(runner, word + 6);
    }
    if (count == 0 || count > 1000) bad_command(runner, "1 to 1000 entries");
    show_status_of(runner, cluster_propose(runner->cluster, id, (uint32_t)count));
}

static void command_transfer(struct runner *runner, struct words *words)
{
    raft_node_id id = next_node_up(runner, words);
    uint64_t to = to_number(runner, next_word(runner, words));
    show_status_of(runner,
                   cluster_step(runner->cluster, id,
                                (struct raft_event){.type = RAFT_EVENT_TRANSFER, .node = to}));
}

static void command_leader_lost(struct runner *runner, struct words *words)
{
    raft_node_id id = next_node_up(runner, words);
    struct raft_view view;
    raft_view(runner->cluster->nodes[id].core, runner->cluster->now_ms, &view);
    (void)cluster_step(runner->cluster, id,
                       (struct raft_event){.type = RAFT_EVENT_LEADER_LOST, .node = view.leader});
}

static void command_partition(struct runner *runner, struct words *words)
{
    uint32_t part_of[CLUSTER_NODES_MAX] = {0};
    uint32_t part = 1;
    while (words->next < words->count) {
        char *word = next_word(runner, words);
        if (strcmp(word, "|") == 0) {
            part++;
            continue;
        }
        uint64_t ids[CLUSTER_NODES_MAX];
        uint32_t count = to_list(runner, word, ids, CLUSTER_NODES_MAX);
        for (uint32_t i = 0; i < count; i++) {
            if (ids[i] >= CLUSTER_NODES_MAX) bad_command(runner, "no such node");
            part_of[ids[i]] = part;
        }
    }
    for (uint32_t a = 1; a < CLUSTER_NODES_MAX; a++) {
        for (uint32_t b = 1; b < CLUSTER_NODES_MAX; b++) {
            runner->cluster->blocked[a][b] = part_of[a] != part_of[b];
        }
    }
}

static void command_isolate(struct runner *runner, struct words *words)
{
    raft_node_id id = next_node(runner, words);
    for (uint32_t other = 1; other < CLUSTER_NODES_MAX; other++) {
        runner->cluster->blocked[id][other] = true;
        runner->cluster->blocked[other][id] = true;
    }
}

static void command_disk(struct runner *runner, struct words *words)
{
    raft_node_id id = next_node(runner, words);
    const char *what = next_word(runner, words);
    if (strcmp(what, "report") == 0) {
        while (runner->cluster->nodes[id].up && runner->cluster->nodes[id].reports_count > 0) {
            cluster_report_oldest(runner->cluster, id);
        }
        return;
    }
    runner->disk_hold[id] = strcmp(what, "hold") == 0;
    runner->disk_hold_log[id] = strcmp(what, "hold-log") == 0;
    runner->disk_late[id] = strcmp(what, "late") == 0;
    bool known = runner->disk_hold[id] || runner->disk_hold_log[id] || runner->disk_late[id];
    if (!known && strcmp(what, "release") != 0) bad_command(runner, "no such disk state");
}

static void command_hold(struct runner *runner, struct words *words, bool deliver_too)
{
    if (runner->rules_count == RULES_MAX) bad_command(runner, "too many rules");
    struct rule *rule = &runner->rules[runner->rules_count++];
    rule->type = to_type(runner, next_word(runner, words));
    rule->from = next_node(runner, words);
    rule->to = next_node(runner, words);
    rule->deliver_too = deliver_too;
    rule->after = 0;
    rule->count = POCKET_MAX;
    rule->seen = 0;
    while (words->next < words->count) {
        const char *word = next_word(runner, words);
        if (strncmp(word, "after=", 6) == 0) {
            rule->after = to_number(runner, word + 6);
        } else if (strncmp(word, "count=", 6) == 0) {
            rule->count = to_number(runner, word + 6);
        } else {
            bad_command(runner, "after=K or count=C");
        }
    }
}

/* Past the rules, which hold what comes after. */
static void command_arrive(struct runner *runner, struct words *words)
{
    uint64_t count = runner->pocket_count;
    if (words->next < words->count) count = to_number(runner, next_word(runner, words));
    if (count > runner->pocket_count) bad_command(runner, "the pocket holds fewer");
    for (uint64_t i = 0; i < count; i++) {
        struct cluster_packet packet = runner->pocket[0];
        runner->pocket_count--;
        memmove(runner->pocket, runner->pocket + 1,
                runner->pocket_count * sizeof runner->pocket[0]);
        cluster_duplicate(runner->cluster, &packet, runner->cluster->now_ms);
        cluster_deliver(runner->cluster, runner->cluster->network.count - 1);
        cluster_packet_free(&packet);
    }
}

static void command_replay(struct runner *runner, bool empty)
{
    runner->rules_count = 0;
    for (uint32_t i = 0; i < runner->pocket_count; i++) {
        cluster_duplicate(runner->cluster, &runner->pocket[i], runner->cluster->now_ms);
        if (empty) cluster_packet_free(&runner->pocket[i]);
    }
    if (empty) runner->pocket_count = 0;
}

static void command_crash(struct runner *runner, struct words *words)
{
    raft_node_id id = next_node_up(runner, words);
    cluster_crash(runner->cluster, id, 0, 0);
    runner->disk_hold[id] = false;
    runner->disk_hold_log[id] = false;
    runner->disk_late[id] = false;
}

static void command_start(struct runner *runner, struct words *words)
{
    raft_node_id id = next_node(runner, words);
    if (runner->cluster->nodes[id].up) bad_command(runner, "that node is up");
    cluster_start(runner->cluster, id);
}

static void command_read(struct runner *runner, struct words *words)
{
    if (cluster_read(runner->cluster, next_node_up(runner, words)) == 0) {
        fprintf(runner->out, "refused: %s\n", raft_status_text(RAFT_BUSY));
    }
}

static void command_elect(struct runner *runner, struct words *words)
{
    raft_node_id id = next_node_up(runner, words);
    runner->cluster->now_ms += 600;
    (void)cluster_event(runner->cluster, id, RAFT_EVENT_CAMPAIGN);
    settle(runner);
    /* One that was behind has learnt the term by now. */
    if (cluster_leader(runner->cluster) != id) {
        (void)cluster_event(runner->cluster, id, RAFT_EVENT_CAMPAIGN);
    }
}

static void command_trace(struct runner *runner, struct words *words)
{
    runner->show_all = strcmp(next_word(runner, words), "all") == 0;
}

static void run_command(struct runner *runner, const char *line)
{
    struct words words;
    split(&words, line);
    const char *name = next_word(runner, &words);
    if (strcmp(name, "cluster") == 0) {
        open_cluster(runner, &words);
        return;
    }
    if (runner->cluster->configuration.members_count == 0) bad_command(runner, "no cluster yet");
    if (strcmp(name, "trace") == 0) {
        command_trace(runner, &words);
    } else if (strcmp(name, "elect") == 0) {
        command_elect(runner, &words);
    } else if (strcmp(name, "campaign") == 0) {
        (void)cluster_event(runner->cluster, next_node_up(runner, &words), RAFT_EVENT_CAMPAIGN);
    } else if (strcmp(name, "time-gap") == 0) {
        (void)cluster_event(runner->cluster, next_node_up(runner, &words), RAFT_EVENT_TIME_GAP);
    } else if (strcmp(name, "propose") == 0) {
        command_propose(runner, &words);
    } else if (strcmp(name, "read") == 0) {
        command_read(runner, &words);
    } else if (strcmp(name, "transfer") == 0) {
        command_transfer(runner, &words);
    } else if (strcmp(name, "leader-lost") == 0) {
        command_leader_lost(runner, &words);
    } else if (strcmp(name, "advance") == 0) {
        advance(runner, to_number(runner, next_word(runner, &words)));
    } else if (strcmp(name, "sleep") == 0) {
        runner->cluster->now_ms += to_number(runner, next_word(runner, &words));
    } else if (strcmp(name, "partition") == 0) {
        command_partition(runner, &words);
    } else if (strcmp(name, "isolate") == 0) {
        command_isolate(runner, &words);
    } else if (strcmp(name, "heal") == 0) {
        memset(runner->cluster->blocked, 0, sizeof runner->cluster->blocked);
    } else if (strcmp(name, "crash") == 0) {
        command_crash(runner, &words);
    } else if (strcmp(name, "start") == 0) {
        command_start(runner, &words);
    } else if (strcmp(name, "disk") == 0) {
        command_disk(runner, &words);
    } else if (strcmp(name, "hold") == 0) {
        command_hold(runner, &words, /* deliver_too= */ false);
    } else if (strcmp(name, "copy") == 0) {
        command_hold(runner, &words, /* deliver_too= */ true);
    } else if (strcmp(name, "arrive") == 0) {
        command_arrive(runner, &words);
    } else if (strcmp(name, "replay") == 0) {
        command_replay(runner, /* empty= */ false);
    } else if (strcmp(name, "release") == 0) {
        command_replay(runner, /* empty= */ true);
    } else if (strcmp(name, "status") == 0) {
        show_status(runner);
    } else {
        bad_command(runner, "no such command");
    }
    settle(runner);
}

/* ---- files ---------------------------------------------------------------------------------------- */

static char *read_whole(const char *path)
{
    FILE *file = fopen(path, "r");
    if (file == NULL) {
        perror(path);
        exit(2);
    }
    size_t capacity = 1u << 20;
    char *text = calloc(1, capacity);
    assert(text != NULL);
    size_t length = fread(text, 1, capacity - 1, file);
    assert(length < capacity - 1);
    fclose(file);
    return text;
}

/* Commands stand before the "----" under which their trace goes, so each block is read before it is run. */
static void run_blocks(struct runner *runner, char *text)
{
    char *commands[64];
    uint32_t commands_line[64];
    uint32_t commands_count = 0;
    bool in_trace = false;
    char *rest = text;
    char *line;
    while ((line = strsep(&rest, "\n")) != NULL) {
        runner->line++;
        if (rest == NULL && *line == '\0') break;
        if (*line == '\0') in_trace = false;
        if (in_trace) continue;
        fprintf(runner->out, "%s\n", line);
        if (*line == '\0' || *line == '#') continue;
        if (strcmp(line, "----") != 0) {
            if (commands_count == 64) bad_command(runner, "more than 64 commands in a step");
            commands_line[commands_count] = runner->line;
            commands[commands_count++] = line;
            continue;
        }
        uint32_t at = runner->line;
        for (uint32_t i = 0; i < commands_count; i++) {
            runner->line = commands_line[i];
            run_command(runner, commands[i]);
        }
        runner->line = at;
        commands_count = 0;
        in_trace = true;
    }
    if (commands_count > 0) bad_command(runner, "the last commands have no \"----\"");
}

/* Line by line, the first difference and what follows it. */
static void show_difference(const char *path, const char *expected, const char *actual)
{
    uint32_t line = 1;
    size_t start = 0;
    size_t i = 0;
    while (expected[i] != '\0' && expected[i] == actual[i]) {
        if (expected[i] == '\n') {
            line++;
            start = i + 1;
        }
        i++;
    }
    fprintf(stderr, "%s:%u: the trace differs\n--- expected\n%.600s\n--- actual\n%.600s\n", path,
            line, expected + start, actual + start);
}

static bool run_file(const char *path, bool rewrite)
{
    char *expected = read_whole(path);
    char *text = read_whole(path);
    char *actual = NULL;
    size_t actual_bytes = 0;
    struct runner *runner = calloc(1, sizeof *runner);
    assert(runner != NULL);
    runner->path = path;
    runner->cluster = calloc(1, sizeof *runner->cluster);
    assert(runner->cluster != NULL);
    runner->out = open_memstream(&actual, &actual_bytes);
    assert(runner->out != NULL);
    run_blocks(runner, text);
    fclose(runner->out);

    bool same = strcmp(expected, actual) == 0;
    if (!same && rewrite) {
        FILE *file = fopen(path, "w");
        if (file == NULL) {
            perror(path);
            exit(2);
        }
        fputs(actual, file);
        fclose(file);
    } else if (!same) {
        show_difference(path, expected, actual);
    }
    for (uint32_t i = 0; i < runner->pocket_count; i++) {
        cluster_packet_free(&runner->pocket[i]);
    }
    cluster_close(runner->cluster);
    free(runner->cluster);
    free(runner);
    free(actual);
    free(text);
    free(expected);
    return same || rewrite;
}

int main(int arguments_count, char **arguments)
{
    bool rewrite = false;
    bool all_same = true;
    int files = 0;
    for (int i = 1; i < arguments_count; i++) {
        if (strcmp(arguments[i], "--rewrite") == 0) {
            rewrite = true;
            continue;
        }
        files++;
        if (!run_file(arguments[i], rewrite)) all_same = false;
    }
    if (files == 0) {
        fprintf(stderr, "usage: raftmq-scenario [--rewrite] FILE...\n");
        return 2;
    }
    return all_same ? 0 : 1;
}
