#include "members.h"

#include <inttypes.h>
#include <stdarg.h>

#include "failure.h"
#include "peek.h"
#include "sim_invariants.h"

uint32_t members_all_nodes(const struct run *run)
{
    return (1u << run->plan.nodes_count) - 1u;
}

static const struct node *node_at(const struct run *run, uint32_t node)
{
    return run->cluster->nodes[node].node;
}

/* ---- what meta says ---------------------------------------------------------------------------------------------- */

const struct meta_state *members_meta(const struct run *run)
{
    const struct meta_state *newest = NULL;
    for (uint32_t i = 0; i < run->plan.nodes_count; i++) {
        if (!node_at(run, i)) continue;
        const struct meta_state *meta = peek_meta(node_at(run, i));
        if (meta->applied_index == 0) continue;
        if (!newest || meta->applied_index > newest->applied_index) newest = meta;
    }
    return newest && newest->applied_index == run->meta.index ? newest : NULL;
}

/* Founders that meta has not heard of yet are members of group 0 all the same. */
static uint32_t unregistered(const struct run *run, uint32_t known)
{
    uint32_t nodes = 0;
    struct raft_indexed_configuration committed;
    struct raft_indexed_configuration newest;
    if (!invariants_configurations(run->cluster->invariants, 0, &committed, &newest)) return 0;
    for (uint32_t i = 0; i < committed.configuration.members_count; i++) {
        if (committed.configuration.members[i].id.epoch != 0) continue;
        nodes |= 1u << (committed.configuration.members[i].id.node - 1u);
    }
    return nodes & ~known;
}

/* A state stays the newest when those that applied it are down. */
static void look_at_meta(struct run *run, const struct meta_state *meta)
{
    if (meta->applied_index <= run->meta.index) return;
    struct meta_node nodes[META_NODES_MAX];
    const uint32_t count = meta_nodes(meta, nodes, META_NODES_MAX);
    run->meta.index = meta->applied_index;
    run->meta.known = run->meta.wished = 0;
    for (uint32_t i = 0; i < count; i++) {
        const uint32_t bit = 1u << (nodes[i].node_id - 1u);
        run->meta.known |= bit;
        if (!nodes[i].leaving) run->meta.wished |= bit;
    }
}

uint32_t members_wished(const struct run *run)
{
    if (run->meta.index == 0) return run->founders;
    return run->meta.wished | unregistered(run, run->meta.known);
}

uint32_t members_known(const struct run *run)
{
    if (run->meta.index == 0) return run->founders;
    return run->meta.known | unregistered(run, run->meta.known);
}

/* ---- what the nodes have ------------------------------------------------------------------------------------------ */

void members_look(struct run *run, uint32_t node)
{
    struct peek_group group;
    if (!node_at(run, node)) return;
    look_at_meta(run, peek_meta(node_at(run, node)));
    if (run->joined & 1u << node) return;
    if (peek_group(node_at(run, node), 0, &group)) run->joined |= 1u << node;
}

void members_forget(struct run *run, uint32_t node)
{
    run->joined &= ~(1u << node);
    run->empty_since[node] = run->meta.index;
}

uint32_t members_whole(const struct run *run, uint32_t nodes)
{
    return nodes & members_wished(run) & run->joined & ~run->lost;
}

static bool has_replica(const struct run *run, uint64_t group, const struct raft_replica_id *id)
{
    struct peek_group peek;
    const struct node *node = node_at(run, (uint32_t)id->node - 1u);
    return node && peek_group(node, group, &peek) && peek.epoch == id->epoch;
}

static bool is_majority_of(const struct run *run, uint32_t nodes, uint64_t group,
                           const struct raft_configuration *configuration)
{
    uint32_t voters[2] = {0};
    uint32_t there[2] = {0};
    for (uint32_t i = 0; i < configuration->members_count; i++) {
        const struct raft_member *member = &configuration->members[i];
        const bool is_there =
            nodes & 1u << (member->id.node - 1u) && has_replica(run, group, &member->id);
        const bool votes[2] = {member->voter, configuration->joint && member->voter_old};
        for (int half = 0; half < 2; half++) {
            if (!votes[half]) continue;
            voters[half]++;
            if (is_there) there[half]++;
        }
    }
    return there[0] * 2u > voters[0] && (!configuration->joint || there[1] * 2u > voters[1]);
}

