/* Life of a node: open the data directory, found or join, run, stop. */
#include "birth.h"
#include "changes.h"
#include "directory.h"
#include "disk.h"
#include "drop.h"
#include "founding.h"
#include "group.h"
#include "internal.h"
#include "limits.h"
#include "list.h"
#include "lost.h"
#include "peers.h"
#include "perform.h"
#include "proxy.h"
#include "replicas.h"
#include "request.h"
#include "topics.h"
#include "turn.h"

#include <broker/base_codec.h>

#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define META_LOG_ENTRIES 10000u
#define META_LOG_BYTES   (1024u * 1024u)
#define BASE_HOLD_BYTES  (64u * 1024u * 1024u)
#define SECTOR_BYTES_MIN 512u
#define SECTOR_BYTES_MAX 4096u

void node__log(struct node *node, const char *level, const char *format, ...)
{
    char line[NODE_LOG_LINE_BYTES];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(line, sizeof(line), format, arguments);
    va_end(arguments);
    if (node->options.log) node->options.log(node->options.data, level, line);
}

void node__fatal(struct node *node, enum node_fatal code, const char *format, ...)
{
    if (node->state == NODE_FAILED) return;
    node->state = NODE_FAILED;
    char reason[NODE_LOG_LINE_BYTES];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(reason, sizeof(reason), format, arguments);
    va_end(arguments);
    node->options.fatal(node->options.data, code, reason);
}

/* PROTOCOL C7: after a pause (SIGSTOP, a suspended machine) nothing that was true before may be relied on: the cores
 * drop their read rounds and a leader hears its quorum again before it answers anything. */
static void check_time_gap(struct node *node)
{
    const uint64_t now_us = io_now_us(node->io);
    const uint64_t gap_us = now_us - node->seen_us;
    node->seen_us = now_us;
    if (gap_us < node->options.election_timeout_ms_min * 1000u) return;
    node->counters.time_gaps++;
    node__log(node, "warn", "event=\"time gap, confirming leadership anew\" gap_ms=%" PRIu64,
              gap_us / 1000u);
    struct list_link *link;
    struct list_link *after;
    list_for_each_safe(link, after, &node->groups) {
        struct group *group = list_entry(link, struct group, link);
        struct raft_event event = {.type = RAFT_EVENT_TIME_GAP};
        (void)group__step(group, &event);
    }
}

bool node__enter(struct node *node)
{
    if (node->state == NODE_FAILED || node->state == NODE_STOPPED) return false;
    check_time_gap(node);
    return node->state != NODE_FAILED;
}

uint64_t node__random_number(struct node *node)
{
    uint64_t number;
    do {
        io_random(node->io, &number, sizeof(number));
    } while (number == 0);
    return number;
}

/* ---- start --------------------------------------------------------------------------------------------------------- */

static bool lock_directory(struct node *node)
{
    if (strlen(node->data_directory) > NODE_DATA_DIRECTORY_BYTES_MAX) {
        node__fatal(node, NODE_FATAL_CONFIG,
                    "the path of the data directory is longer than %u bytes: %s",
                    NODE_DATA_DIRECTORY_BYTES_MAX, node->data_directory);
        return false;
    }
    const int locked = node_directory_lock(node->disk, node->data_directory, &node->lock);
    if (locked == 0) {
        node->sector_bytes = disk_sector_bytes(node->disk, node->data_directory);
        if (node->sector_bytes < SECTOR_BYTES_MIN) node->sector_bytes = SECTOR_BYTES_MIN;
        if (node->sector_bytes > SECTOR_BYTES_MAX) node->sector_bytes = SECTOR_BYTES_MAX;
        return true;
    }
    if (locked == -EAGAIN) {
        node__fatal(node, NODE_FATAL_BUSY,
                    "data directory %s is in use by another process; stop it, or choose another "
                    "--data-dir",
                    node->data_directory);
        return false;
    }
    if (locked == -EIO) { /* of the disk, not of the path (L11) */
        node__fatal(node, NODE_FATAL_DISK, "data directory %s cannot be opened: %s",
                    node->data_directory, strerror(EIO));
        return false;
    }
    node__fatal(node, NODE_FATAL_CONFIG,
                "data directory %s cannot be opened: %s; check the path and its permissions",
                node->data_directory, strerror(-locked));
    return false;
}

/* M6: a node beside a directory that was set aside held a cluster's replicas once, and must not found an empty one that
 * looks healthy. The mark outlives the other directory. */
static bool look_aside(struct node *node)
{
    if (node->identity.join_only || node->identity.founding_bytes > 0) return true;
    if (node->options.join_only) {
        node->identity.join_only = true;
        return true;
    }
    char aside[DISK_PATH_MAX] = "";
    const int found =
        node_directory_find_aside(node->disk, node->data_directory, node->options.node_id, aside);
    if (found < 0) {
        node__fatal(node, NODE_FATAL_DISK, "cannot look for directories beside %s: %s",
                    node->data_directory, strerror(-found));
        return false;
    }
    if (found == 0) return true;
    node->identity.join_only = true;
    node__log(node, "warn",
              "event=\"a directory of this node lies beside its own: it founds no cluster, it only "
              "joins one\" path=\"%s\"",
              aside);
    return true;
}

