#include "cluster_internal.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

/* ---- sending -------------------------------------------------------------------------------------- */

static void transmit(struct cluster *cluster, struct cluster_node *node,
                     struct cluster_packet packet)
{
    cluster__check_sent(cluster, node, &packet.message);
    packet.deliver_at_ms = cluster->now_ms;
    if (cluster->on_send != NULL) packet.deliver_at_ms = cluster->on_send(cluster, &packet.message);
    if (packet.deliver_at_ms == UINT64_MAX) {
        cluster_packet_free(&packet);
        return;
    }
    cluster__packets_push(&cluster->network, packet);
}

/* Longest part of the APPEND that has no more runs than one may carry. */
static raft_index last_within_runs(const struct cluster *cluster, const struct cluster_node *node,
                                   const struct raft_message *m)
{
    uint32_t runs = 0;
    raft_term term = 0;
    cluster__require(cluster, cluster__append_count(m) == 0 || m->append.first > node->log.base,
                     "nothing at or below the base is sent");
    for (raft_index i = m->append.first; i <= m->append.last; i++) {
        raft_term entry_term = cluster__log_at(&node->log, i)->term;
        if (entry_term != term) runs++;
        if (runs > cluster->options.append_runs_max) return i - 1;
        term = entry_term;
    }
    return m->append.last;
}

struct cut_list {
    struct raft_event events[CLUSTER_NODES_MAX];
    uint32_t count;
    bool is_cut[CLUSTER_NODES_MAX];
};

/* Attach the entries; send less when told so, and then drop what is queued behind. */
static void send_append(struct cluster *cluster, struct cluster_node *node, struct raft_message m,
                        struct cut_list *cuts, bool after_sync)
{
    if (cuts->is_cut[m.to.node]) return;
    raft_index last = last_within_runs(cluster, node, &m);
    if (cluster->on_send_append != NULL) {
        raft_index hooked = cluster->on_send_append(cluster, &m);
        if (hooked < last) last = hooked;
    }
    bool nothing = last == m.append.previous_index &&
                   (cluster__append_count(&m) > 0 || cluster->blocked[node->id][m.to.node]);
    if (last < m.append.last || nothing) {
        cuts->is_cut[m.to.node] = true;
        cuts->events[cuts->count++] = (struct raft_event){.type = RAFT_EVENT_APPEND_CUT,
                                                          .cut = {.to = m.to.node, .last = last}};
        if (nothing) return;
    }
    m.append.last = last;
    struct cluster_packet packet = {.message = m, .after_hard = node->hard_queued_total};
    uint32_t count = cluster__append_count(&m);
    if (count > 0) {
        packet.entries = cluster__allocate(count, sizeof packet.entries[0]);
        for (uint32_t i = 0; i < count; i++) {
            packet.entries[i] = *cluster__log_at(&node->log, m.append.first + i);
        }
    }
    if (after_sync) {
        cluster__packets_push(&node->held, packet);
    } else {
        transmit(cluster, node, packet);
    }
}

static void send_all(struct cluster *cluster, struct cluster_node *node,
                     const struct raft_message *messages, uint32_t count, bool after_sync,
                     struct cut_list *cuts)
{
    bool wait = after_sync && node->hard_queue_count > 0;
    for (uint32_t i = 0; i < count; i++) {
        cluster__check_addressee(cluster, node, &messages[i]);
        if (messages[i].type == RAFT_MESSAGE_APPEND) {
            send_append(cluster, node, messages[i], cuts, wait);
            continue;
        }
        cluster__check_ack(cluster, node, &messages[i]);
        struct cluster_packet packet = {.message = messages[i],
                                        .after_hard = node->hard_queued_total};
        if (wait) {
            cluster__packets_push(&node->held, packet);
        } else {
            transmit(cluster, node, packet);
        }
    }
}

/* ---- performing an update ------------------------------------------------------------------------- */

