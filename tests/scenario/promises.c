/* The promises of a group, judged on what the model sees of all nodes at once. */
#include "cluster_internal.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void cluster_fail(const struct cluster *cluster, const char *promise)
{
    fprintf(stderr, "broken promise at %" PRIu64 " ms: %s\n", cluster->now_ms, promise);
    abort();
}

void cluster__require(const struct cluster *cluster, bool holds, const char *promise)
{
    if (!holds) cluster_fail(cluster, promise);
}

void *cluster__allocate(size_t count, size_t bytes)
{
    void *memory = calloc(count, bytes);
    assert(memory != NULL);
    return memory;
}

uint64_t cluster__mix(uint64_t x)
{
    x += 0x9e3779b97f4a7c15u;
    x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9u;
    x = (x ^ (x >> 27)) * 0x94d049bb133111ebu;
    return x ^ (x >> 31);
}

void cluster__log_push(struct cluster_log *log, struct cluster_entry entry)
{
    if (log->count == log->capacity) {
        log->capacity = log->capacity == 0 ? 64 : log->capacity * 2;
        log->entries = realloc(log->entries, log->capacity * sizeof log->entries[0]);
        assert(log->entries != NULL);
    }
    uint64_t chain = log->count == 0 ? 1 : log->entries[log->count - 1].chain;
    entry.chain = cluster__mix(cluster__mix(chain ^ entry.term) ^ entry.value);
    log->entries[log->count++] = entry;
    if (entry.configuration != NULL) log->configured = log->count;
}

const struct cluster_entry *cluster__log_at(const struct cluster_log *log, raft_index index)
{
    assert(index >= 1);
    assert(index <= log->count);
    return &log->entries[index - 1];
}

/* ---- promises of the group ------------------------------------------------------------------------ */

static struct cluster_known *known_slot(struct cluster_known *table, uint64_t capacity,
                                        raft_index index, raft_term term)
{
    uint64_t at = cluster__mix(cluster__mix(index) ^ term) % capacity;
    while (table[at].index != 0 && (table[at].index != index || table[at].term != term)) {
        at = (at + 1) % capacity;
    }
    return &table[at];
}

static void known_grow(struct cluster *cluster)
{
    uint64_t capacity = cluster->known_capacity == 0 ? 1024 : cluster->known_capacity * 2;
    struct cluster_known *table = cluster__allocate(capacity, sizeof *table);
    for (uint64_t i = 0; i < cluster->known_capacity; i++) {
        const struct cluster_known *known = &cluster->known[i];
        if (known->index != 0) *known_slot(table, capacity, known->index, known->term) = *known;
    }
    free(cluster->known);
    cluster->known = table;
    cluster->known_capacity = capacity;
}

void cluster__check_log_matching(struct cluster *cluster, const struct cluster_log *log,
                                 raft_index index)
{
    if (2 * cluster->known_count >= cluster->known_capacity) known_grow(cluster);
    const struct cluster_entry *entry = cluster__log_at(log, index);
    struct cluster_known *known =
        known_slot(cluster->known, cluster->known_capacity, index, entry->term);
    if (known->index == 0) {
        *known = (struct cluster_known){index, entry->term, entry->chain};
        cluster->known_count++;
    }
    cluster__require(cluster, known->chain == entry->chain, "log matching");
}

void cluster__check_leader(struct cluster *cluster, const struct cluster_node *node, raft_term term)
{
    if (term >= cluster->leader_of_term_capacity) {
        raft_term capacity = term * 2 + 64;
        cluster->leader_of_term =
            realloc(cluster->leader_of_term, capacity * sizeof cluster->leader_of_term[0]);
        assert(cluster->leader_of_term != NULL);
        memset(cluster->leader_of_term + cluster->leader_of_term_capacity, 0,
               (capacity - cluster->leader_of_term_capacity) * sizeof cluster->leader_of_term[0]);
        cluster->leader_of_term_capacity = capacity;
    }
    raft_node_id *leader = &cluster->leader_of_term[term];
    cluster__require(cluster, *leader == 0, "election safety: a term has one leader, once");
    *leader = node->id;
    cluster->elections++;

    /* A slow winner of an old term may know less than a newer one has committed since, entries of terms below its
     * own among it: what counts is the term in which an entry was committed. */
    raft_index index = cluster->committed.count;
    while (index > 0 && cluster__log_at(&cluster->committed_in, index)->term >= term) {
        index--;
    }
    if (index == 0) return;
    cluster__require(cluster, node->log.count >= index,
                     "leader completeness: the log is long enough");
    cluster__require(cluster,
                     cluster__log_at(&node->log, index)->chain ==
                         cluster__log_at(&cluster->committed, index)->chain,
                     "leader completeness: committed entries are there");
}

