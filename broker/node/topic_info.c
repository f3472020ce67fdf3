/* What a client is told about topics: list and describe. */
#include "topic_info.h"

#include "base.h"
#include "directory.h"
#include "group.h"
#include "internal.h"
#include "request.h"

#include <stdlib.h>
#include <string.h>

static void fill_progress(struct node_partition_info *info, const struct group *group)
{
    struct raft_view view;
    raft_view(group->raft, io_now_ms(group->node->io), &view);
    if (view.role != RAFT_LEADER) return;
    info->progress_known = true;
    for (uint32_t r = 0; r < info->replicas_count; r++) {
        for (uint32_t m = 0; m < view.members_count; m++) {
            if (view.members[m].id.node != info->replicas[r].node_id) continue;
            info->progress[r].match = view.members[m].match;
            info->progress[r].lag = view.last_index - view.members[m].match;
        }
    }
}

static void fill_partition(struct node *node, const struct meta_partition *partition,
                           struct node_partition_info *info)
{
    info->number = partition->number;
    info->group = partition->group;
    info->leader = directory__leader_of(node, partition->group, &info->term);
    info->replicas_count = partition->replicas_count;
    memcpy(info->replicas, partition->replicas, sizeof(info->replicas));
    const struct group *group = node__group(node, partition->group);
    if (!group) return;
    info->offsets_known = true;
    info->first_offset = base__first_offset_kept(group);
    info->next_offset = group->partition.next_offset;
    info->commit_index = group->commit_index;
    fill_progress(info, group);
}

static void fill_topic(struct node *node, const struct meta_topic *topic,
                       struct node_topic_info *info)
{
    memcpy(info->name, topic->name, sizeof(info->name));
    info->created_index = topic->created_index;
    info->created_ms = topic->created_ms;
    info->settings = topic->settings;
    info->partitions_count = topic->partitions_count;
    info->partitions = calloc(topic->partitions_count, sizeof(*info->partitions));
    if (!info->partitions) abort();
    for (uint32_t p = 0; p < topic->partitions_count; p++) {
        fill_partition(node, &topic->partitions[p], &info->partitions[p]);
    }
}

struct node_topic_info *topic_info__make(struct node *node, const struct meta_topic *topic)
{
    struct node_topic_info *info = calloc(1, sizeof(*info));
    if (!info) abort();
    fill_topic(node, topic, info);
    return info;
}

void node_topics_free(struct node_topic_info *topics, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        free(topics[i].partitions);
    }
    free(topics);
}

struct topic_list {
    struct node *node;
    struct node_topic_info *topics;
    uint32_t count;
    uint32_t capacity;
};

static bool add_topic(void *data, const struct meta_topic *topic)
{
    struct topic_list *list = data;
    if (list->count == list->capacity) return false;
    fill_topic(list->node, topic, &list->topics[list->count++]);
    return true;
}

void topic_info__answer(struct node_request *request)
{
    struct node *node = request_state(request)->node;
    request->ret_leader = node->meta_group ? node->meta_group->leader : 0;
    request->ret_term = node->meta_group ? node->meta_group->term : 0;
    if (request->type == NODE_REQUEST_TOPIC_GET) {
        struct meta_topic *topic = NULL;
        if (!meta_topic_get(&node->meta, request->topic, &topic)) {
            request__finish(request, NODE_TOPIC_NOT_FOUND,
                            "no topic \"%s\"; see `raftmq topic list`", request->topic);
            return;
        }
        request->ret_topics = topic_info__make(node, topic);
        request->ret_topics_count = 1;
        free(topic);
        request__finish(request, NODE_OK, NULL);
        return;
    }
    struct topic_list list = {.node = node, .capacity = meta_topics_count(&node->meta)};
    list.topics = calloc(list.capacity ? list.capacity : 1u, sizeof(*list.topics));
    if (!list.topics) abort();
    meta_topics_visit(&node->meta, add_topic, &list);
    request->ret_topics = list.topics;
    request->ret_topics_count = list.count;
    request__finish(request, NODE_OK, NULL);
}

bool node_topic_partitions(struct node *node, const char *topic, uint32_t *ret_partitions_count,
                           uint32_t *ret_message_bytes_max)
{
    struct meta_partition partition;
    struct meta_settings settings;
    if (!meta_partition_get(&node->meta, topic, 0, &partition, &settings, ret_partitions_count)) {
        return false;
    }
    *ret_message_bytes_max = settings.message_bytes_max;
    return true;
}
