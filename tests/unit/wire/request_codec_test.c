/* Proxied requests and answers: everything a node needs comes over, the batch and the entries are not copied, and no bytes
 * harm the receiver. */
#include <broker/request_codec.h>

#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

/* node_request.h's own functions live in the node; the codec needs none of them. */
static void free_topics(struct node_request *request)
{
    for (uint32_t i = 0; i < request->ret_topics_count; i++) {
        free(request->ret_topics[i].partitions);
    }
    free(request->ret_topics);
    free(request->ret_offsets);
    free(request->ret_changes);
}

static struct node_request full_request(enum node_request_type type)
{
    struct node_request request;
    memset(&request, 0, sizeof(request));
    request.type = type;
    request.timeout_ms = 1234;
    request.topic = "orders.v1";
    request.partition = 7;
    request.auto_create = true;
    request.fetch.from = NODE_FROM_TIME;
    request.fetch.value = 0x1122334455667788;
    request.fetch.bytes_max = 1u << 20;
    request.fetch.wait_ms = 30000;
    request.create.settings = (struct meta_settings){.message_bytes_max = 4096,
                                                     .retention_ms = -1,
                                                     .retention_bytes = 1ll << 40,
                                                     .local_reads = true};
    request.create.partitions_count = 12;
    request.create.replicas_count = 3;
    request.group.group = "billing";
    request.group.offset = 99;
    request.group.generation = -1;
    request.group.metadata = (const uint8_t *)"\x00\x01meta";
    request.group.metadata_bytes = 6;
    request.group.has_if_offset = true;
    request.group.if_offset = 98;
    request.node.id = 4;
    request.node.with = 5;
    request.node.peer_address = "n5.example:7071";
    request.place.nodes_count = 2;
    request.place.nodes[0] = 5;
    request.place.nodes[1] = 6;
    request.transfer.meta = true;
    request.transfer.from = 8;
    request.transfer.to = 7;
    return request;
}

/* Body = encoded head + batch, in memory of exactly that size. */
static uint8_t *make_body(const struct node_request *request, size_t *ret_bytes)
{
    uint8_t head[REQUEST_CODEC_BYTES_MAX];
    size_t head_bytes = request_codec_encode(4711, request, head, sizeof(head));
    cr_assert_neq(head_bytes, 0);
    cr_assert_eq(head_bytes % 8, 0);
    size_t batch_bytes = request->type == NODE_REQUEST_PRODUCE ? request->produce.bytes : 0;
    uint8_t *body = malloc(head_bytes + batch_bytes);
    memcpy(body, head, head_bytes);
    if (batch_bytes > 0) memcpy(body + head_bytes, request->produce.batch, batch_bytes);
    *ret_bytes = head_bytes + batch_bytes;
    return body;
}

