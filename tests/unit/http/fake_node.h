/* A node that keeps what is submitted until the test answers it. */
#ifndef TEST_HTTP_FAKE_NODE_H
#define TEST_HTTP_FAKE_NODE_H

#include <broker/node_request.h>

#define FAKE_REQUESTS_MAX 64

struct node {
    struct node_request *requests[FAKE_REQUESTS_MAX]; /* submitted, in order, not answered */
    int requests_count;
    int submitted_total;
    int cancelled_total;
    uint32_t partitions_count; /* of every topic; 0: topics are unknown here */
    uint32_t message_bytes_max;
    bool ready;
    struct node_cluster_status status;
    struct node_group_status group;
    struct node_scrub_status scrub;
    int scrubs_count;
    int views_released;
};

/* Answer the oldest request with what it holds by now. */
void fake_node_answer(struct node *node, enum node_status status);
void fake_node_answer_at(struct node *node, int index, enum node_status status);

/* A view over entries built from payloads; bytes stay the caller's. Every release is counted by the fake. */
size_t fake_entry(uint8_t *buffer, uint8_t type, uint64_t index, uint64_t base_offset,
                  uint32_t records_count, const uint8_t *payload, uint32_t payload_bytes);
struct segment_log_view fake_view(struct node *node, const uint8_t *bytes, size_t bytes_count);

#endif