static bool save_identity(struct node *node)
{
    if (node_identity_save(node->disk, node->data_directory, &node->identity) == 0) return true;
    node__fatal(node, NODE_FATAL_DISK, "cannot write %s/identity", node->data_directory);
    return false;
}

/* M5: whatever it was, it is kept, and this node joins the others as a new one. Alone it could only wait for ever. */
static bool set_unreadable_aside(struct node *node, const struct segment_log_problem *problem)
{
    char path[DISK_PATH_MAX] = "";
    const bool has_others = node->options.peers_count > 1 || node->options.join_only;
    const int error =
        has_others ? node_directory_set_aside(node->disk, node->data_directory, path) : 0;
    if (error < 0) {
        node__fatal(node, NODE_FATAL_DISK, "%s cannot be set aside: %s", node->data_directory,
                    strerror(-error));
        return false;
    }
    if (!has_others) {
        node__fatal(node, NODE_FATAL_DAMAGE,
                    "%s: %s; move the directory aside and keep it, as %.200s.aside: on an empty "
                    "one beside it this node joins the others and founds nothing; when there are "
                    "none, `raftmq log dump --messages` prints the messages that are in it",
                    problem->path[0] ? problem->path : node->data_directory, problem->reason,
                    node->data_directory);
        return false;
    }
    node__log(node, "error",
              "event=\"data directory is unreadable: set aside and kept, joining the others as a "
              "new incarnation\" path=\"%s\" reason=\"%s\"",
              path, problem->reason);
    return true;
}

static bool make_identity(struct node *node)
{
    memset(&node->identity, 0, sizeof(node->identity));
    node->identity.node_id = node->options.node_id;
    node->identity.incarnation = node__random_number(node);
    return look_aside(node) && save_identity(node);
}

static bool load_identity(struct node *node)
{
    if (!lock_directory(node)) return false;
    struct segment_log_problem problem = {0};
    bool was_join_only = false;
    switch (node_identity_load(node->disk, node->data_directory, &node->identity, &problem)) {
    case NODE_IDENTITY_OK:
        was_join_only = node->identity.join_only;
        if (!look_aside(node)) return false;
        if (node->identity.join_only != was_join_only && !save_identity(node)) return false;
        break;
    case NODE_IDENTITY_MISSING:
        if (!make_identity(node)) return false;
        break;
    case NODE_IDENTITY_DAMAGED:
        if (!set_unreadable_aside(node, &problem) || !make_identity(node)) return false;
        break;
    case NODE_IDENTITY_OTHER_VERSION:
        node__fatal(node, NODE_FATAL_CONFIG,
                    "%s: %s; start the version of raftmq that wrote it, or a newer one",
                    problem.path, problem.reason);
        return false;
    case NODE_IDENTITY_IO:
        node__fatal(node, NODE_FATAL_DISK, "%s: %s", problem.path, problem.reason);
        return false;
    }
    if (node->identity.node_id != node->options.node_id) {
        node__fatal(node, NODE_FATAL_CONFIG,
                    "data directory %s belongs to node n%" PRIu64 ", this is n%" PRIu64
                    "; use its own directory, or --node-id n%" PRIu64,
                    node->data_directory, node->identity.node_id, node->options.node_id,
                    node->identity.node_id);
        return false;
    }
    return true;
}

static bool open_hub(struct node *node)
{
    const struct peer_hub_options hub_options = {
        .io = node->io,
        .node_id = node->options.node_id,
        .incarnation = node->identity.incarnation,
        .process = node->process,
        .cluster = node->identity.cluster,
        .incarnation_index = node->identity.incarnation_index,
        .cannot_found = node->identity.join_only,
        .bulk_stall_us = node->options.election_timeout_ms_max * 1000u,
        .listen_address = node->options.listen_peer,
        .peers = node->options.peers,
        .peers_count = node->options.peers_count,
        .peer_address = node->options.advertise_peer,
        .http_address = node->options.advertise_http,
        .kafka_address = node->options.advertise_kafka,
        .version = node->options.version,
        .callbacks = &peers__callbacks,
        .data = node,
    };
    const int error = peer_hub_create(&hub_options, &node->hub);
    if (error == 0) return true;
    node__fatal(node, NODE_FATAL_BUSY,
                "cannot listen for peers on %s: %s; stop what uses the port, or choose another "
                "--listen-peer",
                node->options.listen_peer, strerror(-error));
    return false;
}

static void init_lists(struct node *node)
{
    list_init(&node->groups);
    list_init(&node->births);
    list_init(&node->removals);
    list_init(&node->dropping);
    list_init(&node->lost);
    list_init(&node->mending);
    list_init(&node->requests);
    list_init(&node->done);
    list_init(&node->parked);
    for (uint32_t i = 0; i < NODE_PROXIED_BUCKETS; i++) {
        list_init(&node->proxied[i]);
        list_init(&node->guests[i]);
    }
    list_init(&node->topics);
    list_init(&node->transfers);
    list_init(&node->drops);
    list_init(&node->auto_creates);
    list_init(&node->dirty);
    list_init(&node->working);
}

