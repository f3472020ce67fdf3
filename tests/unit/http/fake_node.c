#include "fake_node.h"

#include <segment_log/entry.h>

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void node_submit(struct node *node, struct node_request *request)
{
    assert(node->requests_count < FAKE_REQUESTS_MAX);
    for (size_t i = 0; i < sizeof request->node_private / sizeof request->node_private[0]; i++) {
        assert(request->node_private[i] == 0); /* the contract: zero before submit */
    }
    node->requests[node->requests_count++] = request;
    node->submitted_total++;
}

static struct node_request *take(struct node *node, int index)
{
    assert(index < node->requests_count);
    struct node_request *request = node->requests[index];
    node->requests_count--;
    memmove(&node->requests[index], &node->requests[index + 1],
            (size_t)(node->requests_count - index) * sizeof node->requests[0]);
    return request;
}

void node_cancel(struct node *node, struct node_request *request)
{
    int index = 0;
    while (index < node->requests_count && node->requests[index] != request)
        index++;
    take(node, index);
    node->cancelled_total++;
}

void fake_node_answer_at(struct node *node, int index, enum node_status status)
{
    struct node_request *request = take(node, index);
    request->status = status;
    request->node_private[0] = 1; /* the node leaves traces */
    request->done(request);
}

void fake_node_answer(struct node *node, enum node_status status)
{
    fake_node_answer_at(node, 0, status);
}

bool node_topic_partitions(struct node *node, const char *topic, uint32_t *ret_partitions_count,
                           uint32_t *ret_message_bytes_max)
{
    (void)topic;
    if (node->partitions_count == 0) return false;
    *ret_partitions_count = node->partitions_count;
    *ret_message_bytes_max = node->message_bytes_max;
    return true;
}

const char *node_status_text(enum node_status status)
{
    switch (status) {
#define X(name, text) \
    case name:        \
        return text;
        NODE_STATUSES(X)
#undef X
    }
    return "";
}

const char *node_change_state_text(enum node_change_state state)
{
    switch (state) {
#define X(name, text) \
    case name:        \
        return text;
        NODE_CHANGE_STATES(X)
#undef X
    }
    return "";
}

void node_topics_free(struct node_topic_info *topics, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++)
        free(topics[i].partitions);
    free(topics);
}

void node_cluster_status(struct node *node, struct node_cluster_status *ret_status)
{
    *ret_status = node->status;
}

bool node_is_ready(struct node *node, char *why, size_t why_bytes)
{
    snprintf(why, why_bytes, node->ready ? "[+]leader known\n" : "[-]catching up\n");
    return node->ready;
}

char *node_metrics_text(struct node *node, size_t *ret_bytes)
{
    (void)node;
    char *text = strdup("raftmq_fake 1\n");
    *ret_bytes = strlen(text);
    return text;
}

uint32_t node_groups_status(struct node *node, struct node_group_status *ret_groups, uint32_t max)
{
    assert(max > 0);
    ret_groups[0] = node->group;
    return 1;
}

uint32_t node_scrub(struct node *node, const char *topic)
{
    node->scrubs_count++;
    return topic && strcmp(topic, node->scrub.topic) != 0 ? 0 : 1;
}

uint32_t node_scrub_status(struct node *node, struct node_scrub_status *ret_logs, uint32_t max)
{
    assert(max > 0);
    ret_logs[0] = node->scrub;
    return 1;
}

/* ---- views ---------------------------------------------------------------------------------------------------- */

static void store_u32(uint8_t *at, uint32_t value)
{
    for (int i = 0; i < 4; i++)
        at[i] = (uint8_t)(value >> (8 * i));
}

static void store_u64(uint8_t *at, uint64_t value)
{
    for (int i = 0; i < 8; i++)
        at[i] = (uint8_t)(value >> (8 * i));
}

size_t fake_entry(uint8_t *buffer, uint8_t type, uint64_t index, uint64_t base_offset,
                  uint32_t records_count, const uint8_t *payload, uint32_t payload_bytes)
{
    size_t whole = entry_bytes(payload_bytes);
    memset(buffer, 0, whole);
    memcpy(buffer, "RMQE", 4);
    buffer[4] = type;
    buffer[5] = 1;
    buffer[6] = ENTRY_HEADER_BYTES;
    store_u32(buffer + 16, payload_bytes);
    store_u32(buffer + 20, records_count);
    store_u64(buffer + 24, index);
    store_u64(buffer + 40, base_offset);
    if (payload_bytes) memcpy(buffer + ENTRY_HEADER_BYTES, payload, payload_bytes);
    return whole;
}

/* Stands in for the log's: a view of the fake names its node where the log names a chunk. */
void segment_log_view_release(struct segment_log_view *view)
{
    for (uint32_t i = 0; i < view->parts_count; i++) {
        struct node *node = (struct node *)(void *)view->parts[i].chunk;
        if (node) node->views_released++;
    }
    *view = (struct segment_log_view){0};
}

struct segment_log_view fake_view(struct node *node, const uint8_t *bytes, size_t bytes_count)
{
    struct segment_log_view view = {.parts_count = 1, .bytes_total = bytes_count};
    view.parts[0].bytes = bytes;
    view.parts[0].bytes_count = bytes_count;
    view.parts[0].chunk = (struct segment_log_chunk *)(void *)node;
    return view;
}
