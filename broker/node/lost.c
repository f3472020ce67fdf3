/* Replicas that are of no use any more, while their node is (PROTOCOL D2, D6, V3, M5): one lost its position or its vote, or
 * was quarantined. It has no vote and no say; its files are kept, apart, and the group makes another one in its place.
 *
 *   found ── files set aside, durably ──> set aside ── told to the leader of meta, until ──> let go: made again by meta's wish,
 *     │                                                 REPLICA_RENEW is applied here        under a new epoch, as a learner
 *     └ the only replica there is: stays as it is, and is named; nothing could be made of it again
 *
 * Before another one is made, the record that says this one was made is replaced, durably: else a crash in between would
 * leave an empty log under the record of the old epoch, which would vote as if it were whole (M4).
 *
 * All but the files is forgotten with the process, and found again: the record in the node store says that the replica was
 * made, and what is set aside is missing (M4). That of group 0 is asked for anew by join.c. */
#include "lost.h"

#include "directory.h"
#include "disk.h"
#include "drop.h"
#include "founding.h"
#include "group.h"
#include "internal.h"
#include "list.h"
#include "registry.h"
#include "replicas.h"
#include "request.h"
#include "turn.h"

#include <planted/planted.h>

#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define TELL_EVERY_US 500000u
#define NAMES_MAX     1000u /* of one group, set aside */

enum lost_stage {
    LOST_FOUND,
    LOST_MOVING,
    LOST_ASIDE,
    LOST_ENDING, /* its record says dropped, and is on its way to the disk */
};

struct lost_replica {
    struct list_link link; /* node->lost */
    struct node *node;
    uint64_t group_id;
    uint64_t epoch;
    enum lost_stage stage;
    bool is_only;     /* no other replica holds what it held: told once */
    bool is_renewing; /* leader of meta: its command is under way */
    uint64_t told_us;
    struct io_job job;
    int error;
    uint64_t drop_sequence;   /* of its record as dropped; 0: it has none */
    char path[DISK_PATH_MAX]; /* where its files are; "": there were none */
    char why[NODE_STATUS_TEXT_BYTES];
};

/* ---- files --------------------------------------------------------------------------------------------------------------- */

struct name_search {
    const char *name;
    bool is_taken;
};

static void compare_name(void *data, const char *name)
{
    struct name_search *search = data;
    if (strcmp(name, search->name) == 0) search->is_taken = true;
}

/* A name below `parent` that nothing has yet. */
static int free_path(struct disk *disk, const char *parent, uint64_t group_id,
                     char path[DISK_PATH_MAX])
{
    for (uint32_t number = 1; number <= NAMES_MAX; number++) {
        char name[64];
        snprintf(name, sizeof(name), "%020" PRIu64 "-%u", group_id, number);
        struct name_search search = {.name = name};
        const int error = disk_list(disk, parent, compare_name, &search);
        if (error < 0) return error;
        if (search.is_taken) continue;
        snprintf(path, DISK_PATH_MAX, "%.440s/%s", parent, name);
        return 0;
    }
    return -EEXIST;
}

int lost__set_aside(struct node *node, uint64_t group_id, char ret_path[DISK_PATH_MAX])
{
    struct disk *disk = node->disk;
    char from[DISK_PATH_MAX], groups[DISK_PATH_MAX], aside[DISK_PATH_MAX];
    ret_path[0] = '\0';
    group__directory(node, group_id, from, sizeof(from));
    snprintf(groups, sizeof(groups), "%.400s/groups", node->data_directory);
    snprintf(aside, sizeof(aside), "%.400s/lost", node->data_directory);
    struct name_search any = {.name = ""};
    int error = disk_list(disk, from, compare_name, &any);
    if (error == -ENOENT) return 0;
    if (error == 0) error = disk_make_directory(disk, aside);
    if (error == 0) error = disk_sync_directory(disk, node->data_directory);
    if (error == 0) error = free_path(disk, aside, group_id, ret_path);
    if (error == 0) error = disk_rename(disk, from, ret_path);
    if (error == 0) error = disk_sync_directory(disk, ret_path);
    if (error == 0) error = disk_sync_directory(disk, aside);
    return error == 0 ? disk_sync_directory(disk, groups) : error;
}