/* Of a replica that is there, or was. NULL = it never was. */
static const struct cluster_log *disk_of(const struct cluster *cluster, struct raft_replica_id id)
{
    const struct cluster_node *node = &cluster->nodes[id.node];
    if (node->epoch == id.epoch) return &node->disk;
    for (uint32_t i = 0; i < cluster->graves_count; i++) {
        const struct cluster_grave *grave = &cluster->graves[i];
        if (grave->id.node == id.node && grave->id.epoch == id.epoch) return &grave->disk;
    }
    return NULL;
}

static bool half_has(const struct cluster *cluster, const struct raft_configuration *configuration,
                     raft_index index, bool old_half)
{
    uint64_t chain = cluster__log_at(&cluster->committed, index)->chain;
    uint32_t voters = 0;
    uint32_t holders = 0;
    for (uint32_t i = 0; i < configuration->members_count; i++) {
        const struct raft_member *member = &configuration->members[i];
        if (!(old_half ? member->voter_old : member->voter)) continue;
        voters++;
        const struct cluster_log *disk = disk_of(cluster, member->id);
        if (disk != NULL && cluster__log_has(disk, index, chain)) holders++;
    }
    return holders > voters / 2;
}

/* A committed CONFIG entry is counted once. */
static void note_change(struct cluster *cluster, const struct cluster_entry *entry)
{
    if (entry->configuration == NULL) return;
    cluster->changes++;
    if (entry->configuration->joint) cluster->changes_joint++;
}

void cluster__check_commit(struct cluster *cluster, struct cluster_node *node, raft_index index,
                           raft_term term)
{
    cluster__require(cluster, index >= node->commit_index, "the commit index never falls");
    cluster__require(cluster, index <= node->log.count, "only what is in the log is committed");
    raft_index newly = cluster->committed.count;
    for (raft_index i = node->commit_index + 1; i <= index; i++) {
        const struct cluster_entry *entry = cluster__log_at(&node->log, i);
        if (i > cluster->committed.count) {
            cluster__require(cluster, node->leads, "a leader commits first");
            cluster__log_push(&cluster->committed, *entry);
            note_change(cluster, entry);
            cluster__log_push(&cluster->committed_in, (struct cluster_entry){.term = term});
        }
        cluster__require(cluster, cluster__log_at(&cluster->committed, i)->chain == entry->chain,
                         "state machine safety: one entry per committed index");
    }
    node->commit_index = index;
    if (cluster->committed.count == newly) return;
    cluster__require(cluster, cluster__log_at(&node->log, index)->term == term,
                     "a leader counts for entries of its own term only");
    const struct raft_configuration *configuration = raft_configuration_of(node->core);
    cluster__require(cluster, half_has(cluster, configuration, index, false),
                     "committed is durable on a majority");
    if (configuration->joint) {
        cluster__require(cluster, half_has(cluster, configuration, index, true),
                         "committed is durable on a majority of the old half");
    }
}

/* ---- membership ----------------------------------------------------------------------------------- */

void cluster__check_change(const struct cluster *cluster, const struct cluster_node *node)
{
    struct raft_view view;
    raft_view(node->core, cluster->now_ms, &view);
    cluster__require(cluster, view.role == RAFT_LEADER, "only a leader changes the group");
    cluster__require(cluster, view.own_term_committed,
                     "no change before an entry of the own term is committed");
    /* Or is by this very step, which is judged next. */
    cluster__require(cluster, node->log.configured <= cluster->update.commit_index,
                     "one change in flight: the configuration before is committed");
}

