/* Goal: every endpoint asks the node for the right thing and says what it answered, byte for byte. */
#include "fixture.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static struct node_request *send_request(struct fixture *fixture, struct fake_stream *stream,
                                         const char *method, const char *path, const char *body)
{
    char text[2048];
    snprintf(text, sizeof text, "%s %s HTTP/1.1\r\nHost: a\r\nContent-Length: %zu\r\n\r\n%s",
             method, path, strlen(body), body);
    fixture_send(fixture, stream, text);
    return fixture->node.requests_count ? fixture->node.requests[0] : NULL;
}

static void answer(struct fixture *fixture, enum node_status status)
{
    fake_node_answer(&fixture->node, status);
    fake_io_run(&fixture->io);
}

static struct node_topic_info *make_topic(bool detailed)
{
    struct node_topic_info *topic = calloc(1, sizeof *topic);
    strcpy(topic->name, "orders");
    topic->created_ms = 1767225600000;
    topic->settings = (struct meta_settings){
        .message_bytes_max = 1048576, .retention_ms = 604800000, .retention_bytes = -1};
    topic->partitions_count = 1;
    topic->partitions = calloc(1, sizeof *topic->partitions);
    struct node_partition_info *partition = topic->partitions;
    partition->group = 5;
    partition->leader = 2;
    partition->term = 7;
    partition->replicas_count = 2;
    partition->replicas[0].node_id = 1;
    partition->replicas[1].node_id = 2;
    if (detailed) {
        partition->offsets_known = partition->progress_known = true;
        partition->next_offset = 120345;
        partition->commit_index = 200;
        partition->progress[0].match = 200;
        partition->progress[1].lag = UINT64_MAX;
    }
    return topic;
}

#define TOPIC                                                                                      \
    "{\"name\":\"orders\",\"partitions\":1,\"replicas\":2,\"retention_ms\":604800000,\"retention_" \
    "bytes\":null,\"retain_until_consumed\":false,"                                                \
    "\"max_message_bytes\":1048576,\"consistency\":\"linearizable\",\"created\":\"2026-01-01T00:"  \
    "00:00.000Z\""

Test(http_routes, topics_are_created_described_listed_and_deleted)
{
    struct fixture fixture;
    struct reply reply;
    fixture_open(&fixture, NULL);
    struct fake_stream *stream = fixture_connect(&fixture);
    struct node_request *request = send_request(
        &fixture, stream, "PUT", "/v1/topics/orders",
        "{\"partitions\":4,\"replicas\":3,\"retention\":\"7d\",\"retention_bytes\":\"10G\","
        "\"max_message_bytes\":65536,\"consistency\":\"local\"}");
    cr_assert_eq(request->type, NODE_REQUEST_TOPIC_CREATE);
    cr_assert_str_eq(request->topic, "orders");
    cr_assert_eq(request->create.partitions_count, 4);
    cr_assert_eq(request->create.replicas_count, 3);
    cr_assert_eq(request->create.settings.retention_ms, 604800000);
    cr_assert_eq(request->create.settings.retention_bytes, 10737418240);
    cr_assert_eq(request->create.settings.message_bytes_max, 65536);
    cr_assert(request->create.settings.local_reads);
    request->ret_created = true;
    request->ret_topics = make_topic(false);
    request->ret_topics_count = 1;
    answer(&fixture, NODE_OK);
    fixture_expect(stream, 201, &reply);
    cr_assert_str_eq(reply.body, TOPIC
                     ",\"partition_list\":[{\"partition\":0,\"group\":5,\"leader\":2,\"term\":7,"
                     "\"replicas\":[{\"node\":1},{\"node\":2}]}]}");
    reply_close(&reply);

    request = send_request(&fixture, stream, "PUT", "/v1/topics/orders", "");
    cr_assert_eq(request->create.partitions_count, 1);
    cr_assert_eq(request->create.replicas_count, 0);
    cr_assert_eq(request->create.settings.retention_ms, -1);
    cr_assert_eq(request->create.settings.message_bytes_max, 1048576);
    cr_assert(!request->create.settings.local_reads);
    request->ret_topics = make_topic(false);
    request->ret_topics_count = 1;
    answer(&fixture, NODE_OK);
    fixture_expect(stream, 200, NULL);

    request = send_request(&fixture, stream, "GET", "/v1/topics/orders", "");
    cr_assert_eq(request->type, NODE_REQUEST_TOPIC_GET);
    request->ret_topics = make_topic(true);
    request->ret_topics_count = 1;
    answer(&fixture, NODE_OK);
    fixture_expect(stream, 200, &reply);
    cr_assert_str_eq(
        reply.body,
        TOPIC ",\"partition_list\":[{\"partition\":0,\"group\":5,\"leader\":2,\"term\":7,"
              "\"first_offset\":0,\"next_offset\":120345,\"commit_index\":200,\"replicas\":["
              "{\"node\":1,\"match\":200,\"lag\":0},{\"node\":2,\"match\":0,\"lag\":null}]}]}");
    reply_close(&reply);

    request = send_request(&fixture, stream, "GET", "/v1/topics/", "");
    cr_assert_eq(request->type, NODE_REQUEST_TOPIC_LIST);
    request->ret_topics = make_topic(true);
    request->ret_topics_count = 1;
    answer(&fixture, NODE_OK);
    fixture_expect(stream, 200, &reply);
    cr_assert_str_eq(reply.body, "{\"topics\":[" TOPIC "}]}");
    reply_close(&reply);

    request = send_request(&fixture, stream, "DELETE", "/v1/topics/orders", "");
    cr_assert_eq(request->type, NODE_REQUEST_TOPIC_DELETE);
    answer(&fixture, NODE_OK);
    fixture_expect(stream, 204, &reply);
    cr_assert_null(reply_header(&reply, "content-length"));
    reply_close(&reply);
    fixture_close(&fixture);
}