static const struct raft_configuration *keep_configuration(struct cluster *cluster,
                                                           const struct raft_configuration *c)
{
    assert(cluster->configurations_count < CLUSTER_CONFIGURATIONS_MAX);
    struct raft_configuration *kept = cluster__allocate(1, sizeof *kept);
    *kept = *c;
    cluster->configurations[cluster->configurations_count++] = kept;
    return kept;
}

static void perform_log(struct cluster *cluster, struct cluster_node *node,
                        const struct cluster_packet *received)
{
    const struct raft_update *update = &cluster->update;
    struct cluster_disk_job job = {.truncate_from = update->truncate_from};
    if (update->append.source != RAFT_APPEND_NONE) {
        job.first = update->append.first;
        job.count = (uint32_t)(update->append.last - update->append.first + 1);
        job.entries = cluster__allocate(job.count, sizeof job.entries[0]);
    }
    for (uint32_t i = 0; i < job.count; i++) {
        if (update->append.source == RAFT_APPEND_RECEIVED) {
            assert(received != NULL);
            job.entries[i] = received->entries[job.first + i - received->message.append.first];
        } else {
            job.entries[i].term = update->append.term;
            job.entries[i].value = ++cluster->values_total;
        }
    }
    if (update->append.source == RAFT_APPEND_CONFIGURATION) {
        cluster__check_change(cluster, node);
        assert(job.count == 1);
        job.entries[0].configuration = keep_configuration(cluster, &update->append.configuration);
    }
    if (job.truncate_from == 0 && job.count == 0) return;
    if (job.truncate_from != 0) {
        cluster__require(cluster, job.truncate_from > node->commit_index,
                         "nothing committed is cut");
        if (job.truncate_from <= node->log.configured) cluster->configurations_cut++;
        for (uint32_t i = 0; i < node->reports_count; i++) {
            raft_index *cut = &node->reports[i].cut_since;
            if (*cut == 0 || job.truncate_from < *cut) *cut = job.truncate_from;
        }
    }
    cluster__log_apply(&node->log, &job);
    for (uint32_t i = 0; i < job.count; i++) {
        cluster__check_log_matching(cluster, &node->log, job.first + i);
    }
    assert(node->jobs_count < CLUSTER_JOBS_MAX);
    node->jobs[node->jobs_count++] = job;
}

static void perform_reads(struct cluster *cluster, struct cluster_node *node)
{
    const struct raft_update *update = &cluster->update;
    for (uint32_t i = 0; i < update->reads_count; i++) {
        const struct raft_read *read = &update->reads[i];
        struct cluster_read *begun = &cluster->reads[read->id % CLUSTER_READS_MAX];
        cluster__require(cluster, begun->open, "a read ends once");
        cluster__require(cluster, begun->node == node->id, "a read ends where it began");
        begun->open = false;
        if (read->refusal == RAFT_REFUSED_NOT) {
            cluster->reads_answered++;
            cluster__require(cluster, read->index >= begun->at_least,
                             "linearizable: a read sees what was committed before it began");
            cluster__require(cluster, read->index <= cluster->committed.count,
                             "a read sees only what is committed");
        } else {
            cluster->reads_refused++;
        }
        if (cluster->on_read != NULL) cluster->on_read(cluster, node->id, read);
    }
}