Test(request_codec, every_input_field_of_every_type_comes_over)
{
    uint8_t batch[77];
    memset(batch, 0xbb, sizeof(batch));
    for (int type = NODE_REQUEST_PRODUCE; type <= NODE_REQUEST_TOPIC_SET; type++) {
        struct node_request request = full_request((enum node_request_type)type);
        if (type == NODE_REQUEST_PRODUCE) {
            request.produce.batch = batch;
            request.produce.bytes = sizeof(batch);
        }
        size_t bytes;
        uint8_t *body = make_body(&request, &bytes);
        static struct request_codec_decoded decoded;
        cr_assert(request_codec_decode(body, bytes, &decoded), "type %d", type);
        const struct node_request *got = &decoded.request;
        cr_assert_eq(decoded.number, 4711);
        cr_assert_eq(got->type, (enum node_request_type)type);
        cr_assert_eq(got->timeout_ms, 1234);
        cr_assert_str_eq(got->topic, "orders.v1");
        cr_assert_eq(got->topic, decoded.topic, "it does not point into the frame");
        cr_assert_eq(got->partition, 7);
        cr_assert(got->auto_create);
        cr_assert(got->from_peer, "never proxied again");
        cr_assert_not(got->redirect);
        cr_assert_eq(got->fetch.from, NODE_FROM_TIME);
        cr_assert_eq(got->fetch.value, 0x1122334455667788);
        cr_assert_eq(got->fetch.bytes_max, 1u << 20);
        cr_assert_eq(got->fetch.wait_ms, 30000);
        cr_assert_eq(got->create.settings.message_bytes_max, 4096);
        cr_assert_eq(got->create.settings.retention_ms, -1);
        cr_assert_eq(got->create.settings.retention_bytes, 1ll << 40);
        cr_assert(got->create.settings.local_reads);
        cr_assert_eq(got->create.partitions_count, 12);
        cr_assert_eq(got->create.replicas_count, 3);
        cr_assert_str_eq(got->group.group, "billing");
        cr_assert_eq(got->group.offset, 99);
        cr_assert_eq(got->group.generation, -1);
        cr_assert_eq(got->group.metadata_bytes, 6);
        cr_assert_eq(memcmp(got->group.metadata, "\x00\x01meta", 6), 0);
        cr_assert(got->group.has_if_offset);
        cr_assert_eq(got->group.if_offset, 98);
        cr_assert_eq(got->node.id, 4);
        cr_assert_eq(got->node.with, 5);
        cr_assert_str_eq(got->node.peer_address, "n5.example:7071");
        cr_assert_eq(got->place.nodes_count, 2);
        cr_assert_eq(got->place.nodes[0], 5);
        cr_assert_eq(got->place.nodes[1], 6);
        cr_assert_eq(got->place.nodes[2], 0);
        cr_assert(got->transfer.meta);
        cr_assert_eq(got->transfer.from, 8);
        cr_assert_eq(got->transfer.to, 7);
        if (type == NODE_REQUEST_PRODUCE) {
            cr_assert_eq(decoded.batch_bytes, sizeof(batch));
            cr_assert_eq(decoded.batch, body + bytes - sizeof(batch), "not copied");
        } else {
            cr_assert_null(decoded.batch);
        }
        free(body);
    }
}

Test(request_codec, what_is_not_given_stays_not_given)
{
    struct node_request request;
    memset(&request, 0, sizeof(request));
    request.type = NODE_REQUEST_TOPIC_LIST;
    size_t bytes;
    uint8_t *body = make_body(&request, &bytes);
    static struct request_codec_decoded decoded;
    cr_assert(request_codec_decode(body, bytes, &decoded));
    cr_assert_null(decoded.request.topic);
    cr_assert_null(decoded.request.group.group);
    cr_assert_null(decoded.request.group.metadata);
    cr_assert_null(decoded.request.node.peer_address);
    free(body);
    request.topic = "";
    body = make_body(&request, &bytes);
    cr_assert(request_codec_decode(body, bytes, &decoded));
    cr_assert_str_eq(decoded.request.topic, "", "an empty name is a (wrong) name");
    free(body);
}

/* The node takes a name for given in a request that needs one. */
Test(request_codec, a_request_that_lacks_what_its_type_needs_is_refused)
{
    static const bool needs_topic[NODE_REQUEST_TYPES_MAX] = {
        [NODE_REQUEST_PRODUCE] = true,      [NODE_REQUEST_FETCH] = true,
        [NODE_REQUEST_OFFSETS] = true,      [NODE_REQUEST_TOPIC_CREATE] = true,
        [NODE_REQUEST_TOPIC_DELETE] = true, [NODE_REQUEST_TOPIC_GET] = true,
        [NODE_REQUEST_TOPIC_SET] = true,    [NODE_REQUEST_GROUP_COMMIT] = true,
        [NODE_REQUEST_GROUP_FETCH] = true,  [NODE_REQUEST_GROUP_LIST] = true,
        [NODE_REQUEST_PLACE] = true,        [NODE_REQUEST_TRANSFER] = true,
    };
    static const bool needs_group[NODE_REQUEST_TYPES_MAX] = {
        [NODE_REQUEST_GROUP_COMMIT] = true,
        [NODE_REQUEST_GROUP_FETCH] = true,
    };
    static struct request_codec_decoded decoded;
    for (unsigned type = NODE_REQUEST_PRODUCE; type <= NODE_REQUEST_TOPIC_SET; type++) {
        for (unsigned given = 0; given < 4; given++) {
            struct node_request request = {.type = (enum node_request_type)type};
            request.topic = given & 1u ? "orders" : NULL;
            request.group.group = given & 2u ? "billing" : NULL;
            const bool lacks = (needs_topic[type] && !request.topic) ||
                               (needs_group[type] && !request.group.group);
            size_t bytes;
            uint8_t *body = make_body(&request, &bytes);
            cr_assert_eq(request_codec_decode(body, bytes, &decoded), !lacks, "type %u, given %u",
                         type, given);
            free(body);
        }
    }
}