bool members_have_majority(const struct run *run, uint32_t nodes, uint64_t group)
{
    struct raft_indexed_configuration committed;
    struct raft_indexed_configuration newest;
    if (!invariants_configurations(run->cluster->invariants, group, &committed, &newest)) {
        return false;
    }
    return is_majority_of(run, nodes, group, &committed.configuration) &&
           is_majority_of(run, nodes, group, &newest.configuration);
}

struct loss_check {
    const struct run *run;
    uint32_t node;
    bool can_lose;
};

/* A replica that was never made there has told nobody anything: the group can lose it. */
static bool has_voted_in(const struct run *run, uint64_t group, uint32_t node,
                         const struct raft_configuration *configuration)
{
    for (uint32_t i = 0; i < configuration->members_count; i++) {
        const struct raft_member *member = &configuration->members[i];
        if (member->id.node != node + 1u || !(member->voter || member->voter_old)) continue;
        if (invariants_has_run(run->cluster->invariants, node, group, member->id.epoch)) {
            return true;
        }
    }
    return false;
}

static bool has_three_voters(const struct raft_configuration *configuration)
{
    uint32_t voters[2] = {0};
    for (uint32_t i = 0; i < configuration->members_count; i++) {
        if (configuration->members[i].voter) voters[0]++;
        if (configuration->members[i].voter_old) voters[1]++;
    }
    return voters[0] >= 3u && (!configuration->joint || voters[1] >= 3u);
}

static bool can_lose_in(const struct run *run, uint64_t group, uint32_t node)
{
    struct raft_indexed_configuration committed;
    struct raft_indexed_configuration newest;
    if (!invariants_configurations(run->cluster->invariants, group, &committed, &newest)) {
        return false; /* about to be made */
    }
    if (!has_voted_in(run, group, node, &committed.configuration) &&
        !has_voted_in(run, group, node, &newest.configuration)) {
        return true;
    }
    return has_three_voters(&committed.configuration) && has_three_voters(&newest.configuration);
}

static bool check_loss(void *data, const char *name, const struct meta_partition *partition)
{
    struct loss_check *check = data;
    (void)name;
    bool is_kept = false;
    for (uint32_t i = 0; i < partition->replicas_count; i++) {
        const struct meta_replica *replica = &partition->replicas[i];
        if (replica->node_id != check->node + 1u) continue;
        is_kept = invariants_has_run(check->run->cluster->invariants, check->node, partition->group,
                                     replica->epoch);
    }
    if ((is_kept && partition->replicas_count < 3u) ||
        !can_lose_in(check->run, partition->group, check->node)) {
        check->can_lose = false;
    }
    return check->can_lose;
}

bool members_can_lose(const struct run *run, uint32_t node)
{
    struct loss_check check = {.run = run, .node = node, .can_lose = true};
    const struct meta_state *meta = members_meta(run);
    if (!meta || !(members_known(run) & 1u << node) || !can_lose_in(run, 0, node)) return false;
    meta_partitions_visit(meta, check_loss, &check);
    return check.can_lose;
}

struct leave_check {
    uint32_t node;
    uint32_t others; /* a partition that it holds with one of these has a replica less */
    bool shrinks;
};

static bool check_leave(void *data, const char *name, const struct meta_partition *partition)
{
    struct leave_check *check = data;
    uint32_t holders = 0;
    (void)name;
    for (uint32_t i = 0; i < partition->replicas_count; i++) {
        holders |= 1u << (partition->replicas[i].node_id - 1u);
    }
    if (holders & 1u << check->node && holders & check->others) check->shrinks = true;
    return !check->shrinks;
}

bool members_can_leave(const struct run *run, uint32_t node, uint32_t with)
{
    if (!run->lost) return true;
    const struct meta_state *meta = members_meta(run);
    if (!meta || members_count(members_wished(run) & run->joined) < 4u) return false;
    /* Without a successor the group is one less at once, and grows again later. */
    const uint32_t others = with == UINT32_MAX ? run->lost : 1u << with;
    struct leave_check check = {.node = node, .others = others & ~(1u << node)};
    meta_partitions_visit(meta, check_leave, &check);
    return !check.shrinks;
}