static void perform(struct cluster *cluster, struct cluster_node *node,
                    const struct cluster_packet *received, struct cut_list *cuts)
{
    const struct raft_update *update = &cluster->update;
    if (update->log_replaced) cluster__replace_log(cluster, node);
    perform_log(cluster, node, received);
    cluster__check_configuration(cluster, node);
    if (update->hard_state_changed) {
        assert(node->hard_queue_count < CLUSTER_HARD_MAX);
        node->hard_queue[node->hard_queue_count++] = update->hard_state;
        node->hard_queued_total++;
    }
    struct raft_view view;
    raft_view(node->core, cluster->now_ms, &view);
    bool leads = view.role == RAFT_LEADER;
    if (leads && !node->leads) cluster__check_leader(cluster, node, view.term);
    node->leads = leads;
    cluster__check_commit(cluster, node, update->commit_index, view.term);
    send_all(cluster, node, update->messages_now, update->messages_now_count, false, cuts);
    send_all(cluster, node, update->messages_after_sync, update->messages_after_sync_count, true,
             cuts);
    perform_reads(cluster, node);
    cluster__send_bases(cluster, node);
    node->timer_at_ms = update->timer_at_ms;
    cluster__require(cluster, view.last_index == node->log.count, "trail and log have one length");
}

/* What a node was told, for the promises that look back. */
static void note_event(const struct cluster *cluster, struct cluster_node *node,
                       const struct raft_event *event)
{
    struct raft_view view;
    raft_view(node->core, cluster->now_ms, &view);
    if (event->type == RAFT_EVENT_MESSAGE) {
        const struct raft_message *m = event->message;
        bool speaks = m->type == RAFT_MESSAGE_APPEND || m->type == RAFT_MESSAGE_HEARTBEAT;
        bool to_me = m->to.epoch == node->epoch;
        if (speaks && to_me && m->term == view.term && m->from.node == view.leader)
            node->heard_ms = cluster->now_ms;
    }
    if (event->type == RAFT_EVENT_DISK_STALLED && cluster__voters_count(node) > 1)
        node->stalled_ms = cluster->now_ms;
    if (event->type == RAFT_EVENT_TIME_GAP && node->stalled_ms != 0)
        node->stalled_ms = cluster->now_ms; /* it could not give way while it slept */
    if (event->type == RAFT_EVENT_DURABLE || event->type == RAFT_EVENT_VOTE_DURABLE)
        node->stalled_ms = 0;
}

enum raft_status cluster__step(struct cluster *cluster, raft_node_id id, struct raft_event event,
                               const struct cluster_packet *received)
{
    struct cluster_node *node = &cluster->nodes[id];
    assert(node->up);
    event.now_ms = cluster->now_ms;
    memcpy(node->core_before, node->core, raft_node_bytes());
    enum raft_status status = raft_step(node->core, &event, &cluster->update);
    raft_check_invariants(node->core, node->core_before);
    if (status != RAFT_OK) {
        node->timer_at_ms = cluster->update.timer_at_ms;
        return status;
    }
    for (uint32_t i = 0; i < cluster->update.traces_count && cluster->on_trace != NULL; i++) {
        cluster->on_trace(cluster, id, &cluster->update.traces[i]);
    }
    bool asked = event.type == RAFT_EVENT_MESSAGE && event.message->type == RAFT_MESSAGE_PREVOTE;
    if (asked) cluster__check_asked(cluster, node);
    cluster__check_peace(cluster, node, &event);
    struct cut_list cuts = {.count = 0};
    perform(cluster, node, received, &cuts);
    note_event(cluster, node, &event);
    if (event.type == RAFT_EVENT_TICK) cluster__check_stalled(cluster, node);
    for (uint32_t i = 0; i < cuts.count; i++) {
        enum raft_status cut_status = cluster__step(cluster, id, cuts.events[i], NULL);
        assert(cut_status == RAFT_OK);
    }
    return RAFT_OK;
}

enum raft_status cluster_step(struct cluster *cluster, raft_node_id id, struct raft_event event)
{
    return cluster__step(cluster, id, event, NULL);
}

enum raft_status cluster_event(struct cluster *cluster, raft_node_id id, enum raft_event_type type)
{
    return cluster__step(cluster, id, (struct raft_event){.type = type}, NULL);
}

enum raft_status cluster_propose(struct cluster *cluster, raft_node_id id, uint32_t count)
{
    return cluster__step(
        cluster, id, (struct raft_event){.type = RAFT_EVENT_PROPOSE, .propose = {.count = count}},
        NULL);
}