Test(request_codec, a_transfer_names_a_topic_or_meta_or_a_node)
{
    static struct request_codec_decoded decoded;
    struct node_request request = {.type = NODE_REQUEST_TRANSFER};
    for (int way = 0; way < 2; way++) {
        request.transfer.meta = way == 0;
        request.transfer.from = way == 0 ? 0 : 3;
        size_t bytes;
        uint8_t *body = make_body(&request, &bytes);
        cr_assert(request_codec_decode(body, bytes, &decoded));
        free(body);
    }
}

Test(request_codec, the_largest_request_fits)
{
    char name[META_TOPIC_NAME_BYTES_MAX + 1];
    memset(name, 'n', sizeof(name) - 1);
    name[sizeof(name) - 1] = '\0';
    uint8_t metadata[PARTITION_METADATA_BYTES_MAX] = {0};
    struct node_request request = full_request(NODE_REQUEST_GROUP_COMMIT);
    request.topic = name;
    request.group.group = name;
    request.group.metadata = metadata;
    request.group.metadata_bytes = sizeof(metadata);
    char address[META_ADDRESS_BYTES_MAX];
    memset(address, 'a', sizeof(address) - 1);
    address[sizeof(address) - 1] = '\0';
    request.node.peer_address = address;
    size_t bytes;
    uint8_t *body = make_body(&request, &bytes);
    cr_assert_leq(bytes, REQUEST_CODEC_BYTES_MAX);
    static struct request_codec_decoded decoded;
    cr_assert(request_codec_decode(body, bytes, &decoded));
    cr_assert_str_eq(decoded.request.group.group, name);
    free(body);
}

Test(request_codec, what_no_node_accepts_is_not_sent)
{
    char name[META_TOPIC_NAME_BYTES_MAX + 2];
    memset(name, 'n', sizeof(name) - 1);
    name[sizeof(name) - 1] = '\0';
    uint8_t buffer[REQUEST_CODEC_BYTES_MAX];
    struct node_request request = full_request(NODE_REQUEST_GROUP_FETCH);
    request.topic = name;
    cr_assert_eq(request_codec_encode(1, &request, buffer, sizeof(buffer)), 0);
    request.topic = "two\nlines";
    cr_assert_eq(request_codec_encode(1, &request, buffer, sizeof(buffer)), 0);
    request.topic = "t";
    request.group.group = name;
    cr_assert_eq(request_codec_encode(1, &request, buffer, sizeof(buffer)), 0);
    request.group.group = "g";
    request.group.metadata_bytes = PARTITION_METADATA_BYTES_MAX + 1;
    cr_assert_eq(request_codec_encode(1, &request, buffer, sizeof(buffer)), 0);
    request.group.metadata_bytes = 0;
    cr_assert_neq(request_codec_encode(1, &request, buffer, sizeof(buffer)), 0);
    request.place.nodes_count = META_REPLICAS_MAX + 1;
    cr_assert_eq(request_codec_encode(1, &request, buffer, sizeof(buffer)), 0);
    request.place.nodes_count = 0;
    request.node.peer_address = "host:1\n";
    cr_assert_eq(request_codec_encode(1, &request, buffer, sizeof(buffer)), 0);
}

Test(request_codec, every_truncation_and_every_tail_is_refused)
{
    uint8_t batch[20] = {0};
    struct node_request request = full_request(NODE_REQUEST_PRODUCE);
    request.produce.batch = batch;
    request.produce.bytes = sizeof(batch);
    size_t bytes;
    uint8_t *body = make_body(&request, &bytes);
    static struct request_codec_decoded decoded;
    for (size_t cut = 0; cut <= bytes + 3; cut++) {
        if (cut == bytes) continue;
        uint8_t *exact = calloc(1, cut ? cut : 1);
        memcpy(exact, body, cut < bytes ? cut : bytes);
        cr_assert_not(request_codec_decode(exact, cut, &decoded), "cut at %zu", cut);
        free(exact);
    }
    free(body);
}