Test(http_routes, settings_that_are_named_are_set_and_no_others)
{
    struct fixture fixture;
    fixture_open(&fixture, NULL);
    struct fake_stream *stream = fixture_connect(&fixture);
    struct node_request *request =
        send_request(&fixture, stream, "PUT", "/v1/topics/orders/settings",
                     "{\"retention\":\"forever\",\"retain_until_consumed\":true}");
    cr_assert_eq(request->type, NODE_REQUEST_TOPIC_SET);
    cr_assert_str_eq(request->topic, "orders");
    cr_assert_eq(request->set.fields, META_SET_RETENTION_MS | META_SET_UNTIL_CONSUMED);
    cr_assert_eq(request->create.settings.retention_ms, -1);
    cr_assert(request->create.settings.until_consumed);
    request->ret_topics = make_topic(false);
    request->ret_topics_count = 1;
    answer(&fixture, NODE_OK);
    fixture_expect(stream, 200, NULL);

    request = send_request(&fixture, stream, "PUT", "/v1/topics/orders/settings",
                           "{\"retention_bytes\":\"10G\"}");
    cr_assert_eq(request->set.fields, META_SET_RETENTION_BYTES);
    cr_assert_eq(request->create.settings.retention_bytes, 10737418240);
    answer(&fixture, NODE_TOPIC_NOT_FOUND);
    fixture_expect(stream, 404, NULL);
    fixture_send(&fixture, stream,
                 "PUT /v1/topics/orders/settings HTTP/1.1\r\nHost: n\r\n"
                 "Content-Length: 2\r\n\r\n{}");
    fixture_expect(stream, 400, NULL);
    fixture_close(&fixture);
}

Test(http_routes, a_commit_says_whether_its_group_is_durable)
{
    static const struct {
        const char *body;
        enum partition_durable durable;
    } bodies[] = {{"{\"offset\":7}", PARTITION_DURABLE_KEEP},
                  {"{\"offset\":7,\"durable\":true}", PARTITION_DURABLE_SET},
                  {"{\"offset\":7,\"durable\":false}", PARTITION_DURABLE_CLEAR}};
    struct fixture fixture;
    fixture_open(&fixture, NULL);
    struct fake_stream *stream = fixture_connect(&fixture);
    for (size_t i = 0; i < sizeof bodies / sizeof bodies[0]; i++) {
        struct node_request *request = send_request(
            &fixture, stream, "PUT", "/v1/groups/billing/offsets/orders/0", bodies[i].body);
        cr_assert_eq(request->group.durable, bodies[i].durable, "%s", bodies[i].body);
        answer(&fixture, NODE_OK);
        fixture_expect(stream, 204, NULL);
    }
    fixture_close(&fixture);
}