enum raft_status cluster_configure(struct cluster *cluster, raft_node_id id,
                                   const struct raft_configuration *target, bool always_joint)
{
    return cluster__step(
        cluster, id,
        (struct raft_event){.type = RAFT_EVENT_CONFIGURE,
                            .configure = {.target = target, .always_joint = always_joint}},
        NULL);
}

uint64_t cluster_read(struct cluster *cluster, raft_node_id id)
{
    uint64_t read_id = cluster->reads_begun + 1;
    struct cluster_read *begun = &cluster->reads[read_id % CLUSTER_READS_MAX];
    if (begun->open) return 0;
    *begun = (struct cluster_read){.open = true, .node = id, .at_least = cluster->committed.count};
    cluster->reads_begun++;
    enum raft_status status = cluster__step(
        cluster, id, (struct raft_event){.type = RAFT_EVENT_READ, .read = {.id = read_id}}, NULL);
    if (status == RAFT_OK) return read_id;
    assert(status == RAFT_BUSY);
    begun->open = false;
    return 0;
}

/* ---- the disk ------------------------------------------------------------------------------------- */

static void apply_oldest_job(struct cluster_node *node)
{
    assert(node->jobs_count > 0);
    cluster__log_apply(&node->disk, &node->jobs[0]);
    free(node->jobs[0].entries);
    node->jobs_count--;
    memmove(node->jobs, node->jobs + 1, node->jobs_count * sizeof node->jobs[0]);
}

void cluster__drop_jobs(struct cluster_node *node)
{
    for (uint32_t i = 0; i < node->jobs_count; i++) {
        free(node->jobs[i].entries);
    }
    node->jobs_count = 0;
    node->reports_count = 0;
}

void cluster_finish_job(struct cluster *cluster, raft_node_id id)
{
    struct cluster_node *node = &cluster->nodes[id];
    assert(node->up);
    bool wrote = node->jobs[0].count > 0;
    apply_oldest_job(node);
    if (!wrote) return;
    struct cluster_report report = {.index = node->disk.count,
                                    .term = cluster__log_at(&node->disk, node->disk.count)->term};
    for (uint32_t i = 0; i < node->jobs_count; i++) { /* cuts that were queued behind the write */
        raft_index cut = node->jobs[i].truncate_from;
        if (cut != 0 && (report.cut_since == 0 || cut < report.cut_since)) report.cut_since = cut;
    }
    assert(node->reports_count < CLUSTER_JOBS_MAX);
    node->reports[node->reports_count++] = report;
}

void cluster_report_oldest(struct cluster *cluster, raft_node_id id)
{
    struct cluster_node *node = &cluster->nodes[id];
    assert(node->up);
    assert(node->reports_count > 0);
    struct cluster_report report = node->reports[0];
    node->reports_count--;
    memmove(node->reports, node->reports + 1, node->reports_count * sizeof node->reports[0]);
    /* A driver's duty (raft/raft.h): the same entry may have been cut and written anew, and then its term does
     * not tell the two writes apart. Any other superseded report is the core's to see through. */
    bool cut = report.cut_since != 0 && report.cut_since <= report.index;
    if (cut && report.index <= node->log.count &&
        cluster__log_at(&node->log, report.index)->term == report.term) {
        return;
    }
    enum raft_status status =
        cluster__step(cluster, id,
                      (struct raft_event){.type = RAFT_EVENT_DURABLE,
                                          .durable = {.index = report.index, .term = report.term}},
                      NULL);
    assert(status == RAFT_OK);
}

static void apply_oldest_hard(struct cluster_node *node)
{
    assert(node->hard_queue_count > 0);
    node->hard_durable = node->hard_queue[0];
    node->hard_durable_total++;
    node->hard_queue_count--;
    memmove(node->hard_queue, node->hard_queue + 1,
            node->hard_queue_count * sizeof node->hard_queue[0]);
}