struct count_check {
    const struct run *run;
    uint32_t node;
    uint64_t group; /* that counts on it */
    bool counts;
};

static void check_count(struct count_check *check, uint64_t group)
{
    struct raft_indexed_configuration committed;
    struct raft_indexed_configuration newest;
    if (!invariants_configurations(check->run->cluster->invariants, group, &committed, &newest)) {
        return;
    }
    for (uint32_t i = 0; i < committed.configuration.members_count; i++) {
        const struct raft_replica_id *id = &committed.configuration.members[i].id;
        if (id->node != check->node + 1u) continue;
        /* The replica of an incarnation before: it is dead, and the group loses it in its own time. */
        if (id->epoch <= check->run->empty_since[check->node]) continue;
        if (node_at(check->run, check->node) && !has_replica(check->run, group, id)) continue;
        check->group = group;
        check->counts = true;
    }
}

static bool check_partition_count(void *data, const char *name,
                                  const struct meta_partition *partition)
{
    struct count_check *check = data;
    (void)name;
    check_count(check, partition->group);
    return !check->counts;
}

void members_check_forgotten(const struct run *run, uint32_t node)
{
    struct count_check check = {.run = run, .node = node};
    check_count(&check, 0);
    meta_partitions_visit(members_meta(run), check_partition_count, &check);
    if (!check.counts) return;
    failure("member-forgotten",
            "meta does not know n%u any more, and it is a member of group %" PRIu64 " still",
            node + 1u, check.group);
}

/* ---- a node that lost its disk -------------------------------------------------------------------------------------- */

struct return_check {
    const struct run *run;
    uint32_t node;
    bool is_back;
};

/* It is in the group as what it is now, with a vote, or not at all, and nothing is on its way. */
static bool is_back_in(const struct return_check *check, uint64_t group, bool may_learn)
{
    struct raft_indexed_configuration committed;
    struct raft_indexed_configuration newest;
    if (!invariants_configurations(check->run->cluster->invariants, group, &committed, &newest)) {
        return false; /* about to be made by those that it was placed on */
    }
    const struct raft_configuration *configuration = &committed.configuration;
    if (newest.index != committed.index || configuration->joint) return false;
    for (uint32_t i = 0; i < configuration->members_count; i++) {
        const struct raft_member *member = &configuration->members[i];
        if (member->id.node != check->node + 1u) continue;
        return has_replica(check->run, group, &member->id) && (member->voter || may_learn);
    }
    return true;
}

static bool check_return(void *data, const char *name, const struct meta_partition *partition)
{
    struct return_check *check = data;
    (void)name;
    if (!is_back_in(check, partition->group, false)) check->is_back = false;
    for (uint32_t i = 0; i < partition->replicas_count; i++) { /* wished, and not made yet */
        struct peek_group peek;
        if (partition->replicas[i].node_id != check->node + 1u) continue;
        if (!peek_group(node_at(check->run, check->node), partition->group, &peek) ||
            peek.epoch != partition->replicas[i].epoch) {
            check->is_back = false;
        }
    }
    return check->is_back;
}

bool members_is_back(const struct run *run, uint32_t node)
{
    struct return_check check = {.run = run, .node = node, .is_back = true};
    const struct meta_state *meta = members_meta(run);
    struct meta_node known;
    if (!meta) return false;
    const bool is_known = meta_node_get(meta, node + 1u, &known);
    if (is_known && (!node_at(run, node) || !(run->joined & 1u << node))) return false;
    if (!is_back_in(&check, 0, is_known && !known.voter)) return false;
    meta_partitions_visit(meta, check_return, &check);
    return check.is_back;
}

/* ---- at rest ----------------------------------------------------------------------------------------------------------- */

struct settlement {
    const struct run *run;
    const struct meta_state *meta;
    char *why;
    size_t why_bytes;
    bool is_settled;
};

__attribute__((format(printf, 2, 3))) static bool is_not_settled(struct settlement *settlement,
                                                                 const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(settlement->why, settlement->why_bytes, format, arguments);
    va_end(arguments);
    settlement->is_settled = false;
    return false;
}

static const struct raft_member *find_member(const struct raft_configuration *configuration,
                                             uint64_t node_id)
{
    for (uint32_t i = 0; i < configuration->members_count; i++) {
        if (configuration->members[i].id.node == node_id) return &configuration->members[i];
    }
    return NULL;
}