Test(http_routes, a_topic_of_unknown_or_wrong_settings_is_400)
{
    static const char *const bad[] = {"{\"partition\":1}",
                                      "{\"partitions\":0}",
                                      "{\"partitions\":257}",
                                      "{\"partitions\":1.0}",
                                      "{\"partitions\":\"1\"}",
                                      "{\"replicas\":0}",
                                      "{\"replicas\":8}",
                                      "{\"retention\":7}",
                                      "{\"retention\":\"7\"}",
                                      "{\"retention\":\"0\"}",
                                      "{\"retention_bytes\":-5}",
                                      "{\"retention_bytes\":\"many\"}",
                                      "{\"max_message_bytes\":0}",
                                      "{\"max_message_bytes\":16777217}",
                                      "{\"max_message_bytes\":\"unlimited\"}",
                                      "{\"consistency\":\"eventual\"}",
                                      "{\"consistency\":true}",
                                      "[]",
                                      "{",
                                      "{\"partitions\":1,\"partitions\":2}"};
    struct fixture fixture;
    fixture_open(&fixture, NULL);
    struct fake_stream *stream = fixture_connect(&fixture);
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        cr_assert_null(send_request(&fixture, stream, "PUT", "/v1/topics/t", bad[i]), "%s", bad[i]);
        fixture_expect(stream, 400, NULL);
    }
    fixture_close(&fixture);
}

Test(http_routes, names_are_checked_after_one_decoding)
{
    static const char *const bad[] = {"%2e%2e", "..",   ".",  "a%2fb",   "a%00", "a%20b",
                                      "%c3%a4", "a%zz", "a*", "a%252fb", "%"};
    struct fixture fixture;
    fixture_open(&fixture, NULL);
    struct fake_stream *stream = fixture_connect(&fixture);
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        char path[128];
        struct reply reply;
        snprintf(path, sizeof path, "/v1/topics/%s", bad[i]);
        cr_assert_null(send_request(&fixture, stream, "GET", path, ""), "%s", bad[i]);
        cr_assert(fixture_reply(stream, &reply));
        cr_assert(reply.status == 422 || reply.status == 400, "%s: %d", bad[i], reply.status);
        reply_close(&reply);
    }
    char path[200] = "/v1/topics/";
    memset(path + strlen(path), 'a', 129);
    cr_assert_null(send_request(&fixture, stream, "GET", path, ""));
    fixture_expect(stream, 422, NULL);
    path[strlen(path) - 1] = '\0';
    cr_assert_not_null(send_request(&fixture, stream, "GET", path, ""));
    answer(&fixture, NODE_TOPIC_NOT_FOUND);
    fixture_expect(stream, 404, NULL);
    fixture_close(&fixture);
}

Test(http_routes, unknown_paths_are_404_and_unknown_methods_405_with_allow)
{
    struct fixture fixture;
    struct reply reply;
    fixture_open(&fixture, NULL);
    struct fake_stream *stream = fixture_connect(&fixture);
    static const char *const unknown[] = {"/v1",           "/v2/topics", "/v1/topics/t/message",
                                          "/livez/x",      "//livez",    "/v1//topics",
                                          "/a/b/c/d/e/f/g"};
    for (size_t i = 0; i < sizeof unknown / sizeof unknown[0]; i++) {
        send_request(&fixture, stream, "GET", unknown[i], "");
        fixture_expect(stream, 404, NULL);
    }
    send_request(&fixture, stream, "GET", "/a/b/c/d/e/f/g/h/i/j", "");
    fixture_expect(stream, 400, NULL);
    send_request(&fixture, stream, "PATCH", "/v1/topics/t", "");
    fixture_expect(stream, 405, &reply);
    cr_assert_str_eq(reply_header(&reply, "allow"), "GET, HEAD, PUT, DELETE");
    reply_close(&reply);
    send_request(&fixture, stream, "DELETE", "/v1/topics/t/messages", "");
    fixture_expect(stream, 405, &reply);
    cr_assert_str_eq(reply_header(&reply, "allow"), "POST, GET, HEAD");
    reply_close(&reply);
    fixture_close(&fixture);
}

