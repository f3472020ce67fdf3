/* The vote store is lost (PROTOCOL V3): no replica here knows what it promised.
 *
 *   identity: votes are being lost ──> what is not this node's alone set aside ──> new store with the rest ──> identity: which
 *                                                                                                              epochs are over
 *
 * Of a group whose only voter is here nobody else was promised anything: it goes on, in the term behind that of its last
 * entry. Every other replica is over: that of group 0 is asked for anew (join.c), and then meta's state tells which others
 * there were (birth.c, lost.c). Each step may be repeated after a crash. */
#include "votes.h"

#include "founding.h"
#include "group.h"
#include "internal.h"
#include "lost.h"
#include "opening.h"

#include <broker/raft_codec.h>

#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct survivors {
    struct node_record *records;
    uint32_t count, capacity;
    uint64_t meta_last_index; /* of group 0, if it is among them */
    bool has_meta;
};

struct found_groups {
    struct node *node;
    uint64_t *ids;
    uint32_t count, capacity;
};

static void note_group(void *data, const char *name)
{
    struct found_groups *found = data;
    char *end = NULL;
    const uint64_t id = strtoull(name, &end, 10);
    char path[DISK_PATH_MAX], expected[DISK_PATH_MAX];
    group__directory(found->node, id, expected, sizeof(expected));
    snprintf(path, sizeof(path), "%.400s/groups/%.90s", found->node->data_directory, name);
    if (strcmp(path, expected) != 0 || found->count == NODE_STORE_GROUPS_MAX) return;
    if (found->count == found->capacity) {
        found->capacity = found->capacity ? found->capacity * 2u : 64u;
        found->ids = realloc(found->ids, found->capacity * sizeof(*found->ids));
        if (!found->ids) abort();
    }
    found->ids[found->count++] = id;
}

static void add_survivor(struct survivors *survivors, const struct node_record *record,
                         uint64_t last_index)
{
    if (survivors->count == survivors->capacity) {
        survivors->capacity = survivors->capacity ? survivors->capacity * 2u : 16u;
        survivors->records =
            realloc(survivors->records, survivors->capacity * sizeof(*survivors->records));
        if (!survivors->records) abort();
    }
    survivors->records[survivors->count++] = *record;
    if (record->group != 0) return;
    survivors->has_meta = true;
    survivors->meta_last_index = last_index;
}

static bool set_aside(struct node *node, uint64_t group_id)
{
    char path[DISK_PATH_MAX];
    const int error = lost__set_aside(node, group_id, path);
    if (error < 0) {
        node__fatal(node, NODE_FATAL_DISK, "group %" PRIu64 " cannot be set aside: %s", group_id,
                    strerror(-error));
        return false;
    }
    node__log(node, "warn",
              "event=\"replica without its vote set aside\" group=%" PRIu64 " path=\"%s\"",
              group_id, path);
    return true;
}

static bool sort_out(struct node *node, struct survivors *survivors)
{
    char path[DISK_PATH_MAX];
    snprintf(path, sizeof(path), "%.400s/groups", node->data_directory);
    struct found_groups found = {.node = node};
    const int error = disk_list(node->disk, path, note_group, &found);
    bool is_good = error == 0 || error == -ENOENT;
    if (!is_good) node__fatal(node, NODE_FATAL_DISK, "%s: %s", path, strerror(-error));
    for (uint32_t i = 0; is_good && i < found.count; i++) {
        struct node_record record;
        uint64_t last_index = 0;
        if (group__survives_lost_vote(node, found.ids[i], &last_index, &record)) {
            node__log(node, "warn",
                      "event=\"only voter goes on without its vote\" group=%" PRIu64
                      " term=%" PRIu64,
                      record.group, record.term);
            add_survivor(survivors, &record, last_index);
        } else {
            is_good = node->state != NODE_FAILED && set_aside(node, found.ids[i]);
        }
    }
    free(found.ids);
    return is_good;
}

/* One that can be read was made by an earlier attempt, which a crash ended before the identity was told. */
static bool is_own_store(struct node *node)
{
    struct segment_log_problem problem;
    struct node_store *store = NULL;
    if (node_store_open(node->disk, node->data_directory, &node->identity.cluster,
                        node->identity.node_id, /* create= */ false, &store,
                        &problem) != SEGMENT_LOG_OK) {
        return false;
    }
    node_store_close(store);
    return true;
}

/* The lost store makes way, and is kept until the next such loss; what an earlier attempt made is nothing to keep in its stead. But
 * one that can be read again, where nothing was put aside yet, is the lost one: a disk may fail for a while. */
static int clear_store(struct node *node, bool is_begun_again)
{
    char path[DISK_PATH_MAX], aside[DISK_PATH_MAX];
    snprintf(path, sizeof(path), "%.400s/votes", node->data_directory);
    snprintf(aside, sizeof(aside), "%.400s/votes.lost", node->data_directory);
    const bool is_own = is_begun_again && is_own_store(node) && disk_exists(node->disk, aside);
    const int error = is_own ? disk_unlink(node->disk, path) : disk_rename(node->disk, path, aside);
    if (error < 0 && error != -ENOENT) return error;
    return disk_sync_directory(node->disk, node->data_directory);
}

static bool make_store(struct node *node, const struct survivors *survivors, bool is_begun_again)
{
    struct segment_log_problem problem = {0};
    int error = clear_store(node, is_begun_again);
    if (error == 0 && node_store_open(node->disk, node->data_directory, &node->identity.cluster,
                                      node->identity.node_id, /* create= */ true, &node->store,
                                      &problem) != SEGMENT_LOG_OK) {
        error = problem.error ? -abs(problem.error) : -EIO;
    }
    for (uint32_t i = 0; error == 0 && i < survivors->count; i++) {
        const uint64_t sequence = node_store_put(node->store, &survivors->records[i]);
        assert(sequence != 0); /* no more than the store held before */
        (void)sequence;
    }
    struct node_store_job *job = error == 0 ? node_store_next_job(node->store) : NULL;
    if (job) {
        node_store_job_run(job);
        error = node_store_job_finish(node->store, job, &problem);
    }
    if (error == 0) return true;
    node__fatal(node, NODE_FATAL_DISK, "cannot make %s/votes anew: %s", node->data_directory,
                strerror(abs(error)));
    return false;
}

static bool save(struct node *node)
{
    if (node_identity_save(node->disk, node->data_directory, &node->identity) == 0) return true;
    node__fatal(node, NODE_FATAL_DISK, "cannot write %s/identity", node->data_directory);
    return false;
}

bool votes__recover(struct node *node)
{
    assert(!node->store);
    struct survivors survivors = {0};
    const bool is_begun_again = node->identity.votes_lost;
    node->identity.votes_lost = true;
    bool is_good =
        save(node) && sort_out(node, &survivors) && make_store(node, &survivors, is_begun_again);
    if (is_good && !survivors.has_meta && node->founding.nodes_count == 1 &&
        founding__lists_me(node)) {
        node__fatal(
            node, NODE_FATAL_DAMAGE,
            "%s: the votes and the meta group are lost, and no other node has them; nothing "
            "else was changed",
            node->data_directory);
        is_good = false;
    }
    if (is_good) {
        node->identity.votes_lost = false;
        /* Of group 0's own log: the epochs of all replicas that were ever here are indices of it. Else they are known when
         * the cluster has given another replica of it. */
        node->identity.votes_lost_below =
            survivors.has_meta ? survivors.meta_last_index : UINT64_MAX;
        is_good = save(node);
    }
    free(survivors.records);
    return is_good;
}
