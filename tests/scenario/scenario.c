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
 *     cluster voters=1,2,3 [learners=4] [spares=5] [log=2@1] [log.2=1,1,2] [term.2=3] [no-vote=3] [leader=1] [append-entries=16]
 *                              spares: nodes that know nothing of the group;
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
 *     configure N voters=1,2 [learners=3] [joint]
 *                              leader N changes the group; joint: with a joint phase in any case
 *     members                  the configuration that each node uses
 *     caught-up N M            does leader N find M worth a vote?
 *     stall N                  the disk of N makes no progress
 *     compact N INDEX          N drops its log through INDEX behind a base
 *     bases hold               bases stay under way; free: they arrive by themselves again
 *     bases land | fail        what is under way is durable at the receiver, or failed; install: the cores hear of it
 *     wipe N                   N, which is down, loses its disk and is made again under a new epoch
 *     inject vote A B term=T log=INDEX@TERM
 *                              B gets a vote request (or prevote) of A that A's own rules would not send
 *     status                   role, term, commit and durable index and log of every node */
#include "runner.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

/* ---- commands ------------------------------------------------------------------------------------- */

static void command_propose(struct runner *runner, struct words *words)
{
    raft_node_id id = scenario__next_node_up(runner, words);
    uint64_t count = 1;
    while (words->next < words->count) { /* the text is for the reader */
        const char *word = scenario__next_word(runner, words);
        if (strncmp(word, "count=", 6) == 0) count = scenario__to_number(runner, word + 6);
    }
    if (count == 0 || count > 1000) scenario__bad_command(runner, "1 to 1000 entries");
    scenario__show_refusal(runner, cluster_propose(runner->cluster, id, (uint32_t)count));
}

static void command_transfer(struct runner *runner, struct words *words)
{
    raft_node_id id = scenario__next_node_up(runner, words);
    uint64_t to = scenario__to_number(runner, scenario__next_word(runner, words));
    scenario__show_refusal(
        runner, cluster_step(runner->cluster, id,
                             (struct raft_event){.type = RAFT_EVENT_TRANSFER, .node = to}));
}