Test(http_routes, a_body_where_none_belongs_is_400)
{
    struct fixture fixture;
    fixture_open(&fixture, NULL);
    struct fake_stream *stream = fixture_connect(&fixture);
    cr_assert_null(send_request(&fixture, stream, "GET", "/v1/topics", "x"));
    fixture_expect(stream, 400, NULL);
    cr_assert_null(send_request(&fixture, stream, "DELETE", "/v1/topics/t", "x"));
    fixture_expect(stream, 400, NULL);
    cr_assert(!stream->closed);
    fixture_close(&fixture);
}

Test(http_routes, head_is_get_without_the_body)
{
    struct fixture fixture;
    fixture_open(&fixture, NULL);
    struct fake_stream *stream = fixture_connect(&fixture);
    send_request(&fixture, stream, "HEAD", "/livez", "");
    cr_assert(strstr((char *)stream->output, "HTTP/1.1 200 OK\r\n"));
    cr_assert(strstr((char *)stream->output, "Content-Length: 3\r\n"));
    cr_assert_eq(memcmp(stream->output + stream->output_bytes - 4, "\r\n\r\n", 4), 0);
    stream->output_bytes = 0;
    send_request(&fixture, stream, "GET", "/livez", "");
    fixture_expect(stream, 200, NULL);
    fixture_close(&fixture);
}

Test(http_routes, a_foreign_web_page_may_read_and_never_write)
{
    static const struct {
        const char *origin;
        bool foreign;
    } cases[] = {{"http://localhost:7070", false}, {"https://LOCALHOST:7070", false},
                 {"http://evil.example", true},    {"null", true},
                 {"http://localhost:70701", true}, {"http://localhost", true},
                 {"localhost:7070", true},         {"", true}};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct fixture fixture;
        char text[512];
        fixture_open(&fixture, NULL);
        struct fake_stream *stream = fixture_connect(&fixture);
        snprintf(text, sizeof text,
                 "POST /v1/topics/t/messages HTTP/1.1\r\nHost: localhost:7070\r\nOrigin: %s\r\n"
                 "Content-Type: text/plain\r\nContent-Length: 1\r\n\r\nx",
                 cases[i].origin);
        fixture_send(&fixture, stream, text);
        cr_assert_eq(fixture.node.submitted_total, cases[i].foreign ? 0 : 1, "%s", cases[i].origin);
        if (cases[i].foreign) {
            fixture_expect(stream, 403, NULL);
        } else {
            answer(&fixture, NODE_OK);
            fixture_expect(stream, 201, NULL);
        }
        snprintf(text, sizeof text,
                 "GET /livez HTTP/1.1\r\nHost: localhost:7070\r\nOrigin: %s\r\n\r\n",
                 cases[i].origin);
        fixture_send(&fixture, stream, text);
        fixture_expect(stream, 200, NULL);
        fixture_close(&fixture);
    }
}

Test(http_routes, producers_get_an_id_and_an_epoch)
{
    struct fixture fixture;
    struct reply reply;
    fixture_open(&fixture, NULL);
    struct fake_stream *stream = fixture_connect(&fixture);
    struct node_request *request = send_request(&fixture, stream, "POST", "/v1/producers", "");
    cr_assert_eq(request->type, NODE_REQUEST_PRODUCER_INIT);
    request->ret_producer_id = 4001;
    answer(&fixture, NODE_OK);
    fixture_expect(stream, 201, &reply);
    cr_assert_str_eq(reply.body, "{\"producer_id\":4001,\"epoch\":0}");
    reply_close(&reply);
    cr_assert_null(send_request(&fixture, stream, "POST", "/v1/producers", "{\"id\":1}"));
    fixture_expect(stream, 400, NULL);
    fixture_close(&fixture);
}

/* ---- groups ---------------------------------------------------------------------------------------------------- */