void cluster_finish_hard(struct cluster *cluster, raft_node_id id)
{
    struct cluster_node *node = &cluster->nodes[id];
    assert(node->up);
    apply_oldest_hard(node);
    enum raft_status status = cluster__step(
        cluster, id,
        (struct raft_event){.type = RAFT_EVENT_VOTE_DURABLE, .vote_durable = node->hard_durable},
        NULL);
    assert(status == RAFT_OK);
    while (node->held.count > 0 && node->held.items[0].after_hard <= node->hard_durable_total) {
        transmit(cluster, node, cluster__packets_take(&node->held, 0));
    }
}

/* ---- the network ---------------------------------------------------------------------------------- */

void cluster_duplicate(struct cluster *cluster, const struct cluster_packet *packet,
                       uint64_t deliver_at_ms)
{
    struct cluster_packet copy = cluster_packet_copy(packet);
    copy.deliver_at_ms = deliver_at_ms;
    cluster__packets_push(&cluster->network, copy);
}

void cluster_drop(struct cluster *cluster, uint32_t i)
{
    struct cluster_packet packet = cluster__packets_take(&cluster->network, i);
    cluster_packet_free(&packet);
}

/* What a receiving driver does: the term runs and the configurations of the entries, and fewer entries when there are more
 * configurations than a message may carry. */
static void fill_in(struct cluster *cluster, struct cluster_packet *packet)
{
    struct raft_message *m = &packet->message;
    uint32_t count = cluster__append_count(m);
    m->append.runs_count = 0;
    m->append.configurations = cluster->received;
    m->append.configurations_count = 0;
    for (uint32_t i = 0; i < count; i++) {
        const struct cluster_entry *entry = &packet->entries[i];
        if (entry->configuration != NULL) {
            if (m->append.configurations_count == RAFT_MESSAGE_CONFIGURATIONS_MAX) {
                m->append.last = m->append.first + i - 1;
                return;
            }
            cluster->received[m->append.configurations_count++] =
                (struct raft_indexed_configuration){.index = m->append.first + i,
                                                    .configuration = *entry->configuration};
        }
        struct raft_term_run *run = &m->append.runs[m->append.runs_count];
        if (m->append.runs_count > 0 && run[-1].term == entry->term) {
            run[-1].count++;
            continue;
        }
        assert(m->append.runs_count < RAFT_MESSAGE_RUNS_MAX);
        *run = (struct raft_term_run){m->append.first + i, 1, entry->term};
        m->append.runs_count++;
    }
}

void cluster_deliver(struct cluster *cluster, uint32_t i)
{
    struct cluster_packet packet = cluster__packets_take(&cluster->network, i);
    raft_node_id to = packet.message.to.node;
    assert(to < CLUSTER_NODES_MAX);
    if (cluster->nodes[to].up && !cluster->blocked[packet.message.from.node][to]) {
        if (packet.message.type == RAFT_MESSAGE_APPEND) fill_in(cluster, &packet);
        enum raft_status status = cluster__step(
            cluster, to,
            (struct raft_event){.type = RAFT_EVENT_MESSAGE, .message = &packet.message}, &packet);
        assert(status == RAFT_OK);
    }
    cluster_packet_free(&packet);
}

/* ---- life ----------------------------------------------------------------------------------------- */

void cluster_open(struct cluster *cluster, const struct cluster_options *options,
                  const struct raft_configuration *configuration)
{
    memset(cluster, 0, sizeof *cluster);
    cluster->options = *options;
    cluster->founding = *configuration;
    for (uint32_t i = 0; i < configuration->members_count; i++) {
        cluster_add_node(cluster, configuration->members[i].id.node);
        cluster->nodes[configuration->members[i].id.node].disk.founded = true;
    }
}