static bool same_configuration(const struct raft_configuration *a,
                               const struct raft_configuration *b)
{
    if (a->joint != b->joint || a->members_count != b->members_count) return false;
    for (uint32_t i = 0; i < a->members_count; i++) {
        const struct raft_member *x = &a->members[i];
        const struct raft_member *y = &b->members[i];
        if (x->id.node != y->id.node || x->id.epoch != y->id.epoch) return false;
        if (x->voter != y->voter || x->voter_old != y->voter_old) return false;
        if (x->learner_after != y->learner_after) return false;
    }
    return true;
}

void cluster__check_configuration(const struct cluster *cluster, const struct cluster_node *node)
{
    raft_index index;
    const struct raft_configuration *newest =
        cluster__log_configuration(cluster, &node->log, node->log.count, &index);
    struct raft_view view;
    raft_view(node->core, cluster->now_ms, &view);
    cluster__require(cluster, view.configuration_index == index,
                     "a node uses the newest configuration of its log");
    cluster__require(cluster, same_configuration(raft_configuration_of(node->core), newest),
                     "a node uses what the CONFIG entry says");
}

void cluster__check_addressee(const struct cluster *cluster, const struct cluster_node *node,
                              const struct raft_message *m)
{
    bool vote = m->type == RAFT_MESSAGE_PREVOTE || m->type == RAFT_MESSAGE_VOTE ||
                m->type == RAFT_MESSAGE_TIMEOUT_NOW;
    bool log = m->type == RAFT_MESSAGE_APPEND || m->type == RAFT_MESSAGE_HEARTBEAT;
    if (!vote && !log) return;
    const struct raft_configuration *configuration = raft_configuration_of(node->core);
    bool is_member = false;
    for (uint32_t i = 0; i < configuration->members_count; i++) {
        const struct raft_member *member = &configuration->members[i];
        if (member->id.node != m->to.node || member->id.epoch != m->to.epoch) continue;
        is_member = log || member->voter || member->voter_old;
    }
    cluster__require(cluster, is_member, "only members are told, only voters are asked");
}

void cluster__check_asked(const struct cluster *cluster, const struct cluster_node *node)
{
    const struct raft_update *update = &cluster->update;
    struct raft_view before;
    raft_view(node->core_before, cluster->now_ms, &before);
    /* A first update tells of the term that the start took from the log; then there is no vote in it. */
    bool same = !update->hard_state_changed ||
                (update->hard_state.term == before.term && update->hard_state.voted_for.node == 0);
    cluster__require(cluster, same,
                     "a pre-vote changes neither term nor vote of the one that is asked");
    cluster__require(cluster, !update->role_changed,
                     "a pre-vote changes neither role nor leader of the one that is asked");
    cluster__require(cluster, node->leads || update->timer_at_ms == node->timer_at_ms,
                     "a pre-vote does not touch the timer of the one that is asked");
}

static bool is_granted(const struct raft_message *m)
{
    bool vote = m->type == RAFT_MESSAGE_PREVOTE_REPLY || m->type == RAFT_MESSAGE_VOTE_REPLY;
    return vote && m->refusal == RAFT_REFUSED_NOT;
}

void cluster__check_peace(const struct cluster *cluster, const struct cluster_node *node,
                          const struct raft_event *event)
{
    struct raft_view before;
    raft_view(node->core_before, cluster->now_ms, &before);
    const struct raft_update *update = &cluster->update;
    bool asked = event->type == RAFT_EVENT_MESSAGE &&
                 (event->message->type == RAFT_MESSAGE_PREVOTE ||
                  event->message->type == RAFT_MESSAGE_VOTE) &&
                 !event->message->vote.transfer;
    bool hears =
        before.role == RAFT_LEADER ||
        (before.leader != 0 && cluster->now_ms - node->heard_ms < CLUSTER_ELECTION_TIMEOUT_MS_MIN);
    uint32_t now_count = update->messages_now_count;
    for (uint32_t i = 0; i < now_count + update->messages_after_sync_count; i++) {
        const struct raft_message *m =
            i < now_count ? &update->messages_now[i] : &update->messages_after_sync[i - now_count];
        cluster__require(cluster, !(is_granted(m) && asked && hears),
                         "who hears a leader gives no vote away");
        bool stands = m->type == RAFT_MESSAGE_VOTE && !m->vote.transfer;
        cluster__require(cluster, !stands || before.role == RAFT_PRE_CANDIDATE,
                         "nobody stands without having asked whether it could win");
    }
}