static struct partition_offset *make_offset(uint64_t offset)
{
    struct partition_offset *made = calloc(1, sizeof *made);
    strcpy(made->group, "billing");
    made->offset = offset;
    made->generation = -1;
    made->timestamp_ms = 1767225600000;
    made->metadata_bytes = 1;
    made->metadata[0] = 'm';
    return made;
}

#define OFFSET(n)                                                                                \
    "\"offset\":" n ",\"generation\":-1,\"timestamp\":\"2026-01-01T00:00:00.000Z\",\"durable\":" \
    "false,\"expired\":0,\"metadata\":\"m\""

Test(http_routes, offsets_are_committed_with_their_conditions)
{
    struct fixture fixture;
    fixture_open(&fixture, NULL);
    struct fake_stream *stream = fixture_connect(&fixture);
    struct node_request *request = send_request(
        &fixture, stream, "PUT", "/v1/groups/billing/offsets/orders/3",
        "{\"offset\":120346,\"if_offset\":120345,\"metadata\":\"m\\u0000\",\"generation\":4}");
    cr_assert_eq(request->type, NODE_REQUEST_GROUP_COMMIT);
    cr_assert_str_eq(request->topic, "orders");
    cr_assert_str_eq(request->group.group, "billing");
    cr_assert_eq(request->partition, 3);
    cr_assert_eq(request->group.offset, 120346);
    cr_assert(request->group.has_if_offset);
    cr_assert_eq(request->group.if_offset, 120345);
    cr_assert_eq(request->group.generation, 4);
    cr_assert_eq(request->group.metadata_bytes, 2);
    cr_assert_eq(memcmp(request->group.metadata, "m\0", 2), 0);
    answer(&fixture, NODE_OK);
    fixture_expect(stream, 204, NULL);
    request = send_request(&fixture, stream, "PUT", "/v1/groups/billing/offsets/orders/0",
                           "{\"offset\":0}");
    cr_assert(!request->group.has_if_offset);
    cr_assert_eq(request->group.generation, -1);
    cr_assert_eq(request->group.metadata_bytes, 0);
    answer(&fixture, NODE_STALE_GENERATION);
    fixture_expect(stream, 409, NULL);
    struct reply reply;
    send_request(&fixture, stream, "PUT", "/v1/groups/billing/offsets/orders/0",
                 "{\"offset\":9,\"if_offset\":1}");
    answer(&fixture, NODE_STALE_GENERATION);
    fixture_expect(stream, 409, &reply);
    cr_assert(strstr(reply.body, "offset-moved"));
    reply_close(&reply);
    static const char *const bad[] = {"",
                                      "{}",
                                      "{\"offset\":-1}",
                                      "{\"offset\":\"1\"}",
                                      "{\"offset\":1,\"x\":1}",
                                      "{\"offset\":1,\"metadata\":7}",
                                      "{\"offset\":9223372036854775808}",
                                      "{\"offset\":1,\"generation\":-2}"};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        cr_assert_null(send_request(&fixture, stream, "PUT", "/v1/groups/g/offsets/t/0", bad[i]),
                       "%s", bad[i]);
        fixture_expect(stream, 400, NULL);
    }
    fixture_close(&fixture);
}

Test(http_routes, a_committed_offset_is_read)
{
    struct fixture fixture;
    struct reply reply;
    fixture_open(&fixture, NULL);
    struct fake_stream *stream = fixture_connect(&fixture);
    struct node_request *request =
        send_request(&fixture, stream, "GET", "/v1/groups/billing/offsets/orders/3", "");
    cr_assert_eq(request->type, NODE_REQUEST_GROUP_FETCH);
    request->ret_offsets = make_offset(42);
    request->ret_offsets_count = 1;
    answer(&fixture, NODE_OK);
    fixture_expect(stream, 200, &reply);
    cr_assert_str_eq(
        reply.body,
        "{\"group\":\"billing\",\"topic\":\"orders\",\"partition\":3," OFFSET("42") "}");
    reply_close(&reply);
    send_request(&fixture, stream, "GET", "/v1/groups/billing/offsets/orders/3", "");
    answer(&fixture, NODE_NO_OFFSET);
    fixture_expect(stream, 404, NULL);
    fixture_close(&fixture);
}