void cluster_close(struct cluster *cluster)
{
    for (raft_node_id id = 1; id < CLUSTER_NODES_MAX; id++) {
        struct cluster_node *node = &cluster->nodes[id];
        if (node->exists && node->up) cluster_crash(cluster, id, 0, 0);
        free(node->core);
        free(node->core_before);
        free(node->runs);
        free(node->log.entries);
        free(node->disk.entries);
        free(node->beside.entries);
        free(node->held.items);
    }
    cluster__packets_clear(&cluster->network);
    free(cluster->network.items);
    free(cluster->committed.entries);
    free(cluster->committed_in.entries);
    free(cluster->known);
    free(cluster->leader_of_term);
    cluster__drop_transfers(cluster);
    for (uint32_t i = 0; i < cluster->graves_count; i++) {
        free(cluster->graves[i].disk.entries);
    }
    for (uint32_t i = 0; i < cluster->configurations_count; i++) {
        free(cluster->configurations[i]);
    }
}

void cluster_set_disk(struct cluster *cluster, raft_node_id id, const raft_term *terms,
                      uint32_t terms_count, struct raft_hard_state hard)
{
    struct cluster_node *node = &cluster->nodes[id];
    assert(!node->up);
    node->disk.count = 0;
    for (uint32_t i = 0; i < terms_count; i++) {
        cluster__log_push(&node->disk, (struct cluster_entry){.term = terms[i],
                                                              .value = cluster__mix(i) ^ terms[i]});
        cluster__check_log_matching(cluster, &node->disk, i + 1);
    }
    node->hard_durable = hard;
}

/* The runs of the log on disk, into `runs`. */
static uint32_t disk_runs(const struct cluster_log *disk, struct raft_term_run *runs)
{
    uint32_t count = 0;
    for (raft_index i = disk->base + 1; i <= disk->count; i++) {
        raft_term term = cluster__log_at(disk, i)->term;
        if (count > 0 && runs[count - 1].term == term) {
            runs[count - 1].count++;
        } else {
            runs[count++] = (struct raft_term_run){i, 1, term};
        }
    }
    return count;
}

/* A checkpoint may have kept what was known to be committed, as far as the log was durable too; on odd processes
 * it did not. */
static raft_index recovered_commit(const struct cluster *cluster, const struct cluster_node *node)
{
    raft_index commit = node->process % 2 == 1 ? 0 : node->commit_index;
    if (commit > node->disk.count) commit = node->disk.count;
    while (commit > node->disk.base && cluster__log_at(&node->disk, commit)->chain !=
                                           cluster__log_at(&cluster->committed, commit)->chain) {
        commit--;
    }
    return commit > node->disk.base ? commit : node->disk.base;
}

/* All that the base and the log hold, oldest first; the newest apart. */
static struct raft_indexed_configuration *recovered_history(const struct cluster *cluster,
                                                            const struct cluster_node *node,
                                                            uint32_t *ret_count)
{
    const struct cluster_log *disk = &node->disk;
    uint32_t count = 1;
    for (raft_index i = disk->base + 1; i <= disk->count; i++) {
        if (cluster__log_at(disk, i)->configuration != NULL) count++;
    }
    struct raft_indexed_configuration *history = cluster__allocate(count, sizeof *history);
    raft_index at = disk->count;
    for (uint32_t i = count; i > 0; i--) {
        struct raft_indexed_configuration *item = &history[i - 1];
        item->configuration = *cluster__log_configuration(cluster, disk, at, &item->index);
        at = item->index > 0 ? item->index - 1 : 0;
    }
    *ret_count = count;
    return history;
}