struct node *node_create(const struct node_options *options)
{
    assert(options->peers_count >= 1 && options->peers_count <= PEER_NODES_MAX);
    assert(options->node_id != 0);
    struct node *node = calloc(1, sizeof(*node));
    if (!node) abort();
    node->options = *options;
    node->io = options->io;
    node->disk = options->disk;
    snprintf(node->data_directory, sizeof(node->data_directory), "%s", options->data_directory);
    node->options.data_directory = node->data_directory;
    if (!node->options.meta_log_entries) node->options.meta_log_entries = META_LOG_ENTRIES;
    if (!node->options.base_chunk_bytes) node->options.base_chunk_bytes = BASE_CHUNK_BYTES_MAX;
    assert(node->options.base_chunk_bytes <= BASE_CHUNK_BYTES_MAX);
    if (!node->options.base_hold_bytes) node->options.base_hold_bytes = BASE_HOLD_BYTES;
    if (!node->options.meta_log_bytes) node->options.meta_log_bytes = META_LOG_BYTES;
    init_lists(node);
    peers__init(node);
    meta_init(&node->meta);
    node->started_us = io_now_us(node->io);
    node->seen_us = node->started_us;
    node->next_number = 1;
    node->members_version = 1;
    node->process = node__random_number(node);
    node->store_queue = io_job_queue_create(node->io);
    node->setup_queue = io_job_queue_create(node->io);
    node->background_queue = io_job_queue_create_background(node->io);
    turn__init(node);
    node->state = NODE_FOUNDING;
    /* The port first: whoever finds it busy has not started any job yet. Nothing comes in before the loop runs. */
    if (!load_identity(node) || !open_hub(node) || !founding__start(node)) {
        node_destroy(node);
        return NULL;
    }
    node->seen_us =
        io_now_us(node->io);      /* recovery may have taken longer than an election timeout */
    node->cluster_changed = true; /* what the hub says of it is known only now */
    if (node->state == NODE_FOUNDING) founding__check(node);
    io_timer_start(node->io, &node->maintenance, NODE_MAINTENANCE_US);
    disk__check_space(node);
    node__post(node);
    return node;
}

/* Group 0 is open (or about to be made): serve. */
void node__start_running(struct node *node)
{
    if (node->state == NODE_FOUNDING || node->state == NODE_JOINING) node->state = NODE_RUNNING;
    replicas__reconcile(node);
    request__unpark(node, NULL);
}

/* ---- stop ----------------------------------------------------------------------------------------------------------- */

void node_stop(struct node *node, uint32_t drain_ms, void (*stopped)(void *data), void *data)
{
    if (!node__enter(node)) {
        stopped(data);
        return;
    }
    assert(node->state != NODE_STOPPING);
    node->state = NODE_STOPPING;
    node->stopped = stopped;
    node->stopped_data = data;
    node->stop_started_us = io_now_us(node->io);
    node->stop_deadline_us = node->stop_started_us + (uint64_t)drain_ms * 1000u;
    node__log(node, "info", "event=\"stopping, handing leadership over\"");
    node__post(node);
}

static void free_groups(struct list_link *groups)
{
    while (!list_is_empty(groups)) {
        struct group *group = list_entry(groups->next, struct group, link);
        group__discard_jobs(group);
        group__free(group);
    }
}

/* Their owners are not told: they know that the node is going. What it holds in them, or made itself, is freed. */
static void discard_requests(struct node *node)
{
    struct list_link *link;
    while ((link = list_pop_front(&node->requests))) {
        struct request_state *state = list_entry(link, struct request_state, all);
        struct node_request *request = request_of_state(state);
        request__drop_outputs(request);
        free(state->payload);
        state->payload = NULL;
        if (state->owned) free(request);
    }
}

void node_destroy(struct node *node)
{
    if (!node) return;
    node->state = NODE_STOPPED;
    io_timer_stop(node->io, &node->turn_timer);
    io_timer_stop(node->io, &node->tick_timer);
    io_timer_stop(node->io, &node->maintenance);
    peer_hub_destroy(node->hub);
    peers__close(node);
    discard_requests(node);
    proxy__free_all(node);
    topics__free_watches(node);
    free_groups(&node->groups);
    free_groups(&node->mending);
    free_groups(&node->dropping);
    group__free_births(node);
    group__free_removals(node);
    lost__free_all(node);
    founding__free_entry(node->entry);
    directory__free(node);
    changes__free(node);
    meta_close(&node->meta);
    if (node->store_running) {
        struct segment_log_problem problem;
        (void)node_store_job_finish(node->store, node->store_running, &problem);
    }
    node_store_close(node->store);
    io_job_queue_destroy(node->io, node->store_queue);
    io_job_queue_destroy(node->io, node->setup_queue);
    io_job_queue_destroy(node->io, node->background_queue);
    disk_close(node->lock);
    free(node);
}