/* A replica has a newer one in its log. What only logs that were lost have held counts no more. */
static bool is_changing(const struct run *run, uint64_t group,
                        const struct raft_indexed_configuration *committed)
{
    for (uint32_t i = 0; i < run->plan.nodes_count; i++) {
        struct peek_group peek;
        const struct node *node = node_at(run, i);
        if (!node || !peek_group(node, group, &peek)) continue;
        if (peek_newest_configuration(&peek)->index > committed->index) return true;
    }
    return committed->configuration.joint;
}

/* The configuration of a group in which nothing is under way any more. */
static bool get_final(struct settlement *settlement, uint64_t group,
                      struct raft_configuration *ret_configuration)
{
    struct raft_indexed_configuration committed;
    struct raft_indexed_configuration newest;
    if (!invariants_configurations(settlement->run->cluster->invariants, group, &committed,
                                   &newest)) {
        return is_not_settled(settlement, "group %" PRIu64 " was never made", group);
    }
    if (is_changing(settlement->run, group, &committed)) {
        return is_not_settled(settlement,
                              "the change behind %" PRIu64 " of group %" PRIu64 " is not over",
                              committed.index, group);
    }
    *ret_configuration = committed.configuration;
    for (uint32_t i = 0; i < ret_configuration->members_count; i++) {
        const struct raft_replica_id *id = &ret_configuration->members[i].id;
        if (has_replica(settlement->run, group, id)) continue;
        return is_not_settled(settlement,
                              "n%" PRIu64 " holds no replica of group %" PRIu64
                              " under epoch %" PRIu64 ", and is a member",
                              id->node, group, id->epoch);
    }
    return true;
}

static bool check_partition(void *data, const char *name, const struct meta_partition *partition)
{
    struct settlement *settlement = data;
    struct raft_configuration configuration;
    if (!get_final(settlement, partition->group, &configuration)) return false;
    for (uint32_t i = 0; i < partition->replicas_count; i++) {
        const struct meta_replica *replica = &partition->replicas[i];
        const struct raft_member *member = find_member(&configuration, replica->node_id);
        if (!member || !member->voter || member->id.epoch != replica->epoch) {
            return is_not_settled(settlement,
                                  "n%" PRIu64 " is not the voter of %s/%u that it is to be",
                                  replica->node_id, name, partition->number);
        }
    }
    if (configuration.members_count != partition->replicas_count) {
        return is_not_settled(settlement, "%s/%u has %u members, %u are wished", name,
                              partition->number, configuration.members_count,
                              partition->replicas_count);
    }
    return true;
}

static bool check_nodes(struct settlement *settlement)
{
    struct raft_configuration configuration;
    struct meta_node nodes[META_NODES_MAX];
    const uint32_t count = meta_nodes(settlement->meta, nodes, META_NODES_MAX);
    if (!get_final(settlement, 0, &configuration)) return false;
    for (uint32_t i = 0; i < count; i++) {
        const uint64_t id = nodes[i].node_id;
        if (nodes[i].leaving) return is_not_settled(settlement, "n%" PRIu64 " is not gone", id);
        const struct raft_member *member = find_member(&configuration, id);
        if (!member) return is_not_settled(settlement, "n%" PRIu64 " has not joined", id);
        if (member->voter != nodes[i].voter) {
            return is_not_settled(settlement, "n%" PRIu64 " is to be a %s of meta", id,
                                  nodes[i].voter ? "voter" : "learner");
        }
    }
    if (count != configuration.members_count) {
        return is_not_settled(settlement, "meta has %u members and knows %u nodes",
                              configuration.members_count, count);
    }
    return true;
}

bool members_are_settled(const struct run *run, char *why, size_t why_bytes)
{
    struct settlement settlement = {.run = run,
                                    .meta = members_meta(run),
                                    .why = why,
                                    .why_bytes = why_bytes,
                                    .is_settled = true};
    if (!settlement.meta) return is_not_settled(&settlement, "nothing was founded");
    if (!check_nodes(&settlement)) return false;
    meta_partitions_visit(settlement.meta, check_partition, &settlement);
    return settlement.is_settled;
}