static void init_core(struct cluster *cluster, struct cluster_node *node,
                      const struct raft_start *start, uint32_t runs_max)
{
    free(node->runs);
    node->runs = cluster__allocate(runs_max, sizeof node->runs[0]);
    struct raft_options options = {
        .group = CLUSTER_GROUP,
        .id = {.node = node->id, .epoch = node->epoch},
        .election_timeout_ms_min = CLUSTER_ELECTION_TIMEOUT_MS_MIN,
        .election_timeout_ms_max = CLUSTER_ELECTION_TIMEOUT_MS_MAX,
        .heartbeat_ms = 50,
        .early_prevote_ms_max = 25,
        .append_entries_max = cluster->options.append_entries_max,
        .append_inflight_max = cluster->options.append_inflight_max,
        .seed = cluster__mix(cluster->options.seed ^ node->process),
        .process = node->process,
        .trail_runs = node->runs,
        .trail_runs_max = runs_max,
    };
    enum raft_status status = raft_init(node->core, &options, start);
    cluster__require(cluster, status == RAFT_OK, "a node starts from what it has on disk");
    raft_check_invariants(node->core, NULL);
}

void cluster_start(struct cluster *cluster, raft_node_id id)
{
    struct cluster_node *node = &cluster->nodes[id];
    assert(!node->up);
    node->process = ++cluster->processes_total;
    cluster__recover_base(node);
    cluster__log_copy(&node->log, &node->disk);
    struct raft_term_run *runs = cluster__allocate(node->disk.count + 1, sizeof *runs);
    uint32_t runs_count = disk_runs(&node->disk, runs);
    uint32_t runs_max = cluster->options.trail_runs_max;
    if (runs_max < runs_count + 4) runs_max = runs_count + 4; /* what is on disk always fits */
    uint32_t history_count;
    struct raft_indexed_configuration *history = recovered_history(cluster, node, &history_count);
    raft_index base = node->disk.base;
    struct raft_start start = {
        .hard_state = node->hard_durable,
        .configuration = history[history_count - 1].configuration,
        .configuration_index = history[history_count - 1].index,
        .history = history,
        .history_count = history_count - 1,
        .base_index = base,
        .base_term = base == 0 ? 0 : cluster__log_at(&node->disk, base)->term,
        .runs = runs,
        .runs_count = runs_count,
        .commit_index = recovered_commit(cluster, node),
        .has_vote = node->has_vote,
        .now_ms = cluster->now_ms,
    };
    init_core(cluster, node, &start, runs_max);
    free(runs);
    free(history);
    node->commit_index = start.commit_index;
    node->up = true;
    node->leads = false;
    node->stalled_ms = 0;
    node->timer_at_ms = raft_timer_at_ms(node->core);
}

void cluster_crash(struct cluster *cluster, raft_node_id id, uint32_t jobs_kept, uint32_t hard_kept)
{
    struct cluster_node *node = &cluster->nodes[id];
    assert(node->up);
    for (uint32_t i = 0; i < jobs_kept && node->jobs_count > 0; i++) {
        apply_oldest_job(node);
    }
    for (uint32_t i = 0; i < hard_kept && node->hard_queue_count > 0; i++) {
        apply_oldest_hard(node);
    }
    cluster__drop_jobs(node);
    node->hard_queue_count = 0;
    node->hard_queued_total = 0;
    node->hard_durable_total = 0;
    cluster__packets_clear(&node->held);
    node->up = false;
    node->leads = false;
    node->timer_at_ms = UINT64_MAX;
    for (uint32_t i = 0; i < CLUSTER_READS_MAX; i++) {
        if (cluster->reads[i].node == id) cluster->reads[i].open = false;
    }
}

raft_node_id cluster_leader(const struct cluster *cluster)
{
    raft_node_id leader = 0;
    raft_term term = 0;
    for (raft_node_id id = 1; id < CLUSTER_NODES_MAX; id++) {
        const struct cluster_node *node = &cluster->nodes[id];
        if (!node->up || !node->leads) continue;
        struct raft_view view;
        raft_view(node->core, cluster->now_ms, &view);
        if (leader != 0 && view.term <= term) continue;
        leader = id;
        term = view.term;
    }
    return leader;
}
