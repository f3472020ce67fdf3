/* What the files of the scenario runner share: its state, the words of a command, letting things happen. */
#ifndef SCENARIO_RUNNER_H
#define SCENARIO_RUNNER_H

#include "cluster.h"

#include <stdio.h>

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
    bool bases_hold;
    bool disk_hold[CLUSTER_NODES_MAX];
    bool disk_hold_log[CLUSTER_NODES_MAX];
    bool disk_late[CLUSTER_NODES_MAX];
    struct rule rules[RULES_MAX];
    uint32_t rules_count;
    struct cluster_packet pocket[POCKET_MAX];
    uint32_t pocket_count;
};

struct words {
    char text[LINE_BYTES_MAX];
    char *items[32];
    uint32_t count;
    uint32_t next;
};

/* The file is wrong: say where and why, and end. */
void scenario__bad_command(const struct runner *runner, const char *why) __attribute__((noreturn));

/* ---- words.c ---- */

void scenario__split(struct words *words, const char *line);
char *scenario__next_word(const struct runner *runner, struct words *words);
uint64_t scenario__to_number(const struct runner *runner, const char *text);
raft_node_id scenario__next_node(const struct runner *runner, struct words *words);
raft_node_id scenario__next_node_up(const struct runner *runner, struct words *words);
/* "1,1,2"; returns how many. */
uint32_t scenario__to_list(const struct runner *runner, char *text, uint64_t *list,
                           uint32_t list_max);
enum raft_message_type scenario__to_type(const struct runner *runner, const char *text);

/* ---- course.c ---- */

void scenario__on_trace(struct cluster *cluster, raft_node_id node, const struct raft_trace *trace);
void scenario__show_trace(struct runner *runner, raft_node_id node, const struct raft_trace *trace);
void scenario__show_refusal(struct runner *runner, enum raft_status status);
void scenario__show_status(struct runner *runner);
/* Until nothing is left to do at this instant. */
void scenario__settle(struct runner *runner);
void scenario__advance(struct runner *runner, uint64_t ms);

/* ---- change.c ---- */

void scenario__configure(struct runner *runner, struct words *words);
void scenario__members(struct runner *runner);
void scenario__caught_up(struct runner *runner, struct words *words);
void scenario__compact(struct runner *runner, struct words *words);
void scenario__wipe(struct runner *runner, struct words *words);
void scenario__bases(struct runner *runner, struct words *words);
void scenario__inject(struct runner *runner, struct words *words);
/* Bases that are under way arrive, unless they are held; true when something happened. */
bool scenario__run_bases(struct runner *runner);

/* ---- plan.c ---- */

void scenario__open_cluster(struct runner *runner, struct words *words);

#endif