static void run_move(struct io_job *job)
{
    struct lost_replica *lost = job->data;
    lost->error = lost__set_aside(lost->node, lost->group_id, lost->path);
}

static void record_dropped(struct lost_replica *lost)
{
    struct node *node = lost->node;
    struct node_record record;
    if (!node_store_get(node->store, lost->group_id, &record)) return; /* it went with the votes */
    if (PLANTED(M5_MADE_OVER_THE_OLD_RECORD)) return;
    const bool is_meta = lost->group_id == 0;
    record = (struct node_record){
        .group = lost->group_id,
        .epoch = lost->epoch,
        .state = NODE_REPLICA_DROPPED,
        .meta_index =
            is_meta ? lost->epoch : replicas__drop_index(node, lost->group_id, lost->epoch),
    };
    lost->drop_sequence = node_store_put(node->store, &record);
    assert(lost->drop_sequence != 0); /* there is one already */
    disk__pump_store(node);
}

static bool is_record_durable(const struct lost_replica *lost)
{
    return lost->drop_sequence <= node_store_durable_sequence(lost->node->store);
}

static bool end_move(struct lost_replica *lost)
{
    struct node *node = lost->node;
    if (lost->error < 0) {
        node__fatal(node, NODE_FATAL_DISK, "group %" PRIu64 " cannot be set aside: %s",
                    lost->group_id, strerror(-lost->error));
        return false;
    }
    lost->stage = LOST_ASIDE;
    node__log(node, "warn",
              "event=\"lost replica set aside, it is made again from the others\" group=%" PRIu64
              " path=\"%s\"",
              lost->group_id, lost->path);
    if (lost->group_id != 0) return true;
    record_dropped(lost);
    /* One that stops goes on stopping; by that record its next life asks. */
    if (node->state != NODE_STOPPING) founding__ask_again(node, lost->epoch);
    return true;
}

static void done_move(struct io_job *job)
{
    struct lost_replica *lost = job->data;
    struct node *node = lost->node;
    node->setup_jobs_count--;
    if (!node__enter(node)) return;
    if (end_move(lost)) node__post(node);
}

static void start_move(struct lost_replica *lost)
{
    struct node *node = lost->node;
    lost->stage = LOST_MOVING;
    lost->job = (struct io_job){.run = run_move, .done = done_move, .data = lost};
    node->setup_jobs_count++;
    io_job_submit(node->io, node->setup_queue, &lost->job);
}

/* ---- the list ------------------------------------------------------------------------------------------------------------ */

static struct lost_replica *find_lost(const struct node *node, uint64_t group_id)
{
    const struct list_link *link;
    for (link = node->lost.next; link != &node->lost; link = link->next) {
        struct lost_replica *lost = list_entry(link, struct lost_replica, link);
        if (lost->group_id == group_id) return lost;
    }
    return NULL;
}

bool lost__has(const struct node *node, uint64_t group_id)
{
    return find_lost(node, group_id) != NULL;
}

static struct lost_replica *add_lost(struct node *node, uint64_t group_id, uint64_t epoch,
                                     const char *why)
{
    assert(!find_lost(node, group_id));
    struct lost_replica *lost = calloc(1, sizeof(*lost));
    if (!lost) abort();
    lost->node = node;
    lost->group_id = group_id;
    lost->epoch = epoch;
    snprintf(lost->why, sizeof(lost->why), "%s", why);
    list_push_back(&node->lost, &lost->link);
    node->counters.replicas_lost++;
    node__log(node, "error",
              "event=\"replica lost, it has no vote and no say\" group=%" PRIu64 " epoch=%" PRIu64
              " reason=\"%s\"",
              group_id, epoch, why);
    return lost;
}