uint32_t cluster__voters_count(const struct cluster_node *node)
{
    const struct raft_configuration *configuration = raft_configuration_of(node->core);
    uint32_t count = 0;
    for (uint32_t i = 0; i < configuration->members_count; i++) {
        const struct raft_member *member = &configuration->members[i];
        if (member->voter || member->voter_old) count++;
    }
    return count;
}

void cluster__check_stalled(const struct cluster *cluster, const struct cluster_node *node)
{
    if (!node->leads || node->stalled_ms == 0) return;
    uint64_t leads_ms = cluster->now_ms - node->stalled_ms;
    cluster__require(
        cluster, cluster__voters_count(node) == 1 || leads_ms < 2 * CLUSTER_ELECTION_TIMEOUT_MS_MAX,
        "a leader whose disk stands still gives way");
}

/* What a node says must be on its own disk when the message leaves. */
void cluster__check_sent(const struct cluster *cluster, const struct cluster_node *node,
                         const struct raft_message *m)
{
    bool granted = m->refusal == RAFT_REFUSED_NOT;
    bool asks =
        m->type == RAFT_MESSAGE_PREVOTE || (m->type == RAFT_MESSAGE_PREVOTE_REPLY && granted);
    if (!asks) {
        cluster__require(cluster, m->term <= node->hard_durable.term,
                         "no message carries a term that is not durable");
    }
    if (m->type == RAFT_MESSAGE_VOTE_REPLY && granted) {
        bool durable = node->hard_durable.term > m->term ||
                       (node->hard_durable.term == m->term &&
                        node->hard_durable.voted_for.node == m->to.node &&
                        node->hard_durable.voted_for.epoch == m->to.epoch);
        cluster__require(cluster, durable, "no vote is told before it is durable");
    }
    if (m->type == RAFT_MESSAGE_VOTE) {
        bool durable =
            node->hard_durable.term > m->term ||
            (node->hard_durable.term == m->term && node->hard_durable.voted_for.node == node->id &&
             node->hard_durable.voted_for.epoch == node->epoch);
        cluster__require(cluster, durable, "no candidacy is told before the own vote is durable");
    }
    if (m->type == RAFT_MESSAGE_HEARTBEAT) {
        cluster__require(cluster, m->heartbeat.commit_index <= cluster->committed.count,
                         "a heartbeat tells only of what is committed");
    }
}

/* Acks are judged when the core gives them out, also those that wait for a vote to be durable. */
void cluster__check_ack(const struct cluster *cluster, const struct cluster_node *node,
                        const struct raft_message *m)
{
    if (m->refusal != RAFT_REFUSED_NOT) return;
    raft_index match = 0;
    if (m->type == RAFT_MESSAGE_APPEND_REPLY) match = m->append_reply.match_index;
    if (m->type == RAFT_MESSAGE_HEARTBEAT_REPLY) match = m->heartbeat_reply.match_index;
    if (match == 0) return;
    cluster__require(cluster, match <= node->disk.count, "no ack before the entries are durable");
    cluster__require(cluster,
                     cluster__log_at(&node->disk, match)->chain ==
                         cluster__log_at(&node->log, match)->chain,
                     "an ack speaks of the entries that are on the disk");
    for (uint32_t i = 0; i < node->jobs_count; i++) {
        raft_index cut = node->jobs[i].truncate_from;
        cluster__require(cluster, cut == 0 || cut > match,
                         "no ack of what a queued cut takes away");
    }
}
