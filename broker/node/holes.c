/* What a node tells of the holes in its logs: how many, whether anybody repairs them now, and the first one by its name. */
#include "holes.h"

#include "group.h"
#include "internal.h"
#include "list.h"
#include "repair.h"

#include <segment_log/repair.h>

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

struct tally {
    uint32_t ranges, unrepaired;
    const struct group *group; /* of `hole` */
    struct segment_log_hole hole;
    bool is_unrepaired; /* that one, which then comes first */
};

/* The state of one that is being mended is not known yet. */
static uint64_t first_index_kept(const struct group *group)
{
    if (group->is_meta || group->mending) return 0;
    return partition_trimmed_index(&group->partition) + 1u;
}

uint32_t holes__kept(const struct group *group, struct segment_log_hole *ret_first)
{
    uint32_t count = 0;
    struct segment_log_hole hole;
    for (uint64_t index = first_index_kept(group); segment_log_hole_from(group->log, index, &hole);
         index = hole.last_index + 1u) {
        if (count++ == 0 && ret_first) *ret_first = hole;
    }
    return count;
}

static void count_group(const struct group *group, struct tally *tally)
{
    struct segment_log_hole first;
    const uint32_t ranges = holes__kept(group, &first);
    if (ranges == 0) return;
    const bool is_unrepaired = repair__was_tried(group);
    tally->ranges += ranges;
    if (is_unrepaired) tally->unrepaired += ranges;
    if (tally->group && (tally->is_unrepaired || !is_unrepaired)) return;
    tally->group = group;
    tally->hole = first;
    tally->is_unrepaired = is_unrepaired;
}

static void name_range(const struct tally *tally, char *text, size_t bytes)
{
    const struct group *group = tally->group;
    const struct segment_log_hole *hole = &tally->hole;
    const uint64_t first = hole->before.next_offset;
    char topic[META_TOPIC_NAME_BYTES_MAX + 1] = "";
    struct meta_partition partition = {0};
    uint64_t behind = 0;
    if (!group->is_meta) {
        (void)meta_group_find(&group->node->meta, group->id, topic, &partition, NULL);
    }
    if (group->is_meta) {
        snprintf(text, bytes, "entries %" PRIu64 "..%" PRIu64 " of the meta group",
                 hole->first_index, hole->last_index);
    } else if (!segment_log_offset_behind(group->log, hole, &behind)) {
        snprintf(text, bytes, "topic \"%.40s\" partition %u from offset %" PRIu64 " on", topic,
                 partition.number, first);
    } else if (behind > first) {
        snprintf(text, bytes, "topic \"%.40s\" partition %u offsets %" PRIu64 "..%" PRIu64, topic,
                 partition.number, first, behind - 1u);
    } else { /* offset commits, settings */
        snprintf(text, bytes,
                 "topic \"%.40s\" partition %u, no message, in front of offset %" PRIu64, topic,
                 partition.number, first);
    }
}

void holes__describe(const struct node *node, struct node_cluster_status *status)
{
    struct tally tally = {0};
    for (const struct list_link *link = node->groups.next; link != &node->groups;
         link = link->next) {
        count_group(list_entry(link, struct group, link), &tally);
    }
    for (const struct list_link *link = node->mending.next; link != &node->mending;
         link = link->next) {
        count_group(list_entry(link, struct group, link), &tally);
    }
    status->damaged_ranges = tally.ranges;
    status->unrepaired_ranges = tally.unrepaired;
    status->damage[0] = '\0';
    if (tally.ranges == 0) return;
    char range[128], more[32] = "", why[96] = "";
    name_range(&tally, range, sizeof(range));
    if (tally.ranges > 1) snprintf(more, sizeof(more), " and %u more ranges", tally.ranges - 1u);
    if (tally.is_unrepaired) repair__describe_stuck(tally.group, why, sizeof(why));
    char text[2 * NODE_STATUS_TEXT_BYTES]; /* what is cut off are the last of those who refused */
    snprintf(text, sizeof(text), "damaged on n%" PRIu64 ": %s%s; %s%s", node->identity.node_id,
             range, more, tally.is_unrepaired ? "nobody can repair it now: " : "being repaired",
             why);
    snprintf(status->damage, sizeof(status->damage), "%.*s", NODE_STATUS_TEXT_BYTES - 1, text);
}