void lost__note(struct node *node, uint64_t group_id, uint64_t epoch, const char *why)
{
    (void)add_lost(node, group_id, epoch, why);
}

bool lost__note_meta_at_start(struct node *node, uint64_t epoch, const char *why)
{
    struct lost_replica *lost = add_lost(node, 0, epoch, why);
    lost->job.data = lost;
    run_move(&lost->job); /* nobody waits for the loop yet */
    return end_move(lost);
}

static bool is_only_one(const struct lost_replica *lost)
{
    struct meta_partition partition;
    if (!meta_group_find(&lost->node->meta, lost->group_id, NULL, &partition, NULL)) return false;
    return partition.replicas_count == 1 && partition.lingering_count == 0 &&
           partition.replicas[0].node_id == lost->node->identity.node_id;
}

/* By a state that lags it cannot be judged. */
static bool may_be_only_one(const struct lost_replica *lost)
{
    return lost->epoch > lost->node->meta.applied_index || is_only_one(lost);
}

/* Who is outside a majority, or is done without, has others. One whose start failed when it was mended may have none. */
void lost__quarantine_ended(struct node *node, uint64_t group_id, uint64_t epoch, const char *why)
{
    struct lost_replica *lost = add_lost(node, group_id, epoch, why);
    if (group_id == 0 || !may_be_only_one(lost)) start_move(lost); /* else lost__run() judges */
}

static void free_lost(struct lost_replica *lost)
{
    list_remove(&lost->link);
    free(lost);
}

bool lost__end_meta(struct node *node)
{
    struct lost_replica *lost = find_lost(node, 0);
    if (!lost) return true;
    if (!is_record_durable(lost)) return false;
    free_lost(lost);
    return true;
}

void lost__free_all(struct node *node)
{
    while (!list_is_empty(&node->lost)) {
        free_lost(list_entry(node->lost.next, struct lost_replica, link));
    }
}

bool lost__at(const struct node *node, uint32_t at, struct node_group_status *ret_status)
{
    const struct list_link *link = node->lost.next;
    while (at > 0 && link != &node->lost) {
        link = link->next;
        at--;
    }
    if (link == &node->lost) return false;
    const struct lost_replica *lost = list_entry(link, struct lost_replica, link);
    memset(ret_status, 0, sizeof(*ret_status));
    ret_status->group = lost->group_id;
    struct meta_partition partition;
    if (meta_group_find(&node->meta, lost->group_id, ret_status->topic, &partition, NULL)) {
        ret_status->partition = partition.number;
    }
    snprintf(ret_status->role, sizeof(ret_status->role), "lost");
    snprintf(ret_status->problem, sizeof(ret_status->problem), "%s: %.150s",
             lost->is_only ? "lost, and the only one: put its directory back as it was"
             : lost->stage == LOST_ASIDE ? "lost, being made again from the others"
                                         : "lost",
             lost->why);
    return true;
}

/* ---- telling, on the node that lost it ------------------------------------------------------------------------------------- */

static bool is_let_go(const struct lost_replica *lost)
{
    const struct node *node = lost->node;
    return lost->epoch <= node->meta.applied_index &&
           !meta_replica_is_held(&node->meta, lost->group_id, node->identity.node_id, lost->epoch);
}

/* Meta has let go of it: with its topic, or another one takes its place, here or elsewhere. */
static void end_lost(struct lost_replica *lost)
{
    struct node *node = lost->node;
    const uint64_t group_id = lost->group_id;
    if (!is_record_durable(lost)) return;
    free_lost(lost);
    group__remove(node, group_id); /* nothing is left, but of a deleted one; then tell (M8) */
    node->replicas_stale = true;
}

static void begin_end(struct lost_replica *lost)
{
    lost->stage = LOST_ENDING;
    record_dropped(lost);
    end_lost(lost);
}