Test(request_codec, damaged_requests_are_harmless)
{
    srand(21);
    uint8_t batch[20] = {0};
    struct node_request request = full_request(NODE_REQUEST_PRODUCE);
    request.produce.batch = batch;
    request.produce.bytes = sizeof(batch);
    size_t bytes;
    uint8_t *body = make_body(&request, &bytes);
    uint8_t *damaged = malloc(bytes);
    static struct request_codec_decoded decoded;
    for (int round = 0; round < 50000; round++) {
        memcpy(damaged, body, bytes);
        for (int i = rand() % 5; i >= 0; i--) {
            damaged[(size_t)rand() % bytes] = (uint8_t)(rand() % 2 ? rand() : rand() % 8);
        }
        if (!request_codec_decode(damaged, bytes, &decoded)) continue;
        cr_assert_leq(decoded.request.type, NODE_REQUEST_TOPIC_SET);
        cr_assert_leq(decoded.request.place.nodes_count, META_REPLICAS_MAX);
        cr_assert_lt(strlen(decoded.peer_address), META_ADDRESS_BYTES_MAX);
        cr_assert_leq(decoded.request.fetch.from, NODE_FROM_MESSAGE);
        cr_assert_leq(decoded.batch_bytes, bytes);
        cr_assert_leq(strlen(decoded.topic), META_TOPIC_NAME_BYTES_MAX);
        cr_assert_leq(decoded.request.group.metadata_bytes, PARTITION_METADATA_BYTES_MAX);
    }
    free(damaged);
    free(body);
}

/* ---- responses ------------------------------------------------------------------------------------------------- */

static struct node_change changes[2];

static struct node_request full_response(struct node_topic_info *topics,
                                         struct node_partition_info *partitions,
                                         struct partition_offset *offsets)
{
    struct node_request response;
    memset(&response, 0, sizeof(response));
    response.status = NODE_OVERLOADED;
    strcpy(response.detail, "16 MiB are in flight\nof 16");
    response.retry_after_ms = 50;
    response.ret_leader = 2;
    response.ret_term = 9;
    response.ret_offset = 1000;
    response.ret_count = 3;
    response.ret_timestamp_ms = -5;
    response.ret_duplicate = true;
    response.ret_created = true;
    response.ret_first_offset = 10;
    response.ret_next_offset = 20;
    response.ret_high_watermark = 19;
    response.ret_local_lag = 4;
    response.ret_fetch_offset = 12;
    response.ret_producer_id = -1;
    response.ret_producer_epoch = -2;

    memset(topics, 0, 2 * sizeof(*topics));
    memset(partitions, 0, 3 * sizeof(*partitions));
    strcpy(topics[0].name, "orders");
    topics[0].created_index = 5;
    topics[0].created_ms = 1700000000000;
    topics[0].settings.retention_ms = 3600000;
    topics[0].partitions_count = 3;
    topics[0].partitions = partitions;
    strcpy(topics[1].name, "empty");
    for (uint32_t i = 0; i < 3; i++) {
        partitions[i].number = i;
        partitions[i].group = 100 + i;
        partitions[i].leader = i;
        partitions[i].offsets_known = i == 1;
        partitions[i].progress_known = i == 2;
        partitions[i].next_offset = 1u << i;
        partitions[i].replicas_count = i * 3;
        for (uint32_t k = 0; k < i * 3; k++) {
            partitions[i].replicas[k] = (struct meta_replica){.node_id = k + 1, .epoch = k * 2};
            partitions[i].progress[k].match = 50 + k;
            partitions[i].progress[k].lag = UINT64_MAX;
        }
    }
    response.ret_topics = topics;
    response.ret_topics_count = 2;

    memset(offsets, 0, 2 * sizeof(*offsets));
    strcpy(offsets[0].group, "billing");
    offsets[0].offset = 77;
    offsets[0].generation = -1;
    offsets[0].metadata_bytes = PARTITION_METADATA_BYTES_MAX;
    memset(offsets[0].metadata, 3, PARTITION_METADATA_BYTES_MAX);
    strcpy(offsets[1].group, "audit");
    offsets[1].timestamp_ms = 88;
    response.ret_offsets = offsets;
    response.ret_offsets_count = 2;