Test(http_routes, a_groups_offsets_are_gathered_over_all_partitions)
{
    struct fixture fixture;
    struct reply reply;
    fixture_open(&fixture, NULL);
    struct fake_stream *stream = fixture_connect(&fixture);
    struct node_request *request =
        send_request(&fixture, stream, "GET", "/v1/groups/billing/offsets?topic=orders", "");
    cr_assert_eq(request->type, NODE_REQUEST_TOPIC_GET);
    request->ret_topics = make_topic(false);
    request->ret_topics_count = 1;
    request->ret_topics->partitions_count = 3;
    answer(&fixture, NODE_OK);
    for (uint32_t partition = 0; partition < 3; partition++) {
        request = fixture.node.requests[0];
        cr_assert_eq(request->type, NODE_REQUEST_GROUP_FETCH);
        cr_assert_eq(request->partition, partition);
        cr_assert_str_eq(request->group.group, "billing");
        cr_assert_str_eq(request->topic, "orders");
        if (partition == 1) {
            answer(&fixture, NODE_NO_OFFSET);
        } else {
            request->ret_offsets = make_offset(partition + 10);
            request->ret_offsets_count = 1;
            answer(&fixture, NODE_OK);
        }
    }
    fixture_expect(stream, 200, &reply);
    cr_assert_str_eq(
        reply.body,
        "{\"group\":\"billing\",\"topic\":\"orders\",\"offsets\":[{\"partition\":0," OFFSET(
            "10") "},{\"partition\":2," OFFSET("12") "}]}");
    reply_close(&reply);
    send_request(&fixture, stream, "GET", "/v1/groups/billing/offsets?topic=orders", "");
    request = fixture.node.requests[0];
    request->ret_topics = make_topic(false);
    request->ret_topics_count = 1;
    answer(&fixture, NODE_OK);
    answer(&fixture, NODE_NO_LEADER);
    fixture_expect(stream, 503, &reply);
    cr_assert_eq(reply.body[0], '{');
    cr_assert_null(strstr(reply.body, "offsets"), "half a reply before the problem");
    reply_close(&reply);
    cr_assert_null(send_request(&fixture, stream, "GET", "/v1/groups/billing/offsets", ""));
    fixture_expect(stream, 400, NULL);
    fixture_close(&fixture);
}

Test(http_routes, groups_of_a_partition_are_listed)
{
    struct fixture fixture;
    struct reply reply;
    fixture_open(&fixture, NULL);
    struct fake_stream *stream = fixture_connect(&fixture);
    struct node_request *request =
        send_request(&fixture, stream, "GET", "/v1/groups?topic=orders&partition=2&after=a", "");
    cr_assert_eq(request->type, NODE_REQUEST_GROUP_LIST);
    cr_assert_str_eq(request->group.group, "a");
    request->ret_offsets = make_offset(1);
    request->ret_offsets_count = 1;
    answer(&fixture, NODE_OK);
    fixture_expect(stream, 200, &reply);
    cr_assert_str_eq(
        reply.body,
        "{\"topic\":\"orders\",\"partition\":2,\"groups\":[{\"group\":\"billing\"," OFFSET(
            "1") "}]}");
    reply_close(&reply);
    fixture_close(&fixture);
}

Test(http_routes, a_partitions_ends_are_asked_linearizably)
{
    struct fixture fixture;
    struct reply reply;
    fixture_open(&fixture, NULL);
    struct fake_stream *stream = fixture_connect(&fixture);
    struct node_request *request =
        send_request(&fixture, stream, "GET", "/v1/topics/t/partitions/3", "");
    cr_assert_eq(request->type, NODE_REQUEST_OFFSETS);
    cr_assert_eq(request->partition, 3);
    request->ret_first_offset = 5;
    request->ret_next_offset = 9;
    answer(&fixture, NODE_OK);
    fixture_expect(stream, 200, &reply);
    cr_assert_str_eq(reply.body,
                     "{\"topic\":\"t\",\"partition\":3,\"first_offset\":5,\"next_offset\":9}");
    reply_close(&reply);
    fixture_close(&fixture);
}

/* ---- status ---------------------------------------------------------------------------------------------------- */