static void look_at_found(struct lost_replica *lost)
{
    struct node *node = lost->node;
    if (is_let_go(lost) && !meta_group_find(&node->meta, lost->group_id, NULL, NULL, NULL)) {
        begin_end(lost);
        return;
    }
    if (lost->epoch > node->meta.applied_index)
        return; /* by a state that lags it cannot be judged */
    if (!is_only_one(lost)) {
        lost->is_only = false;
        start_move(lost);
        return;
    }
    if (lost->is_only) return;
    lost->is_only = true;
    node__log(node, "error",
              "event=\"the only replica is lost, its partition stands still\" group=%" PRIu64
              " reason=\"%s\" remedy=\"put its directory back as it was, or delete the topic\"",
              lost->group_id, lost->why);
}

static void renew_ended(struct node_request *request)
{
    struct lost_replica *lost = find_lost(request->data, request_state(request)->group_id);
    if (lost) lost->is_renewing = false;
    free(request);
}

static void propose_renewal(struct node *node, uint64_t group_id, uint64_t node_id, uint64_t epoch,
                            void (*done)(struct node_request *request))
{
    struct meta_command *command = calloc(1, sizeof(*command));
    if (!command) abort();
    command->type = META_REPLICA_RENEW;
    command->request = node__random_number(node);
    command->renew.group = group_id;
    command->renew.node_id = node_id;
    command->renew.epoch = epoch;
    registry__propose(node, command, group_id, done);
    free(command);
}

static bool leads_meta(const struct node *node)
{
    const struct group *meta = node->meta_group;
    return meta && meta->role == RAFT_LEADER && meta->own_noop_applied;
}

static void tell(struct lost_replica *lost)
{
    struct node *node = lost->node;
    const uint64_t now_us = io_now_us(node->io);
    if (lost->told_us && now_us - lost->told_us < TELL_EVERY_US) return;
    lost->told_us = now_us;
    uint64_t term = 0;
    const uint64_t leader = directory__leader_of(node, 0, &term);
    if (leads_meta(node)) {
        if (lost->is_renewing || node->disk_full) return;
        lost->is_renewing = true;
        propose_renewal(node, lost->group_id, node->identity.node_id, lost->epoch, renew_ended);
    } else if (leader != 0 && leader != node->identity.node_id) {
        directory__tell_lost(node, leader, lost->group_id, lost->epoch);
    }
}

void lost__run(struct node *node)
{
    if (node->state != NODE_RUNNING || !node->meta_group) return;
    struct list_link *link;
    struct list_link *after;
    list_for_each_safe(link, after, &node->lost) {
        struct lost_replica *lost = list_entry(link, struct lost_replica, link);
        if (lost->group_id == 0 || lost->stage == LOST_MOVING) continue;
        if (lost->stage == LOST_FOUND) {
            look_at_found(lost);
        } else if (lost->stage == LOST_ENDING) {
            end_lost(lost);
        } else if (is_let_go(lost)) {
            begin_end(lost);
        } else if (!is_only_one(lost)) {
            tell(lost);
        }
        if (node->state == NODE_FAILED) return;
    }
}

/* ---- hearing, on the leader of meta ------------------------------------------------------------------------------------------ */

static void told_ended(struct node_request *request)
{
    struct node *node = request->data;
    node->renewing = false;
    free(request);
}

bool lost__renew(struct node *node, uint64_t group_id, uint64_t node_id, uint64_t epoch)
{
    if (!leads_meta(node) || node->renewing || node->disk_full) return false;
    node->renewing = true;
    propose_renewal(node, group_id, node_id, epoch, told_ended);
    return true;
}

void lost__told(struct node *node, uint64_t from, uint64_t group_id, uint64_t epoch)
{
    if (group_id == 0 || !meta_replica_is_held(&node->meta, group_id, from, epoch)) return;
    (void)lost__renew(node, group_id, from, epoch); /* one at a time: it is told again */
}