    memset(changes, 0, sizeof(changes));
    changes[0] = (struct node_change){.meta = true, .leader = 2, .state = NODE_CHANGE_RECORDING};
    changes[1].group = 100;
    strcpy(changes[1].topic, "orders");
    changes[1].partition = 9;
    changes[1].leader = 3;
    changes[1].last_index = 5000;
    changes[1].state = NODE_CHANGE_COPYING;
    strcpy(changes[1].blocked, "n4 is not connected");
    changes[1].members_count = NODE_CHANGE_MEMBERS_MAX;
    for (uint32_t i = 0; i < NODE_CHANGE_MEMBERS_MAX; i++) {
        changes[1].members[i].node_id = i + 1;
        changes[1].members[i].epoch = 70 + i;
        changes[1].members[i].role = (enum node_change_role)(i % 3);
        changes[1].members[i].wished = i % 2;
        changes[1].members[i].connected = i % 4 < 2;
        changes[1].members[i].match_known = i % 5 == 0;
        changes[1].members[i].match = 4000 + i;
    }
    response.ret_changes = changes;
    response.ret_changes_count = 2;
    return response;
}

static struct node_topic_info topics[2];
static struct node_partition_info partitions[3];
static struct partition_offset offsets[2];

/* A response with `entries_bytes` of entries behind it, in memory of exactly that size. */
static uint8_t *make_response(struct node_request *response, size_t entries_bytes,
                              size_t *ret_bytes)
{
    response->ret_view.first_index = 300;
    response->ret_view.last_index = 304;
    response->ret_view.bytes_total = entries_bytes;
    size_t head_bytes = response_codec_encode(815, response, NULL, 0);
    cr_assert_neq(head_bytes, 0);
    cr_assert_eq(head_bytes % 8, 0, "the entries stay aligned");
    uint8_t *body = malloc(head_bytes + entries_bytes);
    cr_assert_eq(response_codec_encode(815, response, body, head_bytes), head_bytes);
    memset(body + head_bytes, 0xee, entries_bytes);
    *ret_bytes = head_bytes + entries_bytes;
    return body;
}

Test(response_codec, every_output_field_comes_over)
{
    struct node_request response = full_response(topics, partitions, offsets);
    size_t bytes;
    uint8_t *body = make_response(&response, 160, &bytes);
    uint64_t number;
    cr_assert(response_codec_decode_number(body, bytes, &number));
    cr_assert_eq(number, 815);

    struct node_request got;
    memset(&got, 0, sizeof(got));
    got.type = NODE_REQUEST_FETCH;
    got.topic = "mine";
    struct response_codec_view view;
    cr_assert(response_codec_decode(body, bytes, &got, &view));
    cr_assert_eq(got.type, NODE_REQUEST_FETCH, "input fields stay");
    cr_assert_str_eq(got.topic, "mine");
    cr_assert_eq(got.status, NODE_OVERLOADED);
    cr_assert_str_eq(got.detail, "16 MiB are in flight of 16");
    cr_assert_eq(got.retry_after_ms, 50);
    cr_assert_eq(got.ret_leader, 2);
    cr_assert_eq(got.ret_term, 9);
    cr_assert_eq(got.ret_offset, 1000);
    cr_assert_eq(got.ret_count, 3);
    cr_assert_eq(got.ret_timestamp_ms, -5);
    cr_assert(got.ret_duplicate);
    cr_assert(got.ret_created);
    cr_assert_eq(got.ret_first_offset, 10);
    cr_assert_eq(got.ret_next_offset, 20);
    cr_assert_eq(got.ret_high_watermark, 19);
    cr_assert_eq(got.ret_local_lag, 4);
    cr_assert_eq(got.ret_fetch_offset, 12);
    cr_assert_eq(got.ret_producer_id, -1);
    cr_assert_eq(got.ret_producer_epoch, -2);
    cr_assert_eq(view.first_index, 300);
    cr_assert_eq(view.last_index, 304);
    cr_assert_eq(view.bytes_count, 160);
    cr_assert_eq(view.bytes, body + bytes - 160, "not copied");
    cr_assert_eq(got.ret_view.parts_count, 0);

    cr_assert_eq(got.ret_topics_count, 2);
    cr_assert_str_eq(got.ret_topics[0].name, "orders");
    cr_assert_eq(got.ret_topics[0].created_index, 5);
    cr_assert_eq(got.ret_topics[0].created_ms, 1700000000000);
    cr_assert_eq(got.ret_topics[0].settings.retention_ms, 3600000);
    cr_assert_eq(got.ret_topics[0].partitions_count, 3);
    cr_assert_eq(memcmp(got.ret_topics[0].partitions, partitions, sizeof(partitions)), 0);
    cr_assert_eq(got.ret_topics[1].partitions_count, 0);
    cr_assert_eq(got.ret_offsets_count, 2);
    cr_assert_eq(memcmp(got.ret_offsets, offsets, sizeof(offsets)), 0);
    cr_assert_eq(got.ret_changes_count, 2);
    cr_assert_eq(memcmp(got.ret_changes, changes, sizeof(changes)), 0);
    free_topics(&got);
    free(body);
}