static void command_leader_lost(struct runner *runner, struct words *words)
{
    raft_node_id id = scenario__next_node_up(runner, words);
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
        char *word = scenario__next_word(runner, words);
        if (strcmp(word, "|") == 0) {
            part++;
            continue;
        }
        uint64_t ids[CLUSTER_NODES_MAX];
        uint32_t count = scenario__to_list(runner, word, ids, CLUSTER_NODES_MAX);
        for (uint32_t i = 0; i < count; i++) {
            if (ids[i] >= CLUSTER_NODES_MAX) scenario__bad_command(runner, "no such node");
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
    raft_node_id id = scenario__next_node(runner, words);
    for (uint32_t other = 1; other < CLUSTER_NODES_MAX; other++) {
        runner->cluster->blocked[id][other] = true;
        runner->cluster->blocked[other][id] = true;
    }
}

static void command_disk(struct runner *runner, struct words *words)
{
    raft_node_id id = scenario__next_node(runner, words);
    const char *what = scenario__next_word(runner, words);
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
    if (!known && strcmp(what, "release") != 0) scenario__bad_command(runner, "no such disk state");
}

static void command_hold(struct runner *runner, struct words *words, bool deliver_too)
{
    if (runner->rules_count == RULES_MAX) scenario__bad_command(runner, "too many rules");
    struct rule *rule = &runner->rules[runner->rules_count++];
    rule->type = scenario__to_type(runner, scenario__next_word(runner, words));
    rule->from = scenario__next_node(runner, words);
    rule->to = scenario__next_node(runner, words);
    rule->deliver_too = deliver_too;
    rule->after = 0;
    rule->count = POCKET_MAX;
    rule->seen = 0;
    while (words->next < words->count) {
        const char *word = scenario__next_word(runner, words);
        if (strncmp(word, "after=", 6) == 0) {
            rule->after = scenario__to_number(runner, word + 6);
        } else if (strncmp(word, "count=", 6) == 0) {
            rule->count = scenario__to_number(runner, word + 6);
        } else {
            scenario__bad_command(runner, "after=K or count=C");
        }
    }
}

/* Past the rules, which hold what comes after. */
static void command_arrive(struct runner *runner, struct words *words)
{
    uint64_t count = runner->pocket_count;
    if (words->next < words->count)
        count = scenario__to_number(runner, scenario__next_word(runner, words));
    if (count > runner->pocket_count) scenario__bad_command(runner, "the pocket holds fewer");
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
    raft_node_id id = scenario__next_node_up(runner, words);
    cluster_crash(runner->cluster, id, 0, 0);
    runner->disk_hold[id] = false;
    runner->disk_hold_log[id] = false;
    runner->disk_late[id] = false;
}

static void command_start(struct runner *runner, struct words *words)
{
    raft_node_id id = scenario__next_node(runner, words);
    if (runner->cluster->nodes[id].up) scenario__bad_command(runner, "that node is up");
    cluster_start(runner->cluster, id);
}

static void command_read(struct runner *runner, struct words *words)
{
    if (cluster_read(runner->cluster, scenario__next_node_up(runner, words)) == 0) {
        fprintf(runner->out, "refused: %s\n", raft_status_text(RAFT_BUSY));
    }
}

static void command_elect(struct runner *runner, struct words *words)
{
    raft_node_id id = scenario__next_node_up(runner, words);
    runner->cluster->now_ms += 600;
    (void)cluster_event(runner->cluster, id, RAFT_EVENT_CAMPAIGN);
    scenario__settle(runner);
    /* One that was behind has learnt the term by now. */
    if (cluster_leader(runner->cluster) != id) {
        (void)cluster_event(runner->cluster, id, RAFT_EVENT_CAMPAIGN);
    }
}

static void command_trace(struct runner *runner, struct words *words)
{
    runner->show_all = strcmp(scenario__next_word(runner, words), "all") == 0;
}

static void run_command(struct runner *runner, const char *line)
{
    struct words words;
    scenario__split(&words, line);
    const char *name = scenario__next_word(runner, &words);
    if (strcmp(name, "cluster") == 0) {
        scenario__open_cluster(runner, &words);
        return;
    }
    if (runner->cluster->founding.members_count == 0)
        scenario__bad_command(runner, "no cluster yet");
    if (strcmp(name, "trace") == 0) {
        command_trace(runner, &words);
    } else if (strcmp(name, "elect") == 0) {
        command_elect(runner, &words);
    } else if (strcmp(name, "campaign") == 0) {
        (void)cluster_event(runner->cluster, scenario__next_node_up(runner, &words),
                            RAFT_EVENT_CAMPAIGN);
    } else if (strcmp(name, "time-gap") == 0) {
        (void)cluster_event(runner->cluster, scenario__next_node_up(runner, &words),
                            RAFT_EVENT_TIME_GAP);
    } else if (strcmp(name, "propose") == 0) {
        command_propose(runner, &words);
    } else if (strcmp(name, "read") == 0) {
        command_read(runner, &words);
    } else if (strcmp(name, "transfer") == 0) {
        command_transfer(runner, &words);
    } else if (strcmp(name, "leader-lost") == 0) {
        command_leader_lost(runner, &words);
    } else if (strcmp(name, "advance") == 0) {
        scenario__advance(runner, scenario__to_number(runner, scenario__next_word(runner, &words)));
    } else if (strcmp(name, "sleep") == 0) {
        runner->cluster->now_ms += scenario__to_number(runner, scenario__next_word(runner, &words));
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
    } else if (strcmp(name, "configure") == 0) {
        scenario__configure(runner, &words);
    } else if (strcmp(name, "members") == 0) {
        scenario__members(runner);
    } else if (strcmp(name, "caught-up") == 0) {
        scenario__caught_up(runner, &words);
    } else if (strcmp(name, "compact") == 0) {
        scenario__compact(runner, &words);
    } else if (strcmp(name, "bases") == 0) {
        scenario__bases(runner, &words);
    } else if (strcmp(name, "wipe") == 0) {
        scenario__wipe(runner, &words);
    } else if (strcmp(name, "inject") == 0) {
        scenario__inject(runner, &words);
    } else if (strcmp(name, "stall") == 0) {
        (void)cluster_event(runner->cluster, scenario__next_node_up(runner, &words),
                            RAFT_EVENT_DISK_STALLED);
    } else if (strcmp(name, "status") == 0) {
        scenario__show_status(runner);
    } else {
        scenario__bad_command(runner, "no such command");
    }
    scenario__settle(runner);
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
            if (commands_count == 64)
                scenario__bad_command(runner, "more than 64 commands in a step");
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
    if (commands_count > 0) scenario__bad_command(runner, "the last commands have no \"----\"");
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