Test(http_routes, the_cluster_is_described)
{
    struct fixture fixture;
    struct reply reply;
    fixture_open(&fixture, NULL);
    struct node_cluster_status *status = &fixture.node.status;
    for (int i = 0; i < 16; i++)
        status->cluster.bytes[i] = (uint8_t)(i * 17);
    status->node_id = 3;
    status->incarnation = 0xffffffffffffffff;
    status->leader = 2;
    status->term = 7;
    strcpy(status->state, "ready");
    strcpy(status->damage, "damaged on n3");
    status->damaged_ranges = 2;
    status->unrepaired_ranges = 1;
    status->members_count = 1;
    status->members[0] = (struct node_member_status){
        .node_id = 2, .connected = true, .match_known = true, .match_index = 9};
    strcpy(status->members[0].role, "leader");
    strcpy(status->members[0].vote, "voter");
    strcpy(status->members[0].http_address, "n2:7070");
    strcpy(fixture.node.group.topic, "orders");
    strcpy(fixture.node.group.role, "follower");
    fixture.node.group.reads_confirmed = 11;
    fixture.node.group.reads_waiting = 2;
    fixture.node.group.round_reads = 1;
    fixture.node.group.round_index = 7;
    fixture.node.group.round_acks = 1;
    fixture.node.group.round_voters = 3;
    fixture_ask(&fixture, "GET /v1/cluster?groups=1 HTTP/1.1\r\nHost: a\r\n\r\n", &reply);
    cr_assert_eq(reply.status, 200);
    cr_assert_str_eq(
        reply.body,
        "{\"cluster_id\":\"00112233445566778899aabbccddeeff\",\"state\":\"ready\",\"problem\":null,"
        "\"warning\":null,\"damaged_ranges\":2,\"unrepaired_ranges\":1,\"damage\":\"damaged on "
        "n3\","
        "\"node\":3,"
        "\"incarnation\":\"ffffffffffffffff\",\"leader\":2,\"term\":7,\"commit_index\":0,\"applied_"
        "index\":0,"
        "\"topics\":0,\"groups_hosted\":0,\"groups_led\":0,\"data_bytes\":0,\"uptime_ms\":0,"
        "\"nodes\":[{\"id\":2,"
        "\"self\":false,\"connected\":true,\"role\":\"leader\",\"vote\":\"voter\",\"incarnation\":"
        "\"0000000000000000\",\"match_index\":9,"
        "\"http\":\"n2:7070\",\"peer\":null,\"version\":null,\"problem\":null}],\"groups\":[{"
        "\"group\":0,"
        "\"topic\":\"orders\",\"partition\":0,\"role\":\"follower\",\"leader\":null,\"term\":0,"
        "\"last_index\":0,"
        "\"durable_index\":0,\"commit_index\":0,\"applied_index\":0,\"first_offset\":0,\"next_"
        "offset\":0,"
        "\"reads_confirmed\":11,\"reads_skipped\":0,\"reads_local\":0,\"reads_waiting\":2,\"read_"
        "requests\":0,\"read_round\":{\"index\":7,\"reads\":1,\"acks\":1,\"voters\":3},"
        "\"problem\":null}]}");
    cr_assert_str_eq(reply_header(&reply, "raftmq-leader"), "2");
    reply_close(&reply);
    fixture_close(&fixture);
}

Test(http_routes, every_node_that_is_known_is_described)
{
    struct fixture fixture;
    struct reply reply;
    fixture_open(&fixture, NULL);
    struct node_cluster_status *status = &fixture.node.status;
    status->members_count = NODE_MEMBERS_MAX;
    for (uint32_t i = 0; i < NODE_MEMBERS_MAX; i++) {
        status->members[i].node_id = i + 1u;
    }
    fixture_ask(&fixture, "GET /v1/cluster HTTP/1.1\r\nHost: a\r\n\r\n", &reply);
    cr_assert_eq(reply.status, 200);
    for (uint32_t id = 1; id <= NODE_MEMBERS_MAX; id++) {
        char member[32];
        snprintf(member, sizeof(member), "{\"id\":%u,", id);
        cr_assert_not_null(strstr(reply.body, member), "n%u", id);
    }
    reply_close(&reply);
    fixture_close(&fixture);
}

