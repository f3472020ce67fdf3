#include "peek.h"

/* With poke.c the only test file that knows the private structs of broker/node. */
#include "base_receive.h"
#include "group.h"
#include "internal.h"

static void fill(const struct group *group, struct peek_group *peek)
{
    struct segment_log_info info;
    segment_log_info(group->log, &info);
    *peek = (struct peek_group){
        .inside = group,
        .directory = group->directory,
        .group = group->id,
        .epoch = group->epoch,
        .raft_steps = group->counters.raft_steps,
        .role = group->role,
        .term = group->term,
        .leader = group->leader,
        .hard_state = group->hard_state,
        .hard_state_is_durable = !group->hard_state_pending,
        .base_index = info.base.index,
        .checkpoint_index = group->checkpoint_index,
        .last_index = info.last_index,
        .durable_index = info.durable_index,
        .commit_index = group->commit_index,
        .applied_index = group->applied_index,
        .next_offset = info.next_offset,
        .applied_next_offset = group->is_meta ? 0 : group->partition.next_offset,
        .is_meta = group->is_meta,
        .log_start_offset = group->is_meta ? 0 : group->partition.log_start_offset,
        .trimmed_index = group->is_meta ? 0 : partition_trimmed_index(&group->partition),
        .base_next_offset = info.base.next_offset,
        .skipped_checkpoint = group->opened_damaged,
        .base_is_installed = info.base_installed,
        .reads_from_index = group->reads_from_index,
        .takes_produce = group->role == RAFT_LEADER && group->own_noop_applied,
        .mark_is_durable = !segment_log_has_unsynced_mark(group->log),
    };
}

uint32_t peek_groups(const struct node *node, struct peek_group *ret_groups, uint32_t max)
{
    uint32_t count = 0;
    for (const struct list_link *link = node->groups.next; link != &node->groups && count < max;
         link = link->next) {
        fill(list_entry(link, const struct group, link), &ret_groups[count++]);
    }
    return count;
}

static bool mark_holds(const struct peek_mark *mark, const struct group *group)
{
    if (mark->inside != group || mark->group != group->id || mark->epoch != group->epoch) {
        return false;
    }
    struct segment_log_info info;
    segment_log_info(group->log, &info);
    return mark->raft_steps == group->counters.raft_steps && mark->term == group->term &&
           mark->commit_index == group->commit_index &&
           mark->applied_index == group->applied_index && mark->base_index == info.base.index &&
           mark->last_index == info.last_index && mark->durable_index == info.durable_index &&
           mark->hard_state_is_durable == !group->hard_state_pending;
}

uint32_t peek_changed_groups(const struct node *node, struct peek_mark *marks,
                             uint32_t *marks_count, struct peek_group *ret_groups)
{
    uint32_t count = 0;
    uint32_t number = 0;
    for (const struct list_link *link = node->groups.next;
         link != &node->groups && number < PEEK_GROUPS_MAX; link = link->next, number++) {
        const struct group *group = list_entry(link, const struct group, link);
        if (number < *marks_count && mark_holds(&marks[number], group)) continue;
        struct peek_group *peek = &ret_groups[count++];
        fill(group, peek);
        marks[number] = (struct peek_mark){.inside = group,
                                           .group = peek->group,
                                           .epoch = peek->epoch,
                                           .raft_steps = peek->raft_steps,
                                           .term = peek->term,
                                           .commit_index = peek->commit_index,
                                           .applied_index = peek->applied_index,
                                           .base_index = peek->base_index,
                                           .last_index = peek->last_index,
                                           .durable_index = peek->durable_index,
                                           .hard_state_is_durable = peek->hard_state_is_durable};
    }
    *marks_count = number;
    return count;
}

bool peek_group(const struct node *node, uint64_t id, struct peek_group *ret_group)
{
    const struct group *group = node__group(node, id);
    if (!group) return false;
    fill(group, ret_group);
    return true;
}

bool peek_entry(const struct peek_group *peek, uint64_t index, uint64_t *ret_chain,
                uint64_t *ret_term)
{
    struct segment_log_point point;
    if (segment_log_point_at(peek->inside->log, index, &point) != SEGMENT_LOG_OK) return false;
    *ret_chain = point.chain;
    *ret_term = point.term;
    return true;
}

uint64_t peek_state_digest(const struct peek_group *peek)
{
    const struct group *group = peek->inside;
    if (group->is_meta) return tree_digest(group->node->meta.state);
    const uint64_t parts[3] = {tree_digest(group->partition.state), group->partition.next_offset,
                               group->partition.log_start_offset};
    return checksum64(parts, sizeof(parts));
}

bool peek_is_switching(const struct peek_group *peek)
{
    return base_receive__is_switching(peek->inside);
}

uint64_t peek_base_bytes_sent(const struct peek_group *peek)
{
    return peek->inside->counters.base_bytes_sent;
}

uint64_t peek_bytes_kept(const struct peek_group *group)
{
    return segment_log_bytes_behind(group->inside->log,
                                    partition_trimmed_index(&group->inside->partition));
}

uint64_t peek_bases_installed(const struct peek_group *peek)
{
    return peek->inside->counters.bases_installed;
}

uint64_t peek_appends_rejected(const struct peek_group *group)
{
    return group->inside->counters.appends_rejected;
}

uint64_t peek_bad_frames(const struct node *node)
{
    return node->counters.bad_frames;
}

uint32_t peek_repairs(const struct node *node)
{
    return node->repairs_count;
}

uint32_t peek_guests(const struct node *node)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < NODE_PROXIED_BUCKETS; i++) {
        const struct list_link *link = node->guests[i].next;
        for (; link != &node->guests[i]; link = link->next) {
            count++;
        }
    }
    return count;
}

uint64_t peek_regressions(const struct peek_group *group)
{
    return group->inside->counters.regressions;
}

const struct raft_configuration *peek_configuration(const struct peek_group *peek)
{
    return raft_configuration_of(peek->inside->raft);
}

const struct raft_indexed_configuration *peek_newest_configuration(const struct peek_group *peek)
{
    return raft_configuration_at(peek->inside->raft, UINT64_MAX);
}

const struct raft_indexed_configuration *peek_committed_configuration(const struct peek_group *peek)
{
    return raft_configuration_at(peek->inside->raft, peek->commit_index);
}

void peek_check_core(const struct peek_group *peek)
{
    raft_check_invariants(peek->inside->raft, NULL);
}

uint64_t peek_partition_group(const struct node *node, const char *topic, uint32_t number)
{
    struct meta_partition partition;
    struct meta_settings settings;
    uint32_t partitions_count = 0;
    if (!meta_partition_get(&node->meta, topic, number, &partition, &settings, &partitions_count)) {
        return 0;
    }
    return partition.group;
}

uint64_t peek_first_leader(const struct node *node, const char *topic, uint32_t number)
{
    struct meta_partition partition;
    struct meta_settings settings;
    uint32_t partitions_count = 0;
    if (!meta_partition_get(&node->meta, topic, number, &partition, &settings, &partitions_count)) {
        return 0;
    }
    return partition.first_leader;
}

const struct meta_state *peek_meta(const struct node *node)
{
    return &node->meta;
}

struct cluster_id peek_cluster(const struct node *node)
{
    return node->identity.cluster;
}

uint64_t peek_pledged_index(const struct peek_group *group)
{
    struct raft_view view;
    raft_view(group->inside->raft, io_now_ms(group->inside->node->io), &view);
    return view.pledged_index;
}