Test(response_codec, every_status_comes_over_and_others_do_not)
{
    struct node_request response;
    memset(&response, 0, sizeof(response));
    uint8_t body[256];
    for (int status = NODE_OK; status <= NODE_NOT_TRANSFERRED + 1; status++) {
        response.status = (enum node_status)status;
        size_t bytes = response_codec_encode(1, &response, body, sizeof(body));
        struct node_request got;
        memset(&got, 0, sizeof(got));
        struct response_codec_view view;
        bool is_known = status <= NODE_NOT_TRANSFERRED;
        cr_assert_eq(response_codec_decode(body, bytes, &got, &view), is_known);
        if (is_known) cr_assert_eq(got.status, (enum node_status)status);
        cr_assert(!is_known || !view.bytes);
    }
}

Test(response_codec, every_truncation_is_refused_and_leaks_nothing)
{
    struct node_request response = full_response(topics, partitions, offsets);
    size_t bytes;
    uint8_t *body = make_response(&response, 16, &bytes);
    for (size_t cut = 0; cut < bytes; cut++) {
        uint8_t *exact = malloc(cut ? cut : 1);
        memcpy(exact, body, cut);
        struct node_request got;
        memset(&got, 0, sizeof(got));
        struct response_codec_view view;
        cr_assert_not(response_codec_decode(exact, cut, &got, &view));
        cr_assert_null(got.ret_topics);
        cr_assert_null(got.ret_offsets);
        cr_assert_null(got.ret_changes);
        free(exact);
    }
    free(body);
}

Test(response_codec, damaged_responses_are_harmless)
{
    srand(22);
    struct node_request response = full_response(topics, partitions, offsets);
    offsets[0].metadata_bytes = 9;
    size_t bytes;
    uint8_t *body = make_response(&response, 16, &bytes);
    uint8_t *damaged = malloc(bytes);
    for (int round = 0; round < 50000; round++) {
        memcpy(damaged, body, bytes);
        for (int i = rand() % 5; i >= 0; i--) {
            damaged[(size_t)rand() % bytes] = (uint8_t)(rand() % 2 ? rand() : rand() % 8);
        }
        struct node_request got;
        memset(&got, 0, sizeof(got));
        struct response_codec_view view;
        uint64_t number;
        (void)response_codec_decode_number(damaged, bytes, &number);
        if (!response_codec_decode(damaged, bytes, &got, &view)) continue;
        cr_assert_leq(got.ret_topics_count, META_TOPICS_MAX);
        for (uint32_t i = 0; i < got.ret_changes_count; i++) {
            cr_assert_leq(got.ret_changes[i].members_count, NODE_CHANGE_MEMBERS_MAX);
        }
        for (uint32_t i = 0; i < got.ret_topics_count; i++) {
            for (uint32_t k = 0; k < got.ret_topics[i].partitions_count; k++) {
                cr_assert_leq(got.ret_topics[i].partitions[k].replicas_count, META_REPLICAS_MAX);
            }
        }
        free_topics(&got);
    }
    free(damaged);
    free(body);
}

/* Goal: a frame of 20 MiB cannot make the receiver allocate gigabytes. Method: the largest counts that a body of this size
 * could hold, with everything else zero. */
