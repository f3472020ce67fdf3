/* Faults and wishes that change who is in the group, and what the logs still hold. */
#include "swarm.h"

#include <assert.h>

/* ---- membership ----------------------------------------------------------------------------------- */

static const struct raft_member *find_member(const struct raft_configuration *configuration,
                                             struct raft_replica_id id)
{
    for (uint32_t i = 0; i < configuration->members_count; i++) {
        const struct raft_member *member = &configuration->members[i];
        if (member->id.node == id.node && member->id.epoch == id.epoch) return member;
    }
    return NULL;
}

/* Only replicas that exist are wished for; most keep their part, so that changes of one voter are common. */
static struct raft_configuration draw_target(const struct cluster *cluster, struct swarm *swarm,
                                             const struct raft_configuration *present)
{
    struct raft_configuration target = {.members_count = 0};
    uint64_t keep_permille = 500 + swarm_draw(swarm, 450);
    bool has_voter = false;
    for (raft_node_id id = 1; id <= swarm->nodes_count; id++) {
        struct raft_member wish = {.id = {id, cluster->nodes[id].epoch}};
        const struct raft_member *member = find_member(present, wish.id);
        bool wanted = member != NULL;
        wish.voter = member != NULL && member->voter;
        if (!swarm_chance(swarm, keep_permille)) {
            uint64_t part = swarm_draw(swarm, 5);
            wanted = part < 4;
            wish.voter = part < 3;
        }
        if (!wanted) continue;
        has_voter = has_voter || wish.voter;
        target.members[target.members_count++] = wish;
    }
    if (!has_voter && target.members_count > 0) {
        target.members[swarm_draw(swarm, target.members_count)].voter = true;
    }
    return target;
}

void swarm_configure(struct cluster *cluster, struct swarm *swarm)
{
    raft_node_id id = swarm_chance(swarm, 900) ? cluster_leader(cluster) : swarm_any_node(swarm);
    if (id == 0 || !swarm_can_step(cluster, id)) return;
    if (cluster->configurations_count == CLUSTER_CONFIGURATIONS_MAX) return;
    struct raft_configuration target =
        draw_target(cluster, swarm, raft_configuration_of(cluster->nodes[id].core));
    enum raft_status status =
        cluster_configure(cluster, id, &target, /* always_joint= */ swarm_chance(swarm, 200));
    assert(status != RAFT_BUSY);
    assert(status != RAFT_BAD_OPTIONS);
    assert(status != RAFT_BAD_CONFIGURATION || target.members_count == 0);
}

bool swarm_gather(struct cluster *cluster, struct swarm *swarm)
{
    raft_node_id leader = cluster_leader(cluster);
    if (leader == 0) return false;
    const struct raft_node *core = cluster->nodes[leader].core;
    const struct raft_configuration *present = raft_configuration_of(core);
    struct raft_configuration target = {.members_count = 0};
    bool done = true;
    for (raft_node_id id = 1; id <= swarm->nodes_count; id++) {
        struct raft_member wish = {.id = {id, cluster->nodes[id].epoch}};
        const struct raft_member *member = find_member(present, wish.id);
        bool is_voter = member != NULL && member->voter;
        wish.voter = is_voter || (member != NULL && raft_is_caught_up(core, wish.id));
        if (!is_voter) done = false;
        target.members[target.members_count++] = wish;
    }
    if (present->members_count != target.members_count) done = false;
    if (done) {
        struct raft_view view;
        raft_view(core, cluster->now_ms, &view);
        return view.role == RAFT_LEADER && view.own_term_committed && !view.change_in_progress;
    }
    enum raft_status status = cluster_configure(cluster, leader, &target, false);
    assert(status != RAFT_BAD_CONFIGURATION);
    return false;
}

/* ---- bases ---------------------------------------------------------------------------------------- */

void swarm_compact(struct cluster *cluster, struct swarm *swarm)
{
    raft_node_id id = swarm_any_node(swarm);
    if (!swarm_can_step(cluster, id)) return;
    raft_index commit = cluster->nodes[id].commit_index;
    uint64_t kept = swarm_draw(swarm, 40);
    if (commit > kept) (void)cluster_compact(cluster, id, commit - kept);
}