Test(http_routes, health_follows_the_node)
{
    struct fixture fixture;
    struct reply reply;
    fixture_open(&fixture, NULL);
    fixture_ask(&fixture, "GET /livez HTTP/1.1\r\nHost: a\r\n\r\n", &reply);
    cr_assert_str_eq(reply.body, "ok\n");
    reply_close(&reply);
    fixture_ask(&fixture, "GET /readyz?verbose HTTP/1.1\r\nHost: a\r\n\r\n", &reply);
    cr_assert_eq(reply.status, 200);
    cr_assert_str_eq(reply.body, "[+]leader known\nok\n");
    reply_close(&reply);
    fixture.node.ready = false;
    fixture_ask(&fixture, "GET /readyz HTTP/1.1\r\nHost: a\r\n\r\n", &reply);
    cr_assert_eq(reply.status, 503);
    cr_assert_str_eq(reply.body, "not ready\n");
    cr_assert_not_null(reply_header(&reply, "retry-after"));
    reply_close(&reply);
    fixture_close(&fixture);
}

Test(http_routes, metrics_are_the_nodes_and_our_own)
{
    struct fixture fixture;
    struct reply reply;
    fixture_open(&fixture, NULL);
    fixture_ask(&fixture, "GET /nothing HTTP/1.1\r\nHost: a\r\n\r\n", &reply);
    reply_close(&reply);
    fixture_ask(&fixture, "GET /metrics HTTP/1.1\r\nHost: a\r\n\r\n", &reply);
    cr_assert_eq(reply.status, 200);
    cr_assert(strstr(reply.body, "raftmq_fake 1\n"));
    cr_assert(strstr(reply.body, "raftmq_http_requests_total{op=\"other\",status=\"4xx\"} 1\n"));
    cr_assert(strstr(reply.body, "raftmq_request_seconds_count{proto=\"http\",op=\"other\"} 1\n"));
    cr_assert(strstr(reply.body, "raftmq_connections{proto=\"http\"} 1\n"), "%s", reply.body);
    cr_assert_str_eq(reply_header(&reply, "content-type"),
                     "text/plain; version=0.0.4; charset=utf-8");
    reply_close(&reply);
    fixture_close(&fixture);
}

Test(http_routes, the_root_lists_the_endpoints)
{
    struct fixture fixture;
    struct reply reply;
    fixture_open(&fixture, NULL);
    fixture_ask(&fixture, "GET / HTTP/1.1\r\nHost: a\r\n\r\n", &reply);
    cr_assert_eq(reply.status, 200);
    cr_assert(strstr(reply.body, "{\"method\":\"POST\",\"path\":\"/v1/topics/{t}/messages\""));
    cr_assert_str_eq(reply_header(&reply, "date"), "Thu, 01 Jan 2026 00:00:00 GMT");
    reply_close(&reply);
    fixture_close(&fixture);
}

Test(http_routes, a_name_from_a_path_is_still_there_when_the_node_answers)
{
    struct fixture fixture;
    struct reply reply;
    fixture_open(&fixture, NULL);
    struct fake_stream *stream = fixture_connect(&fixture), *other = fixture_connect(&fixture);
    struct node_request *request =
        send_request(&fixture, stream, "GET", "/v1/groups/my%2Dgroup/offsets/my.topic/0", "");
    for (int i = 0; i < 20; i++) {
        fixture_send(
            &fixture, other,
            "GET /version HTTP/1.1\r\nHost: a\r\nX: overwrite-overwrite-overwrite\r\n\r\n");
        fixture_expect(other, 200, NULL);
    }
    cr_assert_str_eq(request->group.group, "my-group");
    cr_assert_str_eq(request->topic, "my.topic");
    request->ret_offset = 4;
    answer(&fixture, NODE_OK);
    fixture_expect(stream, 200, &reply);
    cr_assert_str_eq(
        reply.body, "{\"group\":\"my-group\",\"topic\":\"my.topic\",\"partition\":0,\"offset\":4}");
    reply_close(&reply);
    fixture_close(&fixture);
}