Test(response_codec, counts_above_the_bounds_are_refused)
{
    struct node_request response;
    memset(&response, 0, sizeof(response));
    size_t bytes = 20u << 20;
    uint8_t *body = calloc(1, bytes);
    cr_assert_gt(response_codec_encode(1, &response, body, bytes), 0);
    static const uint32_t counts[] = {RESPONSE_CODEC_OFFSETS_MAX + 1, 500000, UINT32_MAX};
    for (size_t i = 0; i < 3; i++) {
        for (size_t at = 124; at <= 132; at += 4) { /* topics, offsets, changes */
            memcpy(body + at, &counts[i], 4);
            struct node_request got;
            memset(&got, 0, sizeof(got));
            struct response_codec_view view;
            cr_assert_not(response_codec_decode(body, bytes, &got, &view));
            memset(body + at, 0, 4);
        }
    }
    free(body);
}

Test(response_codec, an_answer_that_is_too_large_is_not_encoded)
{
    struct node_request response;
    memset(&response, 0, sizeof(response));
    response.ret_offsets_count = RESPONSE_CODEC_OFFSETS_MAX + 1;
    cr_assert_eq(response_codec_encode(1, &response, NULL, 0), 0);
    response.ret_offsets_count = 0;
    response.ret_changes_count = RESPONSE_CODEC_CHANGES_MAX + 1;
    cr_assert_eq(response_codec_encode(1, &response, NULL, 0), 0);
    response.ret_changes_count = 0;
    struct node_topic_info *many = calloc(257, sizeof(*many));
    for (int i = 0; i < 257; i++) {
        many[i].partitions_count = META_PARTITIONS_MAX;
    }
    response.ret_topics = many;
    response.ret_topics_count = 257;
    cr_assert_eq(response_codec_encode(1, &response, NULL, 0), 0, "65,792 partitions");
    free(many);
}

/* ---- reports ---------------------------------------------------------------------------------------------------- */

Test(change_report, every_field_comes_over_and_no_part_of_it_does)
{
    struct node_request response = full_response(topics, partitions, offsets);
    struct change_report report = {.configuration_index = 7, .wish_index = 8};
    report.change = response.ret_changes[1];
    uint8_t body[CHANGE_REPORT_BYTES_MAX];
    const size_t bytes = change_report_encode(&report, body, sizeof(body));
    cr_assert_leq(bytes, sizeof(body), "the largest");
    static struct change_report got;
    cr_assert(change_report_decode(body, bytes, &got));
    cr_assert_eq(got.configuration_index, 7);
    cr_assert_eq(got.wish_index, 8);
    cr_assert_eq(memcmp(&got.change, &report.change, sizeof(got.change)), 0);
    for (size_t cut = 0; cut < bytes; cut++) {
        uint8_t *exact = malloc(cut ? cut : 1);
        memcpy(exact, body, cut);
        cr_assert_not(change_report_decode(exact, cut, &got), "cut at %zu", cut);
        free(exact);
    }
    body[bytes] = 0;
    cr_assert_not(change_report_decode(body, bytes + 1, &got));
}

Test(change_report, damaged_reports_are_harmless)
{
    srand(23);
    struct node_request response = full_response(topics, partitions, offsets);
    struct change_report report = {.configuration_index = 7, .wish_index = 8};
    report.change = response.ret_changes[1];
    uint8_t body[CHANGE_REPORT_BYTES_MAX];
    uint8_t damaged[CHANGE_REPORT_BYTES_MAX];
    const size_t bytes = change_report_encode(&report, body, sizeof(body));
    static struct change_report got;
    for (int round = 0; round < 20000; round++) {
        memcpy(damaged, body, bytes);
        for (int i = rand() % 5; i >= 0; i--) {
            damaged[(size_t)rand() % bytes] = (uint8_t)(rand() % 2 ? rand() : rand() % 8);
        }
        if (!change_report_decode(damaged, bytes, &got)) continue;
        cr_assert_leq(got.change.members_count, NODE_CHANGE_MEMBERS_MAX);
        cr_assert_leq((int)got.change.state, NODE_CHANGE_RECORDING);
        cr_assert_lt(strlen(got.change.topic), sizeof(got.change.topic));
        cr_assert_lt(strlen(got.change.blocked), sizeof(got.change.blocked));
    }
}