void swarm_run_bases(struct cluster *cluster, struct swarm *swarm)
{
    uint32_t i = 0;
    while (i < cluster->transfers_count) {
        const struct cluster_transfer *transfer = &cluster->transfers[i];
        uint64_t age_ms = cluster->now_ms - transfer->begun_ms;
        bool lands = swarm->quiet ? age_ms >= 5 : swarm_chance(swarm, 20);
        /* One that landed before waits to be installed; a transfer then waits too. */
        if (lands && cluster->nodes[transfer->to.node].beside.count == 0) {
            cluster_land(cluster, i, swarm->quiet || swarm_chance(swarm, 800));
        } else {
            i++;
        }
    }
    for (raft_node_id id = 1; id <= swarm->nodes_count; id++) {
        const struct cluster_node *node = &cluster->nodes[id];
        if (!swarm_can_step(cluster, id) || node->beside.count == 0) continue;
        if (!swarm->quiet && !swarm_chance(swarm, 50)) continue;
        cluster_install(cluster, id, /* told= */ swarm->quiet || swarm_chance(swarm, 800));
    }
}

/* ---- a lost disk ---------------------------------------------------------------------------------- */

static bool exists_without(const struct cluster *cluster, struct raft_replica_id id,
                           raft_node_id wiped)
{
    return id.node != wiped && cluster->nodes[id.node].epoch == id.epoch;
}

/* More than half of each half would be left. */
static bool bears(const struct cluster *cluster, const struct raft_configuration *configuration,
                  raft_node_id wiped)
{
    uint32_t voters[2] = {0, 0};
    uint32_t left[2] = {0, 0};
    for (uint32_t i = 0; i < configuration->members_count; i++) {
        const struct raft_member *member = &configuration->members[i];
        bool lives = exists_without(cluster, member->id, wiped);
        if (member->voter) voters[0]++;
        if (member->voter && lives) left[0]++;
        if (member->voter_old) voters[1]++;
        if (member->voter_old && lives) left[1]++;
    }
    if (voters[0] > 0 && left[0] <= voters[0] / 2) return false;
    return voters[1] == 0 || left[1] > voters[1] / 2;
}

static bool log_bears(const struct cluster *cluster, const struct cluster_log *log, raft_index from,
                      raft_node_id wiped)
{
    for (raft_index i = from; i <= log->count; i++) {
        const struct raft_configuration *configuration = log->entries[i - 1].configuration;
        if (configuration != NULL && !bears(cluster, configuration, wiped)) return false;
    }
    return true;
}

/* Would every configuration that is in use, or may be again, still have a majority of replicas that exist? Those
 * that may be are the committed one and all that stand anywhere behind it. */
static bool group_bears(const struct cluster *cluster, raft_node_id wiped)
{
    raft_index at = cluster->committed.configured;
    const struct raft_configuration *committed = &cluster->founding;
    if (at > 0) committed = cluster->committed.entries[at - 1].configuration;
    if (!bears(cluster, committed, wiped)) return false;
    for (raft_node_id id = 1; id < CLUSTER_NODES_MAX; id++) {
        const struct cluster_node *node = &cluster->nodes[id];
        if (!node->exists) continue;
        if (!log_bears(cluster, &node->disk, at + 1, wiped)) return false;
        if (node->up && !log_bears(cluster, &node->log, at + 1, wiped)) return false;
    }
    for (uint32_t i = 0; i < cluster->network.count; i++) {
        const struct cluster_packet *packet = &cluster->network.items[i];
        if (packet->entries == NULL) continue;
        const struct raft_message *m = &packet->message;
        for (raft_index index = m->append.first; index <= m->append.last; index++) {
            const struct raft_configuration *configuration =
                packet->entries[index - m->append.first].configuration;
            if (index <= at || configuration == NULL) continue;
            if (!bears(cluster, configuration, wiped)) return false;
        }
    }
    return true;
}

void swarm_wipe(struct cluster *cluster, struct swarm *swarm)
{
    raft_node_id id = swarm_any_node(swarm);
    if (cluster->graves_count == CLUSTER_GRAVES_MAX) return;
    if (!group_bears(cluster, id)) return;
    if (cluster->nodes[id].up) swarm_crash(cluster, swarm, id);
    cluster_wipe(cluster, id);
}

/* ---- a disk that stands still ----------------------------------------------------------------------- */

void swarm_stall(struct cluster *cluster, struct swarm *swarm)
{
    raft_node_id id = swarm_chance(swarm, 500) ? cluster_leader(cluster) : swarm_any_node(swarm);
    if (id == 0 || !swarm_can_step(cluster, id)) return;
    const struct cluster_node *node = &cluster->nodes[id];
    if (node->jobs_count == 0 && node->hard_queue_count == 0) return;
    swarm->stalls++;
    (void)cluster_event(cluster, id, RAFT_EVENT_DISK_STALLED);
}
